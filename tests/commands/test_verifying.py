import json

import cv2
import numpy as np
import pytest

from facegate.commands.main import run
from facegate.vision.composites import people
from tests.commands.composites import people_folder


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def said(capsys):
    return json.loads(capsys.readouterr().out)


def photo(person, number):
    return str(people()[person].picture_path(number))


@pytest.fixture
def folder(tmp_path):
    return people_folder(tmp_path / "people", count=10, photos=2)


def test_two_photos_of_one_person_leave_with_0_and_of_two_with_1(capsys):
    assert run(["verify", photo(0, 0), photo(0, 3), "--json"]) == 0
    same = said(capsys)
    assert same["same"]
    assert same["score"] >= same["threshold"]
    assert same["fmr"] <= same["target_fmr"]
    assert run(["verify", photo(0, 0), photo(1, 3), "--json"]) == 1
    assert not said(capsys)["same"]
    assert run(["verify", photo(0, 0), photo(0, 3)]) == 0
    assert "one stranger in" in capsys.readouterr().out


def test_a_photo_of_several_people_says_how_many_and_whom_it_takes(tmp_path, capsys):
    both = tmp_path / "both.jpg"
    cv2.imwrite(str(both), np.hstack([people()[0].picture(0), people()[1].picture(0)]))
    run(["verify", str(both), photo(0, 3), "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["faces"] == [2, 1]
    assert "shows 2 faces; the large one near the middle is compared" in err


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_photo_that_is_none_leaves_with_2_and_one_line(tmp_path, capsys, content):
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    assert run(["verify", photo(0, 0), str(bad)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("facegate: ")
    assert error.count("\n") == 1


def test_a_picture_that_is_too_large_is_mended_by_what_mends_it(monkeypatch, capsys):
    monkeypatch.setenv("FACEGATE_VISION__MAX_PIXELS", "100000")
    assert run(["verify", photo(0, 0), photo(0, 1)]) == 2
    told = capsys.readouterr().err
    assert "megapixels, more than" in told
    assert "vision.max_pixels" in told


def test_a_target_that_no_data_supports_leaves_with_2(capsys):
    assert run(["verify", photo(0, 0), photo(0, 1), "--fmr", "1e-12"]) == 2
    assert "do not support an FMR of 1e-12" in capsys.readouterr().err
    assert run(["verify", photo(0, 0), photo(0, 1), "--fmr", "2"]) == 2


def test_a_network_of_others_is_imported_calibrated_and_activated(folder, capsys):
    from facegate.settings import load_settings
    from facegate.verifier.library import library_of

    network = library_of(load_settings()).load().folder / "network.onnx"
    options = ["--people", str(folder), "--size", "144", "--template", "reid-0095-wide", "--licence", "Apache-2.0"]
    assert run(["models", "import", "other", str(network), *options, "--json"]) == 0
    assert said(capsys)["dimension"] == 384
    assert run(["models", "import", "other", str(network), *options]) == 1
    assert run(["models", "import", "wrong", str(network), "--people", str(folder), "--size", "112"]) == 2
    assert run(["models", "import", "text", __file__, "--people", str(folder)]) == 2
    capsys.readouterr()
    assert run(["models", "activate", "other"]) == 0
    assert run(["models", "list", "--json"]) == 0
    *_, listing = capsys.readouterr().out.partition("[")
    assert [row["name"] for row in json.loads(f"[{listing}") if row["active"]] == ["other"]
    assert run(["models", "rollback", "--json"]) == 0
    assert said(capsys)["name"] != "other"


def test_fetching_wants_https_and_a_digest(folder, capsys):
    options = ["--sha256", "0" * 64, "--people", str(folder)]
    assert run(["models", "fetch", "x", "http://127.0.0.1/x.onnx", *options]) == 2
    assert run(["models", "fetch", "x", "https://127.0.0.1/x.onnx", "--sha256", "ab", "--people", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 2
