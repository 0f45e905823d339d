"""The recipe from the command line, on composites under made-up names: a step or two, from start to finished model."""

import json
import shutil

import pytest

from facegate.commands.main import run
from facegate.siamese.shapes import BRANCHED, REID_0095
from facegate.siamese.weights import load_checkpoint
from facegate.vision.composites import people


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two sources of forty folders of composites; who is whom does not matter here."""
    root = tmp_path_factory.mktemp("data")
    known = people()
    for source in ("one_train", "two_train"):
        for number in range(40):
            folder = root / source / f"number{number:02}{chr(97 + number % 26)}{chr(97 + number // 26)}"
            folder.mkdir(parents=True)
            for picture in range(5):
                shutil.copy(known[number % len(known)].picture_path(picture), folder)
    return root


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "data"))


def test_from_random_weights_without_a_teacher_a_model_comes_out_that_can_be_trained_on(data, tmp_path, capsys):
    out = tmp_path / "run"
    common = ["--data", str(data), "--sources", "two_train", "--crops", str(tmp_path / "crops"), "--people", "4"]
    losses = ["--head", "multi-similarity"]
    options = [*common, *losses, "--steps", "2", "--seed", "7", "--threads", "1", "--workers", "0", "--look-every", "0"]
    assert run(["models", "train", "--start", "none", "--out", str(out), *options, "--json"]) == 0
    told = capsys.readouterr()
    assert "there is no teacher" in told.err
    assert "step 2 of 2: contrastive" in told.err
    document = json.loads(told.out)
    assert document["missed"] == {"two_train": 0}
    assert (document["steps"], document["processes"]) == (2, 1)
    assert document["seconds"] > 0
    assert {each["share"] for each in document["candidates"]} == {0, 0.25, 0.5, 0.75, 1}
    card = json.loads((out / "twin" / "model.json").read_text())
    assert (card["start"], card["dimension"]) == ("random weights", 256)
    assert run(["models", "train", "--start", "none", "--out", str(out), *options]) == 2
    assert "holds a run already" in capsys.readouterr().err

    few = [
        *common,
        "--float32",
        "--threads",
        "1",
        "--workers",
        "0",
        "--look-every",
        "0",
        "--steps",
        "1",
        "--share",
        "1",
    ]
    whole, further, last = (tmp_path / name for name in ("whole", "further", "last"))
    onnx, checkpoint = out / "twin" / "network.onnx", further / "twin" / "network.pt"
    for start, folder, options in (
        (onnx, whole, ["--whole", "--frozen", "15", "--doors", "0.5"]),
        (onnx, further, []),  # a branch grows
        (checkpoint, last, []),  # and learns on
    ):
        assert run(["models", "train", "--start", str(start), "--out", str(folder), *few, *options, "--json"]) == 0
        capsys.readouterr()
    cards = [json.loads((folder / "twin" / "model.json").read_text()) for folder in (whole, further, last)]
    assert [card["dimension"] for card in cards] == [256, 256, 256]
    shapes = [load_checkpoint(folder / "twin" / "network.pt").shape for folder in (whole, further, last)]
    assert shapes == [REID_0095, BRANCHED, BRANCHED]
    assert [path.name for path in (tmp_path / "crops").glob("two_train.start@*.npy")]  # what the start said, kept


def test_what_cannot_be_trained_leaves_with_2_and_one_line_before_any_work(data, tmp_path, capsys):
    common = ["models", "train", "--data", str(data), "--out", str(tmp_path / "run"), "--threads", "1"]
    for options in (
        ["--start", "nowhere.npz"],
        ["--start", "nowhere.onnx"],
        ["--start", "none", "--without", "everything"],
        ["--start", "none", "--teacher", "nowhere.onnx"],
        ["--start", "none", "--sources", "three_train"],
        ["--start", "none", "--doors", "2"],
        ["--start", "none", "--branch"],
        ["--start", "nowhere.npz", "--frozen", "2"],
    ):
        assert run([*common, *options]) == 2, options
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1, told.err
