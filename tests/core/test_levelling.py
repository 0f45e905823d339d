import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core import levelling as module
from facegate.core.calibration import UnusableCalibrationError, calibrate, from_json
from facegate.core.levelling import FEWEST, ORDINARY, SLOPE, Levelling, levelled_by


def units(count, seed, dimension=16):
    raw = np.random.default_rng(seed).normal(size=(count, dimension))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 12), st.integers(0, 99), st.integers(1, 7))
def test_commonness_is_the_mean_of_the_highest_scores_of_a_plain_loop(count, nearest, references, seed, block):
    count = max(count, nearest)
    crowd, asked = units(count, seed), units(references, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = Levelling(crowd, 0.5, 1.0, nearest).commonness(asked)
    for at, one in enumerate(asked):
        highest = sorted((float(one @ stranger) for stranger in crowd), reverse=True)[:nearest]
        assert found[at] == pytest.approx(sum(highest) / nearest, abs=1e-5)
    assert len(found) == references


@given(st.floats(-1, 1), st.floats(0, 5), st.integers(0, 99))
def test_no_threshold_falls_and_who_is_less_common_has_no_less_to_score(ordinary, slope, seed):
    levelling, asked = Levelling(units(20, seed), ordinary, slope, 5), units(30, seed + 1)
    rises, commonness = levelling.rises(asked), levelling.commonness(asked)
    assert (rises >= 0).all()
    order = np.argsort(commonness)
    assert (np.diff(rises[order]) <= 1e-12).all()
    assert rises[commonness >= ordinary] == pytest.approx(0)
    assert rises == pytest.approx(slope * np.maximum(0, ordinary - commonness))


def test_who_stands_in_the_crowd_has_less_to_score_than_who_stands_apart():
    draw = np.random.default_rng(4)
    raw = np.full(16, 0.7) + draw.normal(size=(FEWEST, 16))
    crowd = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    inside, apart = np.full((1, 16), 0.25, np.float32), np.full((1, 16), -0.25, np.float32)
    levelling = levelled_by(crowd, crowd)
    assert levelling.rises(inside)[0] == 0
    assert levelling.rises(apart)[0] > SLOPE * levelling.ordinary


def test_nearly_everybody_has_something_to_add():
    levelling = levelled_by(units(FEWEST, 1), others := units(1000, 2))
    assert (levelling.rises(others) == 0).mean() == pytest.approx(1 - ORDINARY, abs=0.01)


@pytest.mark.parametrize("change", [{"slope": -0.1}, {"slope": np.nan}, {"slope": np.inf}, {"ordinary": np.nan},
                                    {"ordinary": 1.1}, {"nearest": 0}, {"nearest": 21}])  # fmt: skip
def test_what_would_make_a_door_laxer_or_is_no_number_is_refused(change):
    with pytest.raises(ValueError, match=r"levelling|crowd"):
        Levelling(**({"crowd": units(20, 1), "ordinary": 0.2, "slope": 1.0, "nearest": 5} | change))


def test_too_few_are_no_crowd():
    with pytest.raises(ValueError, match=f"it takes {FEWEST}"):
        levelled_by(units(FEWEST - 1, 1), units(5, 2))


def calibration(levelling):
    draw = np.random.default_rng(3)
    mated, other = draw.normal(0.6, 0.1, 99), draw.normal(0, 0.1, 9999)
    whole = calibrate(model="m@0", source="s", people=9, mated=mated, non_mated=other)
    return module.replace(whole, levelling=levelling)


def test_a_levelled_calibration_survives_being_written_and_asks_the_same():
    crowd = units(FEWEST, 1)
    whole = calibration(levelled_by(crowd, units(50, 2)))
    document = json.loads(json.dumps(whole.to_json()))
    back = from_json(document, crowd)
    assert (back.levelling.ordinary, back.levelling.slope, back.levelling.nearest) == (
        *(whole.levelling.ordinary, whole.levelling.slope, whole.levelling.nearest),
    )
    assert back.knots == whole.knots
    assert (back.rises(units(5, 7)) == whole.rises(units(5, 7))).all()


def test_a_levelled_calibration_is_nothing_without_its_crowd_and_a_plain_one_takes_nothing_off():
    with pytest.raises(UnusableCalibrationError, match="without its crowd"):
        from_json(calibration(levelled_by(units(FEWEST, 1), units(50, 2))).to_json())
    plain = calibration(None)
    assert "levelling" not in plain.to_json()
    assert (plain.rises(units(5, 7)) == np.zeros(5)).all()
    for wrong in ({"ordinary": 3.0, "slope": 1, "nearest": 5}, {"ordinary": 0.1, "slope": 1, "nearest": 5000}, {}, 5):
        with pytest.raises(UnusableCalibrationError):
            from_json(plain.to_json() | {"levelling": wrong}, units(FEWEST, 1))
