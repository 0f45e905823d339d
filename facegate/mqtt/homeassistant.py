"""What Home Assistant is told, so that it shows the gate by itself: MQTT discovery in the per-component form.

`<prefix>/<component>/facegate_<installation>/<object>/config` is understood from 2023 to 2026.11. Entity ids are
proposed by `default_entity_id`; `object_id`, which did so before, is gone since 2026.4 and never sent.

Only discovery is retained. What a grant moves is fed from the decisions themselves, which are not, so it is unknown
after a restart. The name and the reason also expire: an entity that comes back from `unavailable` takes up its old
state, and an automation on "alice" would open the door at every restart of the broker. Automations belong on the
`event` entity, which refuses whatever is retained.

Templates render nothing, or `None`, for what is not there: a template that fails writes a warning into the log.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from facegate import __version__
from facegate.core.policy import Door
from facegate.core.slugs import is_slug
from facegate.errors import UnusableInputError
from facegate.mqtt.topics import Topics

MOMENT_SECONDS: Final = 60
"""Name and reason of the last decision are shown for so long."""

LONGEST_STATE: Final = 255

_SAID: Final = "{% set said = value_json if value_json is defined and value_json is mapping else {} %}"
_GRANTED: Final = "said.get('outcome') == 'grant'"
_EVENT: Final = (
    _SAID + "{% if said.get('outcome') in ('grant', 'deny') %}"
    "{{ {'event_type': 'granted' if " + _GRANTED + " else 'denied', 'user': said.get('user'), "
    "'reason': said.get('reason'), 'decision': said.get('decision'), 'expires_at': said.get('expires_at')} | tojson }}"
    "{% endif %}"
)
_PASSED: Final = _SAID + "{{ 'ON' if " + _GRANTED + " else '' }}"
_USER: Final = _SAID + "{{ (said.get('user') or 'None') if " + _GRANTED + " else 'None' }}"
_REASON: Final = _SAID + "{{ said.get('reason') or 'None' }}"
_MODEL: Final = _SAID + f"{{{{ ((said.get('model') or 'None') | string)[:{LONGEST_STATE}] }}}}"
_QUEUE: Final = _SAID + "{{ said.get('queue', 'None') }}"
_ONLINE: Final = _SAID + "{{ 'online' if said.get('state') == 'online' else 'offline' }}"

#: Component and object of every entity of a door. No object is the beginning of another, so ids cannot collide.
DOOR_ENTITIES: Final = (
    ("event", "decision"),
    ("binary_sensor", "granted"),
    ("sensor", "user"),
    ("sensor", "reason"),
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A retained message to Home Assistant; without a document it takes the entity away."""

    topic: str
    document: dict[str, Any] | None

    @property
    def payload(self) -> str:
        """The bytes on the wire."""
        return "" if self.document is None else json.dumps(self.document, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Node:
    """This installation among others: where its discovery goes and what its ids begin with."""

    topics: Topics
    name: str

    def config(self, component: str, what: str) -> str:
        return f"{self.topics.homeassistant}/{component}/{self.name}/{what}/config"


def announcements(
    installation: str, topics: Topics, doors: Iterable[Door], *, granted_seconds: float = 5.0
) -> list[Announcement]:
    """Return what makes the service and every door appear.

    Args:
        installation: What tells this facegate from others, for ever the same: letters, digits, `_` and `-`.
        topics: Where states and discovery go.
        doors: The doors there are.
        granted_seconds: For so long a grant turns the binary sensor on.

    Raises:
        UnusableInputError: The installation's id is no slug.
    """
    node = _node(installation, topics)
    return _service(node) + [made for door in doors for made in _door(node, door, granted_seconds)]


def withdrawals(installation: str, topics: Topics, door: str) -> list[Announcement]:
    """Return what takes every entity of a removed door away.

    Raises:
        UnusableInputError: The installation's id is no slug.
    """
    node = _node(installation, topics)
    return [Announcement(node.config(component, f"{what}_{door}"), None) for component, what in DOOR_ENTITIES]


def _service(node: _Node) -> list[Announcement]:
    device = {"identifiers": [node.name], "name": "facegate", "manufacturer": "facegate", "model": "Service"}
    fields = {
        "model": {"name": "Model", "icon": "mdi:face-recognition", "value_template": _MODEL},
        "queue": {"name": "Queue", "icon": "mdi:tray-full", "state_class": "measurement", "value_template": _QUEUE},
    }
    shared = {"state_topic": node.topics.status, "entity_category": "diagnostic"}
    return [
        _entity(node, "sensor", what, device, shared | more | {"default_entity_id": f"sensor.facegate_{what}"})
        for what, more in fields.items()
    ]


def _door(node: _Node, door: Door, granted_seconds: float) -> list[Announcement]:
    device = {
        "identifiers": [f"{node.name}_door_{door.slug}"],
        "name": door.name.strip() or door.slug,
        "manufacturer": "facegate",
        "model": "Door",
        "via_device": node.name,
    }
    fields: dict[str, dict[str, Any]] = {
        "decision": {
            "name": "Decision",
            "icon": "mdi:door",
            "event_types": ["granted", "denied"],
            "value_template": _EVENT,
        },
        "granted": {
            "name": "Granted",
            "icon": "mdi:door-open",
            "off_delay": max(1, math.ceil(granted_seconds)),
            "value_template": _PASSED,
        },
        "user": {
            "name": "Last user",
            "icon": "mdi:account",
            "expire_after": MOMENT_SECONDS,
            "value_template": _USER,
        },
        "reason": {
            "name": "Last reason",
            "icon": "mdi:help-circle-outline",
            "expire_after": MOMENT_SECONDS,
            "value_template": _REASON,
        },
    }
    heard = {"state_topic": node.topics.decision(door.slug)}
    return [
        _entity(
            node,
            component,
            f"{what}_{door.slug}",
            device,
            heard | fields[what] | {"default_entity_id": f"{component}.facegate_{_plain(door.slug)}_{what}"},
        )
        for component, what in DOOR_ENTITIES
    ]


def _entity(node: _Node, component: str, what: str, device: dict[str, Any], fields: dict[str, Any]) -> Announcement:
    """Make one entity's announcement from what it has of its own."""
    common = {
        "unique_id": f"{node.name}_{what}",
        "qos": 1,
        "availability": [{"topic": node.topics.status, "value_template": _ONLINE}],
        "device": device | {"sw_version": __version__},
        "origin": {"name": "facegate", "sw_version": __version__},
    }
    name = _beside(str(fields["name"]), str(device["name"]))
    return Announcement(node.config(component, what), fields | {"name": name} | common)


def _beside(name: str, device: str) -> str:
    """Return an entity's name that does not begin with its device's, which Home Assistant complains about."""
    return f"Its {name.lower()}" if name.casefold().startswith(device.casefold()) else name


def _plain(slug: str) -> str:
    """Return a slug as it may stand in an entity id: single underscores, none at the ends."""
    return re.sub(r"[^a-z0-9]+", "_", slug).strip("_") or "door"


def _node(installation: str, topics: Topics) -> _Node:
    if not is_slug(installation):
        raise UnusableInputError(f"{installation[:80]!r} cannot name an installation", "Use small letters and digits")
    return _Node(topics, f"facegate_{installation}")
