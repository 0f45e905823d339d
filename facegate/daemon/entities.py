"""The entities in Home Assistant: announced for every door there is, and taken along when a door is removed.

What is announced is retained at the broker, so it outlives the daemon; which doors were announced is therefore kept in
the data folder, beside the id that makes this installation's entities its own. A door is written down there before it
is announced and crossed out after the broker took its withdrawal, so that neither a crash nor a broker that is away
leaves entities behind for ever.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from facegate.core.ports import Roster
from facegate.daemon.publishing import Channel
from facegate.mqtt.homeassistant import Announcement, announcements, withdrawals
from facegate.mqtt.topics import Topics
from facegate.settings import Settings
from facegate.verifier.files import replace_file

log = logging.getLogger(__name__)


class Entities:
    """Announces and withdraws. Used by the loop alone.

    Args:
        channel: Sends messages.
        topics: Where.
        settings: Whether to announce at all, and where ids are kept.
        fresh_id: Random text for an installation that has no id yet.
    """

    def __init__(self, channel: Channel, topics: Topics, settings: Settings, fresh_id: str) -> None:
        self._channel = channel
        self._topics = topics
        self._on = settings.homeassistant.discovery
        self._granted_seconds = settings.gate.grant_seconds
        self._path = settings.data_dir / "homeassistant.json"
        self._installation, self._doors = remembered(self._path, fresh_id)
        self._names: dict[str, str] = {}

    def follow(self, roster: Roster) -> None:
        """Announce anew if the doors have changed, or their names."""
        if set(roster.doors) != self._doors or names_of(roster) != self._names:
            self.announce(roster)

    def announce(self, roster: Roster) -> None:
        """Announce the service and every door, and withdraw the doors that are gone."""
        if not self._on:
            return
        gone = self._doors - set(roster.doors)
        self._remember(self._doors | set(roster.doors))
        withdrawn = {door for door in sorted(gone) if self._sent(withdrawals(self._installation, self._topics, door))}
        announced = self._sent(
            announcements(
                self._installation, self._topics, roster.doors.values(), granted_seconds=self._granted_seconds
            )
        )
        self._remember(self._doors - withdrawn)
        self._names = names_of(roster) if announced else {}

    def _remember(self, doors: set[str]) -> None:
        """Write down which doors may have entities at the broker."""
        if doors == self._doors and self._path.is_file():
            return
        self._doors = doors
        document = {"installation": self._installation, "doors": sorted(doors)}
        replace_file(self._path, json.dumps(document).encode())

    def _sent(self, entities: Iterable[Announcement]) -> bool:
        """Send what is retained until the broker does not take one; tell whether it took all."""
        return all(self._channel.publish(entity.topic, entity.payload, retain=True) for entity in entities)


def names_of(roster: Roster) -> dict[str, str]:
    """Return what is shown of each door."""
    return {slug: door.name for slug, door in roster.doors.items()}


def remembered(path: Path, fresh_id: str) -> tuple[str, set[str]]:
    """Return the installation's id and the doors that were announced; a new id where nothing is remembered."""
    try:
        document = json.loads(path.read_text("utf-8"))
        return str(document["installation"]), {str(door) for door in document["doors"]}
    except FileNotFoundError:
        return fresh_id, set()
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("what was announced to Home Assistant cannot be read; its entities get a new id")
        return fresh_id, set()
