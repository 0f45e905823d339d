import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facegate.errors import UnusableInputError
from facegate.mqtt import payloads
from facegate.mqtt.message import Message
from facegate.mqtt.payloads import Arrival, DoorWord, ModelsWord, UnusableArrivalError
from facegate.mqtt.topics import CameraEvent, CameraImage, CameraMotion

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PICTURE = b"\xff\xd8\xff\xe0 not looked into \xfb\xff\xfe"


def said(document, **more):
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Message("facegate/cameras/porch/event", payload, **more)


def outcome(read, *arguments):
    """What a reader returned, or the only error that it may raise."""
    try:
        return read(*arguments)
    except UnusableInputError as error:
        return error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "event": json_values | st.just("1764000000.5-abcdef"),
        "captured_at": json_values | st.just("2026-11-23T12:00:00Z"),
        "image": json_values | st.binary(max_size=20).map(lambda raw: base64.b64encode(raw).decode()),
        "image_url": json_values | st.just("http://camera/picture.jpg"),
        "state": json_values,
    },
).map(lambda document: json.dumps(document).encode())
anything = st.binary(max_size=200) | documents | json_values.map(lambda value: json.dumps(value).encode())


@given(anything, st.sampled_from([CameraImage, CameraEvent, CameraMotion]))
@example(b'{"event": "1", "captured_at": ' + b"9" * 4000 + b', "image_url": "http://camera"}', CameraEvent)
@example(b'{"captured_at": 1e999, "image_url": "http://camera"}', CameraEvent)
@example(b'{"captured_at": NaN, "image_url": "http://camera"}', CameraEvent)
@example(b'{"captured_at": "0001-01-01T00:00:00+23:59", "image_url": "http://camera"}', CameraEvent)
@example(b'{"captured_at": "9999-12-31T23:59:59-23:59", "image_url": "http://camera"}', CameraEvent)
@example(b'{"event": "\\ud800", "image_url": "\\ud800"}', CameraEvent)
@example(b"[" * 100_000, CameraEvent)
@example(b'{"a":' * 100_000, CameraMotion)
@example(b"[]," * 90_000, CameraEvent)
@example(b'"' * 100_001, CameraEvent)
@example(b'"\\' * 100_001, CameraEvent)
def test_whatever_comes_in_it_is_an_arrival_or_one_clear_error(payload, kind):
    arrival = outcome(payloads.arrival, kind("porch"), Message("any", payload))
    if isinstance(arrival, UnusableInputError):
        assert arrival.what
        assert str(arrival).isprintable()
        assert len(str(arrival)) < 400
    else:
        assert arrival is None or arrival.camera == "porch"


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_the_user_properties_say_a_picture_arrives_or_one_clear_error(event, captured_at):
    message = Message("any", PICTURE, properties={"event": event, "captured_at": captured_at})
    arrival = outcome(payloads.image, "porch", message)
    if not isinstance(arrival, UnusableInputError):
        assert arrival.picture == PICTURE
        assert arrival.event == (event or None)


def test_a_picture_arrives_with_what_its_properties_say():
    properties = {"event": "1764000000.5-abcdef", "captured_at": "2026-11-23T13:00:00+01:00", "other": "passed over"}
    arrival = payloads.image("porch", Message("any", PICTURE, retained=True, properties=properties))
    assert arrival == Arrival("porch", "1764000000.5-abcdef", NOON, PICTURE, None, retained=True)


def test_a_picture_without_properties_has_neither_event_nor_time():
    assert payloads.image("porch", Message("any", b"\x00")) == Arrival("porch", picture=b"\x00")


@pytest.mark.parametrize("payload", [b"", b"\xff" * 1_900_001])
def test_an_empty_or_too_large_picture_is_refused_by_its_event(payload):
    with pytest.raises(UnusableArrivalError) as refused:
        payloads.image("porch", Message("any", payload, properties={"event": "e1"}))
    assert refused.value.event == "e1"


@given(
    st.binary(min_size=1, max_size=300),
    st.sampled_from(["", "data:image/jpeg;base64,", "data:image/webp;base64,"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["image", "base64", "data", "picture", "file"]),
)
def test_base64_in_every_usual_form_gives_the_picture_again(raw, opening, url_safe, padded, key):
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(raw).decode()
    text = opening + (text if padded else text.rstrip("="))
    arrival = payloads.event("porch", said({"event": "e1", "captured_at": "2026-11-23T12:00:00Z", key: text}))
    assert arrival == Arrival("porch", "e1", NOON, raw)


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    st.sampled_from("T "),
)
def test_a_time_with_its_zone_is_read_to_the_microsecond(naive, zone, between):
    moment = naive.replace(tzinfo=zone)
    arrival = payloads.event("porch", said({"captured_at": moment.isoformat(between), "image_url": "http://camera"}))
    assert arrival.captured_at == moment
    assert arrival.captured_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "stated", [NOON.timestamp(), int(NOON.timestamp()), str(NOON.timestamp()), "2026-11-23T12:00Z"]
)
def test_seconds_since_1970_are_a_time_too(stated):
    arrival = payloads.event("porch", said({"captured_at": stated, "image_url": "http://camera"}))
    assert arrival.captured_at == NOON


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"image": "AAAA", "captured_at": "2026-11-23T12:00:00"}, "no time zone"),
        ({"image": "AAAA", "captured_at": NOON.timestamp() * 1000}, "outside the years"),
        ({"image": "AAAA", "captured_at": "nan"}, "no time"),
        ({"image": "AAAA", "captured_at": "yesterday"}, "no time"),
        ({"image": "AAAA", "captured_at": True}, "captured_at"),
        (b'{"image": "AAAA", "captured_at": NaN}', "no JSON"),
        (b'{"image": "AAAA", "captured_at": -Infinity}', "no JSON"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b"", "no JSON"),
        (b"x", "no JSON"),
        (b"[]", "no object"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', "bytes"),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "deep"),
        ({"event": "e 1", "image": "AAAA"}, "id"),
        ({"event": "../../etc/passwd", "image": "AAAA"}, "id"),
        ({"event": "e" * 129, "image": "AAAA"}, "id"),
        ({"event": 7, "image": "AAAA"}, "event"),
        ({"image": "!!!!"}, "base64"),
        ({"image": "AAAAA"}, "base64"),
        ({"image": ""}, "empty"),
        ({"image": "data:text/html;base64,AAAA"}, "data URL"),
        ({"image": "data:image/jpeg,AAAA"}, "data URL"),
        ({"event": "e1"}, "either"),
        ({"image": "AAAA", "image_url": "http://camera"}, "either"),
        ({"image_url": "http://" + "x" * 3000}, "image_url"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_word_that_says_why(document, word):
    with pytest.raises(UnusableInputError, match=word):
        payloads.event("porch", said(document))


@pytest.mark.parametrize("document", [{"event": "e1", "image": 5}, {"event": "e1", "image": "!"}, {"event": "e1"}])
def test_an_unusable_event_is_still_known_by_its_id(document):
    with pytest.raises(UnusableArrivalError) as refused:
        payloads.event("porch", said(document))
    assert refused.value.event == "e1"


@pytest.mark.parametrize("payload", [b"", b"ON", b"true", b"ring", b'{"occupancy": true}', b'{"state": "on"}', b"{}"])
def test_a_doorbell_or_a_motion_sensor_says_that_somebody_is_there(payload):
    assert payloads.motion("porch", Message("any", payload)) == Arrival("porch")


@pytest.mark.parametrize("payload", [b"OFF", b"off", b"false", b"0", b'{"occupancy": false}', b'{"state": "OFF"}'])
def test_a_sensor_that_goes_off_is_no_arrival(payload):
    assert payloads.motion("porch", Message("any", payload)) is None


def test_motion_may_name_its_event_and_time():
    message = said({"event": "ring-7", "captured_at": NOON.timestamp()}, retained=True)
    assert payloads.motion("porch", message) == Arrival("porch", "ring-7", NOON, retained=True)


@pytest.mark.parametrize("word", DoorWord)
def test_every_word_to_a_door_is_understood_and_none_of_them_when_retained(word):
    assert payloads.door_word(Message("any", f" {word}\n".encode())) is word
    with pytest.raises(UnusableInputError, match="retained"):
        payloads.door_word(Message("any", word.encode(), retained=True))


@given(st.binary(max_size=80))
@example(b"LOCKDOWN")
@example(b"arm" * 40)
def test_no_other_word_moves_a_door_or_a_network(payload):
    for read, words in ((payloads.door_word, DoorWord), (payloads.models_word, ModelsWord)):
        word = outcome(read, Message("any", payload))
        assert isinstance(word, UnusableInputError) or (word in words and payload.strip() == word.encode())
