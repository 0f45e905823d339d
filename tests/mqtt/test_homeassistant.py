import contextlib
import itertools
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from facegate.core.decision import Decision, Reason
from facegate.core.policy import Door
from facegate.errors import UnusableInputError
from facegate.mqtt.homeassistant import announcements, withdrawals
from facegate.mqtt.topics import Topics

FRONT = Door("front", "Front door", ("porch",))
TOPICS = Topics("home/gate", "frigate", "homeassistant")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

slugs = st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True)
doors = st.builds(Door, slugs, st.text(max_size=40), st.just(("porch",)))
#: Home Assistant's rule for the levels of a discovery topic, and for entity ids.
DISCOVERY = re.compile(r"homeassistant/(event|binary_sensor|sensor)/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config")
ENTITY = re.compile(r"(?!.+__)(?!_)[\da-z_]+(?<!_)\.(?!_)[\da-z_]+(?<!_)")


def document(name, made=None):
    found = [one for one in made or announcements("a1b2", TOPICS, [FRONT]) if f"/{name}/" in one.topic]
    assert len(found) == 1
    return found[0].document


def rendered(name, payload):
    """What Home Assistant makes of a payload; undefined names raise here where it would log a warning."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    variables = {"value": payload}
    with contextlib.suppress(ValueError):
        variables["value_json"] = json.loads(payload)
    return environment.from_string(document(name)["value_template"]).render(variables)


def decision(reason=Reason.MATCH, user="alice"):
    made = Decision(
        id="0193-7", door="front", cameras=("porch",), events=("e1",), reason=reason, user=user, score=0.7,
        threshold=0.5, fmr=1e-6, frames=1, captured_at=NOON, decided_at=NOON, expires_at=NOON, model="m@0",
        milliseconds={},
    )  # fmt: skip
    return json.dumps(made.to_json())


@given(st.lists(doors, max_size=4, unique_by=lambda door: door.slug))
def test_every_announcement_is_one_that_home_assistant_takes_without_a_word(doors):
    made = announcements("a1b2", TOPICS, doors)
    assert len(made) == 2 + 4 * len(doors)
    for one in made:
        assert DISCOVERY.fullmatch(one.topic)
        said = json.loads(one.payload)
        assert ENTITY.fullmatch(said["default_entity_id"])
        assert said["default_entity_id"].split(".")[0] == one.topic.split("/")[1]
        assert "object_id" not in said
        assert said["device"]["name"]
        assert not said["name"].lower().startswith(said["device"]["name"].lower())
        assert said["origin"]["name"] == "facegate"


@given(st.lists(doors, min_size=2, max_size=5, unique_by=lambda door: door.slug))
def test_no_two_entities_share_an_id_whatever_the_doors_are_called(doors):
    documents = [one.document for one in announcements("a1b2", TOPICS, doors)]
    topics = [one.topic for one in announcements("a1b2", TOPICS, doors)]
    assert len({said["unique_id"] for said in documents}) == len(documents)
    assert len(set(topics)) == len(topics)


def test_a_door_whose_slug_ends_like_an_entity_shares_no_id_with_another():
    tricky = [Door(slug, slug, ()) for slug in ("front", "front_user", "user", "user_front", "decision", "reason")]
    ids = [one.document["unique_id"] for one in announcements("a1b2", TOPICS, tricky)]
    assert len(set(ids)) == len(ids)


def test_doors_hang_on_the_service_and_all_hang_on_its_status():
    made = announcements("a1b2", TOPICS, [FRONT])
    services = {
        tuple(one.document["device"]["identifiers"]) for one in made if "via_device" not in one.document["device"]
    }
    assert services == {("facegate_a1b2",)}
    assert {one.document["device"].get("via_device", "facegate_a1b2") for one in made} == {"facegate_a1b2"}
    assert {one.document["availability"][0]["topic"] for one in made} == {"home/gate/status"}


def test_a_removed_door_takes_exactly_its_entities_along():
    with_door = {one.topic for one in announcements("a1b2", TOPICS, [FRONT])}
    without = {one.topic for one in announcements("a1b2", TOPICS, [])}
    gone = withdrawals("a1b2", TOPICS, "front")
    assert {one.topic for one in gone} == with_door - without
    assert {one.payload for one in gone} == {""}


def test_a_grant_is_an_event_of_its_user_and_turns_the_sensor_on():
    said = json.loads(rendered("decision_front", decision()))
    assert (said["event_type"], said["user"], said["reason"]) == ("granted", "alice", "match")
    assert said["event_type"] in document("decision_front")["event_types"]
    assert rendered("granted_front", decision()) == "ON"
    assert rendered("user_front", decision()) == "alice"
    assert rendered("reason_front", decision()) == "match"
    assert document("granted_front")["off_delay"] == 5


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.MATCH])
@pytest.mark.parametrize("user", ["alice", None])
def test_no_denial_names_a_user_or_turns_the_sensor_on(reason, user):
    said = json.loads(rendered("decision_front", decision(reason, user)))
    assert (said["event_type"], said["reason"]) == ("denied", reason)
    assert rendered("granted_front", decision(reason, user)) == ""
    assert rendered("user_front", decision(reason, user)) == "None"


@pytest.mark.parametrize("payload", ["", "x", "[]", "3", "{}", "null", '{"outcome": null}', '{"outcome": "open"}'])
def test_what_is_no_decision_moves_nothing_and_warns_of_nothing(payload):
    assert rendered("decision_front", payload) == ""
    assert rendered("granted_front", payload) == ""
    assert rendered("user_front", payload) == "None"
    assert rendered("reason_front", payload) == "None"


def test_status_tells_model_queue_and_whether_facegate_is_there():
    online = json.dumps({"state": "online", "model": "m@0", "queue": 3})
    assert (rendered("model", online), rendered("queue", online)) == ("m@0", "3")
    will = '{"state": "offline"}'
    assert (rendered("model", will), rendered("queue", will)) == ("None", "None")
    available = document("model")["availability"][0]["value_template"]
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    answers = [{"state": "online"}, {"state": "offline"}, {}, [], None]
    said = [environment.from_string(available).render(value_json=answer) for answer in answers]
    assert said == ["online", "offline", "offline", "offline", "offline"]


def test_states_stay_below_home_assistants_limit():
    assert len(rendered("model", json.dumps({"state": "online", "model": "m" * 1000}))) == 255


def test_what_tells_who_came_expires_so_that_it_cannot_come_back_from_unavailable():
    for name in ("user_front", "reason_front"):
        assert document(name)["expire_after"] == 60


def test_an_installation_keeps_its_ids_and_another_has_others():
    first, again, other = (announcements(name, TOPICS, [FRONT]) for name in ("a1b2", "a1b2", "c3d4"))
    assert first == again
    ids = [{one.document["unique_id"] for one in made} for made in (first, other)]
    assert not ids[0] & ids[1]
    assert all(left != right.topic for left, right in itertools.product([one.topic for one in first], other))
    with pytest.raises(UnusableInputError):
        announcements("../a", TOPICS, [])
