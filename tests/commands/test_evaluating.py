import json

import cv2
import numpy as np
import pytest

from facegate.commands.main import run
from facegate.settings import load_settings
from facegate.verifier.library import library_of
from tests.commands.composites import people_folder

BARE = ["--size", "144", "--template", "reid-0095-wide"]


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return people_folder(tmp_path / "people")


@pytest.fixture
def pairs(folder):
    listing = folder.parent / "pairs.tsv"
    listing.write_text("p0/0.webp\tp0/1.webp\t1\np1/0.webp\tp1/2.webp\t1\np0/0.webp\tp1/0.webp\t0\n")
    return listing


@pytest.fixture
def bare(tmp_path):
    """The shipped network as a file that is in no library."""
    network = tmp_path / "other.onnx"
    network.write_bytes((library_of(load_settings()).load().folder / "network.onnx").read_bytes())
    return network


def said(capsys):
    return json.loads(capsys.readouterr().out)


def refused(capsys, arguments):
    """Exit 2, one line on stderr, nothing on stdout; return the line."""
    assert run(["evaluate", *map(str, arguments)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("facegate: ")
    return told.err


def test_pairs_are_evaluated_as_the_manual_says(folder, pairs, capsys):
    assert run(["evaluate", "pairs", "--images", str(folder), "--pairs", str(pairs), "--json"]) == 0
    document = said(capsys)
    assert (document["pairs"], document["mated"], document["non_mated"], document["people"]) == (3, 2, 1, 2)
    assert document["at_shipped_threshold"]["accuracy"] == 1
    assert (document["eer"], document["failures_to_acquire"]) == (0, 0)
    assert document["seconds_per_face"] > 0
    assert document["fnmr_at_fmr"]["0.001"]["supported"] is False
    assert document["fnmr_at_fmr"]["0.001"]["refused"] == "1 non-mated scores support no FMR of 0.001; it takes 1000"


def test_the_list_may_be_an_argument_or_an_option_but_not_both_or_neither(folder, pairs, capsys):
    assert run(["evaluate", "pairs", str(pairs), "--root", str(folder), "--json"]) == 0
    assert said(capsys)["pairs"] == 3
    assert "2 lists" in refused(capsys, ["pairs", pairs, "--pairs", pairs, "--images", folder])
    assert "0 lists" in refused(capsys, ["pairs", "--images", folder])


def test_a_folder_is_evaluated_and_a_photo_without_a_face_is_counted(folder, capsys):
    cv2.imwrite(str(folder / "p0" / "empty.png"), np.full((200, 200, 3), 90, np.uint8))
    assert run(["evaluate", "folder", str(folder), "--json"]) == 0
    document = said(capsys)
    assert (document["people"], document["photos"], document["failures_to_acquire"]) == (3, 13, 1)
    assert document["mated"] == 3 * 6 + 4
    assert document["at_shipped_threshold"]["fnmr"]["count"] == 4
    assert run(["evaluate", "folder", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "1 without a face" in told
    assert "refused" in told


def test_a_picture_is_drawn(folder, tmp_path, capsys):
    plot = tmp_path / "det.png"
    assert run(["evaluate", "folder", str(folder), "--plot", str(plot), "--json"]) == 0
    said(capsys)
    assert cv2.imread(str(plot)).shape[2] == 3
    for wrong in (tmp_path / "det.txt", tmp_path / "nowhere" / "det.png"):
        assert str(wrong) in refused(capsys, ["folder", folder, "--plot", wrong])


def test_a_file_with_its_contract_is_evaluated_beside_a_model_on_the_same_faces(folder, bare, capsys):
    arguments = ["evaluate", "folder", str(folder), "--model", str(bare), *BARE]
    assert run([*arguments, "--json"]) == 0
    alone = said(capsys)
    assert alone["at_shipped_threshold"] is None
    assert alone["model"].startswith("other@")
    name = library_of(load_settings()).load().card.name
    assert run([*arguments, "--model", name, "--json"]) == 0
    one, two = said(capsys)["models"]
    assert one["model"].partition("@")[2] == two["model"].partition("@")[2]
    assert {**one, "seconds_per_face": 0} == {**alone, "seconds_per_face": 0}
    assert two["at_shipped_threshold"]["accuracy"] == 1
    assert run([*arguments, "--model", name]) == 0
    assert "Side by side" in capsys.readouterr().out


def test_networks_that_cannot_be_used_are_one_line(folder, bare, tmp_path, capsys):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(bare.read_bytes()[:-1000])
    assert "cut.onnx" in refused(capsys, ["folder", folder, "--model", cut, *BARE])
    assert "not crops of 112 pixels" in refused(capsys, ["folder", folder, "--model", bare])
    assert "no file" in refused(capsys, ["folder", folder, "--model", tmp_path / "none.onnx"])
    assert "no model" in refused(capsys, ["folder", folder, "--model", "nobody"])
    twice = ["--model", str(bare), "--model", str(bare)]
    assert "named twice" in refused(capsys, ["folder", folder, *twice, *BARE])


def test_an_installed_model_whose_network_was_cut_is_one_line(folder, capsys):
    shipped = library_of(load_settings()).load()
    copy = load_settings().models_dir / shipped.card.name
    copy.mkdir(parents=True)
    for path in shipped.folder.iterdir():
        data = path.read_bytes()
        (copy / path.name).write_bytes(data[:-1000] if path.name == "network.onnx" else data)
    assert "network.onnx was changed" in refused(capsys, ["folder", folder, "--model", shipped.card.name])


def test_rates_by_group_are_told(folder, tmp_path, capsys):
    groups = tmp_path / "groups.tsv"
    groups.write_text("p0\tone\np1\tone\np2\tother\n")
    assert run(["evaluate", "folder", str(folder), "--groups", str(groups), "--json"]) == 0
    found = said(capsys)["groups"]
    assert found["by_group"]["one"]["fmr"]["of"] == 16
    assert found["by_group"]["other"]["fmr"] is None
    assert run(["evaluate", "folder", str(folder), "--groups", str(groups)]) == 0
    assert "FMR within the group" in capsys.readouterr().out


def test_groups_that_cannot_be_told_are_one_line(folder, bare, tmp_path, capsys):
    groups = tmp_path / "groups.tsv"
    groups.write_text("p0 one\n")
    assert "groups.tsv:1 is no person" in refused(capsys, ["folder", folder, "--groups", groups])
    groups.write_text("somebody\tone\n")
    assert "Nobody in the folder" in refused(capsys, ["folder", folder, "--groups", groups])
    assert "no threshold" in refused(capsys, ["folder", folder, "--groups", groups, "--model", bare, *BARE])


def test_what_cannot_be_evaluated_is_one_line(tmp_path, folder, pairs, capsys):
    (tmp_path / "empty").mkdir()
    people_folder(tmp_path / "alone", count=1)
    for place in (tmp_path / "empty", tmp_path / "nowhere", folder / "p0", tmp_path / "alone"):
        refused(capsys, ["folder", place])
    assert "one person; two people are needed" in refused(capsys, ["folder", tmp_path / "alone"])
    assert "no folder" in refused(capsys, ["pairs", "--images", tmp_path / "nowhere", "--pairs", pairs])
    missing = pairs.read_text() + "p0/0.webp\tp0/99.webp\t1\n"
    pairs.write_text(missing)
    assert ":4: there is no" in refused(capsys, ["pairs", "--images", folder, "--pairs", pairs])
    pairs.write_text("p0/0.webp,p0/1.webp,1\n")
    assert ":1 is no pair" in refused(capsys, ["pairs", "--images", folder, "--pairs", pairs])
    assert "supports no FMR of 1e-12" in refused(capsys, ["folder", folder, "--max-fmr", "1e-12"])


def test_a_network_that_was_imported_without_people_is_measured_without_a_threshold(folder, bare, capsys):
    assert run(["models", "import", "other", str(bare), *BARE]) == 0
    capsys.readouterr()
    assert run(["evaluate", "folder", str(folder), "--model", "other", "--json"]) == 0
    document = said(capsys)
    assert document["at_shipped_threshold"] is None
    assert document["eer"] == 0


def test_rates_by_group_are_told_at_doors_too_where_scores_are_levelled(folder, tmp_path, capsys):
    groups = tmp_path / "groups.tsv"
    groups.write_text("p0\tone\np1\tone\np2\tother\n")
    assert run(["evaluate", "folder", str(folder), "--groups", str(groups), "--json"]) == 0
    document, levelled = said(capsys), library_of(load_settings()).load().levelled
    assert document["groups_at_doors"]["threshold"] == levelled.threshold(1e-3) != document["groups"]["threshold"]
    assert document["groups_at_doors"]["by_group"]["one"]["fmr"]["of"] == 16
    assert run(["evaluate", "folder", str(folder), "--groups", str(groups), "--model", "open-1", "--json"]) == 0
    assert "groups_at_doors" not in said(capsys)
