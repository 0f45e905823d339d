import os
import subprocess
import sys
from dataclasses import replace
from datetime import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from facegate.core.policy import Door, Hours, Limits, Mode, Permission
from facegate.errors import RefusedError, UnusableInputError

FRONT = Door("front", "Front door", ("porch", "yard"), permissions=(Permission("everyone"),), zone="Europe/Berlin")

clocks = st.times().map(lambda moment: moment.replace(second=0, microsecond=0, tzinfo=None))
windows = st.tuples(clocks, clocks).filter(lambda pair: pair[0] < pair[1] or pair[1] == time(0))
hours = st.builds(lambda days, window: Hours(days, *window), st.frozensets(st.integers(0, 6), min_size=1), windows)
doors = st.builds(
    Door,
    slug=st.just("front"),
    name=st.just("Front"),
    cameras=st.lists(st.sampled_from(["porch", "yard", "lane"]), unique=True).map(tuple),
    mode=st.sampled_from(Mode),
    permissions=st.lists(st.builds(Permission, st.sampled_from(["everyone", "staff"]), hours), max_size=3).map(tuple),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    limits=st.builds(Limits, st.integers(0, 9), st.floats(1, 99), st.floats(0, 99), st.floats(0, 99)),
    target_fmr=st.none() | st.floats(1e-9, 0.5),
    agreeing_frames=st.none() | st.integers(1, 20),
    alone=st.booleans(),
)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(door=doors)
def test_a_door_comes_back_as_it_was_stored(storage, door):
    if any(known.slug == door.slug for known in storage.doors.listed()):
        storage.doors.change(door)
    else:
        storage.doors.add(door)
    assert storage.doors.find("front") == door


def test_a_camera_belongs_to_one_door(storage):
    storage.doors.add(FRONT)
    with pytest.raises(RefusedError, match="Camera yard belongs to another door"):
        storage.doors.add(Door("side", "Side", ("lane", "yard")))
    assert [door.slug for door in storage.doors.listed()] == ["front"]


def test_a_door_is_added_once_and_removed_with_its_cameras(storage):
    storage.doors.add(FRONT)
    with pytest.raises(RefusedError, match="There is a door front already"):
        storage.doors.add(FRONT)
    storage.doors.remove("front")
    storage.doors.add(Door("side", "Side", ("porch",)))


def test_the_mode_changes_alone(storage):
    storage.doors.add(FRONT)
    storage.doors.set_mode("front", Mode.LOCKDOWN)
    assert storage.doors.find("front") == replace(FRONT, mode=Mode.LOCKDOWN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slug": "Front"}, "cannot name a door"),
        ({"cameras": ("Porch",)}, "cannot name a camera"),
        ({"cameras": ("porch", "porch")}, "named twice"),
        ({"permissions": (Permission("Staff"),)}, "cannot name a group"),
        ({"permissions": (Permission("staff", Hours(frozenset())),)}, "Hours need a day"),
        ({"permissions": (Permission("staff", Hours(opens=time(9), closes=time(8))),)}, "never open"),
        ({"zone": "Berlin"}, "There is no time zone"),
        ({"zone": "../../etc/passwd"}, "There is no time zone"),
        ({"target_fmr": 0.0}, "share between 0 and 1"),
        ({"target_fmr": float("nan")}, "share between 0 and 1"),
        ({"agreeing_frames": 0}, "Agreeing frames are 1 to 20"),
        ({"limits": Limits(window_seconds=float("nan"))}, "window"),
        ({"limits": Limits(denials=-1)}, "denials"),
    ],
)
def test_a_door_that_could_not_work_is_refused(storage, changes, message):
    with pytest.raises(UnusableInputError, match=message):
        storage.doors.add(replace(FRONT, **changes))


def test_time_zones_are_known_on_a_machine_that_has_no_list_of_them():
    program = "from zoneinfo import ZoneInfo; print(ZoneInfo('Europe/Berlin'))"
    alone = {**os.environ, "PYTHONTZPATH": ""}
    told = subprocess.run([sys.executable, "-c", program], env=alone, capture_output=True, text=True, check=True)
    assert told.stdout == "Europe/Berlin\n"


@pytest.mark.parametrize("change", ["find", "remove"])
def test_an_unknown_door_is_told(storage, change):
    with pytest.raises(UnusableInputError, match="There is no door back"):
        getattr(storage.doors, change)("back")
    with pytest.raises(UnusableInputError, match="There is no door back"):
        storage.doors.set_mode("back", Mode.ARMED)
