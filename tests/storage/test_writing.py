"""Group commit: what waits shares a commit, and only the culprit pays."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.ports import Duplicate, NotStored, Transaction
from storage import SqliteStore, open_store
from tests.storage.values import NOW, NUMBER, incident, typed


def receipt(number: int) -> Callable[[Transaction], int]:
    return lambda tx: tx.keep_receipt("alertmanager", None, {}, f"{number}".encode(), NOW)


async def kept(store: SqliteStore) -> set[bytes]:
    return {receipt.body for receipt in await store.read(lambda tx: tx.receipts_waiting(10_000))}


def connection_of(tx: Transaction) -> sqlite3.Connection:
    connection: sqlite3.Connection = tx.connection  # type: ignore[attr-defined]  # only the SQL transaction has one
    return connection


async def test_what_waits_together_shares_a_commit(store: SqliteStore) -> None:
    before = store.commits
    numbers = await asyncio.gather(*(store.write(receipt(n)) for n in range(1000)))
    assert len(set(numbers)) == len(await kept(store)) == 1000
    assert store.commits - before <= 10


async def test_an_answer_comes_after_the_commit(store: SqliteStore, file: Path) -> None:
    with closing(sqlite3.connect(file)) as stranger:
        for n in range(20):
            number = await store.write(receipt(n))
            assert stranger.execute("SELECT count(*) FROM receipt WHERE id = ?", (number,)).fetchone() == (1,)


async def test_every_receipt_lies_under_the_number_it_was_given(store: SqliteStore) -> None:
    """They are written many at once, between what else shares their commit, and again when that commit failed."""
    given: dict[int | None, bytes] = {}

    def keeps(body: bytes) -> Callable[[Transaction], None]:
        return lambda tx: given.update({tx.keep_receipt("am", None, {}, body, NOW): body})

    def dead(tx: Transaction) -> None:
        given[tx.keep_dead_letter("am", b"dead", "not JSON", NOW)] = b"dead"

    def looks_at_its_own(tx: Transaction) -> None:
        kept = tx.receipt(tx.keep_receipt("am", None, {}, b"looked at", NOW))
        assert kept is not None
        assert kept.body == b"looked at"

    def broken(tx: Transaction) -> None:
        tx.keep_receipt("am", None, {}, b"broken", NOW)
        raise ZeroDivisionError

    for also in ([], [dead, looks_at_its_own], [broken]):
        works = [*(keeps(b"%d" % n) for n in range(40)), *also, *(keeps(b"%d" % n) for n in range(40, 80))]
        await asyncio.gather(*map(store.write, works), return_exceptions=True)
    kept = await store.read(lambda tx: {number: tx.receipt(number) for number in given if number})
    assert {number: found and found.body for number, found in kept.items()} == given
    assert len(given) == 3 * 80 + 1


async def test_what_is_heavy_holds_up_nobody_who_came_at_the_same_moment(store: SqliteStore) -> None:
    answered: list[str] = []

    async def write(name: str, *, heavy: bool) -> int:
        before = await store.write(lambda _: store.commits, heavy=heavy)
        answered.append(name)
        return before

    asked = [("a", False), ("long", True), ("b", False), ("longer", True), ("c", False)]
    commits = await asyncio.gather(*(write(name, heavy=heavy) for name, heavy in asked))
    assert answered == ["a", "b", "c", "long", "longer"]
    assert len(set(commits)) == 3, "one for what is short, one for each that is long"


@pytest.mark.parametrize("busy", [False, True])
async def test_nothing_passes_what_is_written_in_turn(store: SqliteStore, busy: bool) -> None:
    done: list[str] = []
    asked: list[tuple[str, dict[str, bool]]] = [
        *(("long", {"heavy": True}), ("a", {}), ("longer", {"heavy": True})),
        *(("border", {"in_turn": True}), ("later", {"heavy": True}), ("b", {}), ("as late", {"heavy": True})),
        *(("second border", {"in_turn": True}), ("c", {})),
    ]

    def work(name: str) -> Callable[[Transaction], None]:
        return lambda _: done.append(name)

    before = [asyncio.create_task(store.write(work("z")))] if busy else []
    await asyncio.sleep(0)  # the writer is at that one while the others come
    await asyncio.gather(*before, *(store.write(work(name), **turn) for name, turn in asked))
    first, second = done.index("border"), done.index("second border")
    assert {"long", "a", "longer"} == set(done[:first]) - {"z"}
    assert {"later", "b", "as late"} == set(done[first + 1 : second])
    assert done[second + 1 :] == ["c"]


async def test_one_culprit_among_many_fails_alone(store: SqliteStore) -> None:
    def broken(tx: Transaction) -> None:
        tx.keep_receipt("alertmanager", None, {}, b"culprit", NOW)
        raise ZeroDivisionError

    await store.write(lambda tx: tx.add_notifications([typed(1, cause="c")]))
    answers = await asyncio.gather(
        *(store.write(receipt(n)) for n in range(50)),
        store.write(broken),
        store.write(lambda tx: tx.add_notifications([typed(2, cause="c")])),
        *(store.write(receipt(n)) for n in range(50, 100)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers if not isinstance(answer, int)] == [ZeroDivisionError, Duplicate]
    assert await kept(store) == {f"{n}".encode() for n in range(100)}


async def test_each_sees_what_the_one_before_it_did(store: SqliteStore) -> None:
    ranges = await asyncio.gather(*(store.write(lambda tx: tx.numbers(2)) for _ in range(300)))
    assert sorted(number for taken in ranges for number in taken) == list(range(1, 601))


async def test_a_caller_may_be_cancelled_and_its_transaction_may_not(store: SqliteStore) -> None:
    started, go = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        tx.set_meta("slow", "done")
        started.set()
        assert go.wait(30)

    running = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(started.wait, 30)
    queued = asyncio.create_task(store.write(lambda tx: tx.set_meta("queued", "done")))
    await asyncio.sleep(0)
    running.cancel()
    queued.cancel()
    go.set()
    answers = await asyncio.gather(running, queued, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 2

    await store.write(lambda tx: tx.set_meta("next", "done"))
    assert await store.read(lambda tx: (tx.meta("slow"), tx.meta("queued"))) == ("done", "done")


async def test_a_commit_wakes_what_it_asked_for_and_a_failure_wakes_nobody(store: SqliteStore) -> None:
    woken: list[tuple[set[str], int]] = []

    def hook(ticks: Collection[str]) -> None:
        woken.append((set(ticks), threading.get_ident()))

    def broken(tx: Transaction) -> None:
        tx.wake("reporter")
        raise ZeroDivisionError

    store.on_commit(hook)
    await store.write(lambda tx: tx.wake("intake", "sender"))
    await store.write(lambda tx: tx.meta("quiet"))
    with pytest.raises(ZeroDivisionError):
        await store.write(broken)
    assert woken == [({"intake", "sender"}, threading.get_ident())]


async def test_a_hook_that_fails_stops_nobody(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    def hook(ticks: Collection[str]) -> None:
        raise ZeroDivisionError

    store.on_commit(hook)
    with caplog.at_level(logging.CRITICAL, "storage"):
        for n in range(3):
            await store.write(lambda tx, n=n: (tx.wake("intake"), tx.set_meta("n", str(n))))  # type: ignore[misc]  # a loop's own
    assert await store.read(lambda tx: tx.meta("n")) == "2"


async def test_a_reader_sees_one_state_and_may_not_write(store: SqliteStore) -> None:
    reading, written = threading.Event(), threading.Event()

    def look_twice(tx: Transaction) -> list[str | None]:
        first = tx.meta("n")
        reading.set()
        assert written.wait(30)
        return [first, tx.meta("n")]

    await store.write(lambda tx: tx.set_meta("n", "1"))
    looking = asyncio.create_task(store.read(look_twice))
    await asyncio.to_thread(reading.wait, 30)
    await store.write(lambda tx: tx.set_meta("n", "2"))
    written.set()
    assert await looking == ["1", "1"]
    with pytest.raises(NotStored):
        await store.read(lambda tx: tx.set_meta("n", "3"))
    assert await store.read(lambda tx: tx.meta("n")) == "2"


# --- what the disk may do --------------------------------------------------------------------------------


async def test_a_commit_is_on_the_disk_before_it_is_answered(store: SqliteStore) -> None:
    def pragmas(tx: Transaction) -> list[Any]:
        names = ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
        return [connection_of(tx).execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await store.write(pragmas) == [2, "wal", 1, 5000]  # 2 is FULL: the log is synced at each commit


async def test_a_full_disk_keeps_nothing_and_is_usable_again(store: SqliteStore) -> None:
    def pages(limit: int) -> Callable[[Transaction], int]:
        return lambda tx: int(connection_of(tx).execute(f"PRAGMA max_page_count = {limit}").fetchone()[0])

    big = b"x" * 200_000
    now_in_use = await store.write(pages(1))  # SQLite answers with the least that is possible
    answers = await asyncio.gather(
        store.write(lambda tx: tx.keep_receipt("alertmanager", None, {}, big, NOW)),
        store.write(lambda tx: tx.set_meta("small", "fits")),
        return_exceptions=True,
    )
    assert isinstance(answers[0], NotStored)
    assert isinstance(answers[0].__cause__, Exception), "the cause is kept"
    assert answers[1] is None
    assert await kept(store) == set()

    await store.write(pages(now_in_use + 10_000))
    await store.write(lambda tx: tx.keep_receipt("alertmanager", None, {}, big, NOW))
    assert await kept(store) == {big}


async def test_a_file_that_may_not_be_written_stores_nothing(store: SqliteStore) -> None:
    await store.write(lambda tx: connection_of(tx).execute("PRAGMA query_only = ON").close())
    with pytest.raises(NotStored, match="readonly"):
        await store.write(receipt(1))
    assert await kept(store) == set()


async def test_a_stranger_s_lock_fails_all_that_wait_and_nothing_later(store: SqliteStore, file: Path) -> None:
    await store.write(lambda tx: connection_of(tx).execute("PRAGMA busy_timeout = 0").close())
    with closing(sqlite3.connect(file, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        before = store.commits
        answers = await asyncio.gather(*(store.write(receipt(n)) for n in range(5)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [NotStored] * 5
        assert store.commits == before
        stranger.execute("ROLLBACK")
    await store.write(receipt(9))
    assert await kept(store) == {b"9"}


async def test_nobody_waits_for_ever_on_a_database_that_is_gone(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store._writer.close()
    with caplog.at_level(logging.CRITICAL, "storage"), pytest.raises(NotStored, match="does not answer"):
        await store.write(receipt(1))


async def test_a_mistake_of_ours_is_not_called_a_full_disk(store: SqliteStore) -> None:
    with pytest.raises(Exception, match="no such table") as wrong_table:
        await store.write(lambda tx: connection_of(tx).execute("SELECT * FROM nowhere"))
    with pytest.raises(Exception, match="FOREIGN KEY") as no_incident:
        await store.write(lambda tx: tx.add_notifications([typed(1, incident_id=77)]))
    for error in (wrong_table.value, no_incident.value):
        assert not isinstance(error, NotStored | Duplicate)


async def test_an_error_never_repeats_a_number_or_a_text(store: SqliteStore) -> None:
    await store.write(lambda tx: tx.add_incidents([incident(1)]))
    await store.write(lambda tx: tx.add_notifications([typed(1, cause="c")]))
    with pytest.raises(Duplicate) as error:
        await store.write(lambda tx: tx.add_notifications([typed(2, cause="c", text="a secret")]))
    cause: BaseException | None = error.value
    while cause is not None:
        assert "a secret" not in str(cause)
        assert NUMBER.e164 not in str(cause)
        cause = cause.__cause__


async def test_closing_commits_what_is_waiting_and_takes_no_more(file: Path) -> None:
    async with open_store(file) as store:
        waiting = [asyncio.create_task(store.write(receipt(n))) for n in range(500)]
        await asyncio.sleep(0)
    assert len(set(await asyncio.gather(*waiting))) == 500
    with pytest.raises(NotStored):
        await store.write(receipt(1))
    async with open_store(file) as again:
        assert len(await kept(again)) == 500


async def test_after_a_failed_fsync_nothing_more_is_believed(store: SqliteStore) -> None:
    def fsync_fails(_: Transaction) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    together = [store.write(lambda tx: tx.set_meta("a", "1")), store.write(fsync_fails)]
    outcomes = await asyncio.gather(*together, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotStored, NotStored]  # a second fsync could lie: not tried
    assert store.ruined.is_set()
    with pytest.raises(NotStored, match="nothing more is written"):
        await store.write(lambda tx: tx.set_meta("a", "2"))
    assert await store.read(lambda tx: tx.meta("a")) is None
