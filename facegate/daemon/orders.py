"""What operators say over MQTT: to a door, to the networks. Never honoured when retained.

Orders are read on the network's thread and carried out by the loop that decides, in the order in which they came; of
several about one door the newest.
"""

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from facegate.core.policy import Mode
from facegate.errors import FacegateError, UnusableInputError
from facegate.mqtt.message import Message
from facegate.mqtt.payloads import DoorWord, ModelsWord, door_word, homeassistant_is_online, models_word

log = logging.getLogger(__name__)

MODES: Final = {DoorWord.LOCKDOWN: Mode.LOCKDOWN, DoorWord.DISARM: Mode.DISARMED, DoorWord.ARM: Mode.ARMED}
MAX_ORDERS: Final = 100
"""Orders that wait at most; a flood of them is nothing that an operator says."""


@dataclass(frozen=True, slots=True)
class Powers:
    """What orders can bring about.

    Attributes:
        set_mode: Puts a door into a mode.
        rollback: Puts the model in charge that was before; returns its id.
        finetune: Begins to learn; its verdict is told when there is one.
        tell_models: Publishes what became of an order to the networks.
        announce: Announces the entities to Home Assistant.
    """

    set_mode: Callable[[str, Mode], None]
    rollback: Callable[[], str]
    finetune: Callable[[], None]
    tell_models: Callable[[dict[str, str]], None]
    announce: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered.

    Attributes:
        name: For the log.
        carry_out: Does it.
        shuts: It makes a door safer, and is not lost among others.
    """

    name: str
    carry_out: Callable[[], None]
    shuts: bool = False


class Orders:
    """Reads orders, keeps them, and carries them out."""

    def __init__(self, powers: Powers) -> None:
        self._powers = powers
        self._lock = threading.Lock()
        self._waiting: dict[str, Order] = {}
        self._number = itertools.count()

    def hear_door(self, door: str, message: Message) -> None:
        """Take `lockdown`, `disarm` or `arm`."""
        if self._honoured(message):
            self._read(message, lambda: self._to_door(door, door_word(message)))

    def hear_models(self, message: Message) -> None:
        """Take `rollback` or `finetune`."""
        if self._honoured(message):
            self._read(message, lambda: self._to_models(models_word(message)))

    def hear_homeassistant(self, message: Message) -> None:
        """Announce the entities again when Home Assistant says that it has come."""
        if homeassistant_is_online(message):
            self._wait("announce", Order("announce", self._powers.announce))

    def carry_out(self) -> None:
        """Do what was ordered; what fails is logged, and the next order is not held up."""
        while (order := self._next()) is not None:
            try:
                order.carry_out()
                log.info("order carried out", extra={"order": order.name})
            except FacegateError as error:
                log.warning("order refused", extra={"order": order.name, "why": error.what})

    def _next(self) -> Order | None:
        with self._lock:
            return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None

    def _to_door(self, door: str, word: DoorWord) -> None:
        order = Order(f"{word} {door}", lambda: self._powers.set_mode(door, MODES[word]), word is DoorWord.LOCKDOWN)
        self._wait(f"door {door}", order)

    def _to_models(self, word: ModelsWord) -> None:
        order = Order(str(word), self._roll_back if word is ModelsWord.ROLLBACK else self._finetune)
        self._wait(f"models {next(self._number)}", order)

    def _roll_back(self) -> None:
        try:
            document = {"verdict": "rolled_back", "model": self._powers.rollback()}
        except FacegateError as error:
            document = {"verdict": "refused", "reason": error.what}
        self._powers.tell_models(document)

    def _finetune(self) -> None:
        try:
            self._powers.finetune()
        except FacegateError as error:
            self._powers.tell_models({"verdict": "refused", "reason": error.what})

    def _honoured(self, message: Message) -> bool:
        if message.retained:
            log.warning("a retained order is not honoured", extra={"topic": message.topic})
        return not message.retained

    def _read(self, message: Message, take: Callable[[], None]) -> None:
        try:
            take()
        except UnusableInputError as error:
            log.warning("an order cannot be read", extra={"topic": message.topic, "why": error.what})

    def _wait(self, about: str, order: Order) -> None:
        """Keep an order: of those about one thing the newest. Of too many, one that shuts no door is lost, and told."""
        with self._lock:
            self._waiting.pop(about, None)
            if len(self._waiting) >= MAX_ORDERS:
                lost = next((key for key, one in self._waiting.items() if not one.shuts), None)
                if lost is None or not order.shuts:
                    log.warning("an order is lost: too many wait", extra={"order": order.name})
                    return
                log.warning("an order is lost: too many wait", extra={"order": self._waiting.pop(lost).name})
            self._waiting[about] = order
