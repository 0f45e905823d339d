from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.core.arming import measured
from facegate.core.calibration import calibrate
from facegate.core.comparison import References
from facegate.siamese.tuning.atdoor import Visits, at_door, named

MODEL = "m@0"


def units(count, seed, dimension=12):
    raw = np.random.default_rng(seed).normal(size=(count, dimension))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 200), st.floats(0, 0.3))
def test_whom_a_probe_names_is_whom_a_plain_loop_names(users, photos, seed, margin):
    draw = np.random.default_rng(seed)
    owners = draw.integers(0, users, photos)
    references = References(MODEL, units(photos, seed), owners, tuple(f"u{at}" for at in range(users)))
    rises = draw.uniform(0, 0.5, users)
    arming = replace(measured(references), rises=dict(zip(references.users, rises, strict=True)), nearest={})
    for probe in units(6, seed + 1):
        best = {
            user: max(float(probe @ one) for one in references.templates[owners == user])
            for user in sorted(set(owners.tolist()))
        }
        first, *others = sorted(best, key=lambda user: -best[user])
        clear = best[first] >= 0.1 + rises[first] and all(best[first] - best[user] >= margin for user in others)
        assert named(probe, arming, 0.1, margin) == (first if clear else -1)


def test_users_who_come_as_they_are_are_known_and_strangers_are_not():
    draw = np.random.default_rng(2)
    mated, other = draw.normal(0.8, 0.05, 200), draw.normal(0, 0.28, 200_000).clip(-1, 1)
    calibration = calibrate(model=MODEL, source="s", people=9, mated=mated, non_mated=other)
    users = units(4, 1)
    references = References(MODEL, users, np.arange(4), ("a", "b", "c", "d"))
    visits = Visits(users, np.arange(4), units(300, 9))
    told = at_door(calibration, references, units(300, 5), visits, margin=0.05, targets=(1e-2, 1e-12))
    assert set(told) == {1e-2}  # nothing supports the other
    assert (told[1e-2].missed.count, told[1e-2].missed.of) == (0, 4)
    assert told[1e-2].passed.of == 300
    assert told[1e-2].passed.rate <= 0.02
    mixed = Visits(users, np.array([1, 0, 3, 2]), visits.strangers)
    assert at_door(calibration, references, units(300, 5), mixed, margin=0.05)[1e-2].missed.count == 4


def test_references_of_another_network_are_refused():
    calibration = calibrate(model="other@1", source="s", people=9, mated=[0.9], non_mated=[0.1, 0.2])
    references = References(MODEL, units(2, 1), np.arange(2), ("a", "b"))
    visits = Visits(units(2, 1), np.arange(2), units(3, 2))
    with pytest.raises(ValueError, match="calibration of other@1"):
        at_door(calibration, references, units(30, 5), visits, margin=0.05)
