"""The storage on a real PostgreSQL: the same promises as on SQLite."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from facegate.core.policy import Door, Permission
from facegate.errors import NotReadyError, RefusedError
from facegate.settings import DatabaseSection, RetentionSection, Settings
from facegate.storage import audit, open_storage, schema
from facegate.storage.backup import back_up
from facegate.storage.engine import open_engine, reading
from facegate.storage.frames import DecisionFrame
from facegate.storage.photos import Enrollee
from facegate.storage.retention import Retention
from facegate.storage.tables import Base
from tests.fakes import START
from tests.storage.decisions import MODEL, a_decision
from tests.storage.photos import a_photo


@pytest.fixture
def settings(tmp_path, postgresql_url):
    return Settings(data_dir=tmp_path, database=DatabaseSection(url=postgresql_url))


@pytest.fixture
def storage(settings):
    with open_storage(settings, upgrade_empty=True) as opened:
        yield opened


def test_the_schema_goes_up_down_and_up_again_and_equals_the_tables(postgresql_url):
    engine = open_engine(postgresql_url)
    for revision in ("base", "0002", "0001", None):
        schema.upgrade(engine)
        with reading(engine) as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
        if revision:
            schema.downgrade(engine, revision)
    schema.require_current(engine)
    engine.dispose()


def test_users_doors_and_references_come_back(settings, storage):
    storage.photos.enroll(Enrollee("alice", "Alice", ("staff",)), [a_photo(0)], model=MODEL, now=START)
    storage.photos.enroll(Enrollee("bob"), [a_photo(1)], model=MODEL, now=START)
    door = Door("front", "Front", ("porch",), permissions=(Permission("staff"),), zone="Europe/Berlin")
    storage.doors.add(door)
    with pytest.raises(RefusedError, match="belongs to another door"):
        storage.doors.add(Door("side", "Side", ("porch",)))
    with open_storage(settings) as other:
        roster = other.gallery.roster(MODEL)
        assert roster.references.users == ("alice", "bob")
        assert roster.doors == {"front": door}
        other.users.remove("bob")
        other.photos.rotate_vault()
    assert storage.gallery.roster(MODEL).references.users == ("alice",)
    assert storage.users.find("alice").created_at == START


def test_processes_that_race_settle_each_event_once_and_the_chain_has_one_end(settings, storage):
    events = [f"event-{number}" for number in range(15)]
    start, refused = threading.Barrier(4), []

    def work(number):
        with open_storage(settings) as own:
            start.wait()
            for event in events:
                own.events.open(event, "porch", START, "")
                try:
                    if number % 2:
                        own.events.count([event], "superseded")
                    else:
                        own.decisions.record(a_decision(event, id=f"{number}-{event}"))
                except RefusedError:
                    refused.append(event)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally = storage.events.tally()
    assert tally["in"] == 4 * len(events) == tally["decided"] + sum(tally["counted"].values())
    assert storage.events.unsettled() == 0
    assert tally["decided"] == len(storage.decisions.newest())
    assert len(storage.decisions.newest()) + len(refused) == 2 * len(events)
    assert audit.verify(storage.engine, storage.signer, START).is_whole


def test_retention_keeps_the_sums_and_the_chain(storage):
    for number in range(3):
        storage.decisions.record(a_decision(f"event-{number}"))
    before = storage.events.tally()
    from datetime import timedelta

    Retention(storage.engine, storage.signer, RetentionSection(decisions_days=1, events_days=1)).apply(
        START + timedelta(days=9)
    )
    assert storage.decisions.newest() == []
    assert storage.events.tally() == before
    assert audit.verify(storage.engine, storage.signer, START).is_whole


def test_two_processes_that_upgrade_together_do_it_once(settings):
    failures = []

    def upgrade():
        try:
            open_storage(settings, upgrade_empty=True).close()
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_wrong_database_is_one_clear_line(postgresql_url):
    engine = open_engine(postgresql_url + "x")
    with pytest.raises(NotReadyError, match="has no such database"), reading(engine):
        pass


def test_a_backup_is_left_to_pg_dump(storage, tmp_path):
    with pytest.raises(RefusedError, match="Use pg_dump"):
        back_up(storage.engine, tmp_path / "backup.db")


def test_a_model_is_learned_promoted_rolled_back_and_forgotten_with_its_user(settings, storage):
    from facegate.verifier.enrollment import Enrollment
    from facegate.verifier.finetuning.promotion import Tuning
    from facegate.verifier.library import library_of
    from facegate.verifier.removal import remove
    from facegate.verifier.succession import roll_back
    from facegate.vision.composites import people
    from tests.verifier.models import lesson

    alice, bob = sorted(people()[:2], key=lambda person: person.slug)
    for person in (alice, bob):
        assert Enrollment.of(settings, storage).enroll(person.slug, None, [person.picture_path(0)]).accepted
    decision = a_decision("e1", user=alice.slug)
    storage.decisions.record(decision)
    crop = storage.photos.of_user(alice.slug)[0].crop
    assert storage.frames.keep(DecisionFrame(decision.id, alice.slug, "porch", START, crop), most=10)
    storage.decisions.speak(decision.id, "confirmed", START)
    storage.photos.rotate_vault()
    library = library_of(settings, storage.champions)
    learn = lesson(frames_as_references=True)
    run = Tuning(storage=storage, library=library, settings=settings, learn=learn).run(seed=1)
    assert (run.verdict, library_of(settings).load().id) == ("promoted", run.challenger)
    assert storage.users.find(alice.slug).references == {run.champion: 1, run.challenger: 2}
    assert roll_back(storage, library)[0].id == run.champion
    assert remove(storage, library, alice.slug).unlearned == (run.challenger,)
    assert storage.frames.count() == 0
    assert storage.gallery.roster(run.champion).references.users == (bob.slug,)
    assert storage.runs.due().trigger == "removal"
