"""A message as it came from the broker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_PACKET_BYTES: Final = 1_900_000
"""mosquitto 2.1 cuts a client off that sends, or is sent, more than 2,000,000 bytes in one packet."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came in.

    Attributes:
        topic: Where.
        payload: What.
        retained: The broker had it lying there: it says nothing of now.
        properties: MQTT 5 user properties, the last of each name; empty with MQTT 3.1.1.
        waited: It lay at the broker while nobody was connected, or here while the process stood still: nobody knows
            since when.
    """

    topic: str
    payload: bytes = field(repr=False)
    retained: bool = False
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    waited: bool = False
