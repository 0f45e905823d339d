import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facegate.core.slugs import is_slug
from facegate.errors import UnusableInputError
from facegate.mqtt.topics import (
    CameraEvent,
    CameraImage,
    CameraMotion,
    DoorClaim,
    DoorCommand,
    FrigateEvents,
    HomeAssistantStatus,
    ModelsCommand,
    Topics,
)
from facegate.settings import Settings

slugs = st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True)
prefixes = st.from_regex(r"[A-Za-z0-9_-]{1,10}(/[A-Za-z0-9_-]{1,10}){0,2}", fullmatch=True)
incoming = st.one_of(
    st.builds(CameraImage, slugs),
    st.builds(CameraEvent, slugs),
    st.builds(CameraMotion, slugs),
    st.builds(DoorCommand, slugs),
    st.builds(DoorClaim, slugs),
    st.just(ModelsCommand()),
    st.just(FrigateEvents()),
    st.just(HomeAssistantStatus()),
)


@given(prefixes, incoming)
def test_a_topic_says_again_what_it_was_made_from(prefix, what):
    topics = Topics(prefix, "neighbours/frigate", "neighbours/homeassistant")
    assert topics.parse(topics.topic_of(what)) == what


@given(st.text(max_size=100))
@example("facegate/cameras/porch/image/more")
@example("facegate/cameras//image")
@example("facegate/cameras/PORCH/image")
@example("facegate/cameras/porch\n/image")
@example("facegate/doors/front/decision")
@example("facegate/status")
def test_any_other_topic_is_none_of_ours(text):
    topics = Topics()
    what = topics.parse(text)
    assert what is None or topics.topic_of(what) == text


@given(st.text(max_size=80).filter(lambda text: not is_slug(text)))
@example("front\n")
@example("../front")
@example("front/+")
@example("#")
def test_what_is_no_slug_enters_no_topic(text):
    topics = Topics()
    for make in (topics.image, topics.event, topics.motion, topics.command, topics.claim, topics.decision):
        with pytest.raises(UnusableInputError):
            make(text)


def test_the_topics_are_those_of_the_design():
    topics = Topics.of(Settings())
    assert topics.status == "facegate/status"
    assert topics.decision("front") == "facegate/doors/front/decision"
    assert topics.challenge("front") == "facegate/doors/front/challenge"
    assert topics.models_event == "facegate/models/event"
    assert topics.audit_checkpoint == "facegate/audit/checkpoint"
    assert topics.subscriptions == (
        "facegate/cameras/+/image",
        "facegate/cameras/+/event",
        "facegate/cameras/+/motion",
        "facegate/doors/+/command",
        "facegate/doors/+/claim",
        "facegate/models/command",
        "frigate/events",
        "homeassistant/status",
    )
