"""The gallery: everything that deciding needs, at one revision, with the references opened once for each revision."""

import threading
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Engine, func, select

from facegate.core.comparison import References, nobody
from facegate.core.ports import Roster
from facegate.errors import NotReadyError
from facegate.storage.doors import doors_by_slug
from facegate.storage.engine import reading
from facegate.storage.packing import LITTLE
from facegate.storage.places import template_place
from facegate.storage.revision import current
from facegate.storage.tables import PhotoRow, ReferenceRow, UserRow
from facegate.storage.users import users_by_slug
from facegate.storage.vault import Vault


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the users with photos have a reference of a model; the others are nobody to it."""

    users: int
    covered: int

    @property
    def missing(self) -> int:
        """Users whom the model would not know."""
        return self.users - self.covered

    def require(self, model: str) -> None:
        """Refuse a model (its id) that knows nobody, where somebody is enrolled: it would deny every user.

        Raises:
            NotReadyError: It knows none of the users.
        """
        if self.users and not self.covered:
            mend = f"Run: facegate models activate {model.partition('@')[0]}"
            raise NotReadyError(f"{model} has no references of the enrolled", mend)


class SqlGallery:
    """Keeps `core.ports.Gallery` in the database. Safe to use from several threads."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault
        self._lock = threading.Lock()
        self._cached: Roster | None = None

    def revision(self) -> int:
        """Return a number that grows with every change of users, references or doors, from whichever process."""
        with reading(self._engine) as connection:
            return current(connection)

    def roster(self, model: str) -> Roster:
        """Return everything at one revision, with the references that `model` made.

        Raises:
            NotReadyError: The database fails, the key is lost, or a reference was changed.
        """
        with self._lock, reading(self._engine) as connection:
            revision = current(connection)
            cached = self._cached
            if cached is None or (cached.revision, cached.references.model) != (revision, model):
                references = self._references(connection, model)
                cached = Roster(revision, references, users_by_slug(connection), doors_by_slug(connection))
                self._cached = cached
            return cached

    def coverage(self, model: str) -> Coverage:
        """Count the users with photos, and those of them who have a reference of a model."""
        covered = (
            select(func.count(PhotoRow.user_id.distinct()))
            .join(ReferenceRow, ReferenceRow.photo_id == PhotoRow.id)
            .where(ReferenceRow.model == model)
        )
        with reading(self._engine) as connection:
            users = connection.execute(select(func.count(PhotoRow.user_id.distinct()))).scalar_one()
            return Coverage(users, connection.execute(covered).scalar_one())

    def _references(self, connection: Connection, model: str) -> References:
        statement = (
            select(PhotoRow.user_id, UserRow.slug, PhotoRow.digest, ReferenceRow.dimension, ReferenceRow.template)
            .join(PhotoRow, PhotoRow.id == ReferenceRow.photo_id)
            .join(UserRow, UserRow.id == PhotoRow.user_id)
            .where(ReferenceRow.model == model)
            .order_by(ReferenceRow.id)
        )
        rows = connection.execute(statement).all()
        if not rows:
            return nobody(model)
        seen: set[tuple[int, bytes]] = set()  # where one reference stands for all photos of a user, it stands once
        dimension = rows[0].dimension
        users: dict[str, int] = {}
        owners = np.empty(len(rows), np.int64)
        templates = np.empty((len(rows), dimension), np.float32)
        for user_id, slug, digest, size, sealed in rows:
            plain = self._vault.open(sealed, template_place(user_id, digest, model))
            if size != dimension or len(plain) != dimension * LITTLE.itemsize:
                raise NotReadyError(f"A reference of {slug} has another size than its model", "Enroll that user again")
            if (user_id, plain) in seen:
                continue
            templates[len(seen)] = np.frombuffer(plain, LITTLE)
            owners[len(seen)] = users.setdefault(slug, len(users))
            seen.add((user_id, plain))
        templates, owners = templates[: len(seen)], owners[: len(seen)]
        templates.flags.writeable = False
        owners.flags.writeable = False
        return References(model, templates, owners, tuple(users))
