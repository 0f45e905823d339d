import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from sqlalchemy import delete, update

from facegate.storage import open_storage
from facegate.storage.champions import Lead, SucceededError, require_position
from facegate.storage.engine import writing
from facegate.storage.tables import ChampionRow
from tests.fakes import START

SHIPPED, FIRST, SECOND = (Lead(name, f"{name}@0123456789ab") for name in ("twin-1", "home-1", "home-2"))


def leads(storage):
    return [champion.lead for champion in storage.champions.succession()]


def test_nobody_leads_before_somebody_was_put_in_charge(storage):
    assert storage.champions.leading() is None
    assert storage.champions.succession() == []


def test_who_led_before_is_written_down_once(storage):
    for _ in range(2):
        storage.champions.begin([SHIPPED, FIRST], START)
    assert leads(storage) == [FIRST, SHIPPED]


def test_appointing_who_leads_changes_nothing(storage):
    storage.champions.begin([SHIPPED], START)
    first = storage.champions.appoint(FIRST, START)
    assert storage.champions.appoint(FIRST, START) == first


def test_going_back_twice_goes_back_two_steps_and_forgets_nothing(storage):
    storage.champions.begin([SHIPPED], START)
    storage.champions.appoint(FIRST, START)
    storage.champions.appoint(SECOND, START)
    for expected in ([FIRST, SHIPPED], [SHIPPED]):
        storage.champions.go_back(storage.champions.succession()[1], START)
        assert leads(storage) == expected
    assert [champion.lead for champion in storage.champions.listed()] == [SHIPPED, FIRST, SECOND, FIRST, SHIPPED]


def test_after_a_rollback_a_new_champion_leads_back_to_where_it_came_from(storage):
    storage.champions.begin([SHIPPED], START)
    storage.champions.appoint(FIRST, START)
    storage.champions.go_back(storage.champions.succession()[1], START)
    storage.champions.appoint(SECOND, START)
    assert leads(storage) == [SECOND, SHIPPED]


def test_who_worked_for_another_champion_is_stopped(storage):
    seen = storage.champions.position()
    storage.champions.appoint(FIRST, START)
    with writing(storage.engine) as connection, pytest.raises(SucceededError, match="Another model was put in charge"):
        require_position(connection, seen)


@pytest.mark.parametrize("change", ["appoint", "go_back"])
def test_a_change_of_champion_grows_the_revision(settings, storage, change):
    storage.champions.begin([SHIPPED], START)
    storage.champions.appoint(FIRST, START)
    before = storage.gallery.revision()
    with open_storage(settings) as other:
        if change == "appoint":
            other.champions.appoint(SECOND, START)
        else:
            other.champions.go_back(other.champions.succession()[1], START)
    assert storage.gallery.revision() > before


@settings_of_hypothesis(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders=st.lists(st.sampled_from(["a", "b", "c", "back"]), max_size=10))
def test_appointments_and_rollbacks_are_a_stack_and_nothing_is_ever_rewritten(storage, orders):
    with writing(storage.engine) as connection:
        connection.execute(update(ChampionRow).values(before=None))
        connection.execute(delete(ChampionRow))
    storage.champions.begin([SHIPPED], START)
    stack, told = [SHIPPED], storage.champions.listed()
    for order in orders:
        if order != "back":
            lead = Lead(order, f"{order}@0123456789ab")
            storage.champions.appoint(lead, START)
            stack = stack if stack[0] == lead else [lead, *stack]
        elif len(stack) > 1:
            storage.champions.go_back(storage.champions.succession()[1], START)
            stack = stack[1:]
        assert leads(storage) == stack
        now = storage.champions.listed()
        assert now[len(now) - len(told) :] == told
        told = now
