"""The database that the bench starts on is one that a bridge could have made."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.domain.notification import State
from storage import open_store
from tests.bench.old_rows import build


async def test_old_rows_read_as_sms_that_were_delivered_within_the_last_months(tmp_path: Path) -> None:
    file = tmp_path / "bridge.db"
    build(file, 50)
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    async with open_store(file) as store:
        rows = await store.read(lambda tx: tx.find_notifications(limit=100))
        incidents = await store.read(lambda tx: tx.incidents_by_id([row.incident_id or 0 for row in rows]))
        lines = await store.read(lambda tx: tx.timeline(1))
        fresh = await store.write(lambda tx: tx.numbers(1))
    assert [row.state for row in rows] == [State.DELIVERED] * 50
    assert all(timedelta() < datetime.now(UTC) - row.created_at < timedelta(days=81) for row in rows)
    assert {f"#{incident}" for incident in incidents} == {(row.text or "").split()[-1] for row in rows}
    assert len(lines) == 3
    assert fresh[0] > max(row.id for row in rows)
