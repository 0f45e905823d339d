from datetime import timedelta

import pytest
from sqlalchemy import select

from facegate.core.policy import Door, Permission
from facegate.errors import UnusableInputError
from facegate.storage.engine import reading
from facegate.storage.photos import Enrollee
from facegate.storage.tables import PhotoRow, ReferenceRow
from tests.fakes import START

MODEL = "twins@0123456789ab"


@pytest.fixture
def household(storage, photo):
    storage.photos.enroll(Enrollee("alice", "Alice A.", ("staff",)), [photo(0)], model=MODEL, now=START)
    storage.photos.enroll(Enrollee("bob"), [photo(1), photo(2)], model=MODEL, now=START)
    return storage


def test_a_user_is_in_everyone_and_in_the_groups_they_joined(household):
    assert household.users.find("alice").user.groups == {"everyone", "staff"}
    assert household.users.find("bob").user.groups == {"everyone"}


def test_a_new_user_without_a_name_is_shown_by_the_slug_and_keeps_a_name_given_later(household, photo):
    assert household.users.find("bob").user.name == "bob"
    household.photos.enroll(Enrollee("bob", "Bob B."), [], model=MODEL, now=START)
    household.photos.enroll(Enrollee("bob"), [photo(5)], model=MODEL, now=START)
    assert household.users.find("bob").user.name == "Bob B."


def test_suspending_restoring_and_expiring_change_what_the_gallery_says(household):
    household.users.suspend("alice")
    assert household.gallery.roster(MODEL).users["alice"].suspended
    household.users.restore("alice")
    household.users.expire("alice", START + timedelta(days=1))
    user = household.gallery.roster(MODEL).users["alice"]
    assert not user.suspended
    assert user.expires_at == START + timedelta(days=1)


def test_groups_tell_their_users_and_doors(household):
    household.users.join("staff", ["bob"])
    household.users.join("staff", ["bob"])
    household.doors.add(Door("front", "Front", ("porch",), permissions=(Permission("guests"), Permission("staff"))))
    groups = {group.slug: (group.users, group.doors) for group in household.users.groups()}
    assert groups == {
        "everyone": (("alice", "bob"), ()),
        "guests": ((), ("front",)),
        "staff": (("alice", "bob"), ("front",)),
    }
    household.users.leave("staff", ["alice", "bob"])
    assert household.users.find("alice").user.groups == {"everyone"}


def test_a_group_is_joined_by_all_or_by_none(household):
    with pytest.raises(UnusableInputError, match="There is no user carol"):
        household.users.join("night", ["alice", "carol"])
    assert "night" not in household.users.find("alice").user.groups


def test_removing_a_user_leaves_no_byte_of_them_in_the_files(household, settings):
    with reading(household.engine) as connection:
        sealed = connection.execute(select(PhotoRow.crop).order_by(PhotoRow.id)).scalars().first()
        template = connection.execute(select(ReferenceRow.template).order_by(ReferenceRow.id)).scalars().first()

    def everything():
        return b"".join(path.read_bytes() for path in settings.data_dir.glob("facegate.db*"))

    assert sealed in everything()
    household.users.remove("alice")
    for trace in (sealed, template, b"alice", b"Alice A."):
        assert trace not in everything()
    assert household.gallery.roster(MODEL).references.users == ("bob",)


def test_a_number_of_a_removed_user_is_never_used_again(household, photo):
    before = household.users.find("bob").id
    household.users.remove("bob")
    household.photos.enroll(Enrollee("bob"), [photo(1)], model=MODEL, now=START)
    assert household.users.find("bob").id > before


@pytest.mark.parametrize("slug", ["Alice", "", "a b", "../x", "x" * 65, "ä", "alice\n"])
def test_what_is_no_slug_is_told_what_a_slug_is(household, slug):
    with pytest.raises(UnusableInputError, match="A slug is 1 to 64 of a-z, 0-9, _ and -"):
        household.users.find(slug)


@pytest.mark.parametrize(
    "change", ["find", "suspend", "restore", "remove", lambda users, slug: users.rename(slug, "X")]
)
def test_an_unknown_user_is_told_and_nothing_changes(household, change):
    with pytest.raises(UnusableInputError, match="There is no user carol"):
        getattr(household.users, change)("carol") if isinstance(change, str) else change(household.users, "carol")
    assert len(household.users.listed()) == 2


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "two\nlines", "\x1b[31mred"])
def test_a_name_that_cannot_be_shown_is_refused(household, name):
    with pytest.raises(UnusableInputError, match="printable"):
        household.users.rename("alice", name)
