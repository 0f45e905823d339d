"""The recipe from the command line, on composites under made-up names: a step or two, from start to finished model."""

import json
import shutil

import numpy as np
import pytest

from facegate.commands.main import run
from facegate.siamese.corpus import held_out
from facegate.siamese.shapes import ACCOMPANIED, REID_0095, SFACE
from facegate.siamese.weights import fresh_trunk, load_checkpoint
from facegate.vision.composites import people
from tests.siamese.small_trunks import chain_of
from tests.siamese.test_quick import sface_file

BRIEFLY = ("--threads", "1", "--workers", "0", "--look-every", "0", "--share", "1")


NAMES = [f"number{n:02}{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(100)]


def write_people(source, names):
    """Folders of composites under made-up names; who is whom does not matter here."""
    known = people()
    for number, name in enumerate(names):
        folder = source / name
        folder.mkdir(parents=True)
        for picture in range(5):
            shutil.copy(known[number % len(known)].picture_path(picture), folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two sources of forty people."""
    root = tmp_path_factory.mktemp("data")
    for source in ("one_train", "two_train"):
        write_people(root / source, NAMES[:40])
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

    few = [*common, *BRIEFLY, "--float32", "--steps", "1"]
    onnx, whole = out / "twin" / "network.onnx", tmp_path / "whole"
    begin = ["--start", str(onnx), "--out", str(whole), "--frozen", "15", "--doors", "0.5"]
    assert run(["models", "train", *begin, *few, "--json"]) == 0
    assert load_checkpoint(whole / "twin" / "network.pt").shape == REID_0095
    assert [path.name for path in (tmp_path / "crops").glob("two_train.start@*.npy")]  # what the start said, kept


SLOWLY = pytest.mark.timeout(400)
"""A companion of SFace's size is made and asked: half a minute on a fast core, minutes on a busy old one."""
FEW = ("--people", "4", "--steps", "2", *BRIEFLY)


@pytest.fixture(scope="module")
def companioned(tmp_path_factory):
    """A run whose companion was made of a network as SFace is: its folder, and what it was begun with."""
    place = tmp_path_factory.mktemp("companioned")
    known = [name for name in NAMES if not held_out(name)][:4]  # few, since making a companion of many takes a minute
    write_people(place / "people" / "set_train", known + [name for name in NAMES if held_out(name)][:4])
    np.savez(place / "start.npz", **{name: value.numpy() for name, value in fresh_trunk(seed=1).state_dict().items()})
    sface_file(place / "sface.onnx", chain_of(SFACE), np.random.default_rng(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGATE_DATA_DIR", str(place / "data"))
        assert run(["models", "train", *begun_with(place, place / "start.npz", place / "run")]) == 0
    return place


def begun_with(place, start, out):
    """Options of a short run with a companion."""
    names = ["--data", str(place / "people"), "--companion", str(place / "sface.onnx"), "--crops", str(place / "crops")]
    return [*names, "--start", str(start), "--out", str(out), *FEW, "--start-stays"]


@SLOWLY
def test_a_companion_is_made_of_sface_and_learns_beside_a_start(companioned):
    folder = companioned / "run" / "twin"
    assert load_checkpoint(folder / "network.pt").shape == ACCOMPANIED
    card = json.loads((folder / "model.json").read_text())
    assert card["dimension"] == 384
    assert card["input"] == {"size": 144, "template": "reid-0095-wide", "rgb": False, "mean": 0.0, "std": 1.0}
    assert (folder / "network.onnx").stat().st_size < 8e6


@SLOWLY
def test_a_companion_goes_on_learning_and_is_not_made_again(companioned, tmp_path, capsys):
    network = companioned / "run" / "twin" / "network.onnx"
    alone = ["--data", str(companioned / "people"), "--start", str(network), "--out", str(tmp_path / "alone"), *FEW]
    assert run(["models", "train", *alone]) == 2
    assert "has a companion already" in capsys.readouterr().err
    assert run(["models", "train", *begun_with(companioned, network, tmp_path / "on")]) == 0
    assert "making a companion" not in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "on" / "twin" / "network.pt").shape == ACCOMPANIED


@SLOWLY
def test_a_companion_is_made_anew_beside_the_start_of_a_network_that_has_one(companioned, tmp_path, capsys):
    network = companioned / "run" / "twin" / "network.onnx"
    (made,) = (companioned / "run").glob("companion-*.pt")
    (tmp_path / "run").mkdir()
    shutil.copy(made, tmp_path / "run")  # what is made of the same SFace and faces is the same, and takes a minute
    assert run(["models", "train", *begun_with(companioned, network, tmp_path / "run"), "--companion-anew"]) == 0
    assert load_checkpoint(tmp_path / "run" / "twin" / "network.pt").shape == ACCOMPANIED
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / made.name).write_bytes(b"cut off")  # so it is that one which is taken, not the network's own
    assert run(["models", "train", *begun_with(companioned, network, tmp_path / "cut"), "--companion-anew"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_compiling_without_a_compiler_leaves_with_2_and_one_line(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    options = ["--data", str(data), "--out", str(tmp_path / "run"), "--threads", "1", "--start", "none", "--compile"]
    assert run(["models", "train", *options]) == 2
    assert "no no-such-compiler to compile with" in capsys.readouterr().err


def test_what_cannot_be_trained_leaves_with_2_and_one_line_before_any_work(data, tmp_path, capsys):
    common = ["models", "train", "--data", str(data), "--out", str(tmp_path / "run"), "--threads", "1"]
    nothing = {name: np.full(value.shape, np.nan) for name, value in fresh_trunk().state_dict().items()}
    broken = tmp_path / "broken.npz"
    np.savez(broken, **nothing)
    for options in (
        ["--start", "nowhere.npz"],
        ["--start", "nowhere.onnx"],
        ["--start", "none", "--without", "everything"],
        ["--start", "none", "--teacher", "nowhere.onnx"],
        ["--start", "none", "--sources", "three_train"],
        ["--start", "none", "--doors", "2"],
        ["--start", "none", "--companion", "nowhere.onnx"],
        ["--start", "nowhere.npz", "--companion", "nowhere.onnx"],
        ["--start", "nowhere.npz", "--companion", "nowhere.onnx", "--teacher", "nowhere.onnx"],
        ["--start", "nowhere.npz", "--companion", "nowhere.onnx", "--teacher-weight", "0.5"],
        ["--start", "nowhere.npz", "--companion", "nowhere.onnx", "--start-does-not-teach"],
        ["--start", "none", "--frozen", "16"],
        ["--start", "none", "--companion-anew"],
        ["--start", "none", "--share", "1.2"],
        ["--start", "none", "--seed", "-1"],
        ["--start", "none", "--seed", str(2**64)],
        ["--start", "none", "--rate", "inf"],
        ["--start", "none", "--name", "../elsewhere"],
        ["--start", "none", "--name", ""],
        ["--start", str(broken)],
        ["--start", "none", "--teacher", str(broken)],
    ):
        assert run([*common, *options]) == 2, options
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1, told.err
