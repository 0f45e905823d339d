from dataclasses import replace

import pytest

from facegate.core.policy import Mode
from facegate.daemon.orders import MAX_ORDERS, Orders, Powers
from facegate.errors import RefusedError, UnusableInputError
from facegate.mqtt.message import Message


class Rig:
    def __init__(self) -> None:
        self.modes, self.told, self.announced = [], [], 0
        self.failing = False
        self.orders = Orders(
            Powers(
                set_mode=self.set_mode,
                rollback=self.rollback,
                finetune=self.finetune,
                tell_models=self.told.append,
                announce=self.announce,
            )
        )
        self.runs = 0

    def set_mode(self, door, mode) -> None:
        if door == "nowhere":
            raise UnusableInputError("There is no door nowhere", "Name one that is there")
        self.modes.append((door, mode))

    def rollback(self) -> str:
        if self.failing:
            raise UnusableInputError("No model was in charge before this one", "Activate one")
        return "old@000000000000"

    def finetune(self) -> None:
        if self.failing:
            raise RefusedError("a fine-tune is running already", "Wait for its verdict")
        self.runs += 1

    def announce(self) -> None:
        self.announced += 1


@pytest.mark.parametrize(
    ("word", "mode"),
    [("lockdown", Mode.LOCKDOWN), ("disarm", Mode.DISARMED), ("arm", Mode.ARMED), ("arm\n", Mode.ARMED)],
)
def test_a_word_to_a_door_changes_its_mode(word, mode):
    rig = Rig()
    rig.orders.hear_door("front", Message("facegate/doors/front/command", word.encode()))
    assert rig.modes == []  # not on the network's thread
    rig.orders.carry_out()
    assert rig.modes == [("front", mode)]


@pytest.mark.parametrize("payload", [b"", b"open", b"\xff", b"x" * 10_000, b'{"lockdown": true}'])
def test_what_is_no_order_changes_nothing(payload):
    rig = Rig()
    rig.orders.hear_door("front", Message("facegate/doors/front/command", payload))
    rig.orders.hear_models(Message("facegate/models/command", payload))
    rig.orders.carry_out()
    assert rig.modes == []
    assert rig.told == []


def test_a_retained_order_is_not_honoured():
    rig = Rig()
    rig.orders.hear_door("front", Message("facegate/doors/front/command", b"disarm", retained=True))
    for word in (b"rollback", b"finetune"):
        rig.orders.hear_models(Message("facegate/models/command", word, retained=True))
    rig.orders.carry_out()
    assert (rig.modes, rig.runs) == ([], 0)
    assert rig.told == []


def test_an_order_that_fails_does_not_hold_up_the_next():
    rig = Rig()
    for door in ("nowhere", "front"):
        rig.orders.hear_door(door, Message(f"facegate/doors/{door}/command", b"lockdown"))
    rig.orders.carry_out()
    assert rig.modes == [("front", Mode.LOCKDOWN)]


def test_a_bug_in_one_order_loses_no_other():
    rig = Rig()
    rig.orders._powers = replace(rig.orders._powers, announce=lambda: 1 / 0)
    rig.orders.hear_homeassistant(Message("homeassistant/status", b"online"))
    rig.orders.hear_door("front", Message("facegate/doors/front/command", b"lockdown"))
    with pytest.raises(ZeroDivisionError):
        rig.orders.carry_out()
    rig.orders.carry_out()
    assert rig.modes == [("front", Mode.LOCKDOWN)]


def test_a_rollback_says_what_became_of_it():
    rig = Rig()
    rig.orders.hear_models(Message("facegate/models/command", b"rollback"))
    rig.orders.carry_out()
    rig.failing = True
    rig.orders.hear_models(Message("facegate/models/command", b"rollback"))
    rig.orders.carry_out()
    assert [document["verdict"] for document in rig.told] == ["rolled_back", "refused"]


def test_fine_tuning_is_begun_and_its_refusal_told():
    rig = Rig()
    rig.orders.hear_models(Message("facegate/models/command", b"finetune"))
    rig.orders.carry_out()
    assert (rig.runs, rig.told) == (1, [])
    rig.failing = True
    rig.orders.hear_models(Message("facegate/models/command", b"finetune"))
    rig.orders.carry_out()
    assert rig.told == [{"verdict": "refused", "reason": "a fine-tune is running already"}]


def test_a_flood_of_orders_is_bounded():
    rig = Rig()
    for number in range(MAX_ORDERS * 2):
        rig.orders.hear_door(f"door{number}", Message(f"facegate/doors/door{number}/command", b"lockdown"))
    rig.orders.carry_out()
    assert len(rig.modes) == MAX_ORDERS


def test_home_assistants_birth_announces_the_entities_again():
    rig = Rig()
    rig.orders.hear_homeassistant(Message("homeassistant/status", b"online"))
    rig.orders.hear_homeassistant(Message("homeassistant/status", b"offline"))
    rig.orders.carry_out()
    assert rig.announced == 1


def test_no_flood_of_other_orders_loses_a_lockdown(caplog):
    rig = Rig()
    for _ in range(600):
        rig.orders.hear_homeassistant(Message("homeassistant/status", b"online"))
    for number in range(2 * MAX_ORDERS):
        rig.orders.hear_door(f"door{number}", Message(f"facegate/doors/door{number}/command", b"arm"))
    rig.orders.hear_door("front", Message("facegate/doors/front/command", b"lockdown"))
    assert "an order is lost" in caplog.text
    rig.orders.carry_out()
    assert rig.announced <= 1
    assert rig.modes[-1] == ("front", Mode.LOCKDOWN)
    assert len(rig.modes) + rig.announced <= MAX_ORDERS


def test_of_many_orders_to_one_door_the_newest_is_carried_out():
    rig = Rig()
    for word in (b"arm", b"disarm") * 750 + (b"lockdown",):
        rig.orders.hear_door("front", Message("facegate/doors/front/command", word))
    rig.orders.carry_out()
    assert rig.modes == [("front", Mode.LOCKDOWN)]
