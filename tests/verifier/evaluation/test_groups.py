from pathlib import Path

import numpy as np
import pytest

from facegate.core import rates
from facegate.core.calibration import calibrate
from facegate.errors import UnusableInputError
from facegate.verifier.evaluation.allpairs import score_people
from facegate.verifier.evaluation.groups import TELLING_FMR, by_group, read_groups, set_by_worst, worst_group
from facegate.verifier.photos import Photo

NAMES = [f"p{at}" for at in range(30)]
GROUPS = {name: "near" if at < 15 else "far" for at, name in enumerate(NAMES)}
OWNERS = np.repeat(np.arange(30), 4)


def templates():
    """The first fifteen people lie in one narrow corner, so strangers among them are alike."""
    draw = np.random.default_rng(4)
    people = draw.normal(size=(30, 12))
    people[:15] = people[0] + 0.6 * people[:15]
    raw = people[OWNERS] + 0.4 * draw.normal(size=(len(OWNERS), 12))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def folder():
    people = {name: [] for name in NAMES}
    for owner, template in zip(OWNERS, templates(), strict=True):
        people[NAMES[owner]].append(Photo(Path("x"), template))
    return people


def slowly(mask, threshold):
    """Both rates among some people, pair by pair."""
    made, own, other = templates(), [], []
    for one in range(len(OWNERS)):
        for two in range(one):
            if mask[OWNERS[one]] and mask[OWNERS[two]]:
                (own if OWNERS[one] == OWNERS[two] else other).append(float(made[one] @ made[two]))
    return rates.fmr(threshold, np.array(other)), rates.fnmr(threshold, np.array(own)), len(other)


@pytest.mark.parametrize("most", [10**6, 2500])
def test_each_group_has_the_rates_of_its_own_comparisons(folder, most):
    found = by_group(score_people(folder, most=most), NAMES, GROUPS, 0.75)
    for group, row in found["by_group"].items():
        fmr, fnmr, count = slowly(np.array([GROUPS[name] == group for name in NAMES]), 0.75)
        assert (row["fmr"]["rate"], row["fnmr"]["rate"], row["non_mated"]) == pytest.approx((fmr, fnmr, count))
        assert row["fmr"]["people_lower"] <= fmr <= row["fmr"]["people_upper"]
        assert (row["people"], row["photos"]) == (15, 60)
    near = found["by_group"]["near"]
    assert near["fmr_ratio"] == near["fmr"]["rate"] / found["whole_fmr"]["rate"] > 2
    assert found["worst_fmr"] == {"group": "near", "ratio": near["fmr_ratio"]}


def test_who_is_in_no_group_counts_in_the_whole_only(folder):
    some = dict.fromkeys(NAMES[:5], "some")
    scored = score_people(folder)
    found = by_group(scored, NAMES, some | {"nobody": "other"}, 0.75)
    assert list(found["by_group"]) == ["some"]
    assert found["people_without_group"] == 25
    assert found["whole_fmr"]["of"] == scored.non_mated.total
    with pytest.raises(UnusableInputError, match="Nobody in the folder"):
        by_group(scored, NAMES, {"nobody": "other"}, 0.75)


def test_a_group_of_one_has_no_fmr_and_no_ratio(folder):
    found = by_group(score_people(folder), NAMES, {"p0": "alone"}, 0.75)
    assert found["by_group"]["alone"]["fmr"] is None
    assert found["by_group"]["alone"]["fnmr"]["of"] == 6
    assert found["worst_fmr"] is None


def test_a_threshold_below_what_was_kept_is_refused(folder):
    with pytest.raises(UnusableInputError, match="too many strangers"):
        by_group(score_people(folder, most=50), NAMES, GROUPS, -0.5)


@pytest.mark.parametrize("text", ["p0\n", "p0\tnear\tfar\n", "\tnear\n", "p0\t\n", "p0\tnear\np0\tfar\n"])
def test_a_list_that_is_none_is_one_clear_error(tmp_path, text):
    (tmp_path / "groups.tsv").write_text(text)
    with pytest.raises(UnusableInputError, match="is no person and group"):
        read_groups(tmp_path / "groups.tsv")


def test_a_list_of_groups_is_read(tmp_path):
    (tmp_path / "groups.tsv").write_text("p0\tnear\n\np1\tfar away\np0\tnear\n")
    assert read_groups(tmp_path / "groups.tsv") == {"p0": "near", "p1": "far away"}
    with pytest.raises(UnusableInputError, match="cannot be read"):
        read_groups(tmp_path / "nothing.tsv")


def calibration_of(scored):
    return calibrate(model="m", source="s", people=30, mated=scored.mated.scores, non_mated=np.array(scored.top.scores))


def crowd():
    """Two groups of a hundred people; those of one are more alike, all of them."""
    draw = np.random.default_rng(5)
    people = draw.normal(size=(200, 24))
    people[:100] += 1.2 * draw.normal(size=24)
    names = [f"p{at}" for at in range(200)]
    raw = people[:, None] + 0.5 * draw.normal(size=(200, 2, 24))
    made = (raw / np.linalg.norm(raw, axis=2, keepdims=True)).astype(np.float32)
    photos = {name: [Photo(Path("x"), row) for row in own] for name, own in zip(names, made, strict=True)}
    return photos, {name: "near" if at < 100 else "far" for at, name in enumerate(names)}


def test_the_group_that_fares_worst_sets_the_curve_and_keeps_the_target():
    people, groups = crowd()
    scored, names = score_people(people), list(people)
    whole = calibration_of(scored)
    set_by_near = set_by_worst(whole, scored, names, groups)
    assert set_by_near.worst_group.name == "near"
    before, after = (by_group(scored, names, groups, one.threshold(TELLING_FMR)) for one in (whole, set_by_near))
    assert set_by_near.worst_group.ratio == before["by_group"]["near"]["fmr_ratio"] > 1
    assert before["by_group"]["near"]["fmr"]["rate"] > after["by_group"]["near"]["fmr"]["rate"] <= TELLING_FMR


def test_a_group_that_fares_no_worse_by_more_than_chance_sets_nothing(folder):
    scored = score_people(folder)
    whole = calibration_of(scored)
    far = {name: group for name, group in GROUPS.items() if group == "far"}
    assert set_by_worst(whole, scored, NAMES, far) == whole
    two = dict.fromkeys(NAMES[:2], "two")  # they may look alike by chance, and nobody can draw from two people
    found = by_group(scored, NAMES, two, float(np.median(scored.top.scores)))
    assert worst_group(found["by_group"], 1e-9) is None


def test_too_few_comparisons_tell_no_groups_apart():
    few = {name: [Photo(Path("x"), row) for row in templates()[4 * at : 4 * at + 2]] for at, name in enumerate("abc")}
    scored = score_people(few)
    with pytest.raises(UnusableInputError, match="too few to hold groups against"):
        set_by_worst(calibration_of(scored), scored, list(few), dict.fromkeys(few, "all"))


def test_a_group_of_few_in_which_six_look_alike_does_not_set_the_curve():
    """Draws of eleven people say that they fare worse; leaving out one says that it hangs on a few of them."""
    rng = np.random.default_rng(2)
    many, few, photos, width = 60, 11, 8, 128
    faces = rng.normal(size=(many + few, width))
    faces[many : many + 6] = faces[many] + rng.normal(size=(6, width))
    templates = np.repeat(faces, photos, axis=0) + 0.6 * rng.normal(size=((many + few) * photos, width))
    templates = (templates / np.linalg.norm(templates, axis=1, keepdims=True)).astype(np.float32)
    names = [f"p{number:03}" for number in range(many + few)]
    owners = np.repeat(names, photos)
    seen = {name: [Photo(Path(name), template) for template in templates[owners == name]] for name in names}
    groups = dict.fromkeys(names[many:], "few") | dict.fromkeys(names[:many], "many")
    found = by_group(score_people(seen), names, groups, 0.3)
    row = found["by_group"]["few"]["fmr"]
    assert row["rate"] > 10 * found["whole_fmr"]["rate"]
    assert row["people_lower"] < found["whole_fmr"]["rate"]
    assert worst_group(found["by_group"], found["whole_fmr"]["rate"]) is None
