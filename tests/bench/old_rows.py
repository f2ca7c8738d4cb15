"""A database that has been in use for long: so many SMS that came to their end, and all that led to them.

python -m tests.bench.old_rows FILE ROWS
"""

import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage import migrate

_SPAN = timedelta(days=80)  # within storage.keep: the worst case, for nothing of it may be forgotten yet
_NUMBERED = "WITH RECURSIVE old(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM old WHERE n < :rows) "
"""Each row is one trouble: its webhook, incident, alert, SMS, card, and three lines of its timeline."""
_AT = "(:began + n * :every)"

_FILL = (
    f"""
    INSERT INTO receipt (id, source, received_at, body, headers, state, identity, result)
    SELECT n, 'alertmanager', {_AT}, CAST(printf('{{"alerts": [{{"fingerprint": "%016x"}}], "padding": "%200d"}}', n, n)
      AS BLOB), '{{}}', 'understood', printf('%016x', n), '{{}}' FROM old
    """,
    f"""
    INSERT INTO incident (id, source, group_key, route, opened_at, started_at, state, title, places, fact, severity,
      firing, total, truncated, policy, chat, critical, test, note, source_url, runbook_url, last_seen, ended_at,
      ended_by)
    SELECT 2 * n - 1, 'alertmanager', printf('group %d', n), 'critical', {_AT}, {_AT}, 'resolved',
      'HostOutOfDiskSpace', '["db1"]', 'Disk is almost full', 'critical', 0, 1, 0, 'critical', 'ops', 0, 0, '', '', '',
      {_AT}, {_AT} + 60000000, 'alertmanager' FROM old
    """,
    f"""
    INSERT INTO alert (incident_id, source, group_key, fingerprint, starts_at, status, name, place, fact, severity,
      last_seen, ended_at, receipt)
    SELECT 2 * n - 1, 'alertmanager', printf('group %d', n), printf('%016x', n), {_AT}, 'resolved',
      'HostOutOfDiskSpace', 'db1', 'Disk is almost full', 'critical', {_AT}, {_AT} + 60000000, n FROM old
    """,
    f"""
    INSERT INTO notification (id, target, due_at, created_at, state, priority, incident_id, round, step, person, number,
      text, alphabet, segments, validity, flash, shorten_links, attempt, failures, reference, claimed_at, looks, resent,
      submitted_at, message_id, campaign_id, moderated, gateway_status, status_at, unlisted, ended_at)
    SELECT 2 * n, 'aigerim', {_AT}, {_AT}, 'delivered', 1, 2 * n - 1, 1, 1, 'aigerim',
      '+77010000001', printf('HostOutOfDiskSpace db1: Disk is almost full (< 10%% left) 03:10 #%d', 2 * n - 1), 'gsm7',
      1, 1440, 0, 0, 1, 0, printf('sb%020x', n), {_AT}, 0, 0, {_AT} + 50000, printf('%d', 100000000 + n),
      printf('%d', 200000000 + n), 0, 'DELIVRD', {_AT} + 5000000, 0, {_AT} + 5000000 FROM old
    """,
    f"""
    INSERT INTO card (id, kind, subject, chat_id, wanted, shown, message_id, ring, urgent, changed_at, shown_at, text)
    SELECT n, 'incident', 2 * n - 1, -1001234567890, 4, 4, n, 0, 0, {_AT}, {_AT} + 5000000, '' FROM old
    """,
    f"""
    INSERT INTO timeline (subject, at, what, who)
    SELECT 2 * n - 1, {_AT}, what, 'aigerim'
      FROM old, (SELECT 'opened' AS what UNION ALL SELECT 'accepted by Mobizon' UNION ALL SELECT 'on the handset')
    """,
    "UPDATE sequence SET next = 2 * :rows + 1",
)


def build(path: Path, rows: int) -> None:
    """Make this file a database in which `rows` SMS were delivered in the last eighty days."""
    migrate(path)
    began = datetime.now(UTC) - _SPAN - timedelta(hours=1)
    values = {
        "rows": rows,
        "began": int(began.timestamp()) * 1_000_000,
        "every": int(_SPAN.total_seconds() * 1_000_000) // rows,
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        # All or nothing is enough here: whoever is interrupted builds it again.
        raw.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -1000000; BEGIN")
        for statement in _FILL:
            raw.execute((_NUMBERED if " FROM old" in statement else "") + statement, values)
        raw.execute("COMMIT")
        raw.execute("PRAGMA journal_mode = WAL")


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
