"""Everything that is sealed, sealed again under a new key, in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from facegate.storage.engine import writing
from facegate.storage.places import crop_place, frame_place, template_place
from facegate.storage.revision import bump, set_vault_key
from facegate.storage.tables import DecisionFrameRow, PhotoRow, ReferenceRow
from facegate.storage.vault import Vault


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A sealed blob and how it is written back."""

    plain: bytes
    place: bytes
    write: Callable[[bytes], Any]


def rotate(engine: Engine, vault: Vault) -> int:
    """Seal everything again under a new key; return how many blobs that were. A crash leaves all readable.

    Raises:
        NotReadyError: A blob cannot be opened, or a file cannot be written; nothing was changed then.
    """
    with writing(engine) as connection:
        expected = bump(connection)
        vault.key_for_sealing(expected)
        opened = [*_crops(connection, vault), *_templates(connection, vault), *_frames(connection, vault)]
        set_vault_key(connection, vault.begin_rotation())
        for blob in opened:
            connection.execute(blob.write(vault.seal(blob.plain, blob.place)))
    vault.finish_rotation()
    return len(opened)


def _crops(connection: Connection, vault: Vault) -> list[_Sealed]:
    rows = connection.execute(select(PhotoRow.id, PhotoRow.user_id, PhotoRow.digest, PhotoRow.crop)).all()

    def of(row: Any) -> _Sealed:
        place = crop_place(row.user_id, row.digest)
        statement = update(PhotoRow).where(PhotoRow.id == row.id)
        return _Sealed(vault.open(row.crop, place), place, lambda sealed: statement.values(crop=sealed))

    return [of(row) for row in rows]


def _templates(connection: Connection, vault: Vault) -> list[_Sealed]:
    rows = connection.execute(
        select(
            ReferenceRow.id, ReferenceRow.model, ReferenceRow.template, PhotoRow.user_id, PhotoRow.digest
        ).join(PhotoRow, PhotoRow.id == ReferenceRow.photo_id)
    ).all()  # fmt: skip

    def of(row: Any) -> _Sealed:
        place = template_place(row.user_id, row.digest, row.model)
        statement = update(ReferenceRow).where(ReferenceRow.id == row.id)
        return _Sealed(vault.open(row.template, place), place, lambda sealed: statement.values(template=sealed))

    return [of(row) for row in rows]


def _frames(connection: Connection, vault: Vault) -> list[_Sealed]:
    rows = connection.execute(
        select(DecisionFrameRow.decision, DecisionFrameRow.user_id, DecisionFrameRow.crop)
    ).all()  # fmt: skip

    def of(row: Any) -> _Sealed:
        place = frame_place(row.decision, row.user_id)
        statement = update(DecisionFrameRow).where(DecisionFrameRow.decision == row.decision)
        return _Sealed(vault.open(row.crop, place), place, lambda sealed: statement.values(crop=sealed))

    return [of(row) for row in rows]
