"""Begin the revision and the chain: their single rows.

Rows come in a revision of their own: schema and data never change together.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

REVISION = sa.table("revision", sa.column("id"), sa.column("number"), sa.column("vault_key"))
CHAIN = sa.table("chain", sa.column("id"), sa.column("position"), sa.column("hash"))


def upgrade() -> None:
    op.execute(REVISION.insert().values(id=1, number=1, vault_key=""))
    op.execute(CHAIN.insert().values(id=1, position=0, hash="0" * 64))


def downgrade() -> None:
    op.execute(REVISION.delete())
    op.execute(CHAIN.delete())
