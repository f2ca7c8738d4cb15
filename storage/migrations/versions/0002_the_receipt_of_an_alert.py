"""Which receipt last told of an alert: the order in which news was received, whatever the clock said."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("alert", sa.Column("receipt", sa.BigInteger, nullable=False, server_default="0"))
