"""The faces that decisions were made on: sealed, bounded in number, gone with the decision or the user they show.

An operator who confirms or denies a decision speaks about a face; a fine-tune learns from the faces that were spoken on
and from no others. A frame is packed as the crop of a photo is (`storage.photos`).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select

from facegate.core.decision import Outcome, Reason
from facegate.storage.engine import reading, writing
from facegate.storage.packing import Crop, packed, unpacked
from facegate.storage.places import frame_place
from facegate.storage.revision import bump, keep_vault_key
from facegate.storage.runs import CORRECTION, SHADOW, ask
from facegate.storage.shelf import take_off
from facegate.storage.tables import DecisionFrameRow, DecisionRow, FinetuneRunRow, PhotoRow, UserRow
from facegate.storage.vault import Vault


@dataclass(frozen=True, slots=True, eq=False)
class DecisionFrame:
    """The face that a decision was made on.

    Attributes:
        decision: The decision's id.
        user: Slug of the user whom it was scored as, granted or not; None: nobody was enrolled.
        camera: The camera that saw it.
        captured_at: When.
        crop: The picture around the face, with the landmarks in it.
    """

    decision: str
    user: str | None
    camera: str
    captured_at: datetime
    crop: Crop


@dataclass(frozen=True, slots=True, eq=False)
class SpokenFrame:
    """A frame that an operator spoke on.

    Attributes:
        frame: The frame.
        word: `confirmed` or `denied`: the decision was right, or wrong.
        outcome: The decision's.
        reason: The decision's.
        user: The slug that the decision names, or None.
        word_user: Who it really was, if the operator said so.
    """

    frame: DecisionFrame
    word: str
    outcome: Outcome
    reason: Reason
    user: str | None
    word_user: str | None


class DecisionFrames:
    """The kept frames. Safe to use from several threads."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    def keep(self, frame: DecisionFrame, *, most: int) -> bool:
        """Keep the frame of a recorded decision; of those that nobody spoke on, only the newest `most` stay.

        Returns:
            False if the decision or the user is gone, or the decision has a frame already.

        Raises:
            NotReadyError: The database fails or the key is lost; nothing was kept.
        """
        with writing(self._engine) as connection:
            user_id = _user_id(connection, frame.user)
            known = select(DecisionRow.id).where(DecisionRow.id == frame.decision)
            has_one = select(DecisionFrameRow.decision).where(DecisionFrameRow.decision == frame.decision)
            if (
                (frame.user is not None and user_id is None)
                or connection.execute(known).first() is None
                or connection.execute(has_one).first() is not None
            ):
                return False
            keep_vault_key(connection, self._vault)
            row = {
                "decision": frame.decision,
                "user_id": user_id,
                "camera": frame.camera,
                "captured_at": frame.captured_at,
                "crop": self._vault.seal(packed(frame.crop), frame_place(frame.decision, user_id)),
            }
            connection.execute(insert(DecisionFrameRow), row)
            _trim(connection, most)
        return True

    def find(self, decision: str) -> DecisionFrame | None:
        """Return the frame of a decision, opened, if there is one."""
        with reading(self._engine) as connection:
            row = connection.execute(_frames().where(DecisionFrameRow.decision == decision)).one_or_none()
        return None if row is None else self._opened(row)

    def has(self, decision: str) -> bool:
        """Tell whether the frame of a decision is kept."""
        statement = select(DecisionFrameRow.decision).where(DecisionFrameRow.decision == decision)
        with reading(self._engine) as connection:
            return connection.execute(statement).first() is not None

    def spoken(self) -> list[SpokenFrame]:
        """Return every frame that an operator spoke on, opened, the oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(_frames().where(DecisionRow.word.is_not(None))).all()
        return [
            SpokenFrame(self._opened(row), row.word, Outcome(row.outcome), Reason(row.reason), row.user, row.word_user)
            for row in rows
        ]

    def of_user(self, slug: str) -> list[DecisionFrame]:
        """Return every frame that was scored as a user or, an operator said, shows them."""
        theirs = (UserRow.slug == slug) | (DecisionRow.word_user == slug)
        with reading(self._engine) as connection:
            rows = connection.execute(_frames().where(theirs)).all()
        return [self._opened(row) for row in rows]

    def count(self) -> int:
        """Return how many frames are kept."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(func.count()).select_from(DecisionFrameRow)).scalar_one())

    def forget(self, before: datetime) -> int:
        """Delete the frames from before a moment that nobody spoke on; return how many those were."""
        return forget_frames(self._engine, before)

    def drop(self, decision: str) -> bool:
        """Delete the frame of a decision, spoken on or not, and the photo that it became; False if there was none."""
        with writing(self._engine) as connection:
            take_back(connection, decision, datetime.now(UTC))
            one = DecisionFrameRow.decision == decision
            return connection.execute(delete(DecisionFrameRow).where(one)).rowcount > 0

    def _opened(self, row: Any) -> DecisionFrame:
        crop = unpacked(self._vault.open(row.crop, frame_place(row.decision, row.user_id)))
        return DecisionFrame(row.decision, row.slug, row.camera, row.captured_at, crop)


def take_back(connection: Connection, decision: str, now: datetime) -> None:
    """Let a face be no photo of a user any more, if a word made it one; what was learned is to be learned anew.

    A challenger in the shadow has learned from that word, too: it is taken away before it could lead.
    """
    made = (PhotoRow.digest == photo_digest(decision)) & (PhotoRow.origin == "confirmed")
    if connection.execute(select(PhotoRow.id).where(made)).first() is not None:
        bump(connection)
        connection.execute(delete(PhotoRow).where(made))
        shadows = select(FinetuneRunRow.challenger).where(FinetuneRunRow.state == SHADOW)
        take_off(connection, [model for model in connection.execute(shadows).scalars() if model is not None], now)
        ask(connection, CORRECTION, now)


def forget_frames(engine: Engine, before: datetime) -> int:
    """Delete the frames from before a moment that nobody spoke on; return how many those were."""
    with writing(engine) as connection:
        old = DecisionFrameRow.captured_at < before
        return connection.execute(delete(DecisionFrameRow).where(old, _unspoken())).rowcount


def photo_digest(decision: str) -> str:
    """Return what stands for the digest of a file where a decision's face is a photo of its user."""
    return hashlib.sha256(f"decision {decision}".encode()).hexdigest()


def words(connection: Connection, decisions: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
    """Return the operator's word on decisions and the user that was named with it; none where the face was deleted."""
    statement = select(DecisionRow.id, DecisionRow.word, DecisionRow.word_user, DecisionFrameRow.decision)
    kept = statement.outerjoin(DecisionFrameRow, DecisionFrameRow.decision == DecisionRow.id)
    rows = connection.execute(kept.where(DecisionRow.id.in_(sorted(decisions))))
    return {row.id: (None, None) if row.decision is None else (row.word, row.word_user) for row in rows}


def forget_frames_of(connection: Connection, user_id: int, slug: str) -> int:
    """Delete the frames that were scored as a user or, an operator said, show them."""
    shown = select(DecisionRow.id).where(DecisionRow.word_user == slug)
    theirs = (DecisionFrameRow.user_id == user_id) | DecisionFrameRow.decision.in_(shown)
    return connection.execute(delete(DecisionFrameRow).where(theirs)).rowcount


def _unspoken() -> Any:
    return DecisionFrameRow.decision.in_(select(DecisionRow.id).where(DecisionRow.word.is_(None)))


def _trim(connection: Connection, most: int) -> None:
    newest = (
        select(DecisionFrameRow.decision)
        .where(_unspoken())
        .order_by(DecisionFrameRow.captured_at.desc(), DecisionFrameRow.decision.desc())
    )
    # SQLite knows no OFFSET without a LIMIT.
    surplus = list(connection.execute(newest.offset(most).limit(1000)).scalars())
    if surplus:
        connection.execute(delete(DecisionFrameRow).where(DecisionFrameRow.decision.in_(surplus)))


def _user_id(connection: Connection, slug: str | None) -> int | None:
    if slug is None:
        return None
    return connection.execute(select(UserRow.id).where(UserRow.slug == slug)).scalar_one_or_none()


def _frames() -> Any:
    return (
        select(
            DecisionFrameRow.decision, DecisionFrameRow.user_id, UserRow.slug, DecisionFrameRow.camera,
            DecisionFrameRow.captured_at, DecisionFrameRow.crop,
            DecisionRow.word, DecisionRow.outcome, DecisionRow.reason, DecisionRow.user, DecisionRow.word_user,
        )
        .join(DecisionRow, DecisionRow.id == DecisionFrameRow.decision)
        .outerjoin(UserRow, UserRow.id == DecisionFrameRow.user_id)
        .order_by(DecisionFrameRow.captured_at, DecisionFrameRow.decision)
    )  # fmt: skip
