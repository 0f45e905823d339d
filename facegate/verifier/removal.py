"""A user is removed, and with them what was learned from them.

Models that were fine-tuned on a user's face go in the same transaction as the user: their references at once, their
folders right after. If the champion is one of them, the newest model before it that never saw the user takes charge,
with a reference for everybody else, and a new fine-tune, without them, is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from facegate.storage import champions, users
from facegate.storage.champions import Champion, SucceededError, require_position
from facegate.storage.engine import writing
from facegate.storage.learned import models_learned_from
from facegate.storage.opening import Storage
from facegate.storage.revision import bump
from facegate.storage.runs import REMOVAL, ask
from facegate.storage.shelf import take_off
from facegate.storage.users import Person
from facegate.verifier.finetuning.shelf import bury_models
from facegate.verifier.library import Library
from facegate.verifier.succession import in_one_move, kept

TRIES = 3


@dataclass(frozen=True, slots=True)
class Removed:
    """Who was removed, what went with them, and who leads now if that changed."""

    person: Person
    unlearned: tuple[str, ...]
    heir: str | None


def remove(storage: Storage, library: Library, slug: str, *, threads: int = 1) -> Removed:
    """Erase a user, every model that was learned from them, and put the newest other one in charge if need be.

    Raises:
        UnusableInputError: There is no such user.
        NotReadyError: No model is left that never saw them, the key is lost, or the database fails; nothing was done.
    """
    for _ in range(TRIES):
        try:
            removed = _removed(storage, library, slug, threads)
        except SucceededError:
            continue  # a model took charge in between; it may have learned from the user
        break
    else:
        removed = _removed(storage, library, slug, threads)
    storage.users.clear()
    bury_models(library, removed.unlearned)
    return removed


def _removed(storage: Storage, library: Library, slug: str, threads: int) -> Removed:
    person = storage.users.find(slug)
    learned = storage.learned.models_of(slug)
    succession = storage.champions.succession()
    heir = _heir(library, succession, learned)
    position = succession[0].position if succession else 0

    def write(connection: Connection) -> None:
        require_position(connection, position)
        gone = models_learned_from(connection, person.id)
        if not gone <= learned:
            raise SucceededError("A model was learned from the user in the meantime", "Try again")
        users.remove(connection, slug)
        if heir is not None:
            champions.go_back(connection, heir, datetime.now(UTC))
        take_off(connection, gone, datetime.now(UTC))
        if gone:
            ask(connection, REMOVAL, datetime.now(UTC))

    if heir is None:
        with writing(storage.engine) as connection:
            bump(connection)
            write(connection)
    else:
        in_one_move(storage, library.load(heir.lead.name), write, threads=threads)
    return Removed(person, tuple(sorted(learned)), None if heir is None else heir.lead.model)


def _heir(library: Library, succession: Sequence[Champion], learned: set[str]) -> Champion | None:
    """Return the row that takes over if the champion has to go; None: it stays.

    Raises:
        NotReadyError: Nobody can take over.
    """
    if not succession or succession[0].lead.model not in learned:
        return None
    others = [row for row in succession if row.lead.model not in learned]
    for row in kept(library, others):
        return row
    lead = library.default()
    return Champion(0, lead, datetime.now(UTC), None, None)
