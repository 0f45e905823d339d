import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.errors import UnusableInputError
from facegate.mqtt.frigate import FrigateEvent, Kind, frigate_event, is_frigate_id
from facegate.mqtt.message import Message
from facegate.mqtt.payloads import UnusableArrivalError

FRAME = 1764158400.475377
ID = "1764158399.112233-mxklsc"

OLDEST = {
    "id": ID, "camera": "porch", "frame_time": FRAME, "snapshot_time": FRAME, "label": "person", "sub_label": None,
    "top_score": 0.84, "false_positive": False, "start_time": 1764158399.112233, "end_time": None, "score": 0.8,
    "box": [424, 500, 536, 712], "area": 23744, "ratio": 0.52, "region": [264, 450, 667, 853], "stationary": False,
    "motionless_count": 0, "position_changes": 2, "current_zones": [], "entered_zones": [], "has_clip": False,
    "has_snapshot": True,
}  # fmt: skip
"""As 0.12 writes it."""

MIDDLE = OLDEST | {
    "snapshot": {
        "frame_time": FRAME - 1, "box": [1, 2, 3, 4], "area": 9, "region": [0, 0, 9, 9], "score": 0.9, "attributes": [],
    },
    "sub_label": ["alice", 0.91], "attributes": {"face": 0.86}, "active": True, "max_severity": "alert",
    "current_attributes": [{"label": "face", "box": [442, 506, 534, 524], "score": 0.86}], "pending_loitering": False,
}  # fmt: skip
"""As 0.14 to 0.15 write it."""

NEWEST = MIDDLE | {
    "id": "1764158399.1-mxklsc", "snapshot": None, "snapshot_clean": True, "computed_score": 0.7, "velocity_angle": 0,
    "current_estimated_speed": 0, "average_estimated_speed": 0, "recognized_license_plate": None,
    "path_data": [[[0.5 + step / 1000, 0.9], FRAME + step] for step in range(2000)], "some_key_of_tomorrow": {"a": [1]},
}  # fmt: skip
"""As 0.17 to 0.18 write it."""


def message(kind, after, before=None, **more):
    document = {"type": kind, "before": before or after | {"false_positive": True}, "after": after}
    return Message("frigate/events", json.dumps(document).encode(), **more)


@pytest.mark.parametrize("after", [OLDEST, OLDEST | {"sub_label": "alice"}, MIDDLE, NEWEST])
@pytest.mark.parametrize("kind", list(Kind))
def test_every_version_of_frigate_is_understood(after, kind):
    ended = kind is Kind.END
    after = after | {"end_time": FRAME + 20 if ended else None}
    assert frigate_event(message(kind, after), {}) == FrigateEvent(
        kind=kind,
        id=after["id"],
        camera="porch",
        label="person",
        frame_time=datetime.fromtimestamp(FRAME, UTC),
        has_snapshot=True,
        ended=ended,
    )


def test_an_update_with_an_end_time_has_ended():
    assert frigate_event(message("update", MIDDLE | {"end_time": FRAME}), {}).ended


def test_without_a_frame_time_the_snapshots_counts_and_then_the_starts():
    after = {key: value for key, value in MIDDLE.items() if key != "frame_time"}
    assert frigate_event(message("new", after), {}).frame_time.timestamp() == pytest.approx(FRAME - 1)
    after |= {"snapshot": None}
    assert frigate_event(message("new", after), {}).frame_time.timestamp() == pytest.approx(1764158399.112233)
    with pytest.raises(UnusableArrivalError) as refused:
        frigate_event(message("new", after | {"start_time": None}), {})
    assert refused.value.event == ID


@pytest.mark.parametrize(
    ("name", "cameras", "slug"),
    [("porch", {}, "porch"), ("Porch", {}, "porch"), ("Front Door", {"Front Door": "front"}, "front")],
)
def test_cameras_are_called_as_the_settings_say_else_in_small_letters(name, cameras, slug):
    assert frigate_event(message("new", OLDEST | {"camera": name}), cameras).camera == slug


def test_a_camera_whose_name_makes_no_slug_is_named_in_the_error():
    with pytest.raises(UnusableArrivalError, match="Front Door") as refused:
        frigate_event(message("new", OLDEST | {"camera": "Front Door"}), {})
    assert refused.value.event == ID


@pytest.mark.parametrize("change", [{"label": "car"}, {"label": None}, {"label": "dog"}, {"false_positive": True}])
def test_what_is_nobody_is_passed_over(change):
    assert frigate_event(message("new", OLDEST | change), {}) is None


def test_types_of_tomorrow_are_passed_over():
    assert frigate_event(message("moved", OLDEST), {}) is None


@pytest.mark.parametrize(
    "name", ["", "1764158399.1-MXKLSC", "1764158399-mxklsc", "../../api/config", f"{ID}/../x", f"{ID}\n", 7, None]
)
def test_an_id_that_must_not_enter_a_url_is_refused(name):
    with pytest.raises(UnusableArrivalError, match="id"):
        frigate_event(message("new", OLDEST | {"id": name}), {})


def test_a_retained_event_is_refused():
    with pytest.raises(UnusableArrivalError, match="retained"):
        frigate_event(message("new", OLDEST, retained=True), {})


@given(st.floats(1_000_000_000, 1_999_999_999), st.from_regex(r"[a-z0-9]{6}", fullmatch=True))
def test_ids_are_recognised_however_many_decimals_the_float_has(moment, tail):
    assert is_frigate_id(f"{round(moment, 6)}-{tail}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(OLDEST)), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["new", "update", "end"]) | json_values},
        optional={"before": json_values, "after": json_values | st.just(OLDEST)},
    ),
    st.dictionaries(st.sampled_from(list(OLDEST)), json_values, max_size=3),
)
def test_whatever_comes_it_is_an_event_nothing_or_one_clear_error(document, changes):
    if isinstance(document.get("after"), dict):
        document["after"] = document["after"] | changes
    try:
        event = frigate_event(Message("frigate/events", json.dumps(document).encode()), {})
    except UnusableInputError:
        return
    assert event is None or is_frigate_id(event.id)
