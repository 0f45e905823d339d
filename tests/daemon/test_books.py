from facegate.daemon.books import Books
from tests.fakes import START, MemoryEvents


def test_what_the_database_cannot_take_is_counted_in_memory_and_added_to_its_sums():
    events = MemoryEvents()
    books = Books(events)
    assert books.open("e1", "porch", START, "")
    events.broken = True
    assert not books.open("e2", "porch", START, "")
    events.broken = False
    books.count(["e1"], "superseded")
    tally = books.tally()
    assert (tally.taken_in, tally.decided, dict(tally.counted)) == (2, 0, {"superseded": 1, "not_recorded": 1})


def test_settling_that_failed_is_made_up_for_once():
    events = MemoryEvents()
    books = Books(events)
    for name in ("e1", "e2"):
        books.open(name, "porch", START, "")
    events.broken = True
    books.count(["e1"], "superseded")
    books.count(["e2"], "stopped")
    books.catch_up()  # still broken: kept for the next time
    events.broken = False
    books.catch_up()
    books.catch_up()
    assert events.tallies["superseded"] == 1
    assert events.tallies["stopped"] == 1
    assert events.balanced
