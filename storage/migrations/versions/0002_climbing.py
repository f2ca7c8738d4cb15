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
    op.add_column("incident", sa.Column("token", sa.Text, nullable=False, server_default=""))
    op.add_column("incident", sa.Column("labels", sa.Text, nullable=False, server_default="{}"))
    op.add_column("incident", sa.Column("storm", sa.BigInteger))
    op.add_column("alert", sa.Column("by_hand", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("notification", sa.Column("purpose", sa.Text, nullable=False, server_default="page"))
    op.add_column("notification", sa.Column("wait", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("notification", sa.Column("deliver_within", sa.BigInteger))
    op.add_column("notification", sa.Column("link_token", sa.Text))
    op.add_column("notification", sa.Column("carried_by", sa.BigInteger))
    op.add_column("notification", sa.Column("held", sa.Text))
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
    stormy = sa.text("storm IS NOT NULL")
    op.create_index("incident_storm", "incident", ["storm", "opened_at"], sqlite_where=stormy, postgresql_where=stormy)
    op.drop_index("card_single", "card")
    single = sa.text("(kind NOT IN ('note', 'ring'))")
    op.create_index(
        "card_single",
        "card",
        ["kind", "subject", "chat_id"],
        unique=True,
        sqlite_where=single,
        postgresql_where=single,
    )
    ended = sa.text("ended_at IS NOT NULL")
    op.create_index(
        "incident_ended",
        "incident",
        ["source", "group_key", "ended_at"],
        sqlite_where=ended,
        postgresql_where=ended,
    )
    op.create_table(
        "silence",
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("source_id", sa.Text),
        sa.Column("undone_by", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("gone_since", sa.BigInteger),
        sa.PrimaryKeyConstraint("incident_id"),
    )
    goes_on = sa.text("next_at IS NOT NULL")
    op.create_index("silence_due", "silence", ["next_at"], sqlite_where=goes_on, postgresql_where=goes_on)
