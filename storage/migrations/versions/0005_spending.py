"""What counts against the limits, added up as it changes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COUNTS = "{row}.claimed_at IS NOT NULL AND {row}.segments IS NOT NULL"
_TYPED = "{row}.incident_id IS NULL AND {row}.priority = 2 AND {row}.asked_by IS NOT NULL"
# What one row counts for: the house, and its route or whoever typed it.
_ADD = f"""
INSERT INTO spending (scope, subject, slot, segments)
SELECT scope, subject, {{row}}.claimed_at / 900000000, {{sign}}{{row}}.segments
FROM (
  SELECT 'house' AS scope, '' AS subject
  UNION ALL SELECT 'route', route FROM incident WHERE id = {{row}}.incident_id
  UNION ALL SELECT 'asker', {{row}}.asked_by WHERE {_TYPED}
)
WHERE {_COUNTS}
ON CONFLICT (scope, subject, slot) DO UPDATE SET segments = segments + excluded.segments;
"""  # noqa: S608 - of our own words alone
_FILL = f"""
INSERT INTO spending (scope, subject, slot, segments)
SELECT scope, subject, slot, sum(segments) FROM (
  SELECT 'house' AS scope, '' AS subject, claimed_at / 900000000 AS slot, segments
  FROM notification WHERE {_COUNTS}
  UNION ALL
  SELECT 'route', incident.route, claimed_at / 900000000, segments
  FROM notification JOIN incident ON incident.id = notification.incident_id WHERE {_COUNTS}
  UNION ALL
  SELECT 'asker', asked_by, claimed_at / 900000000, segments
  FROM notification WHERE {_COUNTS} AND {_TYPED}
)
GROUP BY scope, subject, slot
"""  # noqa: S608 - of our own words alone


def upgrade() -> None:
    op.create_table(
        "spending",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("slot", sa.BigInteger, nullable=False),
        sa.Column("segments", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", "slot"),
        sqlite_with_rowid=False,
    )
    op.execute(_FILL.format(row="notification"))
    old, new = _ADD.format(row="OLD", sign="-"), _ADD.format(row="NEW", sign="")
    op.execute(f"CREATE TRIGGER spending_of_new AFTER INSERT ON notification BEGIN {new} END")
    changed = "CREATE TRIGGER spending_of_changed AFTER UPDATE OF claimed_at, segments ON notification"
    op.execute(f"{changed} BEGIN {old} {new} END")
    op.drop_index("notification_number", "notification")
    numbered = sa.text("number IS NOT NULL")
    op.create_index(
        "notification_number",
        "notification",
        ["number", "claimed_at", "segments"],
        sqlite_where=numbered,
        postgresql_where=numbered,
    )
