"""Transfers drawn by lot for a look."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "samples",
        sa.Column("transfer_id", sa.String(64), primary_key=True),
        sa.Column("rate", sa.Float, nullable=False),
        sa.Column("drawn_wall_us", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_index("ix_samples_drawn", "samples", ["drawn_wall_us", "transfer_id"])


def downgrade() -> None:
    op.drop_table("samples")
