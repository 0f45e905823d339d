import sys
from pathlib import Path

from models.verifier.recipe.measure import SEEDS, SETS, SPOILED, commands, measure


def says(what):
    return sys.executable, "-c", what


def test_an_answer_is_kept_when_it_is_whole_and_asked_for_once(tmp_path):
    todo = {
        "one": says("print(1)"),
        "broken": says("print('half', flush=True); raise SystemExit(3)"),
        "two": says("print(2)"),
    }
    assert measure(todo, tmp_path, jobs=2) == ["broken"]
    assert {path.name: path.read_text() for path in tmp_path.glob("*.json")} == {"one.json": "1\n", "two.json": "2\n"}
    again = {"one": says("raise SystemExit(1)"), "broken": says("print(3)"), "two": says("raise SystemExit(1)")}
    assert measure(again, tmp_path, jobs=1) == []
    assert (tmp_path / "broken.json").read_text() == "3\n"


def test_every_set_is_measured_with_all_networks_side_by_side():
    every = commands(Path("data"), "twin", ["start", "teacher"])
    assert len(every) == len(SPOILED) + len(SEEDS) + len(SETS) + 2
    for name in SETS:
        assert f"data/{name}_val" in every[name]
        assert " ".join(every[name]).endswith("--model twin --model start --model teacher --json")
    for name in SPOILED:
        assert every[f"doors-{name}"][-2:] == ("--together", "start,teacher")
    assert "--together" not in commands(Path("data"), "twin", ["start"])["doors-lfw"]
