"""The chain of decisions: each row holds SHA-256 of the previous row's hash and of its own canonical JSON.

Whoever edits, deletes or inserts a decision breaks the chain at that place, unless they compute every later hash anew;
against that, heads of the chain are signed and sent out every hour (`P/audit/checkpoint`), and are held against the
chain by whoever keeps them elsewhere (`facegate audit verify --checkpoint FILE`). Retention cuts the
chain's old end off and keeps a signed checkpoint: the last link that went.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, insert, select

from facegate.core.decision import rfc3339
from facegate.errors import NotReadyError, UnusableInputError
from facegate.storage.decisions import GENESIS, link
from facegate.storage.engine import reading, writing
from facegate.storage.signing import DecisionSigner, canonical, verified
from facegate.storage.tables import ChainRow, CheckpointRow, DecisionEventRow, DecisionRow

AUDIENCE: Final = "facegate-audit"
BATCH: Final = 1000
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, NotReadyError)
"""What comes of a row that somebody else wrote: of its values anything may be amiss."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain breaks, and how."""

    position: int
    decision: str | None
    what: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What walking the chain found.

    Attributes:
        checked: Decisions that were walked.
        first: Place of the oldest decision that is kept.
        last: Place of the newest.
        head: Hash of the newest link.
        broken: Where it breaks first, or None.
    """

    checked: int
    first: int
    last: int
    head: str
    broken: Break | None

    @property
    def is_whole(self) -> bool:
        """Nothing was edited, deleted or inserted."""
        return self.broken is None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        broken = self.broken
        return {
            "whole": self.is_whole,
            "checked": self.checked,
            "first": self.first,
            "last": self.last,
            "head": self.head,
            "broken": None
            if broken is None
            else {"position": broken.position, "decision": broken.decision, "what": broken.what},
        }


@dataclass(frozen=True, slots=True)
class _Link:
    position: int
    hash: str


def verify(engine: Engine, signer: DecisionSigner, now: datetime) -> Audit:
    """Walk the whole chain from its oldest kept link to its head."""
    with reading(engine) as connection:
        found = connection.execute(select(ChainRow.position, ChainRow.hash)).one_or_none()
        head = _Link(0, GENESIS) if found is None else _Link(*found)
        start, broken = _start(connection, signer, now)
        checked, last = 0, start
        try:
            for row in _rows(connection):
                if broken is None:
                    broken = _fault(row, last, connection)
                last = _Link(row.position, row.hash)
                checked += 1
        except UNREADABLE:
            broken = broken or Break(_unreadable(connection, last), None, "what stands there cannot be read")
    if broken is None and found is None:
        broken = Break(last.position, None, "the head of the chain is gone")
    if broken is None and last != head:
        broken = Break(last.position + 1, None, f"decisions up to {head.position} were deleted at the end")
    return Audit(checked, start.position + 1, last.position, head.hash, broken)


def checkpoint(engine: Engine, signer: DecisionSigner, now: datetime) -> dict[str, Any]:
    """Return the signed head of the chain, for sending out."""
    with reading(engine) as connection:
        head = _Link(*connection.execute(select(ChainRow.position, ChainRow.hash)).one())
    return _told(head, now) | {"jws": signer.sign_claims(_claims(head, now))}


def missed(engine: Engine, signer: DecisionSigner, sent: Mapping[str, Any], now: datetime) -> Break | None:
    """Hold a head that was sent out against the chain: whoever computes every later hash anew is found by it.

    Args:
        engine: The database.
        signer: Whose heads they are.
        sent: What `checkpoint` returned once.
        now: The moment.

    Returns:
        Where the chain is another; None: it is the same, or retention has cut that far.

    Raises:
        UnusableInputError: It is no head that this facegate signed.
    """
    claims = verified(str(sent.get("jws", "")), signer.jwks(now), signer.retired_jwks())
    if claims is None or claims.get("aud") != AUDIENCE:
        raise UnusableInputError(
            "This is no checkpoint that this facegate signed", "Name one kept from P/audit/checkpoint"
        )
    position, head = int(claims["position"]), str(claims["hash"])
    with reading(engine) as connection:
        kept = connection.execute(select(DecisionRow.id, DecisionRow.hash).where(DecisionRow.position == position))
        row = kept.one_or_none()
        start, _ = _start(connection, signer, now)
    if row is not None:
        return None if row.hash == head else Break(position, row.id, "it is not what stood there at the checkpoint")
    if position < start.position or (position, head) == (start.position, start.hash):
        return None
    return Break(position, None, "the decisions up to the checkpoint are not there")


def cut(engine: Engine, signer: DecisionSigner, *, before: datetime, now: datetime) -> int:
    """Delete the decisions at the chain's old end that were made before a moment; return how many those were."""
    with writing(engine) as connection:
        connection.execute(select(ChainRow.position).with_for_update()).one()
        young = select(func.min(DecisionRow.position)).where(DecisionRow.decided_at >= before)
        limit = connection.execute(young).scalar_one()
        newest = select(DecisionRow.position, DecisionRow.hash).order_by(DecisionRow.position.desc()).limit(1)
        if limit is not None:
            newest = newest.where(DecisionRow.position < limit)
        row = connection.execute(newest).one_or_none()
        if row is None:
            return 0
        last = _Link(*row)
        connection.execute(delete(CheckpointRow))
        jws = signer.sign_claims(_claims(last, now))
        cut_off = {"position": last.position, "hash": last.hash, "made_at": now, "jws": jws}
        connection.execute(insert(CheckpointRow), cut_off)
        connection.execute(delete(DecisionEventRow).where(DecisionEventRow.position <= last.position))
        return connection.execute(delete(DecisionRow).where(DecisionRow.position <= last.position)).rowcount


def _start(connection: Connection, signer: DecisionSigner, now: datetime) -> tuple[_Link, Break | None]:
    """Return the link before the oldest kept one, and what is wrong with its checkpoint."""
    row = connection.execute(
        select(CheckpointRow.position, CheckpointRow.hash, CheckpointRow.jws, CheckpointRow.made_at)
    ).one_or_none()
    if row is None:
        return _Link(0, GENESIS), None
    link_before = _Link(row.position, row.hash)
    # The key that signed it may have been retired long ago; whoever sees the set of that day can still check.
    claims = verified(row.jws, signer.jwks(now), signer.retired_jwks())
    if claims is None or (claims.get("position"), claims.get("hash")) != (row.position, row.hash):
        return link_before, Break(row.position, None, "the checkpoint of retention is not signed by this facegate")
    return link_before, None


def _rows(connection: Connection) -> Iterator[Any]:
    statement = select(*DecisionRow.__table__.columns).order_by(DecisionRow.position)
    yield from connection.execute(statement.execution_options(yield_per=BATCH))


def _unreadable(connection: Connection, last: _Link) -> int:
    """Return the place of the first row after a link that cannot be read by itself."""
    later = select(DecisionRow.position).where(DecisionRow.position > last.position).order_by(DecisionRow.position)
    for position in connection.execute(later).scalars().all():
        try:
            row = connection.execute(
                select(*DecisionRow.__table__.columns).where(DecisionRow.position == position)
            ).one()
            _fault(row, _Link(position - 1, row.hash), connection)
        except UNREADABLE:
            return int(position)
    return last.position + 1


def _fault(row: Any, last: _Link, connection: Connection) -> Break | None:
    """Return what is wrong with a link, given the one before."""
    if row.position != last.position + 1:
        gone = last.position + 1
        return Break(gone, None, f"decisions {gone} to {row.position - 1} were deleted")
    if row.hash != link(last.hash, row.document):
        return Break(row.position, row.id, "the decision was edited, or inserted here")
    document = dict(json.loads(row.document))
    if canonical(document) != row.document:
        return Break(row.position, row.id, "the decision's JSON was rewritten")
    columns = {
        "decision": row.id,
        "door": row.door,
        "outcome": row.outcome,
        "reason": row.reason,
        "user": row.user,
        "decided_at": rfc3339(row.decided_at),
    }
    wrong = next((name for name, value in columns.items() if document[name] != value), None)
    if wrong is not None:
        return Break(row.position, row.id, f"the column of {wrong} was edited")
    events = select(DecisionEventRow.event).where(DecisionEventRow.position == row.position)
    if set(connection.execute(events).scalars()) != set(document["events"]):
        return Break(row.position, row.id, "the events that it names were edited")
    return None


def _told(head: _Link, now: datetime) -> dict[str, Any]:
    return {"position": head.position, "hash": head.hash, "made_at": rfc3339(now)}


def _claims(head: _Link, now: datetime) -> dict[str, Any]:
    return _told(head, now) | {"aud": AUDIENCE, "iat": int(now.timestamp())}
