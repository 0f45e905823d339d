"""What Home Assistant hears on a real mosquitto of a real daemon: its discovery, and what becomes of its decisions."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from facegate.core.policy import EVERYONE, Door, Permission
from facegate.settings import Settings
from facegate.storage.opening import open_storage
from tests.e2e.household import ENROLLED, STRANGERS, Daemon, Listener, copy_household, picture_of, serving, wait_until
from tests.mosquitto import Mosquitto, mosquitto_in

ALICE = ENROLLED[0].slug


class Ear:
    """Home Assistant's client: keeps the last payload of each topic, and how often each came."""

    def __init__(self, port: int, *filters: str) -> None:
        self.last: dict[str, paho.MQTTMessage] = {}
        self.came: dict[str, int] = {}
        self._news = threading.Condition()
        subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe([(name, 1) for name in filters])
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = self._hear
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(10)

    def _hear(self, _client, _data, message) -> None:
        with self._news:
            self.last[message.topic] = message
            self.came[message.topic] = self.came.get(message.topic, 0) + 1
            self._news.notify_all()

    def wait(self, condition, seconds: float = 20.0) -> bool:
        with self._news:
            return self._news.wait_for(condition, seconds)

    def configs(self, of: str = "") -> dict[str, dict]:
        """The announced entities by topic, those whose topic holds `of`; withdrawn ones are left out."""
        with self._news:
            found = dict(self.last)
        return {topic: json.loads(one.payload) for topic, one in found.items() if of in topic and one.payload}


@contextmanager
def ear(port: int, *filters: str) -> Iterator[Ear]:
    made = Ear(port, *(filters or ("homeassistant/+/+/+/config",)))
    try:
        yield made
    finally:
        made.client.disconnect()
        made.client.loop_stop()


def lying(port: int, pattern: str) -> dict[str, bytes]:
    """What lies at the broker retained: a fresh client gets it before the answer to a question of its own."""
    with ear(port, pattern, "test/end") as fresh:
        fresh.client.publish("test/end", "x", qos=1)
        assert fresh.wait(lambda: "test/end" in fresh.last)
        return {topic: one.payload for topic, one in fresh.last.items() if one.retain and topic != "test/end"}


def announced(port: int) -> dict[str, dict]:
    """The entities that lie at the broker once the daemon has announced the service and one door."""
    wait_until(lambda: len(lying(port, "homeassistant/#")) >= 6, 20, "the announcement")
    return {topic: json.loads(payload) for topic, payload in lying(port, "homeassistant/#").items()}


def facegate(folder: Path, *arguments: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FACEGATE_")}
    environment["FACEGATE_DATA_DIR"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-m", "facegate", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def add_side_door(folder: Path) -> None:
    with open_storage(Settings(data_dir=folder)) as storage:
        storage.doors.add(Door("side", "Side door", ("alley",), permissions=(Permission(EVERYONE),)))


def remove_side_door(folder: Path) -> None:
    with open_storage(Settings(data_dir=folder)) as storage:
        storage.doors.remove("side")


def rendered(template: str, payload: bytes) -> str:
    """What Home Assistant makes of a payload; an undefined name raises here where it would log a warning."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    return environment.from_string(template).render(value=payload.decode(), value_json=json.loads(payload))


class Home:
    def __init__(self, folder: Path, broker: Mosquitto, daemon: Daemon, listener: Listener) -> None:
        self.folder, self.broker, self.daemon, self.listener = folder, broker, daemon, listener


@pytest.fixture(scope="module")
def home(household_template, tmp_path_factory) -> Iterator[Home]:
    folder = copy_household(household_template, tmp_path_factory.mktemp("home") / "data")
    with mosquitto_in(tmp_path_factory.mktemp("mosquitto")) as broker, serving(folder, broker.port) as served:
        yield Home(folder, broker, *served)


def test_the_service_and_each_door_are_announced_retained_in_the_per_component_form(home):
    configs = announced(home.broker.port)
    nodes = {topic.split("/")[2] for topic in configs}
    assert len(nodes) == 1
    node = nodes.pop()
    assert node.startswith("facegate_")
    assert sorted(configs) == [
        f"homeassistant/binary_sensor/{node}/granted_front/config",
        f"homeassistant/event/{node}/decision_front/config",
        *(f"homeassistant/sensor/{node}/{what}/config" for what in ("model", "queue", "reason_front", "user_front")),
    ]
    for topic, said in configs.items():
        component = topic.split("/")[1]
        assert said["default_entity_id"].startswith(f"{component}.facegate_")
        assert "object_id" not in said
        assert said["origin"]["name"] == "facegate"
        assert said["availability"][0]["topic"] == "facegate/status"
        status = home.listener.status
        assert rendered(said["availability"][0]["value_template"], json.dumps(status).encode()) == "online"
    assert len({said["unique_id"] for said in configs.values()}) == len(configs)
    assert {said["device"]["name"] for said in configs.values()} == {"facegate", "Front door"}


def test_everything_is_announced_again_when_home_assistant_comes_back(home):
    with ear(home.broker.port) as hears:
        assert hears.wait(lambda: len(hears.last) >= 6)
        before = dict(hears.came)
        hears.client.publish("homeassistant/status", "online", qos=1)
        assert hears.wait(lambda: all(hears.came[topic] > count for topic, count in before.items()))
        hears.client.publish("homeassistant/status", "offline", qos=1)


def test_a_door_that_is_removed_takes_its_entities_along(home):
    with ear(home.broker.port) as hears:
        facegate(home.folder, "doors", "add", "back", "--camera", "garden", "--name", "Back door")
        assert hears.wait(lambda: len(hears.configs("_back/config")) == 4), sorted(hears.last)
        facegate(home.folder, "doors", "set", "back", "--name", "Garden door")
        assert hears.wait(
            lambda: {one["device"]["name"] for one in hears.configs("_back/").values()} == {"Garden door"}
        ), "a door's new name is not announced"
        facegate(home.folder, "doors", "remove", "back")
        assert hears.wait(lambda: not hears.configs("_back/config")), sorted(hears.configs("_back"))
        assert len(hears.configs()) == 6
    assert not any("_back/" in topic for topic in lying(home.broker.port, "homeassistant/#"))


def side_topics(port):
    return [topic for topic in lying(port, "homeassistant/#") if "_side/" in topic]


def test_a_door_that_is_removed_while_the_broker_is_away_takes_its_entities_along_later(home):
    add_side_door(home.folder)
    with ear(home.broker.port) as hears:
        assert hears.wait(lambda: len(hears.configs("_side/")) == 4)
        home.broker.stop()
        remove_side_door(home.folder)
        remembered = home.folder / "homeassistant.json"
        deadline = time.monotonic() + 1.5  # twice the pace at which the daemon looks for changes
        while "side" in remembered.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
    home.broker.start()
    # Whoever listened may come back later than the daemon, and then hears nothing of it: what lies there counts.
    wait_until(lambda: not side_topics(home.broker.port), 30, "taking the door's entities along")


def test_a_decision_is_the_event_that_was_promised_and_lies_nowhere(home):
    configs = announced(home.broker.port)
    templates = {topic.split("/")[3]: said["value_template"] for topic, said in configs.items()}
    with ear(home.broker.port, "facegate/doors/+/decision") as hears:
        for name, slug, expected in (("ha-in", ALICE, "granted"), ("ha-out", STRANGERS[0].slug, "denied")):
            home.listener.online()
            decision = home.listener.ask("porch", picture_of(slug), name)
            assert hears.wait(lambda name=name: any(name.encode() in one.payload for one in hears.last.values()))
            payload = hears.last["facegate/doors/front/decision"].payload
            said = json.loads(rendered(templates["decision_front"], payload))
            assert said == {
                "event_type": expected,
                "user": decision["user"],
                "reason": decision["reason"],
                "decision": decision["decision"],
                "expires_at": decision["expires_at"],
            }
            granted = expected == "granted"
            assert rendered(templates["granted_front"], payload) == ("ON" if granted else "")
            assert rendered(templates["user_front"], payload) == (ALICE if granted else "None")
            assert rendered(templates["reason_front"], payload) == decision["reason"]
    assert lying(home.broker.port, "facegate/doors/#") == {}
    assert set(lying(home.broker.port, "facegate/#")) == {"facegate/status"}


def test_a_second_start_keeps_the_installations_id_and_withdraws_the_doors_that_went_meanwhile(household, mosquitto):
    add_side_door(household)
    with serving(household, mosquitto.port), ear(mosquitto.port) as hears:
        assert hears.wait(lambda: len(hears.last) >= 10)
        before = set(hears.configs())
    remove_side_door(household)
    with serving(household, mosquitto.port), ear(mosquitto.port) as hears:
        left = {topic for topic in before if "_side/" not in topic}
        assert len(left) == 6
        assert hears.wait(lambda: set(hears.configs()) == left), sorted(hears.configs())
