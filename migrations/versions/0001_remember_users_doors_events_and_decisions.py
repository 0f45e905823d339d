"""Remember users, doors, events and decisions.

Types are written out here: this revision must make the same schema when the tables' classes have long moved on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_chain_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain")),
    )
    op.create_table(
        "checkpoints",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column(
            "jws", sa.Text(), nullable=False, comment="Signs position and hash with the key that signs decisions."
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "decisions",
        sa.Column(
            "position",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Place in the chain, from 1, without gaps.",
        ),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("door", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=True),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.Column(
            "document", sa.Text(), nullable=False, comment="Canonical JSON of the decision; what the chain holds."
        ),
        sa.Column(
            "hash",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of the previous row's hash and this document (storage.audit).",
        ),
        sa.Column("word", sa.String(length=16), nullable=True, comment="The operator's word; later than the chain."),
        sa.Column("word_at", MOMENT, nullable=True),
        sa.CheckConstraint("(outcome = 'grant') = (reason = 'match')", name=op.f("ck_decisions_only_a_match_grants")),
        sa.CheckConstraint("word IN ('confirmed', 'denied')", name=op.f("ck_decisions_word_is_known")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_decisions")),
        sa.UniqueConstraint("id", name=op.f("uq_decisions_id")),
    )
    op.create_index(op.f("ix_decisions_decided_at"), "decisions", ["decided_at"])
    op.create_index(op.f("ix_decisions_door"), "decisions", ["door"])
    op.create_index(op.f("ix_decisions_user"), "decisions", ["user"])

    op.create_table(
        "doors",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False, comment="IANA time zone of the hours."),
        sa.Column("target_fmr", sa.Double(), nullable=True),
        sa.Column("agreeing_frames", sa.Integer(), nullable=True),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("denials", sa.Integer(), nullable=False),
        sa.Column("window_seconds", sa.Double(), nullable=False),
        sa.Column("lockout_seconds", sa.Double(), nullable=False),
        sa.Column("cooldown_seconds", sa.Double(), nullable=False),
        sa.CheckConstraint("mode IN ('armed', 'disarmed', 'lockdown')", name=op.f("ck_doors_mode_is_known")),
        sa.CheckConstraint("agreeing_frames >= 1", name=op.f("ck_doors_agreeing_frames_is_positive")),
        sa.CheckConstraint(
            "denials >= 0 AND window_seconds > 0 AND lockout_seconds >= 0 AND cooldown_seconds >= 0",
            name=op.f("ck_doors_limits_make_sense"),
        ),
        sa.CheckConstraint("target_fmr > 0 AND target_fmr < 1", name=op.f("ck_doors_target_fmr_is_a_share")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doors")),
        sa.UniqueConstraint("slug", name=op.f("uq_doors_slug")),
    )
    op.create_table(
        "events",
        sa.Column("event", sa.String(length=128), nullable=False),
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of the picture; empty without one."),
        sa.Column(
            "settled_by",
            sa.String(length=64),
            nullable=True,
            comment="NULL: open. `decided`, or the reason that it was counted under; never changed again.",
        ),
        sa.PrimaryKeyConstraint("event", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_digest"), "events", ["digest"])
    op.create_index(op.f("ix_events_received_at"), "events", ["received_at"])

    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column(
            "vault_key",
            sa.String(length=16),
            nullable=False,
            comment="Id of the key that seals the photos now; writing under another would lose the photo.",
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_revision_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
    )
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tallies")),
    )
    op.create_table(
        "users",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column(
            "name", sa.String(length=200), nullable=False, comment="Shown to people; never in a topic, a path or a log."
        ),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("slug", name=op.f("uq_users_slug")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "decision_events",
        sa.Column("event", sa.String(length=128), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["position"], ["decisions.position"], name=op.f("fk_decision_events_position_decisions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event", name=op.f("pk_decision_events")),
    )
    op.create_index(op.f("ix_decision_events_position"), "decision_events", ["position"])

    op.create_table(
        "door_cameras",
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("door_id", ROW_NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Order in which the operator named them."),
        sa.ForeignKeyConstraint(
            ["door_id"], ["doors.id"], name=op.f("fk_door_cameras_door_id_doors"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("camera", name=op.f("pk_door_cameras")),
    )
    op.create_index(op.f("ix_door_cameras_door_id"), "door_cameras", ["door_id"])

    op.create_table(
        "memberships",
        sa.Column("user_id", ROW_NUMBER, nullable=False),
        sa.Column("group_slug", sa.String(length=64), nullable=False),
        sa.CheckConstraint("group_slug <> 'everyone'", name=op.f("ck_memberships_everyone_is_implied")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_memberships_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "group_slug", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_group_slug"), "memberships", ["group_slug"])

    op.create_table(
        "permissions",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("door_id", ROW_NUMBER, nullable=False),
        sa.Column("group_slug", sa.String(length=64), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False, comment="Bit 0 is Monday, bit 6 Sunday."),
        sa.Column("opens", sa.Time(), nullable=False),
        sa.Column("closes", sa.Time(), nullable=False, comment="Exclusive; 00:00 is the end of the day."),
        sa.CheckConstraint("days BETWEEN 1 AND 127", name=op.f("ck_permissions_days_are_a_set")),
        sa.ForeignKeyConstraint(
            ["door_id"], ["doors.id"], name=op.f("fk_permissions_door_id_doors"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permissions")),
    )
    op.create_index(op.f("ix_permissions_door_id"), "permissions", ["door_id"])

    op.create_table(
        "photos",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("user_id", ROW_NUMBER, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of the file, hexadecimal."),
        sa.Column(
            "crop",
            sa.LargeBinary(),
            nullable=False,
            comment="Sealed: five landmarks, then the picture around the face (storage.photos).",
        ),
        sa.Column("quality", sa.Text(), nullable=False, comment="What was measured at enrollment, JSON."),
        sa.Column("enrolled_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_photos_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_photos")),
        sa.UniqueConstraint("user_id", "digest", name=op.f("uq_photos_user_id_digest")),
    )
    op.create_index(op.f("ix_photos_digest"), "photos", ["digest"])

    op.create_table(
        "user_references",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("photo_id", ROW_NUMBER, nullable=False),
        sa.Column(
            "model",
            sa.String(length=200),
            nullable=False,
            comment="name@digest12. Templates of two models must never be compared.",
        ),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("template", sa.LargeBinary(), nullable=False, comment="Sealed by storage.vault."),
        sa.CheckConstraint("dimension > 0", name=op.f("ck_user_references_has_dimension")),
        sa.ForeignKeyConstraint(
            ["photo_id"], ["photos.id"], name=op.f("fk_user_references_photo_id_photos"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_references")),
        sa.UniqueConstraint("photo_id", "model", name=op.f("uq_user_references_photo_id_model")),
    )
    op.create_index(op.f("ix_user_references_model"), "user_references", ["model"])


def downgrade() -> None:
    for table in (
        "user_references",
        "photos",
        "permissions",
        "memberships",
        "door_cameras",
        "decision_events",
        "users",
        "tallies",
        "revision",
        "events",
        "doors",
        "decisions",
        "checkpoints",
        "chain",
    ):
        op.drop_table(table)
