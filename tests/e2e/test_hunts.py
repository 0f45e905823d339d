"""Hunts from outside: a real daemon on a real mosquitto, pulling frames from what answers as Frigate does."""

import itertools
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import paho.mqtt.client as paho
import pytest

from facegate.core.policy import EVERYONE, Door, Permission
from facegate.settings import Settings
from facegate.storage.opening import open_storage
from tests.cameras.frigate_stand_in import Answers, FrigateStandIn, Scene
from tests.cameras.frigate_stand_in import serving as answering
from tests.e2e.household import (
    ENROLLED,
    STRANGERS,
    Daemon,
    Listener,
    copy_household,
    empty_picture,
    picture_of,
    serving,
    wait_until,
)
from tests.mosquitto import mosquitto_in

ALICE = ENROLLED[0].slug
OLD, NEW = "0.14.1-f4f3cfa", "0.18.0-abc1234"
CAMERAS = [f"cam{number:02d}" for number in range(24)]
PLAIN = [f"bell{number}" for number in range(8)]
HUNT_SECONDS = 6
RETAINED = "lying"


def smaller(picture: bytes) -> bytes:
    """The same at 640x360: a preview, or a card."""
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".jpg", cv2.resize(pixels, (640, 360), interpolation=cv2.INTER_AREA))[1].tobytes()


def frigate_says(kind: str, name: str, camera: str, label: str = "person") -> str:
    """One message on `frigate/events`, with what matters of Frigate's shape."""
    thing = {
        "id": name,
        "camera": camera,
        "frame_time": time.time(),
        "start_time": time.time(),
        "end_time": time.time() if kind == "end" else None,
        "label": label,
        "false_positive": False,
        "has_snapshot": True,
        "has_clip": False,
    }
    return json.dumps({"type": kind, "before": thing, "after": thing})


class House:
    """The daemon, the stand-in, and the count of what was sent. Every test takes cameras of its own."""

    def __init__(self, daemon: Daemon, listener: Listener, standing: FrigateStandIn, server: ExitStack) -> None:
        self.daemon, self.listener, self.standing = daemon, listener, standing
        self.server = server
        self.sent = 0  # what lies at the broker retained is not even asked for
        self._names = itertools.count()
        self._cameras, self._plain = iter(CAMERAS), iter(PLAIN)

    def scene(self, **shows: bytes | bool) -> tuple[str, Scene]:
        camera = next(self._cameras)
        scene = self.standing.scenes[camera]
        for name, value in shows.items():
            setattr(scene, name, value)
        return camera, scene

    def bell(self, picture: bytes) -> tuple[str, Scene]:
        camera = next(self._plain)
        self.standing.plain[camera].latest = picture
        return camera, self.standing.plain[camera]

    def begins(self, camera: str, label: str = "person") -> str:
        name = f"{time.time():.6f}-t{next(self._names):05d}"
        self.standing.events[name] = camera
        self.frigate("new", name, camera, label)
        self.sent += label == "person"
        return name

    def frigate(self, kind: str, name: str, camera: str, label: str = "person") -> None:
        self.listener.client.publish("frigate/events", frigate_says(kind, name, camera, label), qos=1)

    def tell(self, topic: str, payload: bytes | str) -> None:
        self.sent += 1
        self.listener.publish(topic, payload)

    def decisions_at(self, camera: str) -> list[dict]:
        return [one for one in self.listener.decisions if one["door"] == f"at-{camera}"]

    def decision_at(self, camera: str, nth: int = 0) -> dict:
        assert self.listener.wait(lambda: len(self.decisions_at(camera)) > nth, 30), self.daemon.log.read_text()[-3000:]
        return self.decisions_at(camera)[nth]

    def naming(self, event: str) -> list[dict]:
        return [one for one in self.listener.decisions if event in one["events"]]

    def balances(self) -> None:
        self.listener.wait_for_balance(self.sent, 30)

    @contextmanager
    def frigate_down(self) -> Iterator[None]:
        self.server.close()
        try:
            yield
        finally:
            self.server.enter_context(answering(handler_of(self.standing), self.standing.port))


def handler_of(standing: FrigateStandIn) -> type[Answers]:
    return type("Handler", (Answers,), {"state": standing})


def add_doors(folder: Path) -> None:
    with open_storage(Settings(data_dir=folder)) as storage:
        for camera in (*CAMERAS, *PLAIN):
            storage.doors.add(Door(f"at-{camera}", camera, (camera,), permissions=(Permission(EVERYONE),)))


@pytest.fixture(scope="module")
def house(household_template, tmp_path_factory) -> Iterator[House]:
    """One daemon for all tests here, with a door for each camera; an event of Frigate's lies at the broker retained."""
    folder = copy_household(household_template, tmp_path_factory.mktemp("hunts") / "data")
    add_doors(folder)
    standing = FrigateStandIn(scenes={name: Scene() for name in CAMERAS}, plain={name: Scene() for name in PLAIN})
    with ExitStack() as server, mosquitto_in(tmp_path_factory.mktemp("mosquitto")) as broker:
        standing.port = server.enter_context(answering(handler_of(standing)))
        lay_down(broker.port, frigate_says("new", f"{time.time():.6f}-{RETAINED}", CAMERAS[0]))
        cameras = {name: {"go2rtc_src": name, "frames_per_second": 5} for name in CAMERAS}
        cameras |= {name: {"snapshot_url": f"{standing.url}/plain/{name}", "frames_per_second": 5} for name in PLAIN}
        settings = {
            "FACEGATE_FRIGATE__URL": standing.url,
            "FACEGATE_FRIGATE__GO2RTC_URL": f"{standing.url}/api/go2rtc",
            "FACEGATE_CAMERAS": json.dumps(cameras),
            "FACEGATE_GATE__HUNT_SECONDS": str(HUNT_SECONDS),
            "FACEGATE_GATE__VISIT_SECONDS": "2",
            "FACEGATE_LOG__LEVEL": "debug",
        }
        with serving(folder, broker.port, **settings) as (daemon, listener):
            yield House(daemon, listener, standing, server)


def lay_down(port: int, payload: str) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish("frigate/events", payload, qos=1, retain=True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("version", [OLD, NEW])
def test_frames_come_from_go2rtc_then_the_latest_frame_then_the_events_snapshot(house, version):
    house.standing.version = version
    pictures = {
        way: picture_of(person.slug) for way, person in zip(("go2rtc", "latest", "snapshot"), ENROLLED, strict=False)
    }
    events: list[str] = []
    for left_out in range(3):
        shown = dict(list(pictures.items())[left_out:])
        camera, _ = house.scene(**shown)
        event = house.begins(camera)
        decision = house.decision_at(camera)
        assert (decision["outcome"], decision["events"]) == ("grant", [event]), decision
        assert decision["user"] == ENROLLED[left_out].slug, f"the frame came another way than by {next(iter(shown))}"
        house.frigate("update", event, camera)
        house.frigate("end", event, camera)
        events.append(event)
    house.balances()
    assert [len(house.naming(event)) for event in events] == [1, 1, 1]


def test_the_end_of_an_event_with_nobody_there_is_one_deny(house):
    camera, scene = house.scene(go2rtc=empty_picture())
    event = house.begins(camera)
    wait_until(lambda: scene.pulls >= 3, 20)
    assert house.decisions_at(camera) == []
    house.frigate("end", event, camera)
    decision = house.decision_at(camera)
    assert (decision["reason"], decision["events"], decision["user"]) == ("no_face", [event], None)
    house.balances()
    pulled = scene.pulls
    again = house.begins(camera)  # the next pull is this event's: the hunt of the first is over
    wait_until(lambda: scene.pulls > pulled, 20)
    house.frigate("end", again, camera)
    assert house.decision_at(camera, 1)["events"] == [again]
    assert len(house.naming(event)) == 1


def test_a_stranger_is_one_deny_and_never_named(house):
    camera, _ = house.scene(go2rtc=picture_of(STRANGERS[0].slug))
    event = house.begins(camera)
    decision = house.decision_at(camera)
    assert (decision["reason"], decision["events"], decision["user"]) == ("no_match", [event], None)
    house.balances()


def test_with_frigate_down_the_hunt_ends_at_its_limit_in_one_deny_that_says_why(house):
    camera, _ = house.scene(go2rtc=picture_of(ALICE), latest=picture_of(ALICE))
    with house.frigate_down():
        event = house.begins(camera)
        decision = house.decision_at(camera)
    assert (decision["outcome"], decision["reason"], decision["events"]) == ("deny", "image_unreachable", [event])
    assert decision["detail"].count("cannot be reached: connection refused") >= 2, decision["detail"]
    house.balances()


@pytest.mark.parametrize(("version", "says"), [(OLD, "error card"), (NEW, "preview")])
def test_neither_an_error_card_nor_a_preview_opens_a_door_whoever_is_on_it(house, version, says):
    house.standing.version = version
    shown = smaller(picture_of(ALICE)) if version == OLD else picture_of(ALICE)
    camera, scene = house.scene(latest=shown, offline=True)
    event = house.begins(camera)
    wait_until(lambda: scene.pulls >= 2, 20)
    house.frigate("end", event, camera)
    decision = house.decision_at(camera)
    assert (decision["outcome"], decision["reason"], decision["events"]) == ("deny", "image_unreachable", [event])
    assert says in decision["detail"]
    house.balances()


def test_a_frozen_camera_opens_no_door_with_the_picture_that_did_before(house):
    camera, scene = house.scene(latest=picture_of(ALICE), frozen=True)
    house.begins(camera)
    assert house.decision_at(camera)["outcome"] == "grant"
    pulled = scene.pulls
    event = house.begins(camera)
    wait_until(lambda: scene.pulls >= pulled + 2, 20)
    house.frigate("end", event, camera)
    decision = house.decision_at(camera, 1)
    assert (decision["reason"], decision["events"]) == ("image_unreachable", [event])
    assert "frozen" in decision["detail"]
    house.balances()


def test_somebody_who_comes_into_view_later_is_granted_then(house):
    camera, scene = house.scene(go2rtc=empty_picture())
    begun = time.monotonic()
    event = house.begins(camera)
    wait_until(lambda: scene.pulls >= 4 and time.monotonic() - begun > 2, 20)
    assert house.decisions_at(camera) == []
    scene.go2rtc = picture_of(ALICE)
    decision = house.decision_at(camera)
    assert (decision["outcome"], decision["user"], decision["events"]) == ("grant", ALICE, [event])
    house.balances()


def test_two_events_of_one_person_are_each_named_once(house):
    camera, scene = house.scene(go2rtc=empty_picture())
    events = [house.begins(camera), house.begins(camera)]
    wait_until(lambda: scene.pulls >= 3, 20)
    scene.go2rtc = picture_of(ALICE)
    house.decision_at(camera)
    house.balances()
    assert [len(house.naming(event)) for event in events] == [1, 1]
    assert {one["outcome"] for one in house.decisions_at(camera)} == {"grant"}


def test_an_event_that_is_told_twice_is_hunted_once(house):
    camera, _ = house.scene(go2rtc=picture_of(ALICE))
    event = house.begins(camera)
    assert house.decision_at(camera)["events"] == [event]
    house.balances()  # until it is in the books, a second word of it says nothing new
    house.frigate("new", event, camera)
    house.sent += 1  # and is counted as replayed
    house.balances()
    assert len(house.decisions_at(camera)) == 1


def test_cars_are_none_of_the_gates_business_and_a_retained_event_causes_nothing(house):
    camera, _ = house.scene(go2rtc=picture_of(ALICE))
    car = house.begins(camera, "car")
    house.tell(f"cameras/{camera}/motion", "ON")
    decision = house.decision_at(camera)
    assert (decision["outcome"], len(decision["events"])) == ("grant", 1)  # the motion's, and no car's
    house.balances()
    assert (house.naming(car), len(house.decisions_at(camera))) == ([], 1)
    assert not any(RETAINED in event for one in house.listener.decisions for event in one["events"])
    assert not any(RETAINED in path for path in house.standing.asked)


@pytest.mark.parametrize("payload", [b"", b"ON", b'{"state": "ON", "battery": 90}', b'{"event": "ring-1"}'])
def test_motion_before_a_plain_camera_pulls_its_snapshot_url(house, payload):
    camera, _ = house.bell(picture_of(ALICE))
    house.tell(f"cameras/{camera}/motion", payload)
    decision = house.decision_at(camera)
    assert (decision["outcome"], decision["user"], len(decision["events"])) == ("grant", ALICE, 1)
    assert (b"ring-1" in payload) == (decision["events"] == ["ring-1"])
    house.balances()


@pytest.mark.parametrize("payload", [b"OFF", b'{"occupancy": false}'])
def test_the_end_of_motion_ends_the_hunt(house, payload):
    camera, scene = house.bell(empty_picture())
    house.tell(f"cameras/{camera}/motion", b"ON")
    wait_until(lambda: scene.pulls >= 2, 20)
    house.listener.publish(f"cameras/{camera}/motion", payload)  # no event: nothing to account for
    assert house.decision_at(camera)["reason"] == "no_face"
    house.balances()
    assert len(house.decisions_at(camera)) == 1


def event_with(url: str, name: str) -> str:
    return json.dumps({"event": name, "image_url": url})


def test_an_image_url_on_a_host_of_the_settings_is_fetched(house):
    camera, _ = house.scene(latest=picture_of(ALICE))
    house.tell(f"cameras/{camera}/event", event_with(f"{house.standing.url}/api/{camera}/latest.jpg", "url-1"))
    decision = house.listener.decision_on("url-1", 20)
    assert (decision["outcome"], decision["user"]) == ("grant", ALICE)
    house.balances()


def test_a_redirect_to_loopback_is_not_followed(house):
    camera, _ = house.scene(latest=picture_of(ALICE))
    with answering(handler_of(other := FrigateStandIn(scenes=house.standing.scenes))) as port:
        target = f"http://127.0.0.1:{port}/api/{camera}/latest.jpg"
        house.tell(f"cameras/{camera}/event", event_with(f"{house.standing.url}/away?to={target}", "url-2"))
        redirected = house.listener.decision_on("url-2", 20)
        house.tell(f"cameras/{camera}/event", event_with(target, "url-3"))
        direct = house.listener.decision_on("url-3", 20)
    assert [one["reason"] for one in (redirected, direct)] == ["image_unreachable"] * 2
    assert "redirects" in redirected["detail"]
    assert other.asked == []
    house.balances()


def test_the_log_tells_of_hunts_without_names_pictures_or_tracebacks_and_torch_stays_out(house):
    camera, _ = house.scene(go2rtc=picture_of(ALICE))
    house.begins(camera)
    assert house.decision_at(camera)["user"] == ALICE
    log = house.daemon.log.read_text("utf-8", "strict")
    assert "decided" in log
    assert "Traceback" not in log
    for person in ENROLLED:
        assert not re.search(rf"\b({person.slug}|{person.name})\b", log, re.IGNORECASE), person.slug
    assert not re.search(r"[A-Za-z0-9+/=]{120,}|JFIF|\\x[0-9a-f]{2}|([-0-9.e]+, ){8}", log)
    assert "torch" not in Path(f"/proc/{house.daemon.pid}/maps").read_text()


def test_a_stop_in_the_middle_of_hunts_answers_their_events(household, mosquitto):
    scenes = {"porch": Scene(latest=empty_picture()), "yard": Scene()}
    with answering(handler_of(standing := FrigateStandIn(scenes=scenes))) as port:
        url = f"http://127.0.0.1:{port}"
        with serving(household, mosquitto.port, FACEGATE_FRIGATE__URL=url) as (daemon, listener):
            events = {camera: f"{time.time():.6f}-{camera}" for camera in scenes}
            for camera, event in events.items():
                listener.client.publish("frigate/events", frigate_says("new", event, camera), qos=1)
            wait_until(lambda: scenes["porch"].pulls >= 2 and any("yard" in path for path in standing.asked), 20)
            stopped = daemon.stop()
            decision = listener.decision_on(events["porch"])
    assert stopped.code == 0
    assert stopped.seconds < 5
    assert decision["reason"] == "no_face"
    assert sorted(decision["events"]) == sorted(events.values())  # one door, one visit
    with open_storage(Settings(data_dir=household)) as storage:
        assert storage.events.unsettled() == 0
        assert storage.events.tally() == {"in": 2, "decided": 2, "counted": {}}
