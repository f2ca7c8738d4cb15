"""What the template of a route may speak of: an alert's labels and annotations, and those of its group."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("alert", sa.Column("told", sa.Text, nullable=False, server_default="{}"))
