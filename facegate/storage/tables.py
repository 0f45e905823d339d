"""The tables: typed, constraints named by rule, bytes described where misuse would be a hole.

Rows stay in `facegate.storage`; everybody else gets frozen values of the core. The schema is made by the migrations
alone; a test holds that they and these tables are the same.
"""

from datetime import datetime, time
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    Time,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from facegate.storage.moments import UtcTime

SLUG_LENGTH: Final = 64
EVENT_LENGTH: Final = 128
MODEL_LENGTH: Final = 200
DIGEST_LENGTH: Final = 64

#: SQLite numbers rows by itself only in a column that is an INTEGER to the letter.
RowNumber: Final = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Names every constraint, because SQLite's batch migrations cannot drop what they cannot name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class RevisionRow(Base):
    """One row: a number that grows with every change of users, references or doors, in the same transaction."""

    __tablename__ = "revision"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
    vault_key: Mapped[str] = mapped_column(
        String(16), comment="Id of the key that seals the photos now; writing under another would lose the photo."
    )


class UserRow(Base):
    """A person who may be enrolled."""

    __tablename__ = "users"
    #: Numbers are never used twice: a sealed blob of a removed user must not fit the next one.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    slug: Mapped[str] = mapped_column(String(SLUG_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(String(200), comment="Shown to people; never in a topic, a path or a log.")
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    suspended: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)


class MembershipRow(Base):
    """A user is in a group. Everybody is in `everyone`, so that is never written down."""

    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint("group_slug <> 'everyone'", name="everyone_is_implied"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group_slug: Mapped[str] = mapped_column(String(SLUG_LENGTH), primary_key=True, index=True)


class PhotoRow(Base):
    """A photo that was enrolled. The photo itself is not kept, only what a network needs to look at it again."""

    __tablename__ = "photos"
    __table_args__ = (
        UniqueConstraint("user_id", "digest"),
        CheckConstraint("origin IN ('enrolled', 'confirmed')", name="origin_is_known"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH), index=True, comment="SHA-256 of the file, hexadecimal.")
    crop: Mapped[bytes] = mapped_column(
        LargeBinary, comment="Sealed: five landmarks, then the picture around the face (storage.photos)."
    )
    quality: Mapped[str] = mapped_column(Text, comment="What was measured at enrollment, JSON.")
    enrolled_at: Mapped[datetime] = mapped_column(UtcTime)
    origin: Mapped[str] = mapped_column(
        String(16),
        default="enrolled",
        server_default="enrolled",
        comment="`enrolled` by an operator, or a frame that one `confirmed` and a fine-tune made a reference.",
    )


class ReferenceRow(Base):
    """A template stored for a user: float32 little-endian, `dimension` values, unit length, sealed."""

    __tablename__ = "user_references"
    __table_args__ = (UniqueConstraint("photo_id", "model"), CheckConstraint("dimension > 0", name="has_dimension"))

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    photo_id: Mapped[int] = mapped_column(ForeignKey("photos.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(
        String(MODEL_LENGTH), index=True, comment="name@digest12. Templates of two models must never be compared."
    )
    dimension: Mapped[int]
    template: Mapped[bytes] = mapped_column(LargeBinary, comment="Sealed by storage.vault.")


class DoorRow(Base):
    """What is granted."""

    __tablename__ = "doors"
    __table_args__ = (
        CheckConstraint("mode IN ('armed', 'disarmed', 'lockdown')", name="mode_is_known"),
        CheckConstraint("target_fmr > 0 AND target_fmr < 1", name="target_fmr_is_a_share"),
        CheckConstraint("agreeing_frames >= 1", name="agreeing_frames_is_positive"),
        CheckConstraint(
            "denials >= 0 AND window_seconds > 0 AND lockout_seconds >= 0 AND cooldown_seconds >= 0",
            name="limits_make_sense",
        ),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    slug: Mapped[str] = mapped_column(String(SLUG_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    mode: Mapped[str] = mapped_column(String(16))
    zone: Mapped[str] = mapped_column(String(64), comment="IANA time zone of the hours.")
    target_fmr: Mapped[float | None]
    agreeing_frames: Mapped[int | None]
    alone: Mapped[bool]
    denials: Mapped[int]
    window_seconds: Mapped[float]
    lockout_seconds: Mapped[float]
    cooldown_seconds: Mapped[float]


class DoorCameraRow(Base):
    """A camera of a door. The camera is the key: it belongs to one door, or its events would be decided twice."""

    __tablename__ = "door_cameras"

    camera: Mapped[str] = mapped_column(String(SLUG_LENGTH), primary_key=True)
    door_id: Mapped[int] = mapped_column(ForeignKey("doors.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(comment="Order in which the operator named them.")


class PermissionRow(Base):
    """A group may pass a door within a window of the week. A door without any permits nobody."""

    __tablename__ = "permissions"
    __table_args__ = (CheckConstraint("days BETWEEN 1 AND 127", name="days_are_a_set"),)

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    door_id: Mapped[int] = mapped_column(ForeignKey("doors.id", ondelete="CASCADE"), index=True)
    group_slug: Mapped[str] = mapped_column(String(SLUG_LENGTH))
    days: Mapped[int] = mapped_column(comment="Bit 0 is Monday, bit 6 Sunday.")
    opens: Mapped[time] = mapped_column(Time)
    closes: Mapped[time] = mapped_column(Time, comment="Exclusive; 00:00 is the end of the day.")


class EventRow(Base):
    """An event that came in. It is settled once: named in a decision, or counted under a reason (law 4)."""

    __tablename__ = "events"

    event: Mapped[str] = mapped_column(String(EVENT_LENGTH), primary_key=True)
    camera: Mapped[str] = mapped_column(String(SLUG_LENGTH))
    received_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    digest: Mapped[str] = mapped_column(
        String(DIGEST_LENGTH), index=True, comment="SHA-256 of the picture; empty without one."
    )
    settled_by: Mapped[str | None] = mapped_column(
        String(64), comment="NULL: open. `decided`, or the reason that it was counted under; never changed again."
    )


class TallyRow(Base):
    """A sum over all events that ever came in: `in`, `decided`, and one for each reason to count."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class DecisionRow(Base):
    """A decision: the columns that one filters on, and the whole of it as JSON, linked to the one before."""

    __tablename__ = "decisions"
    __table_args__ = (
        CheckConstraint("(outcome = 'grant') = (reason = 'match')", name="only_a_match_grants"),
        CheckConstraint("word IN ('confirmed', 'denied')", name="word_is_known"),
    )

    position: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="Place in the chain, from 1, without gaps."
    )
    id: Mapped[str] = mapped_column(String(36), unique=True)
    door: Mapped[str] = mapped_column(String(SLUG_LENGTH), index=True)
    outcome: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(String(32))
    user: Mapped[str | None] = mapped_column(String(SLUG_LENGTH), index=True)
    decided_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    document: Mapped[str] = mapped_column(Text, comment="Canonical JSON of the decision; what the chain holds.")
    hash: Mapped[str] = mapped_column(
        String(DIGEST_LENGTH), comment="SHA-256 of the previous row's hash and this document (storage.audit)."
    )
    word: Mapped[str | None] = mapped_column(String(16), comment="The operator's word; later than the chain.")
    word_at: Mapped[datetime | None] = mapped_column(UtcTime)
    word_user: Mapped[str | None] = mapped_column(
        String(SLUG_LENGTH), comment="Who it really was, if the operator said so."
    )


class DecisionEventRow(Base):
    """A decision names an event. The event is the key: two decisions cannot name the same."""

    __tablename__ = "decision_events"

    event: Mapped[str] = mapped_column(String(EVENT_LENGTH), primary_key=True)
    position: Mapped[int] = mapped_column(ForeignKey("decisions.position", ondelete="CASCADE"), index=True)


class ChainRow(Base):
    """One row: the newest link of the chain. Writers lock it, so that the chain has one end."""

    __tablename__ = "chain"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(DIGEST_LENGTH))


class CheckpointRow(Base):
    """Where retention cut the chain: the last deleted link, signed, so that the rest stays verifiable."""

    __tablename__ = "checkpoints"

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    jws: Mapped[str] = mapped_column(Text, comment="Signs position and hash with the key that signs decisions.")


class DecisionFrameRow(Base):
    """The face that a decision was made on, kept sealed until an operator has spoken or it is too old.

    It goes with the decision, and with the user whom it was taken for.
    """

    __tablename__ = "decision_frames"

    decision: Mapped[str] = mapped_column(ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True, comment="Whom it was scored as, granted or not."
    )
    camera: Mapped[str] = mapped_column(String(SLUG_LENGTH))
    captured_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    crop: Mapped[bytes] = mapped_column(LargeBinary, comment="Sealed; packed as the crop of a photo.")


class CameraViewRow(Base):
    """How a camera sees: light, noise, blur, size and colour, measured from its frames."""

    __tablename__ = "camera_views"

    camera: Mapped[str] = mapped_column(String(SLUG_LENGTH), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True, comment="Of light: day, night, infrared.")
    statistics: Mapped[str] = mapped_column(Text, comment="JSON (vision.view).")
    updated_at: Mapped[datetime] = mapped_column(UtcTime)


class FinetuneRunRow(Base):
    """A run of fine-tuning: what it saw, what the judge said and why."""

    __tablename__ = "finetune_runs"
    __table_args__ = (
        CheckConstraint("state IN ('due', 'running', 'shadow', 'finished', 'failed')", name="state_is_known"),
        CheckConstraint("verdict IN ('promoted', 'kept', 'refused')", name="verdict_is_known"),
        CheckConstraint("(state = 'finished') = (verdict IS NOT NULL)", name="finished_has_a_verdict"),
        #: Numbers name model folders: they are never used twice.
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    trigger: Mapped[str] = mapped_column(String(32), comment="What asked for it: command, schedule, removal, ...")
    champion: Mapped[str] = mapped_column(String(MODEL_LENGTH), comment="name@digest12; empty while it is due.")
    challenger: Mapped[str | None] = mapped_column(String(MODEL_LENGTH), comment="name@digest12.")
    on_shelf: Mapped[bool] = mapped_column(
        default=False, comment="The challenger's folder is to be kept; any other learned folder is a leftover."
    )
    data_digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH), comment="SHA-256 of all that was learned from.")
    seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    verdict: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    before: Mapped[str | None] = mapped_column(Text, comment="The champion's figures, JSON.")
    after: Mapped[str | None] = mapped_column(Text, comment="The challenger's figures, JSON.")
    seconds: Mapped[float | None]
    picture: Mapped[str | None] = mapped_column(String(128), comment="File name in the folder of pictures.")


class ChampionRow(Base):
    """Who led from when on. Rows are only added; the last one is in charge."""

    __tablename__ = "champions"

    position: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    name: Mapped[str] = mapped_column(String(SLUG_LENGTH), comment="Name of the model's folder.")
    model: Mapped[str] = mapped_column(String(MODEL_LENGTH), comment="name@digest12.")
    since: Mapped[datetime] = mapped_column(UtcTime)
    run: Mapped[int | None] = mapped_column(
        ForeignKey("finetune_runs.number", ondelete="SET NULL"), comment="The run that put it in charge."
    )
    before: Mapped[int | None] = mapped_column(
        ForeignKey("champions.position"), comment="Where a rollback leads; a rollback's own row takes it over."
    )


class LearnedUserRow(Base):
    """A model was learned from a user: whoever is removed is removed from that, too."""

    __tablename__ = "learned_users"

    model: Mapped[str] = mapped_column(String(MODEL_LENGTH), primary_key=True, comment="name@digest12.")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)


class ShadowScoreRow(Base):
    """What a challenger in the shadow said of a decision, beside what the champion said. It decided nothing."""

    __tablename__ = "shadow_scores"

    run: Mapped[int] = mapped_column(ForeignKey("finetune_runs.number", ondelete="CASCADE"), primary_key=True)
    decision: Mapped[str] = mapped_column(ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True, index=True)
    camera: Mapped[str] = mapped_column(String(SLUG_LENGTH))
    door: Mapped[str] = mapped_column(String(SLUG_LENGTH))
    champion_user: Mapped[str | None] = mapped_column(String(SLUG_LENGTH))
    champion_score: Mapped[float | None]
    champion_threshold: Mapped[float | None]
    challenger_user: Mapped[str | None] = mapped_column(String(SLUG_LENGTH))
    challenger_score: Mapped[float | None]
    challenger_threshold: Mapped[float | None]
    at: Mapped[datetime] = mapped_column(UtcTime)
