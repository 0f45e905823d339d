"""A model takes charge: everybody's references under it and the pointer move in one transaction.

The slow part, looking at every stored crop again, comes before the transaction. What happens meanwhile is found by the
transaction: somebody was enrolled, so a reference is missing and the slow part is done for that one; another model was
put in charge, so this one is not.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from facegate.errors import NotReadyError, UnusableInputError
from facegate.storage import champions
from facegate.storage.champions import Champion, Lead, require_position
from facegate.storage.engine import writing
from facegate.storage.opening import Storage
from facegate.storage.photos import lacking
from facegate.verifier.library import Library, Model
from facegate.verifier.references import Watch, missing_templates

if TYPE_CHECKING:
    from facegate.core.comparison import Template

TRIES: Final = 5
"""Enrollments that may come in between, one after the other; each leaves less to do for the next round."""


class _IncompleteError(Exception):
    """A photo came in between: nothing of the transaction is to stay."""


def in_one_move(
    storage: Storage,
    model: Model,
    write: Callable[[Connection], None],
    *,
    given: "Mapping[int, Template] | None" = None,
    threads: int = 1,
    watch: Watch = lambda _: None,
) -> int:
    """Write the references that a model lacks, and whatever else moves with them, in one transaction.

    Args:
        storage: Where everything is.
        model: The model.
        write: Does the rest within the transaction; may be called again after its transaction was undone.
        given: References that are there already, by the photo's number; only the others are made.
        threads: Of ONNX Runtime.
        watch: Is told how many photos were looked at.

    Returns:
        How many references were made.

    Raises:
        NotReadyError: Photos come in faster than they can be looked at; nothing was done.
    """
    made: dict[int, Template] = dict(given or {})
    for _ in range(TRIES):
        made |= missing_templates(storage, model, passing=made, threads=threads, watch=watch)
        with contextlib.suppress(_IncompleteError), writing(storage.engine) as connection:
            count = storage.photos.add_references_in(connection, made, model=model.id)
            write(connection)
            _require_complete(connection, model)
            return count
    raise NotReadyError("Photos are enrolled faster than they can be looked at again", "Try again")


def _require_complete(connection: Connection, model: Model) -> None:
    if lacking(connection, model.id, model.origins):
        raise _IncompleteError


def put_in_charge(storage: Storage, library: Library, model: Model, *, threads: int = 1) -> int:
    """Put a model in charge, with a reference for every photo; return how many of those were made.

    Raises:
        SucceededError: Another model was put in charge meanwhile; nothing was done.
        NotReadyError: The key is lost, or the database fails; nothing was done.
    """
    now = datetime.now(UTC)
    storage.champions.begin(library.former(), now)
    seen = storage.champions.position()

    def write(connection: Connection) -> None:
        require_position(connection, seen)
        champions.appoint(connection, Lead(model.card.name, model.id), now)

    return in_one_move(storage, model, write, threads=threads)


def roll_back(storage: Storage, library: Library, *, threads: int = 1) -> tuple[Model, int]:
    """Put the model in charge that was before, with a reference for every photo; return it and how many were made.

    Raises:
        UnusableInputError: None was there before, or none that is still kept.
        SucceededError: Another model was put in charge meanwhile; nothing was done.
        NotReadyError: The model was changed, the key is lost, or the database fails; nothing was done.
    """
    now = datetime.now(UTC)
    storage.champions.begin(library.former(), now)
    succession = storage.champions.succession()
    to = next(iter(kept(library, succession[1:])), None)
    if to is None:
        raise UnusableInputError("No model was in charge before this one", "Activate one: facegate models activate")
    model = library.load(to.lead.name)

    def write(connection: Connection) -> None:
        require_position(connection, succession[0].position)
        champions.go_back(connection, to, now)

    return model, in_one_move(storage, model, write, threads=threads)


def kept(library: Library, rows: list[Champion]) -> list[Champion]:
    """Return the rows whose models are still there."""
    return [row for row in rows if library.has(row.lead.name)]
