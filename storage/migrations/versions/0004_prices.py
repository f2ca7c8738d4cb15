"""What SMS cost: the price of a segment by country, and when to ask for it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Older SMS stay without a cost: asking for all of a long history would take thousands of calls.
_TWO_MONTHS = 62 * 24 * 3600 * 1_000_000


def upgrade() -> None:
    op.add_column("notification", sa.Column("next_price_at", sa.BigInteger))
    wanted = sa.text("next_price_at IS NOT NULL")
    op.create_index(
        "notification_prices", "notification", ["next_price_at"], sqlite_where=wanted, postgresql_where=wanted
    )
    op.create_table(
        "price",
        sa.Column("country", sa.Text, primary_key=True),
        sa.Column("amount", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.execute(
        sa.text(
            "UPDATE notification SET next_price_at = ended_at "
            "WHERE message_id IS NOT NULL AND cost IS NULL AND ended_at IS NOT NULL "
            "AND claimed_at > (SELECT max(claimed_at) FROM notification) - :two_months"
        ).bindparams(two_months=_TWO_MONTHS)
    )
