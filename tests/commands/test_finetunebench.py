import json

import cv2
import pytest

from facegate.commands.finetunebench import picked
from facegate.commands.main import run
from facegate.errors import UnusableInputError
from facegate.vision.composites import people


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("people") / "composites"
    for person in people():
        (root / person.slug).mkdir(parents=True)
        for number in range(6):
            picture = cv2.resize(person.picture(number), (240, 240), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(root / person.slug / f"{number}.png"), picture)
    return root


def test_sizes_are_named_by_their_numbers():
    assert picked("", 3) == [0, 1, 2]
    assert picked("2,0", 3) == [2, 0]
    for bad in ("3", "-1", "all", "0,"):
        with pytest.raises(UnusableInputError, match="names no sizes"):
            picked(bad, 3)


def test_the_bench_counts_every_candidate_on_households_of_people_who_do_not_exist(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path))
    words = ["bench", "finetune", "--people", str(folder), "--households", "1", "--sizes", "4", "--strangers", "10"]
    assert run([*words, "--json"]) == 0
    (size,) = json.loads(capsys.readouterr().out)["sizes"]
    assert size["size"] == "10 users, 1 photo, 0 frames"
    for target in size["targets"]:
        assert target["bars"]["promoted"] == 0
        assert target["bars"]["households"] == 1
        rows = {row["candidate"]: row for row in target["candidates"]}
        assert len(rows) == 11
        assert rows["nothing (the champion)"]["relative"] == 1
    doors = {(row["who"], row["target_far_per_visit"]): row for row in size["doors"]}
    assert set(doors) == {(who, target) for who in ("champion", "challenger") for target in (1e-2, 1e-3)}
    assert all(row["armed"] == 1 for row in doors.values())
    for target in (1e-2, 1e-3):
        assert doors["champion", target]["strangers_let_in"]["of"] == 10
        assert doors["champion", target]["strangers_let_in"]["count"] == 0
    assert doors["champion", 1e-3]["missed"]["count"] >= doors["champion", 1e-2]["missed"]["count"]


def test_too_few_people_are_told_in_a_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path))
    assert run(["bench", "finetune", "--people", str(folder), "--sizes", "1"]) == 2
    assert "people have" in capsys.readouterr().err
