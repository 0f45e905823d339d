"""The revision: a number that grows with every change of users, references or doors, in the same transaction.

Whoever changes one of them calls `bump` first. On PostgreSQL that locks the row, so such changes run one after another;
on SQLite they do anyway.
"""

from typing import Final

from sqlalchemy import Connection, select, update

from facegate.storage.tables import RevisionRow
from facegate.storage.vault import Vault

_CURRENT: Final = select(RevisionRow.number)


def bump(connection: Connection) -> str:
    """Count a change; return the id of the key that the photos are sealed with, empty if there is none yet."""
    statement = update(RevisionRow).values(number=RevisionRow.number + 1).returning(RevisionRow.vault_key)
    key: str = connection.execute(statement).scalar_one()
    return key


def set_vault_key(connection: Connection, key: str) -> None:
    """Note the key that the photos are sealed with from now on; empty when none are left."""
    connection.execute(update(RevisionRow).values(vault_key=key))


def current(connection: Connection) -> int:
    """Return the number."""
    return int(connection.execute(_CURRENT).scalar_one())


def keep_vault_key(connection: Connection, vault: Vault) -> None:
    """Let the vault seal with the key that the photos are sealed with, without counting a change.

    On PostgreSQL the row is locked against a rotation of the key until the transaction ends; on SQLite all is.

    Raises:
        NotReadyError: The key is lost.
    """
    expected = connection.execute(select(RevisionRow.vault_key).with_for_update(read=True)).scalar_one()
    key = vault.key_for_sealing(expected)
    if key != expected:
        set_vault_key(connection, key)
