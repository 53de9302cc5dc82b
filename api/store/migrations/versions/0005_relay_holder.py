"""The replica that may have records under way to their topics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "relay_holder",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("instance", sa.String(64), nullable=False, server_default=""),
    )
    op.execute(table.insert().values(id=1))


def downgrade() -> None:
    op.drop_table("relay_holder")
