"""The file: who may open it, what version it has, and what survives."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from bridge.domain.incident import AlertRecord, Incident
from bridge.domain.notification import Notification
from bridge.domain.silence import Silence
from bridge.domain.throttle import Scope
from bridge.ports import (
    CardKind,
    NotStored,
    Question,
    Receipt,
    TelegramUpdate,
    TimelineEntry,
    Timer,
    Transaction,
    Trouble,
)
from storage import (
    SchemaTooNew,
    SqliteStore,
    StoreBusy,
    backup,
    current_revision,
    head_revision,
    library_advice,
    migrate,
    open_store,
    tables,
)
from storage.transaction import SqlTransaction
from tests.storage.values import HOUR, NOW, NUMBER, claimed, incident, page, typed

ROOT = Path(__file__).parents[2]


def schema_of(connection: sqlite3.Connection) -> dict[str, object]:
    """Tables by their columns, whatever order and wording they were made in; indexes by their SQL."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%'").fetchall()
    made: dict[str, object] = {name: " ".join(sql.split()) for kind, name, sql in found if kind == "index" and sql}
    for kind, name, _ in found:
        if kind == "table":
            made[name] = {column[1]: column[2:] for column in connection.execute(f"PRAGMA table_info({name})")}
    return made


def program(file: Path, body: str) -> subprocess.Popen[str]:
    """Another process that opens the store, runs `body` in it and says what it prints."""
    lines = "\n        ".join(body.splitlines())
    code = f"""
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from storage import open_store

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        {lines}

asyncio.run(main())
"""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, file],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def opened(file: Path) -> None:
    async with open_store(file):
        pass


# --- opening -------------------------------------------------------------------------------------------


@pytest.fixture
def left_open(file: Path) -> Path:
    """A database that anybody on the machine may read, as a careless copy leaves it."""
    migrate(file)
    file.chmod(0o644)
    return file


async def test_only_its_owner_may_read_the_file_its_log_and_its_lock(left_open: Path) -> None:
    async with open_store(left_open) as store:
        await store.write(lambda tx: tx.set_meta("a", "b"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in left_open.parent.iterdir()}
    assert modes == dict.fromkeys(("bridge.db", "bridge.db-wal", "bridge.db-shm", "bridge.db.lock"), 0o600)


async def test_a_new_folder_is_its_owner_s_alone(file: Path) -> None:
    await opened(file)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_closing_folds_the_log_into_the_file(file: Path) -> None:
    async with open_store(file) as store:
        await store.write(lambda tx: tx.set_meta("a", "b"))
    assert {path.name for path in file.parent.iterdir()} == {"bridge.db", "bridge.db.lock"}
    async with open_store(file) as again:
        assert await again.read(lambda tx: tx.meta("a")) == "b"


async def test_a_second_process_is_refused_until_the_first_is_gone(file: Path) -> None:
    first = program(file, "print('open', flush=True)\nsys.stdin.readline()")
    assert first.stdout
    assert await asyncio.to_thread(first.stdout.readline) == "open\n"
    with pytest.raises(StoreBusy, match=r"bridge\.db is in use by another sms-bridge; stop"):
        await opened(file)
    with pytest.raises(StoreBusy):
        migrate(file)
    _, errors = await asyncio.to_thread(first.communicate, "go\n")
    assert (first.returncode, errors) == (0, "")
    await opened(file)


def test_what_is_no_database_is_named_and_left_alone(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("dear diary, " * 100)
    with pytest.raises(NotStored, match=r"bridge\.db: this database is damaged \(file is not a database\)"):
        asyncio.run(opened(file))
    assert file.read_text().startswith("dear diary")


def test_a_folder_that_cannot_be_made_is_named(file: Path) -> None:
    file.parent.write_text("a file")
    with pytest.raises(NotStored, match=r"data/bridge\.db: cannot open"):
        asyncio.run(opened(file))


def test_a_program_that_ends_is_quiet(file: Path) -> None:
    process = program(file, "await store.write(lambda tx: tx.set_meta('a', 'b'))\nprint(store.commits > 0)")
    assert process.communicate(timeout=30) == ("True\n", "")


# --- what survives ---------------------------------------------------------------------------------------


async def test_what_was_answered_survives_a_kill(file: Path) -> None:
    endless = """
async def one(n):
    number = await store.write(lambda tx: tx.keep_receipt('alertmanager', None, {}, b'x' * 2000, datetime.now(UTC)))
    print(number, flush=True)
for start in range(1_000_000):
    await asyncio.gather(*(one(n) for n in range(20)))
"""
    process = program(file, endless.strip())
    assert process.stdout
    answered = [int(await asyncio.to_thread(process.stdout.readline)) for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = await asyncio.to_thread(process.communicate)
    answered += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    async with open_store(file) as store:
        stored = {receipt.id for receipt in await store.read(lambda tx: tx.receipts_waiting(1_000_000))}
    assert process.returncode == -signal.SIGKILL
    assert set(answered) <= stored


async def test_a_backup_is_the_same_database(store: SqliteStore, file: Path, tmp_path: Path) -> None:
    await store.write(lambda tx: tx.add_notifications([typed(n) for n in range(1, 500)]))
    target = tmp_path / "copy.db"
    backup(file, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    await store.write(lambda tx: tx.set_meta("after", "the backup"))
    async with open_store(target) as copy:
        assert await copy.read(lambda tx: tx.notifications_by_id(range(500))) == await store.read(
            lambda tx: tx.notifications_by_id(range(500))
        )
        assert await copy.read(lambda tx: tx.meta("after")) is None


async def test_a_backup_overwrites_nothing(store: SqliteStore, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("last week's")
    with pytest.raises(FileExistsError, match=r"copy\.db is there already"):
        backup(file, target)
    assert target.read_text() == "last week's"


def test_a_backup_of_nothing_leaves_nothing(file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotStored, match=r"bridge\.db: cannot open"):
        backup(file, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


# --- versions --------------------------------------------------------------------------------------------


def test_the_migrations_make_the_tables_that_the_program_knows(file: Path) -> None:
    migrate(file)
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()
    fresh = create_engine("sqlite://")
    with fresh.connect() as connection, closing(sqlite3.connect(file)) as migrated:
        tables.metadata.create_all(connection)
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        assert schema_of(migrated) == schema_of(raw)
    fresh.dispose()


@contextmanager
def as_of(file: Path, version: str) -> Iterator[sqlite3.Connection]:
    """The database as a program of that version left it, to be written to."""
    file.parent.mkdir(exist_ok=True)
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config = alembic.config.Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(ROOT / "storage/migrations"))
        alembic.command.upgrade(config, version)
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        yield raw
    engine.dispose()


async def test_what_was_sent_before_the_sums_were_kept_counts_in_them(file: Path) -> None:
    with as_of(file, "0004") as raw:
        old = SqlTransaction(raw)
        old.add_incidents([incident(9)])
        old.add_notifications([claimed(typed(1)), replace(claimed(page(2, 9)), segments=3), typed(3)])
    async with open_store(file) as store:
        sums = [(Scope.HOUSE, ""), (Scope.ROUTE, "critical"), (Scope.ASKER, "aigerim"), (Scope.PHONE, NUMBER.e164)]
        found = [await store.read(lambda tx, one=one: tx.reserved(*one, NOW - 9 * HOUR)) for one in sums]  # type: ignore[misc]  # a loop's own
        assert found == [4, 3, 1, 4]


def test_migrating_twice_changes_nothing(file: Path) -> None:
    migrate(file)
    assert current_revision(file) == head_revision()
    migrate(file)
    assert current_revision(file) == head_revision()


def test_an_upgrade_asks_what_the_sms_of_the_last_two_months_cost(file: Path) -> None:
    day = 24 * 3600 * 1_000_000
    rows = [  # id, days ago, message id, cost
        (1, 0, "m1", None),
        (2, 61, "m2", None),
        (3, 63, "m3", None),
        (4, 1, None, None),
        (5, 1, "m5", "20.50"),
    ]
    with as_of(file, "0003") as old:
        for number, days_ago, message_id, cost in rows:
            at = 1000 * day - days_ago * day
            cells = {"id": number, "target": "jonas", "due_at": at, "created_at": at, "state": "delivered"}
            cells |= {"priority": 0, "round": 1, "step": 1, "flash": 0, "shorten_links": 0, "attempt": 1, "failures": 0}
            cells |= {"looks": 0, "resent": 0, "moderated": 0, "unlisted": 0, "claimed_at": at, "ended_at": at}
            cells |= {"message_id": message_id, "cost": cost}
            marks = ", ".join("?" * len(cells))
            old.execute(f"INSERT INTO notification ({', '.join(cells)}) VALUES ({marks})", tuple(cells.values()))
    migrate(file)
    with closing(sqlite3.connect(file)) as new:
        asked = new.execute("SELECT id FROM notification WHERE next_price_at IS NOT NULL ORDER BY id").fetchall()
    assert asked == [(1,), (2,)]


async def test_the_database_of_a_newer_program_is_refused(file: Path) -> None:
    migrate(file)
    with closing(sqlite3.connect(file)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
    with pytest.raises(SchemaTooNew, match=r"bridge\.db: its schema is version 9999, .* no newer than 0006; run the"):
        await opened(file)
    assert current_revision(file) == "9999"


async def test_the_version_is_told_while_a_bridge_runs(store: SqliteStore, file: Path) -> None:
    await store.write(lambda tx: tx.keep_receipt("shop", None, {}, b"{}", NOW))
    assert current_revision(file) == head_revision()


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ("receipt", Receipt),
        ("incident", Incident),
        ("alert", AlertRecord),
        ("notification", Notification),
        ("question", Question),
        ("trouble", Trouble),
        ("timer", Timer),
        ("silence", Silence),
    ],
)
def test_a_row_is_a_value_field_by_field(table: str, value: type) -> None:
    assert [column.name for column in tables.metadata.tables[table].c] == [field.name for field in fields(value)]


@pytest.mark.parametrize(("table", "value"), [("timeline", TimelineEntry), ("telegram_update", TelegramUpdate)])
def test_a_row_holds_every_field_of_its_value(table: str, value: type) -> None:
    assert {field.name for field in fields(value)} <= {column.name for column in tables.metadata.tables[table].c}


def test_an_old_library_is_advised_on() -> None:
    assert (library_advice() is None) is (sqlite3.sqlite_version_info >= (3, 51, 3))


async def test_no_tick_reads_a_whole_table(store: SqliteStore) -> None:
    """What ticks ask is answered from an index; a table grows for `storage.keep`."""
    asked: list[str] = []

    def every_tick(tx: Transaction) -> list[str]:
        connection: sqlite3.Connection = tx.connection  # type: ignore[attr-defined]  # only the SQL transaction has one
        connection.set_trace_callback(asked.append)
        groups = [("alertmanager", "a"), ("alertmanager", "b")]
        for ask in (
            tx.open_incidents(groups),
            tx.ended_incidents(groups, NOW),
            tx.alert_records(groups, NOW),
            tx.last_seen("shop", ["a"]),
        ):
            assert not ask
        for due in (tx.claimable, tx.polls_due, tx.cards_behind, tx.timers_due, tx.silences_due):
            assert not due(NOW, 10)
        for now in (tx.leases_over, tx.spent, tx.oldest_due):
            assert not now(NOW)
        (
            tx.receipts_waiting(10),
            tx.updates_waiting(10),
            tx.sending(),
            tx.next_due(),
            tx.outbox_counts(),
            tx.incidents(),
            tx.incident_counts(),
        )
        (
            tx.silence(1),
            tx.notifications_of([1]),
            tx.by_message_id(["m"]),
            tx.notification_by_cause("c"),
            tx.was_sent_to("+", None),
        )
        for scope in Scope:
            assert not tx.reserved(scope, "+", NOW)
        tx.reserved_by_news("+", NOW), tx.last_normal_page("+", NOW)
        tx.cards_of(CardKind.SMS, 1), tx.card_at(1, 1), tx.open_trouble("disk", ""), tx.incident_counts()
        connection.set_trace_callback(None)
        return [row[3] for statement in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]

    plans = await store.read(every_tick)
    assert len(asked) > 20
    assert [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan and "CONSTANT" not in plan] == []
