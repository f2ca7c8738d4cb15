"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "sequence",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("next", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO sequence (id, next) VALUES (1, 1)")
    op.create_table(
        "receipt",
        sa.Column("id", ID, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("route", sa.Text),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("identity", sa.Text),
        sa.Column("result", sa.Text, nullable=False),
    )
    _index("receipt_identity", "receipt", ["source", "identity", "received_at"])
    _index("receipt_received", "receipt", ["received_at"])
    _index("receipt_waiting", "receipt", ["id"], where="state = 'stored'")
    op.create_table(
        "incident",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("group_key", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("places", sa.Text, nullable=False),
        sa.Column("fact", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("firing", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("truncated", sa.Integer, nullable=False),
        sa.Column("policy", sa.Text),
        sa.Column("chat", sa.Text),
        sa.Column("critical", sa.Boolean, nullable=False),
        sa.Column("test", sa.Boolean, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("source_url", sa.Text, nullable=False),
        sa.Column("runbook_url", sa.Text, nullable=False),
        sa.Column("last_seen", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", sa.Text),
    )
    _index("incident_open", "incident", ["source", "group_key", "route"], unique=True, where="state != 'resolved'")
    _index("incident_open_newest", "incident", ["id"], where="state != 'resolved'")
    _index("incident_opened", "incident", ["opened_at"])
    op.create_table(
        "alert",
        sa.Column("incident_id", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("group_key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("fact", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("receipt", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "group_key", "fingerprint", "incident_id"),
    )
    op.create_table(
        "notification",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("incident_id", sa.BigInteger, sa.ForeignKey("incident.id")),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("person", sa.Text),
        sa.Column("number", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("alphabet", sa.Text),
        sa.Column("segments", sa.Integer),
        sa.Column("sender_id", sa.Text),
        sa.Column("validity", sa.Integer),
        sa.Column("flash", sa.Boolean, nullable=False),
        sa.Column("shorten_links", sa.Boolean, nullable=False),
        sa.Column("gateway_defer", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("asked_by", sa.Text),
        sa.Column("chat", sa.Text),
        sa.Column("cause", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("claimed_at", sa.BigInteger),
        sa.Column("lost_at", sa.BigInteger),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.Column("next_look_at", sa.BigInteger),
        sa.Column("asked_at", sa.BigInteger),
        sa.Column("resent", sa.Boolean, nullable=False),
        sa.Column("submitted_at", sa.BigInteger),
        sa.Column("message_id", sa.Text),
        sa.Column("campaign_id", sa.Text),
        sa.Column("moderated", sa.Boolean, nullable=False),
        sa.Column("gateway_status", sa.Text),
        sa.Column("status_at", sa.BigInteger),
        sa.Column("unlisted", sa.Integer, nullable=False),
        sa.Column("next_poll_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("cost", sa.Text),
        sa.Column("currency", sa.Text),
    )
    _index("notification_cause", "notification", ["cause"], unique=True)
    _index("notification_claimable", "notification", ["priority", "due_at", "id"], where="state = 'planned'")
    _index(
        "notification_claimed",
        "notification",
        ["claimed_at", "state", "number", "segments"],
        where="claimed_at IS NOT NULL",
    )
    _index("notification_due", "notification", ["due_at"], where="state = 'planned'")
    _index("notification_leased", "notification", ["lease_until"], where="state = 'sending'")
    _index("notification_message", "notification", ["message_id"], unique=True, where="message_id IS NOT NULL")
    _index(
        "notification_not_final",
        "notification",
        ["state"],
        where="state IN ('planned', 'sending', 'uncertain', 'submitted')",
    )
    _index("notification_number", "notification", ["number"], where="number IS NOT NULL")
    _index("notification_plan", "notification", ["incident_id", "round", "step"], where="incident_id IS NOT NULL")
    _index("notification_looks", "notification", ["next_look_at"], where="state = 'uncertain'")
    _index("notification_polls", "notification", ["next_poll_at"], where="state = 'submitted'")
    op.create_table(
        "question",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("telegram_id", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("alphabet", sa.Text, nullable=False),
        sa.Column("segments", sa.Integer, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("chat", sa.Text),
        sa.Column("cause", sa.Text),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("sender_id", sa.Text),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
    )
    _index("question_cause", "question", ["cause"], unique=True)
    op.create_table(
        "card",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("topic", sa.BigInteger),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("shown", sa.Integer, nullable=False),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("reply_to", sa.BigInteger),
        sa.Column("ring", sa.Boolean, nullable=False),
        sa.Column("urgent", sa.Boolean, nullable=False),
        sa.Column("changed_at", sa.BigInteger),
        sa.Column("shown_at", sa.BigInteger),
        sa.Column("retry_at", sa.BigInteger),
        sa.Column("closed", sa.Text),
        sa.Column("text", sa.Text, nullable=False),
    )
    _index("card_behind", "card", ["id"], where="closed IS NULL AND shown < wanted")
    _index("card_message", "card", ["chat_id", "message_id"], where="message_id IS NOT NULL")
    _index("card_single", "card", ["kind", "subject", "chat_id"], unique=True, where="kind != 'note'")
    _index("card_subject", "card", ["kind", "subject"])
    op.create_table(
        "trouble",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("over_at", sa.BigInteger),
        sa.Column("texted_at", sa.BigInteger),
    )
    _index("trouble_open", "trouble", ["kind", "subject"], unique=True, where="over_at IS NULL")
    op.create_table(
        "timeline",
        sa.Column("id", ID, primary_key=True),
        sa.Column("subject", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
    )
    _index("timeline_subject", "timeline", ["subject"])
    op.create_table(
        "telegram_update",
        sa.Column("bot_id", sa.BigInteger, nullable=False),
        sa.Column("update_id", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("done_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("bot_id", "update_id"),
    )
    _index("telegram_update_waiting", "telegram_update", ["received_at", "update_id"], where="done_at IS NULL")
    op.create_table(
        "timer",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject"),
    )
    _index("timer_due", "timer", ["due_at"])


def _index(name: str, table: str, columns: list[str], *, unique: bool = False, where: str | None = None) -> None:
    only = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=only, postgresql_where=only)
