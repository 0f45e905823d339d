"""Alembic's environment: runs on the connection that `facegate.storage.schema` hands over, and on nothing else."""

from alembic import context

from facegate.storage.tables import Base

connection = context.config.attributes.get("connection")
if connection is None:
    message = "Migrations run from facegate: facegate db upgrade"
    raise SystemExit(message)

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # SQLite cannot alter most of a table: Alembic makes a new one and copies.
    render_as_batch=True,
    compare_type=True,
    user_module_prefix="facegate.storage.tables.",
)
with context.begin_transaction():
    context.run_migrations()
