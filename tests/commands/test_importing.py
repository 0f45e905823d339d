"""Networks of others, from the command line."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facegate.commands.main import run
from facegate.settings import load_settings
from facegate.storage import open_storage
from facegate.verifier.contract import InputContract
from facegate.verifier.library import DEFAULT
from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector
from tests.e2e.household import wait_until
from tests.verifier.networks import blind_in_the_dark, insightface, of_one_node

AS_WRITTEN = ["--size", "112", "--mean", "127.5", "--std", "127.5", "--rgb", "--template", "arcface"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    contract = InputContract(112, "arcface", rgb=True, mean=127.5, std=127.5)
    return insightface(tmp_path_factory.mktemp("networks") / "w600k_r50.onnx", contract, YuNetDetector())


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    for person in range(12):
        place = tmp_path / "people" / f"p{person}"
        place.mkdir(parents=True)
        for number in range(2):
            shutil.copy(people()[person].picture_path(number), place)
    return tmp_path / "people"


def said(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_network_comes_in_without_photos_of_people_and_says_that_it_is_not_calibrated(network, capsys):
    assert run(["models", "import", "arc", str(network), *AS_WRITTEN, "--json"]) == 0
    document = said(capsys)
    assert (document["dimension"], document["calibrated"]) == (512, False)
    assert document["next"] == "facegate calibrate DIR --model arc"
    assert document["input"] == {"size": 112, "template": "arcface", "rgb": True, "mean": 127.5, "std": 127.5}
    assert document["probe"]["lowest_mated"] > document["probe"]["highest_non_mated"]

    assert run(["models", "import", "again", str(network), *AS_WRITTEN]) == 0
    assert "not_armed" in capsys.readouterr().out


def test_an_uncalibrated_network_takes_charge_but_arms_no_door_until_it_is_calibrated(network, folder, capsys):
    alice = people()[0]
    assert run(["enroll", "alice", str(alice.picture_path(0))]) == 0
    assert run(["doors", "add", "front", "--camera", "porch"]) == 0
    assert run(["models", "import", "arc", str(network), *AS_WRITTEN]) == 0
    capsys.readouterr()
    assert run(["models", "activate", "arc"]) == 0
    assert "no door is armed by it" in capsys.readouterr().err
    with open_storage(load_settings()) as storage:
        assert any(model.startswith("arc@") for model in storage.users.find("alice").references)
    capsys.readouterr()

    assert run(["doctor"]) != 0
    assert "facegate calibrate DIR --model arc" in capsys.readouterr().out
    assert run(["verify", str(alice.picture_path(0)), str(alice.picture_path(1))]) == 3
    assert "facegate calibrate DIR --model arc" in capsys.readouterr().err

    assert run(["calibrate", str(folder), "--model", "arc", "--json"]) == 0
    assert said(capsys)["people"] == 12
    assert run(["verify", str(alice.picture_path(0)), str(alice.picture_path(1)), "--fmr", "0.1", "--json"]) == 0
    assert said(capsys)["model"].startswith("arc@")


def test_with_photos_of_people_a_network_is_evaluated_and_calibrated_at_once(network, folder, capsys):
    assert run(["models", "import", "arc", str(network), *AS_WRITTEN, "--people", str(folder), "--json"]) == 0
    document = said(capsys)
    assert document["calibrated"]
    figures = document["figures"]
    assert (figures["people"], figures["photos"], figures["failures_to_acquire"]) == (12, 24, 0)
    assert (figures["mated"], figures["non_mated"]) == (12, 264)
    assert figures["fnmr_at_fmr_0.001"] is None  # 264 comparisons do not support it
    assert figures["milliseconds_per_face"] > 0


def test_scaling_that_blinds_a_network_is_mended_and_told(capsys):
    from facegate.resources import shipped

    twin = shipped("models") / "verifier" / DEFAULT / "network.onnx"
    options = ["--size", "144", "--mean", "127.5", "--std", "127.5", "--template", "reid-0095-wide"]
    assert run(["models", "import", "mine", str(twin), *options]) == 0
    assert "taken with --mean 0 --std 1" in capsys.readouterr().err


def test_whatever_is_no_network_leaves_with_2_and_one_line_and_leaves_nothing_behind(network, tmp_path, capsys):
    half = tmp_path / "half.onnx"
    half.write_bytes(network.read_bytes()[:5000])
    blind = of_one_node(tmp_path / "nan.onnx", "Log", value=-1.0)
    for given in (half, blind, tmp_path / "nowhere.onnx", tmp_path, __file__):
        assert run(["models", "import", "bad", str(given), *AS_WRITTEN]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1, told.err
    assert run(["models", "import", "BAD name", str(network), *AS_WRITTEN]) == 2
    assert not list((tmp_path / "data").glob("models/*"))


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A server of one file that this process trusts."""
    from contextlib import ExitStack

    from tests.verifier.publisher import published

    with ExitStack() as stack:

        def start(data, **how):
            (tls := tmp_path / "tls").mkdir(exist_ok=True)
            publisher = stack.enter_context(published(tls, data, **how))
            monkeypatch.setenv("SSL_CERT_FILE", publisher.authority)
            return publisher

        yield start


def test_a_network_is_fetched_from_any_https_address_in_two_parts_and_imported(network, mirror, tmp_path, capsys):
    data = network.read_bytes()
    publisher = mirror(data, cut=[len(data) // 2])
    digest = hashlib.sha256(data).hexdigest()
    assert run(["models", "fetch", "arc", publisher.url, "--sha256", digest, *AS_WRITTEN, "--json"]) == 0
    assert said(capsys)["files"]["network.onnx"] == digest
    assert publisher.asked == ["", f"bytes={len(data) // 2}-"]
    assert not list((tmp_path / "data" / "downloads").iterdir())
    assert run(["models", "fetch", "arc", publisher.url, "--sha256", digest]) == 1  # before it is asked again
    assert len(publisher.asked) == 2


def test_another_file_under_a_known_name_is_refused_in_one_line(network, mirror, tmp_path, capsys):
    publisher = mirror(network.read_bytes())
    for name in ("sface", "yunet", "reid-0095"):
        assert run(["models", "fetch", name, publisher.url]) == 2
        told = capsys.readouterr()
        assert "not the given one" in told.err
        assert (told.out, told.err.count("\n")) == ("", 1)
    assert not list((tmp_path / "data").glob("models/*"))


def test_a_name_that_nobody_publishes_says_which_are_known(capsys):
    assert run(["models", "fetch", "facenet"]) == 2
    assert "sface, yunet, reid-0095" in capsys.readouterr().err


def test_the_published_detector_is_put_where_the_setting_can_name_it(mirror, monkeypatch, capsys):
    from facegate.resources import shipped
    from facegate.verifier.foreign import publishers

    data = (shipped("models") / "detector" / "face_detector.onnx").read_bytes()  # stands in for YuNet's, same format
    known = replace(publishers.PUBLISHED["yunet"], sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(publishers.PUBLISHED, "yunet", known)
    publisher = mirror(data)
    assert run(["models", "fetch", "yunet", publisher.url, "--json"]) == 0
    detector = said(capsys)["detector"]
    monkeypatch.setenv("FACEGATE_VISION__DETECTOR", detector)
    assert run(["verify", *(str(people()[0].picture_path(number)) for number in (0, 1))]) == 0


def test_the_published_weights_of_reid_0095_become_the_network_of_open_1_to_the_last_byte(mirror, capsys):
    from facegate.resources import shipped
    from facegate.siamese.export import bytes_of_trunk, read_onnx
    from facegate.verifier.files import digest_of
    from facegate.verifier.foreign.publishers import PUBLISHED

    network = shipped("models") / "verifier" / "open-1" / "network.onnx"
    weights = bytes_of_trunk(read_onnx(network))
    known = PUBLISHED["reid-0095"]
    assert (len(weights), hashlib.sha256(weights).hexdigest()) == (known.size, known.sha256)
    publisher = mirror(weights, cut=[1_000_000])
    assert run(["models", "fetch", "reid-0095", publisher.url, "--json"]) == 0
    document = said(capsys)
    assert document["files"]["network.onnx"] == digest_of(network)
    assert (document["licence"], document["calibrated"]) == ("Apache-2.0", False)
    assert publisher.asked == ["", "bytes=1000000-"]


def test_many_photos_of_few_people_calibrate_nothing(network, tmp_path, capsys):
    for person in range(2):
        place = tmp_path / "family" / f"p{person}"
        place.mkdir(parents=True)
        for number in range(40):
            shutil.copy(people()[person].picture_path(number % 6), place / f"{number}.webp")
    assert run(["models", "import", "arc", str(network), *AS_WRITTEN, "--people", str(tmp_path / "family")]) == 2
    assert "The photos show 2 people" in one_line(capsys)


def test_an_import_that_was_interrupted_can_be_made_again(network, tmp_path):
    left = tmp_path / "data" / "models" / "arc"
    left.mkdir(parents=True)
    (left / "network.onnx").write_bytes(b"half")
    assert run(["models", "import", "arc", str(network), *AS_WRITTEN]) == 0


def test_an_import_that_is_told_to_end_takes_its_copy_along(network, tmp_path):
    (tmp_path / "scratch").mkdir()
    environ = os.environ | {"TMPDIR": str(tmp_path / "scratch")}
    words = [sys.executable, "-m", "facegate", "models", "import", "arc", str(network), *AS_WRITTEN]
    importing = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL)
    wait_until(lambda: any((tmp_path / "scratch").glob("facegate-*/*")), what="the copy")
    importing.terminate()
    assert importing.wait(30) == 128 + signal.SIGTERM
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(network, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "file"))
    assert run(["models", "import", "arc", str(network), *AS_WRITTEN]) == 2
    assert "cannot be used: Not a directory" in one_line(capsys)


def test_a_digest_beside_a_pinned_one_is_refused_in_so_many_words(capsys):
    assert run(["models", "fetch", "sface", "--sha256", "0" * 64]) == 2
    assert "is pinned already" in one_line(capsys)


@pytest.mark.parametrize("scaling", [["--mean", "1e300"], ["--std", "inf"]])
def test_a_scaling_beyond_all_pixels_is_one_line(network, scaling, capsys):
    assert run(["models", "import", "arc", str(network), *scaling]) == 2
    one_line(capsys)


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.fixture
def night(tmp_path):
    """A photo that is too dark for the network below."""
    picture = (people()[0].picture(1) * 0.3).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "night.png"), picture)
    return tmp_path / "night.png"


def test_a_photo_that_a_network_cannot_answer_is_one_line_wherever_it_is_shown(folder, night, tmp_path, capsys):
    contract = InputContract(112, "arcface", rgb=True, mean=127.5, std=127.5)
    blind = blind_in_the_dark(tmp_path / "blind.onnx", contract, YuNetDetector(), below=-0.6)
    shutil.copy(night, folder / "p0")
    assert run(["models", "import", "blind", str(blind), *AS_WRITTEN, "--people", str(folder), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["figures"]["failures_to_acquire"] == 1
    assert run(["evaluate", "folder", str(folder), "--model", "blind", "--max-fmr", "0.1", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["failures_to_acquire"] == 1
    assert "1 of 25 photos cannot be compared" in told.err
    assert "no direction" in told.err
    assert run(["verify", str(people()[0].picture_path(0)), str(night), "--model", "blind", "--fmr", "0.1"]) == 2
    assert "night.png: the network answered with a vector that has no direction" in capsys.readouterr().err
    assert run(["models", "activate", "blind"]) == 0
    assert "no door is armed by it" in capsys.readouterr().err  # 264 comparisons support no FMR of 0.001
    good = str(people()[1].picture_path(0))
    assert run(["enroll", "bea", good, str(night), "--force-quality"]) == 1
    told = capsys.readouterr()
    assert "1 photo enrolled" in told.out
    assert "night.png: the network answered" in told.err


def test_a_network_that_cannot_look_at_an_enrolled_photo_does_not_take_charge(night, tmp_path, capsys):
    contract = InputContract(112, "arcface", rgb=True, mean=127.5, std=127.5)
    blind = blind_in_the_dark(tmp_path / "blind.onnx", contract, YuNetDetector(), below=-0.6)
    assert run(["enroll", "alice", str(night), "--force-quality"]) == 0
    assert run(["models", "import", "blind", str(blind), *AS_WRITTEN]) == 0
    capsys.readouterr()
    assert run(["models", "activate", "blind"]) == 3
    told = capsys.readouterr().err
    assert "cannot look at a photo that is enrolled" in told
    assert told.count("\n") == 1
    assert run(["models", "list", "--json"]) == 0
    assert {row["name"]: row["active"] for row in said(capsys)}["blind"] is False


def test_a_model_whose_card_is_broken_is_in_nobodys_way(network, tmp_path, capsys):
    (tmp_path / "data" / "models" / "junk").mkdir(parents=True)
    (tmp_path / "data" / "models" / "junk" / "model.json").write_text("{")
    assert run(["models", "list", "--json"]) == 0
    told = capsys.readouterr()
    assert DEFAULT in [row["name"] for row in json.loads(told.out)]
    assert "junk" in told.err
    assert run(["models", "import", "arc", str(network), *AS_WRITTEN]) == 0
    capsys.readouterr()
    alice = people()[0]
    assert run(["verify", str(alice.picture_path(0)), str(alice.picture_path(1)), "--model", "nope"]) == 2
    assert "Known models" in capsys.readouterr().err


def test_weights_that_lie_in_another_file_are_told_so(network, tmp_path, capsys):
    import onnx

    apart = tmp_path / "apart.onnx"
    onnx.save_model(onnx.load(network), apart, save_as_external_data=True, location="apart.bin", size_threshold=0)
    assert run(["models", "import", "apart", str(apart), *AS_WRITTEN]) == 2
    assert "its weights lie in another file. Export it with its weights inside." in capsys.readouterr().err


def test_a_models_name_is_never_a_files(network, capsys):
    assert run(["models", "import", "net.onnx", str(network), *AS_WRITTEN]) == 2
    assert "is no name for a model" in capsys.readouterr().err
