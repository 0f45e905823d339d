import json
from pathlib import Path

import numpy as np
import pytest

from facegate.core.counted import counted
from facegate.core.resampling import Comparisons
from facegate.errors import UnusableInputError
from facegate.verifier.evaluation.allpairs import score_people
from facegate.verifier.evaluation.figures import Scored, report
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


def drawn(mated, non_mated, people=20):
    """Scores as a list of pairs would give them, the people in turn."""
    own, left = np.arange(len(mated)) % people, np.arange(len(non_mated)) % people
    return Scored(
        mated=Comparisons(mated, own, own),
        non_mated=counted(non_mated),
        top=Comparisons(non_mated, left, (left + 1) % people),
        lost=np.zeros(people, np.int64),
        non_mated_failures=0,
        failures_to_acquire=0,
        photos=100,
        comparable=None,
    )


def test_a_photo_without_a_face_is_an_error_at_every_threshold():
    document = report(score_people(PEOPLE), threshold=0.9, model="m", max_fmr=0.1)
    assert (document["mated"], document["non_mated"], document["people"]) == (4, 8, 3)
    assert document["accuracy"] == pytest.approx(10 / 15)
    assert document["at_shipped_threshold"]["accuracy"] == pytest.approx(10 / 15)
    assert document["at_shipped_threshold"]["fnmr"]["rate"] == 0.5
    assert document["failures_to_acquire"] == 1


def test_a_target_that_too_few_strangers_support_is_refused_and_the_report_says_so():
    draw = np.random.default_rng(0)
    scored = drawn(draw.normal(0.7, 0.1, 400), draw.normal(0, 0.1, 2000))
    rows = report(scored, threshold=0.35, model="m", max_fmr=1e-3)["fnmr_at_fmr"]
    assert {target: row["supported"] for target, row in rows.items()} == {
        "0.01": True, "0.001": False, "0.0001": False, "1e-05": False,
    }  # fmt: skip
    assert rows["0.001"]["refused"] is None  # two strangers may match: seen, though not three times
    for target in ("0.0001", "1e-05"):
        assert rows[target]["refused"].startswith("2000 non-mated scores support no FMR of")
        assert all(rows[target][key] is None for key in ("threshold", "fmr", "rate", "lower", "people_upper"))
    for target in ("0.01", "0.001"):
        row = rows[target]
        assert row["lower"] <= row["rate"] <= row["upper"]
        assert row["people_lower"] <= row["rate"] <= row["people_upper"]


def test_all_figures_have_bounds_and_the_same_scores_give_the_same_ones():
    draw = np.random.default_rng(3)
    scored = drawn(draw.normal(0.5, 0.2, 400), draw.normal(0, 0.1, 4000))
    document = report(scored, threshold=0.35, model="m", max_fmr=1e-3)
    assert document["eer_bounds"]["lower"] <= document["eer"] <= document["eer_bounds"]["upper"]
    for rate in (document["at_shipped_threshold"]["fmr"], document["at_shipped_threshold"]["fnmr"]):
        assert rate["people_lower"] <= rate["rate"] <= rate["people_upper"]
    assert report(scored, threshold=0.35, model="m", max_fmr=1e-3) == document
    json.dumps(document, allow_nan=False)
    assert [point["fmr"] for point in document["det"]][:3] == pytest.approx([0.5, 0.2, 0.1])
    assert len(document["det"]) == 10  # down to 5e-4: four thousand strangers support no less than 2.5e-4
    fnmr = [point["fnmr"] for point in document["det"]]
    assert fnmr == sorted(fnmr)


def test_an_eer_of_nothing_seen_is_not_said_to_be_nothing():
    document = report(drawn(np.full(63, 0.9), np.linspace(-0.2, 0.3, 1000)), threshold=None, model="m", max_fmr=1e-3)
    assert document["eer"] == 0
    assert document["eer_bounds"]["upper"] == pytest.approx(1 - 0.025 ** (1 / 63))  # Clopper and Pearson, none of 63


def test_where_no_stranger_matches_the_fnmr_is_told_with_the_fmr_that_so_many_bound():
    draw = np.random.default_rng(3)
    mated, non_mated = draw.normal(0.5, 0.2, 400), draw.normal(0, 0.1, 50)
    row = report(drawn(mated, non_mated), threshold=None, model="m", max_fmr=1e-3)["fnmr_at_no_false_match"]
    assert row["threshold"] > non_mated.max()
    assert (row["count"], row["of"]) == ((mated <= non_mated.max()).sum(), 400)
    assert row["fmr_upper"] == pytest.approx(1 - 0.05 ** (1 / 50))


def test_a_few_people_have_bounds_over_people_too():
    """A draw of three of eight people weighs their comparisons quite otherwise."""
    draw = np.random.default_rng(5)
    people = {f"p{at}": [photo(f"{at}", angle) for angle in at * 0.7 + draw.normal(0, 0.1, 12)] for at in range(8)}
    document = report(score_people(people), threshold=0.9, model="m", max_fmr=1e-3)
    assert document["eer_bounds"] is not None
    assert document["fnmr_at_fmr"]["0.001"]["people_upper"] is not None


def test_two_people_have_no_bounds_over_people():
    people = {name: [photo(f"{name}{at}", angle + at / 10) for at in range(3)] for name, angle in (("a", 0), ("b", 1))}
    document = report(score_people(people), threshold=0.9, model="m", max_fmr=0.1)
    assert document["eer_bounds"] is None
    assert document["at_shipped_threshold"]["fnmr"]["people_upper"] is None
    assert document["at_shipped_threshold"]["fnmr"]["upper"] is not None


def test_a_bare_network_has_no_shipped_threshold():
    document = report(score_people(PEOPLE), threshold=None, model="m", max_fmr=0.1)
    assert document["at_shipped_threshold"] is None
    assert document["eer"] >= 0


def test_accuracy_is_chosen_out_of_fold():
    draw = np.random.default_rng(1)
    noise = drawn(draw.normal(0, 0.2, 500), draw.normal(0, 0.2, 500))
    assert report(noise, threshold=0.0, model="m", max_fmr=1e-3)["accuracy"] == pytest.approx(0.5, abs=0.06)


def test_nothing_to_compare_is_one_clear_error():
    with pytest.raises(UnusableInputError, match="No photo shows a face"):
        score_people({"a": [photo("a")], "b": [photo("b")]})
    with pytest.raises(UnusableInputError, match="no comparisons of one"):
        score_people({"a": [photo("a", 0.1)], "b": [photo("b", 0.2)]})
    with pytest.raises(UnusableInputError, match="no comparisons of one"):
        score_people({"a": [photo("a", 0.1), photo("a2", 0.2)], "b": [photo("b")]})
