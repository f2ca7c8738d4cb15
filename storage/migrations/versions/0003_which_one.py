"""The labels that tell the alerts of an incident apart, and what all of them are within."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("incident", sa.Column("within", sa.Text, nullable=False, server_default=""))
    op.add_column("alert", sa.Column("which", sa.Text, nullable=False, server_default="{}"))
