"""Acknowledgement, and what a row of the outbox knows of its place in the climb."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("incident", sa.Column("asked_by", sa.Text))
    op.add_column("incident", sa.Column("acknowledged_by", sa.Text))
    op.add_column("incident", sa.Column("acknowledged_at", sa.BigInteger))
    op.add_column("incident", sa.Column("acknowledged_via", sa.Text, nullable=False, server_default=""))
    op.add_column("incident", sa.Column("first_round", sa.Integer, nullable=False, server_default="1"))
    op.add_column("incident", sa.Column("rings", sa.Integer, nullable=False, server_default="0"))
    op.add_column("incident", sa.Column("outbreaks", sa.Integer, nullable=False, server_default="1"))
    op.add_column("alert", sa.Column("by_hand", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("notification", sa.Column("purpose", sa.Text, nullable=False, server_default="page"))
    op.add_column("notification", sa.Column("wait", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("notification", sa.Column("deliver_within", sa.BigInteger))
    op.add_column("notification", sa.Column("link_token", sa.Text))
    op.add_column("notification", sa.Column("carried_by", sa.BigInteger))
    for name, unique in (("link_token", True), ("carried_by", False)):
        there = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"notification_{name.split('_')[0]}",
            "notification",
            [name],
            unique=unique,
            sqlite_where=there,
            postgresql_where=there,
        )
