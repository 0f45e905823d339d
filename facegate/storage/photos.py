"""Photos and the references made from them: sealed, written in one transaction, read back for another model.

Of a photo the landmarks and the picture around the face are kept (`storage.packing`), so that a network with another
alignment can look at it again. The photo itself is not kept.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, Select, delete, insert, select, update

from facegate.core.comparison import Template, is_template
from facegate.storage.champions import require_position
from facegate.storage.engine import reading, writing
from facegate.storage.packing import LITTLE, Crop, packed, unpacked
from facegate.storage.places import crop_place, template_place
from facegate.storage.revision import bump, set_vault_key
from facegate.storage.rotation import rotate
from facegate.storage.tables import PhotoRow, ReferenceRow, UserRow
from facegate.storage.users import add_membership, checked_group, checked_name, checked_slug, no_such_user
from facegate.storage.vault import Vault

ENROLLED: Final = "enrolled"
CONFIRMED: Final = "confirmed"
"""Origins: a photo that an operator gave, and the face of a decision that one confirmed."""


@dataclass(frozen=True, slots=True, eq=False)
class NewPhoto:
    """A photo that passed every gate: SHA-256 of its file, the crop, its template, and what was measured."""

    digest: str
    crop: Crop
    template: Template
    quality: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class StoredPhoto:
    """A photo that is enrolled."""

    id: int
    user_id: int
    user: str
    digest: str
    crop: Crop
    quality: Mapping[str, Any]
    enrolled_at: datetime
    origin: str = ENROLLED


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """A photo that is enrolled, unopened."""

    digest: str
    quality: Mapping[str, Any]
    enrolled_at: datetime
    origin: str = ENROLLED


@dataclass(frozen=True, slots=True)
class Enrollee:
    """Who is enrolled: slug, the shown name if it is given, and groups to join."""

    slug: str
    name: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrollment did: whether the user is new, how many photos came and how many were there."""

    slug: str
    is_new: bool
    added: int
    known: int
    replaced: int


@dataclass(frozen=True, slots=True)
class _Owner:
    """The photo that a reference belongs to."""

    photo_id: int
    user_id: int
    digest: str


class Photos:
    """The enrolled photos. Safe to use from several threads."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    def enroll(
        self,
        who: Enrollee,
        photos: Sequence[NewPhoto],
        *,
        model: str,
        now: datetime,
        replace: bool = False,
        champion: int | None = None,
    ) -> Enrolled:
        """Enroll photos of a user, made if they are new, in one transaction.

        Args:
            who: The user.
            photos: Photos of theirs; one that is enrolled already is passed over.
            model: The network that made the templates, `name@digest12`.
            now: The moment, UTC.
            replace: Delete the photos that the user had.
            champion: Position of the champion whose templates these are; None: whoever leads, they are wanted.

        Raises:
            UnusableInputError: The slug, name or a group cannot be used.
            SucceededError: Another model was put in charge, to which this user would be nobody; nothing was done.
            NotReadyError: The key is lost, or the database fails; nothing was done.
            ValueError: A template is no unit vector.
        """
        checked_slug(who.slug)
        for group in who.groups:
            checked_group(group)
        with writing(self._engine) as connection:
            self._vault_for_sealing(connection)
            if champion is not None:
                require_position(connection, champion)
            user_id, is_new = _user(connection, who, now)
            replaced = (
                connection.execute(delete(PhotoRow).where(PhotoRow.user_id == user_id)).rowcount if replace else 0
            )
            known = set(connection.execute(select(PhotoRow.digest).where(PhotoRow.user_id == user_id)).scalars())
            fresh = {photo.digest: photo for photo in photos if photo.digest not in known}
            for photo in fresh.values():
                photo_id = self._add_photo(connection, user_id, photo, now)
                owner = _Owner(photo_id, user_id, photo.digest)
                self._add_reference(connection, owner, photo.template, model)
        return Enrolled(who.slug, is_new, len(fresh), len(photos) - len(fresh), replaced)

    def of_user(self, slug: str) -> list[StoredPhoto]:
        """Return the photos of one user, opened.

        Raises:
            UnusableInputError: There is no such user.
            NotReadyError: The key is lost or the blobs were changed.
        """
        checked_slug(slug)
        with reading(self._engine) as connection:
            if connection.execute(select(UserRow.id).where(UserRow.slug == slug)).first() is None:
                raise no_such_user(slug)
            rows = connection.execute(_photos().where(UserRow.slug == slug)).all()
        return [self._opened(row) for row in rows]

    def listed(self, slug: str) -> list[ListedPhoto]:
        """Return what is known of one user's photos without opening them."""
        statement = (
            select(PhotoRow.digest, PhotoRow.quality, PhotoRow.enrolled_at, PhotoRow.origin)
            .join(UserRow, UserRow.id == PhotoRow.user_id)
            .where(UserRow.slug == slug)
            .order_by(PhotoRow.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return [ListedPhoto(row.digest, json.loads(row.quality), row.enrolled_at, row.origin) for row in rows]

    def templates_of(self, slug: str) -> dict[int, dict[str, Template]]:
        """Return one user's templates, opened, by the photo's number and the model."""
        statement = (
            select(PhotoRow.id, PhotoRow.user_id, PhotoRow.digest, ReferenceRow.model, ReferenceRow.template)
            .join(PhotoRow, PhotoRow.id == ReferenceRow.photo_id)
            .join(UserRow, UserRow.id == PhotoRow.user_id)
            .where(UserRow.slug == slug)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        found: dict[int, dict[str, Template]] = {}
        for row in rows:
            plain = self._vault.open(row.template, template_place(row.user_id, row.digest, row.model))
            found.setdefault(row.id, {})[row.model] = np.frombuffer(plain, LITTLE).astype(np.float32)
        return found

    def without_references(
        self, model: str, *, origins: Collection[str] = (ENROLLED,), passing: Collection[int] = ()
    ) -> Iterator[StoredPhoto]:
        """Yield every photo that has no reference made by a model yet, opened one by one.

        Args:
            model: The model's id.
            origins: Where the photos that the model uses come from.
            passing: Numbers of photos that are passed over.
        """
        with reading(self._engine) as connection:
            ids = list(connection.execute(_lacking(model, origins).order_by(PhotoRow.id)).scalars())
        for photo_id in ids:
            if photo_id in passing:
                continue
            with reading(self._engine) as connection:
                row = connection.execute(_photos().where(PhotoRow.id == photo_id)).one_or_none()
            if row is not None:
                yield self._opened(row)

    def every(self, origins: Collection[str] = (ENROLLED,)) -> Iterator[StoredPhoto]:
        """Yield every photo, opened one by one."""
        return self.without_references("", origins=origins)

    def add_references(self, templates: Mapping[int, Template], *, model: str) -> int:
        """Store the templates that another model made of stored photos, by the photo's number, in one transaction."""
        with writing(self._engine) as connection:
            return self.add_references_in(connection, templates, model=model)

    def add_references_in(self, connection: Connection, templates: Mapping[int, Template], *, model: str) -> int:
        """Store templates as part of a transaction, whose first word this is: it bumps the revision.

        Those of photos that are gone, and those that are there already, are passed over. For none no key is needed:
        who lost it can still remove people.
        """
        if not templates:
            bump(connection)
            return 0
        self._vault_for_sealing(connection)
        rows = connection.execute(select(PhotoRow.id, PhotoRow.user_id, PhotoRow.digest))
        known = {row[0]: _Owner(*row) for row in rows}
        made = set(connection.execute(select(ReferenceRow.photo_id).where(ReferenceRow.model == model)).scalars())
        fresh = {number: template for number, template in templates.items() if number in known and number not in made}
        added = [self._reference(known[number], template, model) for number, template in fresh.items()]
        if added:  # in one statement: decisions that are to be recorded wait for this transaction
            connection.execute(insert(ReferenceRow), added)
        return len(added)

    def add_confirmed_in(
        self, connection: Connection, photos: Mapping[str, Sequence[NewPhoto]], *, model: str, now: datetime
    ) -> int:
        """Make confirmed frames photos of their users, by slug, as part of a transaction that bumped the revision.

        A frame that is a photo already gets the reference only. Returns how many photos were added.
        """
        added = 0
        for slug, theirs in photos.items():
            user_id = connection.execute(select(UserRow.id).where(UserRow.slug == slug)).scalar_one_or_none()
            if user_id is None:
                continue
            for photo in theirs:
                here = (PhotoRow.user_id == user_id) & (PhotoRow.digest == photo.digest)
                photo_id = connection.execute(select(PhotoRow.id).where(here)).scalar_one_or_none()
                if photo_id is None:
                    photo_id = self._add_photo(connection, user_id, photo, now, CONFIRMED)
                    added += 1
                ours = (ReferenceRow.photo_id == photo_id) & (ReferenceRow.model == model)
                if connection.execute(select(ReferenceRow.id).where(ours)).first() is None:
                    self._add_reference(connection, _Owner(photo_id, user_id, photo.digest), photo.template, model)
        return added

    def owners_of(self, digest: str) -> list[str]:
        """Return the slugs of the users who have this very file enrolled."""
        statement = select(UserRow.slug).join(PhotoRow, PhotoRow.user_id == UserRow.id).where(PhotoRow.digest == digest)
        with reading(self._engine) as connection:
            return list(connection.execute(statement.order_by(UserRow.slug)).scalars())

    def rotate_vault(self) -> int:
        """Seal everything again under a new key; return how many blobs that were. A crash leaves all readable.

        Raises:
            NotReadyError: A blob cannot be opened, or a file cannot be written; nothing was changed then.
        """
        return rotate(self._engine, self._vault)

    def _vault_for_sealing(self, connection: Connection) -> None:
        expected = bump(connection)
        key = self._vault.key_for_sealing(expected)
        if key != expected:
            set_vault_key(connection, key)

    def _add_photo(
        self, connection: Connection, user_id: int, photo: NewPhoto, now: datetime, origin: str = ENROLLED
    ) -> int:
        row = {
            "user_id": user_id,
            "digest": photo.digest,
            "crop": self._vault.seal(packed(photo.crop), crop_place(user_id, photo.digest)),
            "quality": json.dumps(dict(photo.quality), allow_nan=False),
            "enrolled_at": now,
            "origin": origin,
        }
        return int(connection.execute(insert(PhotoRow).returning(PhotoRow.id), row).scalar_one())

    def _add_reference(self, connection: Connection, owner: _Owner, template: Template, model: str) -> None:
        connection.execute(insert(ReferenceRow), self._reference(owner, template, model))

    def _reference(self, owner: _Owner, template: Template, model: str) -> dict[str, Any]:
        if not is_template(template):
            msg = "a template is a finite vector of unit length"
            raise ValueError(msg)
        place = template_place(owner.user_id, owner.digest, model)
        return {
            "photo_id": owner.photo_id,
            "model": model,
            "dimension": len(template),
            "template": self._vault.seal(template.astype(LITTLE).tobytes(), place),
        }

    def _opened(self, row: Any) -> StoredPhoto:
        crop = unpacked(self._vault.open(row.crop, crop_place(row.user_id, row.digest)))
        quality = json.loads(row.quality)
        return StoredPhoto(row.id, row.user_id, row.slug, row.digest, crop, quality, row.enrolled_at, row.origin)


def lacking(connection: Connection, model: str, origins: Collection[str] = (ENROLLED,)) -> bool:
    """Tell whether a photo has no reference of a model."""
    return connection.execute(_lacking(model, origins).limit(1)).first() is not None


def _lacking(model: str, origins: Collection[str]) -> Select[int]:
    made = select(ReferenceRow.photo_id).where(ReferenceRow.model == model)
    return select(PhotoRow.id).where(PhotoRow.id.not_in(made), PhotoRow.origin.in_(sorted(origins)))


def _photos() -> Any:
    return (
        select(
            PhotoRow.id, PhotoRow.user_id, UserRow.slug, PhotoRow.digest, PhotoRow.crop, PhotoRow.quality,
            PhotoRow.enrolled_at, PhotoRow.origin,
        )
        .join(UserRow, UserRow.id == PhotoRow.user_id)
        .order_by(PhotoRow.id)
    )  # fmt: skip


def _user(connection: Connection, who: Enrollee, now: datetime) -> tuple[int, bool]:
    """Return the user's number, and whether they are new. A new one without a name is shown by the slug."""
    user_id = connection.execute(select(UserRow.id).where(UserRow.slug == who.slug)).scalar_one_or_none()
    is_new = user_id is None
    if user_id is None:
        name = checked_name(who.name if who.name is not None else who.slug)
        row = {"slug": who.slug, "name": name, "created_at": now, "suspended": False, "expires_at": None}
        user_id = connection.execute(insert(UserRow).returning(UserRow.id), row).scalar_one()
    elif who.name is not None:
        connection.execute(update(UserRow).where(UserRow.id == user_id).values(name=checked_name(who.name)))
    for group in who.groups:
        add_membership(connection, user_id, group)
    return int(user_id), is_new
