import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facegate.commands.main import run
from facegate.errors import NotReadyError
from facegate.settings import load_settings
from facegate.siamese.shapes import ACCOMPANIED
from facegate.storage.photos import CONFIRMED, ENROLLED
from facegate.verifier.finetuning.learned import LEARNED, Learned
from facegate.verifier.library import library_of, write_model
from facegate.vision.composites import people
from tests.commands.composites import people_folder


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def photo(person, number):
    return str(people()[person].picture_path(number))


def calibrated(capsys, *arguments):
    capsys.readouterr()
    assert run(["calibrate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def enrolled():
    """Two users with two photos each, and a door that asks for more."""
    for person, slug in ((0, "ada"), (1, "bea")):
        assert run(["enroll", slug, photo(person, 0), photo(person, 1)]) == 0
    assert run(["doors", "add", "front", "--camera", "porch"]) == 0
    assert run(["doors", "add", "safe", "--camera", "cellar", "--target-fmr", "1e-4"]) == 0
    assert run(["doors", "set", "safe", "--agreeing-frames", "2"]) == 0


def test_the_thresholds_in_force_fall_with_looser_targets(capsys):
    document = calibrated(capsys)
    single = [row["thresholds"]["1"] for row in document["thresholds"]]
    assert single == sorted(single)
    assert document["people"] > 1000
    assert (document["gallery"]["users"], document["doors"]) == (0, [])
    scores = [knot["score"] for knot in document["curve"]]
    assert scores == sorted(scores)
    assert run(["calibrate"]) == 0
    assert "share of strangers" in capsys.readouterr().out


@pytest.mark.usefixtures("enrolled")
def test_each_door_has_a_threshold_for_its_target_its_users_and_its_frames(capsys):
    document = calibrated(capsys)
    calibration, frames = library_of(load_settings()).load().at_doors, load_settings().gate.frames_per_visit
    assert (document["gallery"]["users"], document["gallery"]["references"]) == (2, 4)
    front, safe = document["doors"]
    assert (front["door"], front["target_far_per_visit"], front["attempts"]) == ("front", 1e-3, frames)
    assert front["threshold"] == calibration.visit_threshold(1e-3, references=4)
    assert front["threshold_in_hunts"] == calibration.visit_threshold(1e-3, references=4, attempts=frames)
    assert safe["attempts"] == frames / 2
    assert safe["threshold"] == calibration.visit_threshold(1e-4, references=4, attempts=frames / 2)
    usual = next(row for row in document["visits"] if row["target_far_per_visit"] == 1e-3)
    assert usual["attempts"] == frames
    assert usual["thresholds"]["10"] == calibration.visit_threshold(1e-3, references=10, attempts=frames)
    far = 1 - (1 - calibration.fmr(front["threshold_in_hunts"])) ** (4 * frames)
    assert far <= 1e-3


@pytest.mark.usefixtures("enrolled")
def test_users_who_are_too_alike_are_named_with_their_own_thresholds(capsys):
    assert document_raises_nobody(calibrated(capsys))
    assert run(["enroll", "twin", photo(0, 2), "--force-quality"]) == 0
    document = calibrated(capsys)
    raised = {row["user"]: row for row in document["doors"][0]["raised"]}
    assert set(raised) == {"ada", "twin"}
    assert raised["ada"]["too_alike"] == "twin"
    assert raised["ada"]["threshold"] == pytest.approx(raised["ada"]["score"] + load_settings().gate.margin)
    assert run(["calibrate"]) == 0
    assert "twin and ada" in capsys.readouterr().out
    assert run(["identify", photo(0, 3), photo(1, 3), "--json"]) == 1
    twin, bea = json.loads(capsys.readouterr().out)
    assert (twin["outcome"], bea["outcome"], bea["user"]) == ("deny", "grant", "bea")
    assert twin["threshold"] > bea["threshold"]


def document_raises_nobody(document):
    return all(row["raised"] == [] for row in (document["usual"], *document["doors"]))


@pytest.mark.usefixtures("enrolled")
def test_every_enrollment_changes_the_digest_that_thresholds_belong_to(capsys):
    before = calibrated(capsys)["gallery"]["digest"]
    assert calibrated(capsys)["gallery"]["digest"] == before
    assert run(["enroll", "cat", photo(2, 0)]) == 0
    assert calibrated(capsys)["gallery"]["digest"] != before


@pytest.mark.usefixtures("enrolled")
def test_a_picture_is_drawn(tmp_path, capsys):
    plot = tmp_path / "calibration.png"
    calibrated(capsys, "--plot", plot)
    assert cv2.imread(str(plot)).ndim == 3
    for place in (tmp_path / "nowhere" / "x.png", tmp_path / "x.jpg"):  # it would be a PNG by another name
        assert run(["calibrate", "--plot", str(place)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def lenient(monkeypatch):
    """Doors that ask for no more than the comparisons of ten people support."""
    monkeypatch.setenv("FACEGATE_GATE__TARGET_FMR", "0.01")


@pytest.mark.usefixtures("lenient")
def test_a_new_calibration_lies_beside_the_shipped_model_and_is_in_force(tmp_path, capsys):
    document = calibrated(capsys, people_folder(tmp_path / "people", count=10))
    assert (document["people"], document["mated"], document["non_mated"]) == (10, 60, 720)
    assert document["thresholds"][-1]["thresholds"]["1"] is None
    assert document["usual"]["armed"] is True
    assert run(["models", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["calibration"]["people"] == 10
    assert run(["calibrate", str(tmp_path / "people")]) == 0
    assert f"delete {shown['folder']} to return to what ships" in capsys.readouterr().err


@pytest.mark.usefixtures("enrolled")
def test_a_calibration_that_could_arm_no_door_is_refused_and_the_one_in_force_stays(tmp_path, capsys):
    people, before = people_folder(tmp_path / "people", count=10), calibrated(capsys)
    assert run(["calibrate", str(people)]) == 2
    told = capsys.readouterr().err
    assert "720 comparisons of strangers support no FMR below" in told
    assert "the calibration in force stays" in told
    assert told.count("\n") == 1
    assert calibrated(capsys) == before
    assert before["usual"]["armed"] is True


@pytest.mark.usefixtures("enrolled")
def test_where_no_door_can_be_armed_the_mend_is_to_calibrate_on_more_people(tmp_path, monkeypatch, capsys):
    people = people_folder(tmp_path / "people", count=10)
    with monkeypatch.context() as patch:
        patch.setenv("FACEGATE_GATE__TARGET_FMR", "0.01")
        assert run(["calibrate", str(people)]) == 0
    capsys.readouterr()
    run(["doctor", "--json"])
    findings = {row["detail"]: row["mend"] for row in json.loads(capsys.readouterr().out)["checks"]}
    (mend,) = {mend for detail, mend in findings.items() if "front is not armed" in detail}
    assert mend.startswith("Calibrate on more people")
    assert run(["identify", photo(0, 3)]) == 2
    told = capsys.readouterr().err
    assert "Calibrate on more people" in told
    assert "--fmr" not in told


def test_groups_are_told_of_people_who_are_named_and_of_enough_of_them(tmp_path, capsys):
    people = people_folder(tmp_path / "people", count=10)
    listing = tmp_path / "groups.tsv"
    listing.write_text("".join(f"{place.name}\tall\n" for place in sorted(people.iterdir())))
    for arguments, problem in (
        (["calibrate", "--groups", str(listing)], "calibrate DIR"),
        (["calibrate", str(people), "--groups", str(listing)], "too few to hold groups against"),
        (["calibrate", str(people), "--groups", str(tmp_path / "none.tsv")], "cannot be read"),
    ):
        capsys.readouterr()
        assert run(arguments) == 2
        told = capsys.readouterr().err
        assert problem in told
        assert told.count("\n") == 1
    assert not load_settings().models_dir.exists() or not any(load_settings().models_dir.iterdir())


def test_the_shipped_curve_is_that_of_the_group_that_fares_worst_and_says_so(capsys):
    group = calibrated(capsys)["worst_group"]
    assert group["ratio"] > 1
    assert run(["calibrate"]) == 0
    assert f"every FMR is that among {group['name']}" in capsys.readouterr().out


@pytest.mark.usefixtures("lenient")
def test_a_learned_model_that_is_calibrated_anew_keeps_what_belongs_to_it(tmp_path, capsys):
    shipped = library_of(load_settings()).load()
    copy = load_settings().models_dir / "home"
    shutil.copytree(shipped.folder, copy)
    learned = Learned(3, shipped.id, confirmed_frames=True).document()
    more = {LEARNED: learned, "cohort.npz": (copy / "cohort.npz").read_bytes()}
    calibration = replace(shipped.calibration, model=shipped.id.replace(shipped.card.name, "home"))
    write_model(copy, replace(shipped.card, name="home"), (copy / "network.onnx").read_bytes(), calibration, more)

    assert calibrated(capsys, people_folder(tmp_path / "people", count=10), "--model", "home")["people"] == 10
    renewed = library_of(load_settings()).load("home")
    assert renewed.origins == (ENROLLED, CONFIRMED)
    assert {LEARNED, "cohort.npz", "proof.json"} <= set(renewed.card.files)
    (copy / LEARNED).write_bytes(learned.replace(b"3", b"4"))
    with pytest.raises(NotReadyError, match=LEARNED):
        library_of(load_settings()).load("home")


def with_strangers(features):
    """Give the shipped model, copied, strangers of its own trunk."""
    from facegate.siamese.export import read_onnx
    from facegate.siamese.tuning.cohort import Cohort, Strangers, digest_of_trunk, document

    shipped = library_of(load_settings()).load()
    copy = load_settings().models_dir / shipped.card.name
    shutil.copytree(shipped.folder, copy)
    trunk = digest_of_trunk(read_onnx(copy / "network.onnx"))
    crowd = Strangers(features, np.arange(len(features)), np.ones(len(features), np.int64))  # as a door sees them
    replace_strangers(document(Cohort(trunk, crowd, crowd)))


def replace_strangers(data):
    """Write the copied model's strangers, and their digest into its card."""
    from facegate.siamese.tuning.cohort import COHORT

    (card,) = load_settings().models_dir.glob("*/model.json")
    (card.parent / COHORT).write_bytes(data)
    told = json.loads(card.read_text())
    told["files"][COHORT] = hashlib.sha256(data).hexdigest()
    card.write_text(json.dumps(told))


@pytest.mark.usefixtures("enrolled")
def test_strangers_are_held_against_the_enrolled_and_the_daemon_does_so_without_torch(tmp_path, capsys):
    draw, wide = np.random.default_rng(1), ACCOMPANIED.features
    with_strangers((draw.normal(size=(1, wide)) + 0.3 * draw.normal(size=(400, wide))).astype(np.float32))
    gallery = calibrated(capsys)["gallery"]
    assert gallery["strangers"] == 400
    assert gallery["strictness"] >= 1
    code = (
        "import sys; from facegate.settings import load_settings; from facegate.verifier.library import library_of;"
        "from facegate.verifier.strangers import strangers_of; s = load_settings();"
        "print(len(strangers_of(s, library_of(s).load()))); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "400\n")
    (damaged,) = (tmp_path / "data" / "strangers").iterdir()
    damaged.write_bytes(b"nothing")
    assert calibrated(capsys)["gallery"] == gallery


def test_strangers_of_another_trunk_are_told_and_not_used(capsys):
    with_strangers(np.ones((40, ACCOMPANIED.features), np.float32))
    replace_strangers(b"no strangers")
    capsys.readouterr()
    assert run(["calibrate", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["gallery"]["strangers"] == 0
    assert "cannot be looked at" in told.err


@pytest.mark.usefixtures("enrolled")
def test_the_doctor_tells_a_door_whose_visits_end_sooner_and_users_who_are_too_alike(monkeypatch, capsys):
    assert run(["doors", "set", "front", "--target-fmr", "1e-5"]) == 0
    assert run(["enroll", "twin", photo(0, 2), "--force-quality"]) == 0
    monkeypatch.setenv("FACEGATE_GATE__FRAMES_PER_VISIT", "500")
    capsys.readouterr()
    run(["doctor", "--json"])
    told = capsys.readouterr().out
    assert re.search(r"front: a visit ends after \d+ frames, not 500", told)
    assert "too alike for one threshold: ada, twin" in told


@pytest.mark.usefixtures("enrolled")
def test_what_names_a_user_is_the_doors_threshold_and_the_users_rise(capsys):
    document = calibrated(capsys)
    rises, usual = document["gallery"]["rises"], document["usual"]["threshold"]
    assert set(rises) == {"ada", "bea"}
    assert min(rises.values()) > 0
    assert document["levelling"]["slope"] > 0
    assert run(["identify", photo(0, 3), photo(1, 3), "--json"]) == 0
    for row in json.loads(capsys.readouterr().out):
        assert row["threshold"] == pytest.approx(usual + rises[row["user"]])
    assert run(["calibrate"]) == 0
    most = max(rises, key=lambda user: rises[user])
    assert f"to {max(rises.values()):.3f} above that, {most} most" in capsys.readouterr().out


@pytest.mark.usefixtures("lenient")
def test_a_calibration_on_ones_own_people_is_levelled_by_the_models_crowd(tmp_path, capsys):
    shipped = library_of(load_settings()).load()
    document = calibrated(capsys, people_folder(tmp_path / "people", count=10))
    renewed = library_of(load_settings()).load()
    assert document["people"] == renewed.at_doors.people == renewed.calibration.people == 10
    assert (renewed.levelled.levelling.crowd == shipped.levelled.levelling.crowd).all()
    assert renewed.levelled.levelling.ordinary == shipped.levelled.levelling.ordinary
    plain, levelled = (curve.knots[-1].score for curve in (renewed.calibration, renewed.levelled))
    assert levelled < plain
