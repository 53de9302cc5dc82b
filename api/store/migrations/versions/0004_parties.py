"""Banks of the parties to a registered transfer; rows that are there already do not know theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accepted", sa.Column("payer_bank", sa.String(12)))
    op.add_column("accepted", sa.Column("payee_bank", sa.String(12)))


def downgrade() -> None:
    op.drop_column("accepted", "payee_bank")
    op.drop_column("accepted", "payer_bank")
