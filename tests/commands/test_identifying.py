"""Who is on photos: rows, exit codes, pictures with boxes."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from facegate.commands.main import run
from facegate.commands.output import legible
from facegate.vision.composites import people


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    """A data folder in which two composites are enrolled; the second is suspended."""
    folder = tmp_path_factory.mktemp("enrolled") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGATE_DATA_DIR", str(folder))
        for number, slug in enumerate(("alice", "bob")):
            assert run(["enroll", slug, str(people()[number].picture_path(0))]) == 0
        assert run(["users", "suspend", "bob"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _own_data_folder(enrolled, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(enrolled))
    monkeypatch.chdir(tmp_path)


def said(capsys):
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def album(tmp_path):
    """Alice, Bob and a stranger in folders of their own, an empty wall and a file that is no picture."""
    for number, name in ((0, "alice"), (1, "bob"), (5, "stranger")):
        (tmp_path / "album" / name).mkdir(parents=True)
        shutil.copy(people()[number].picture_path(3), tmp_path / "album" / name / "3.webp")
    cv2.imwrite(str(tmp_path / "album" / "wall.png"), np.full((300, 300, 3), 90, np.uint8))
    (tmp_path / "album" / "words.jpg").write_text("no picture")
    return tmp_path / "album"


def test_everything_in_a_folder_and_its_folders_is_a_row_with_its_reason(album, capsys):
    assert run(["identify", str(album), "--json"]) == 1
    rows = said(capsys)
    assert all({"photo", "user", "score", "threshold", "fmr", "outcome", "reason"} <= row.keys() for row in rows)
    seen = {row["photo"].removeprefix(f"{album}/"): (row["user"], row["outcome"], row["reason"]) for row in rows}
    assert seen == {
        "wall.png": (None, "deny", "no_face"),
        "words.jpg": (None, "deny", "bad_image"),
        "alice/3.webp": ("alice", "grant", "match"),
        "bob/3.webp": ("bob", "deny", "suspended"),
        "stranger/3.webp": (None, "deny", "no_match"),
    }
    by_user = {row["user"]: row for row in rows}
    assert by_user["alice"]["score"] >= by_user["alice"]["threshold"]
    assert by_user["alice"]["fmr"] <= 1e-3


def test_it_leaves_with_0_only_when_every_photo_names_somebody_who_may_pass(album):
    alice, bob = album / "alice" / "3.webp", album / "bob" / "3.webp"
    assert run(["identify", str(alice)]) == 0
    assert run(["identify", str(alice), str(people()[0].picture_path(1))]) == 0
    assert run(["identify", str(alice), str(bob)]) == 1


def test_one_photo_is_drawn_as_it_is_with_the_face_framed(album):
    photo = album / "alice" / "3.webp"
    assert run(["identify", str(photo), "--annotate", "out.png"]) == 0
    before, after = cv2.imread(str(photo)), cv2.imread("out.png")
    assert after.shape[1] == before.shape[1]
    assert after.shape[0] > before.shape[0]
    framed = np.flatnonzero((after[: len(before)] != before).any(2))
    assert 0 < len(framed) < 0.1 * before.shape[0] * before.shape[1]


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg", "sheet.WEBP"])
def test_several_photos_make_a_contact_sheet_even_those_that_are_none(album, name):
    assert run(["identify", str(album), "--annotate", name]) == 1
    sheet = cv2.imread(name)
    assert sheet.shape[1] > 5 * 400


def test_two_compared_photos_are_drawn_side_by_side():
    first, third = (str(people()[0].picture_path(number)) for number in (0, 3))
    assert run(["verify", first, third, "--annotate", "pair.png"]) == 0
    assert cv2.imread("pair.png").shape[1] > 2 * 400


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(album, capsys):
    for place in ("out.gif", "nowhere/out.png", "."):
        assert run(["identify", str(album), "--annotate", place]) == 2
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)


def test_a_photo_is_never_drawn_over(album, capsys):
    photo = next(path for path in sorted(album.rglob("*.png")))
    before = photo.read_bytes()
    for words in (["identify", str(album)], ["verify", str(photo), str(photo)]):
        assert run([*words, "--annotate", str(photo)]) == 2
        assert "is one of the photos" in capsys.readouterr().err
    assert photo.read_bytes() == before


def test_a_picture_that_fails_to_be_written_gives_its_line_and_no_answer(album, capsys):
    first, third = (str(people()[0].picture_path(number)) for number in (0, 3))
    for command in (["verify", first, third], ["identify", str(album)]):
        assert run([*command, "--json", "--annotate", "/proc/out.png"]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "cannot be written" in told.err.splitlines()[-1]


def test_photos_that_are_not_there_leave_with_2_before_the_work(album, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for place in ("nowhere.jpg", "empty"):
        assert run(["identify", str(album / "alice" / "3.webp"), place, "--json"]) == 2
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)


def test_with_nobody_enrolled_everybody_is_a_stranger(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "fresh"))
    assert run(["db", "upgrade"]) == 0
    capsys.readouterr()
    assert run(["identify", str(people()[0].picture_path(0)), "--json"]) == 1
    (row,) = said(capsys)
    assert (row["user"], row["reason"], row["detail"]) == (None, "no_match", "nobody is enrolled")


def test_another_model_can_be_asked_by_name_but_knows_nobody_before_it_was_in_charge(capsys):
    photos = [str(people()[0].picture_path(number)) for number in (0, 1)]
    assert run(["verify", *photos, "--model", "open-1", "--json"]) == 0
    assert said(capsys)["model"].startswith("open-1@")
    assert run(["identify", photos[0], "--model", "open-1"]) == 3
    assert "facegate models activate open-1" in capsys.readouterr().err
    assert run(["verify", *photos, "--model", "nobody"]) == 2


@pytest.mark.parametrize(("wide", "high"), [(6000, 1), (1, 6000), (2500, 3)])
def test_a_picture_that_is_hardly_one_spoils_no_sheet(tmp_path, wide, high):
    cv2.imwrite(str(tmp_path / "thin.png"), np.full((high, wide, 3), 90, np.uint8))
    first = str(people()[0].picture_path(0))
    assert run(["identify", str(tmp_path / "thin.png"), first, "--annotate", "sheet.png"]) == 1
    assert cv2.imread("sheet.png") is not None


def test_a_sheet_that_its_format_cannot_hold_is_one_line(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "panorama.png"), np.full((20, 17000, 3), 90, np.uint8))
    assert run(["identify", str(tmp_path / "panorama.png"), "--json", "--annotate", "sheet.webp"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Name a .png" in told.err
    assert told.err.count("\n") == 1


def test_what_cannot_be_printed_is_written_out(tmp_path):
    odd = os.fsencode(tmp_path) + b"/q\xff\x1b[31m.jpg"
    shutil.copy(people()[0].picture_path(3), odd)
    for alphabet in ("utf-8:strict", "ascii:strict"):
        for form in (["--json"], []):
            done = subprocess.run(
                [sys.executable, "-m", "facegate", "identify", str(tmp_path), *form],
                capture_output=True,
                check=False,
                env={**os.environ, "PYTHONIOENCODING": alphabet},
            )
            assert (done.returncode, done.stderr) == (0, b""), done.stderr
            assert b"\x1b" not in done.stdout
            if form:
                (row,) = json.loads(done.stdout.decode("utf-8"))
                assert os.fsencode(row["photo"]) == odd


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_leaves_changes_no_answer(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    alice, bob = (str(people()[number].picture_path(0)) for number in (0, 1))
    for arguments, answer in (
        (["identify", alice, "--json"], 0),
        (["verify", alice, bob, "--json"], 1),
        (["verify", alice, bob], 1),
        (["models", "list"], 0),
        (["--help"], 0),
    ):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "facegate", *arguments]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, env=environment)
        os.close(writing)
        assert (done.returncode, done.stderr) == (answer, b""), arguments


def test_letters_that_join_or_part_stay_and_what_turns_text_around_does_not():
    name = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647 \u202e\x9b31m"
    assert legible(name) == "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647 \\u202e\\x9b31m"


def test_a_closed_stdout_changes_no_answer():
    alice = str(people()[0].picture_path(0))
    for form in ("--json", ""):
        command = ["sh", "-c", '"$0" -m facegate verify "$1" "$1" $2 >&-', sys.executable, alice, form]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
