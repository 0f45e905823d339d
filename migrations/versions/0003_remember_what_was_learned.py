"""Remember what was learned: champions, runs, the faces that decisions were made on, how cameras see.

Columns are added with `ALTER TABLE` as both databases know it. Alembic's way for SQLite, a new table and a copy, would
drop the old `photos` and `decisions`, and with them every reference and event that hangs on them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.execute(
        "ALTER TABLE photos ADD COLUMN origin VARCHAR(16) DEFAULT 'enrolled' NOT NULL"
        " CONSTRAINT ck_photos_origin_is_known CHECK (origin IN ('enrolled', 'confirmed'))"
    )
    op.execute("ALTER TABLE decisions ADD COLUMN word_user VARCHAR(64)")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "COMMENT ON COLUMN photos.origin IS"
            " '`enrolled` by an operator, or a frame that one `confirmed` and a fine-tune made a reference.'"
        )
        op.execute("COMMENT ON COLUMN decisions.word_user IS 'Who it really was, if the operator said so.'")
    add_runs()
    add_models()
    add_frames()


def add_runs() -> None:
    op.create_table(
        "finetune_runs",
        sa.Column("number", ROW_NUMBER, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column(
            "trigger",
            sa.String(length=32),
            nullable=False,
            comment="What asked for it: command, schedule, removal, ...",
        ),
        sa.Column("champion", sa.String(length=200), nullable=False, comment="name@digest12; empty while it is due."),
        sa.Column("challenger", sa.String(length=200), nullable=True, comment="name@digest12."),
        sa.Column(
            "on_shelf",
            sa.Boolean(),
            nullable=False,
            comment="The challenger's folder is to be kept; any other learned folder is a leftover.",
        ),
        sa.Column("data_digest", sa.String(length=64), nullable=False, comment="SHA-256 of all that was learned from."),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True, comment="The champion's figures, JSON."),
        sa.Column("after", sa.Text(), nullable=True, comment="The challenger's figures, JSON."),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("picture", sa.String(length=128), nullable=True, comment="File name in the folder of pictures."),
        sa.CheckConstraint(
            "state IN ('due', 'running', 'shadow', 'finished', 'failed')", name=op.f("ck_finetune_runs_state_is_known")
        ),
        sa.CheckConstraint(
            "verdict IN ('promoted', 'kept', 'refused')", name=op.f("ck_finetune_runs_verdict_is_known")
        ),
        sa.CheckConstraint(
            "(state = 'finished') = (verdict IS NOT NULL)", name=op.f("ck_finetune_runs_finished_has_a_verdict")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_finetune_runs")),
        sqlite_autoincrement=True,
    )


def add_models() -> None:
    op.create_table(
        "champions",
        sa.Column("position", ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False, comment="Name of the model's folder."),
        sa.Column("model", sa.String(length=200), nullable=False, comment="name@digest12."),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("run", ROW_NUMBER, nullable=True, comment="The run that put it in charge."),
        sa.Column(
            "before",
            ROW_NUMBER,
            nullable=True,
            comment="Where a rollback leads; a rollback's own row takes it over.",
        ),
        sa.ForeignKeyConstraint(
            ["run"], ["finetune_runs.number"], name=op.f("fk_champions_run_finetune_runs"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["before"], ["champions.position"], name=op.f("fk_champions_before_champions")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_champions")),
    )
    op.create_table(
        "learned_users",
        sa.Column("model", sa.String(length=200), nullable=False, comment="name@digest12."),
        sa.Column("user_id", ROW_NUMBER, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_learned_users_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model", "user_id", name=op.f("pk_learned_users")),
    )
    op.create_index(op.f("ix_learned_users_user_id"), "learned_users", ["user_id"])


def add_frames() -> None:
    op.create_table(
        "camera_views",
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="Of light: day, night, infrared."),
        sa.Column("statistics", sa.Text(), nullable=False, comment="JSON (vision.view)."),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("camera", "kind", name=op.f("pk_camera_views")),
    )
    op.create_table(
        "decision_frames",
        sa.Column("decision", sa.String(length=36), nullable=False),
        sa.Column("user_id", ROW_NUMBER, nullable=True, comment="Whom it was scored as, granted or not."),
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("captured_at", MOMENT, nullable=False),
        sa.Column("crop", sa.LargeBinary(), nullable=False, comment="Sealed; packed as the crop of a photo."),
        sa.ForeignKeyConstraint(
            ["decision"], ["decisions.id"], name=op.f("fk_decision_frames_decision_decisions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_decision_frames_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("decision", name=op.f("pk_decision_frames")),
    )
    op.create_index(op.f("ix_decision_frames_user_id"), "decision_frames", ["user_id"])
    op.create_index(op.f("ix_decision_frames_captured_at"), "decision_frames", ["captured_at"])
    op.create_table(
        "shadow_scores",
        sa.Column("run", ROW_NUMBER, nullable=False),
        sa.Column("decision", sa.String(length=36), nullable=False),
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("door", sa.String(length=64), nullable=False),
        sa.Column("champion_user", sa.String(length=64), nullable=True),
        sa.Column("champion_score", sa.Double(), nullable=True),
        sa.Column("champion_threshold", sa.Double(), nullable=True),
        sa.Column("challenger_user", sa.String(length=64), nullable=True),
        sa.Column("challenger_score", sa.Double(), nullable=True),
        sa.Column("challenger_threshold", sa.Double(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run"], ["finetune_runs.number"], name=op.f("fk_shadow_scores_run_finetune_runs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["decision"], ["decisions.id"], name=op.f("fk_shadow_scores_decision_decisions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run", "decision", name=op.f("pk_shadow_scores")),
    )
    op.create_index(op.f("ix_shadow_scores_decision"), "shadow_scores", ["decision"])


def downgrade() -> None:
    for table in ("shadow_scores", "decision_frames", "camera_views", "learned_users", "champions", "finetune_runs"):
        op.drop_table(table)
    op.execute("ALTER TABLE decisions DROP COLUMN word_user")
    op.execute("ALTER TABLE photos DROP COLUMN origin")
