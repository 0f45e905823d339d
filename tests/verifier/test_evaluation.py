from pathlib import Path

import numpy as np
import pytest

from facegate.errors import UnusableInputError
from facegate.verifier.evaluation import Pair, Scored, read_pairs, report, score_pairs, score_people
from facegate.verifier.photos import Photo


def unit(angle):
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def photo(name, angle=None):
    return Photo(Path(name), None if angle is None else unit(angle), "" if angle is not None else "no face was found")


PEOPLE = {
    "ada": [photo("a1", 0.0), photo("a2", 0.1), photo("a3")],
    "bea": [photo("b1", 1.5), photo("b2", 1.4)],
    "cat": [photo("c1", 3.0)],
}


def test_all_photos_of_a_folder_are_compared_and_the_lost_ones_counted():
    scored = score_people(PEOPLE)
    assert (len(scored.mated), len(scored.non_mated)) == (2, 8)
    assert (scored.mated_failures, scored.non_mated_failures) == (2, 3)
    assert (scored.failures_to_acquire, scored.photos, scored.people) == (1, 6, 3)


def test_a_photo_without_a_face_is_an_error_at_every_threshold():
    document = report(score_people(PEOPLE), threshold=0.9, model="m", max_fmr=0.1)
    assert document["mated"] == 4
    assert document["fnmr_at_fmr"]["0.01"]["rate"] == 0.5
    assert document["accuracy"] == pytest.approx(10 / 15)
    assert document["at_shipped_threshold"]["accuracy"] == pytest.approx(10 / 15)
    assert document["failures_to_acquire"] == 1


def test_a_report_says_where_there_are_too_few_strangers_for_a_target():
    draw = np.random.default_rng(0)
    scored = Scored(draw.normal(0.7, 0.1, 400), draw.normal(0, 0.1, 4000), 0, 0, 0, 100)
    rows = report(scored, threshold=0.35, model="m", max_fmr=1e-3)["fnmr_at_fmr"]
    assert {target: row["supported"] for target, row in rows.items()} == {
        "0.01": True, "0.001": True, "0.0001": False, "1e-05": False,
    }  # fmt: skip
    assert all(row["lower"] <= row["rate"] <= row["upper"] for row in rows.values())


def test_accuracy_is_chosen_out_of_fold():
    draw = np.random.default_rng(1)
    noise = Scored(draw.normal(size=500), draw.normal(size=500), 0, 0, 0, 100)
    assert report(noise, threshold=0.0, model="m", max_fmr=1e-3)["accuracy"] == pytest.approx(0.5, abs=0.06)


@pytest.fixture
def photos(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_list_of_pairs_is_read_and_scored(photos):
    (photos / "pairs.tsv").write_text("a.jpg\tb.jpg\t1\na.jpg\tb.jpg\t0\n")
    pairs = read_pairs(photos / "pairs.tsv", photos)
    assert pairs[0] == Pair(photos / "a.jpg", photos / "b.jpg", mated=True)
    scored = score_pairs(pairs, {photos / "a.jpg": photo("a", 0.0), photos / "b.jpg": photo("b", 0.5)})
    assert scored.mated == pytest.approx(np.cos(0.5), abs=1e-6)
    assert scored.non_mated == pytest.approx(np.cos(0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.jpg\tb.jpg\n", ":1 is no pair"),
        ("a.jpg\tb.jpg\t1\na.jpg\tc.jpg\t0\n", ":2: there is no"),
        ("a.jpg\tb.jpg\tyes\n", ":1 is no pair"),
        ("a.jpg\tb.jpg\t1\n", "lacks mated or non-mated"),
        ("", "lacks mated or non-mated"),
    ],
)
def test_a_list_that_is_none_is_one_clear_error(photos, text, words):
    (photos / "pairs.tsv").write_text(text)
    with pytest.raises(UnusableInputError, match=words):
        read_pairs(photos / "pairs.tsv", photos)


def test_nothing_to_compare_is_one_clear_error():
    with pytest.raises(UnusableInputError, match="No photo shows a face"):
        score_people({"a": [photo("a")], "b": [photo("b")]})
    with pytest.raises(UnusableInputError, match="no comparisons of one"):
        report(score_people({"a": [photo("a", 0.1)], "b": [photo("b", 0.2)]}), threshold=0.5, model="m", max_fmr=0.1)
