import sqlite3
import time

import numpy as np
import pytest
from sqlalchemy import insert

from facegate.core.policy import Door, Permission
from facegate.errors import NotReadyError
from facegate.settings import Settings
from facegate.storage import open_storage
from facegate.storage.engine import writing
from facegate.storage.photos import Enrollee
from facegate.storage.places import template_place
from facegate.storage.tables import PhotoRow, ReferenceRow, UserRow
from tests.fakes import START

MODEL, OTHER = "twins@0123456789ab", "others@ba9876543210"


def enroll(storage, slug, *photos, model=MODEL, **options):
    return storage.photos.enroll(Enrollee(slug), photos, model=model, now=START, **options)


def test_the_roster_holds_users_references_and_doors(storage, photo):
    enroll(storage, "alice", photo(0), photo(1))
    enroll(storage, "bob", photo(2))
    storage.doors.add(Door("front", "Front", ("porch", "yard"), permissions=(Permission("staff"),)))
    roster = storage.gallery.roster(MODEL)
    assert roster.references.users == ("alice", "bob")
    assert roster.references.owners.tolist() == [0, 0, 1]
    assert np.array_equal(roster.references.templates, np.eye(8, dtype=np.float32)[:3])
    assert set(roster.users) == {"alice", "bob"}
    assert roster.door_of("yard") == storage.doors.find("front")


def test_an_unchanged_gallery_is_the_same_object(storage, photo):
    enroll(storage, "alice", photo(0))
    assert storage.gallery.roster(MODEL) is storage.gallery.roster(MODEL)


@pytest.mark.parametrize(
    "change",
    [
        lambda storage, photo: enroll(storage, "bob", photo(5)),
        lambda storage, _: storage.users.suspend("alice"),
        lambda storage, _: storage.users.join("staff", ["alice"]),
        lambda storage, _: storage.users.remove("alice"),
        lambda storage, _: storage.doors.add(Door("front", "Front", ("porch",))),
        lambda storage, _: storage.photos.rotate_vault(),
    ],
)
def test_every_change_by_another_process_grows_the_revision(settings, storage, photo, change):
    enroll(storage, "alice", photo(0))
    before = storage.gallery.revision()
    with open_storage(settings) as other:
        change(other, photo)
    assert storage.gallery.revision() > before
    assert storage.gallery.roster(MODEL).revision == storage.gallery.revision()


def test_users_whose_references_another_model_made_have_none_and_are_counted(storage, photo):
    enroll(storage, "alice", photo(0), model=OTHER)
    enroll(storage, "bob", photo(1))
    assert storage.gallery.roster(MODEL).references.users == ("bob",)
    assert storage.gallery.coverage(MODEL).missing == 1


def test_photos_get_references_of_a_new_model_once(storage, photo):
    enroll(storage, "alice", photo(0), photo(1), model=OTHER)
    (first, second) = storage.photos.without_references(MODEL)
    made = {first.id: photo(3).template, second.id: photo(4).template}
    assert storage.photos.add_references(made, model=MODEL) == 2
    assert storage.photos.add_references(made, model=MODEL) == 0
    assert list(storage.photos.without_references(MODEL)) == []
    assert len(storage.gallery.roster(MODEL).references) == 2
    assert len(storage.gallery.roster(OTHER).references) == 2


def test_a_template_moved_to_another_user_is_noticed(storage, photo, settings):
    enroll(storage, "alice", photo(0))
    enroll(storage, "mallory", photo(1))
    with sqlite3.connect(settings.data_dir / "facegate.db") as connection:
        connection.execute(
            "UPDATE user_references SET template = (SELECT template FROM user_references WHERE id = 2) WHERE id = 1"
        )
    with pytest.raises(NotReadyError, match="changed or moved"):
        storage.gallery.roster(MODEL)


def test_a_photo_moved_to_another_user_is_noticed(storage, photo, settings):
    enroll(storage, "alice", photo(0))
    enroll(storage, "mallory", photo(1))
    with sqlite3.connect(settings.data_dir / "facegate.db") as connection:
        connection.execute("UPDATE photos SET user_id = 1")
    with pytest.raises(NotReadyError, match="changed or moved"):
        storage.gallery.roster(MODEL)


def test_nothing_of_a_face_lies_open_in_the_files(storage, photo, settings):
    enroll(storage, "alice", photo(0))
    plain = photo(0).template.astype("<f4").tobytes()
    files = b"".join(path.read_bytes() for path in settings.data_dir.glob("facegate.db*"))
    assert plain not in files
    assert b"a picture" not in files


def test_enrolling_again_passes_over_known_photos_and_replacing_deletes_the_old(storage, photo):
    assert enroll(storage, "alice", photo(0)).is_new
    again = enroll(storage, "alice", photo(0), photo(1))
    assert (again.is_new, again.added, again.known) == (False, 1, 1)
    assert enroll(storage, "alice", photo(2), replace=True).replaced == 2
    assert storage.users.find("alice").references == {MODEL: 1}


def test_a_template_that_is_no_unit_vector_is_never_stored(storage, photo):
    from dataclasses import replace

    with pytest.raises(ValueError, match="unit length"):
        enroll(storage, "alice", photo(0), replace(photo(1), template=photo(1).template * 2))
    assert storage.users.listed() == []


def test_a_rotation_of_the_key_keeps_everybody(storage, photo, settings):
    enroll(storage, "alice", photo(0), photo(1))
    old = settings.vault_key.read_bytes()
    assert storage.photos.rotate_vault() == 4
    assert settings.vault_key.read_bytes() != old
    with open_storage(settings) as other:
        assert len(other.gallery.roster(MODEL).references) == 2
        assert other.photos.of_user("alice")[0].crop.picture == b"a picture"


def test_a_rotation_that_crashed_is_finished_by_the_next(storage, photo, settings, monkeypatch):
    enroll(storage, "alice", photo(0))
    monkeypatch.setattr(type(storage.vault), "finish_rotation", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        storage.photos.rotate_vault()
    monkeypatch.undo()
    with open_storage(settings) as after:
        assert len(after.gallery.roster(MODEL).references) == 1
        enroll(after, "bob", photo(1))
        after.photos.rotate_vault()
    with open_storage(settings) as later:
        assert len(later.gallery.roster(MODEL).references) == 2
        assert not later.vault.next_path.exists()


def test_a_process_with_the_old_key_cannot_seal_after_a_rotation(storage, photo, settings):
    enroll(storage, "alice", photo(0))
    with open_storage(settings) as other:
        other.photos.rotate_vault()
    enroll(storage, "bob", photo(1))
    with open_storage(settings) as third:
        assert len(third.gallery.roster(MODEL).references) == 2


def test_a_lost_key_refuses_new_photos_and_removing_everybody_starts_anew(storage, photo, settings):
    enroll(storage, "alice", photo(0))
    settings.vault_key.unlink()
    with open_storage(settings) as after:
        with pytest.raises(NotReadyError, match=r"vault\.key is missing"):
            enroll(after, "bob", photo(1))
        with pytest.raises(NotReadyError, match=r"vault\.key is missing"):
            after.gallery.roster(MODEL)
        after.users.remove("alice")
        enroll(after, "bob", photo(1))
        assert after.gallery.roster(MODEL).references.users == ("bob",)


def test_ten_thousand_references_load_within_five_seconds(tmp_path):
    count = 10_000
    random = np.random.default_rng(7)
    templates = random.standard_normal((count, 256)).astype(np.float32)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    with open_storage(Settings(data_dir=tmp_path), upgrade_empty=True) as storage:
        fill(storage, templates)
        begun = time.monotonic()
        references = storage.gallery.roster(MODEL).references
        assert time.monotonic() - begun < 5
        assert np.array_equal(references.templates, templates)


def fill(storage, templates):
    """Write references as `enroll` does, in bulk."""
    storage.vault.key_for_sealing("")
    users, photos, references = [], [], []
    for number, template in enumerate(templates, 1):
        digest = f"{number:064x}"
        users.append({"id": number, "slug": f"user-{number}", "name": "A", "created_at": START, "suspended": False})
        photos.append(
            {"id": number, "user_id": number, "digest": digest, "crop": b"", "quality": "{}", "enrolled_at": START}
        )
        sealed = storage.vault.seal(template.tobytes(), template_place(number, digest, MODEL))
        references.append({"photo_id": number, "model": MODEL, "dimension": len(template), "template": sealed})
    with writing(storage.engine) as connection:
        for table, rows in ((UserRow, users), (PhotoRow, photos), (ReferenceRow, references)):
            connection.execute(insert(table), rows)
