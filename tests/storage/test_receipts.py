from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.ports import Receipt, ReceiptState, Store, Transaction
from tests.storage.values import HOUR, MINUTE, NOW, SECOND


async def keep(store: Store, count: int = 1) -> list[int]:
    def some(tx: Transaction) -> list[int]:
        return [tx.keep_receipt("alertmanager", None, {}, f"{n}".encode(), NOW + n * SECOND) for n in range(count)]

    return await store.write(some)


async def test_a_kept_receipt_is_read_back_whole(store: Store) -> None:
    body = b'{"a": "\xd0\xba\x00"}'
    number = await store.write(lambda tx: tx.keep_receipt("shop", "rest", {"X-Grafana": "1"}, body, NOW))
    assert await store.read(lambda tx: tx.receipt(number)) == Receipt(
        number, "shop", NOW, body, route="rest", headers={"X-Grafana": "1"}
    )
    assert await store.read(lambda tx: tx.receipt(number + 1)) is None


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (10, [1, 2, 3, 4, 5, 6, 7]),
        (7, [1, 2, 3, 4, 5, 6, 7]),
        (6, [1, 2, 3, 5, 6, 7]),
        (4, [1, 2, 6, 7]),
        (3, [1, 2, 7]),
        (1, [1]),
    ],
)
async def test_a_long_backlog_is_taken_from_both_ends(store: Store, limit: int, expected: list[int]) -> None:
    await keep(store, 7)
    waiting = await store.read(lambda tx: tx.receipts_waiting(limit))
    assert [receipt.id for receipt in waiting] == expected


async def test_an_understood_receipt_waits_no_longer_and_says_what_became_of_it(store: Store) -> None:
    await keep(store, 2)
    (first, _) = await store.read(lambda tx: tx.receipts_waiting(2))
    done = replace(first, state=ReceiptState.UNDERSTOOD, identity="i1", result={"incidents": [1042]})
    await store.write(lambda tx: tx.save_receipts([done]))
    assert await store.read(lambda tx: tx.receipt(first.id)) == done
    assert [r.id for r in await store.read(lambda tx: tx.receipts_waiting(9))] == [first.id + 1]


async def test_receipts_are_listed_newest_first_without_bodies(store: Store) -> None:
    await keep(store, 4)
    listed = await store.read(lambda tx: tx.receipts(NOW + SECOND, 2))
    assert [(receipt.id, receipt.body) for receipt in listed] == [(4, b""), (3, b"")]


async def test_a_report_was_last_seen_when_it_was_last_understood(store: Store) -> None:
    await keep(store, 3)

    def understand(tx: Transaction) -> None:
        one, two, three = tx.receipts_waiting(3)
        tx.save_receipts(
            [
                replace(one, state=ReceiptState.UNDERSTOOD, identity="same"),
                replace(two, state=ReceiptState.UNDERSTOOD, identity="same"),
                replace(three, state=ReceiptState.UNREADABLE, identity="same"),
            ]
        )

    await store.write(understand)
    seen = await store.read(lambda tx: tx.last_seen("alertmanager", ["same", "other"]))
    assert seen == {"same": NOW + SECOND}
    assert await store.read(lambda tx: tx.last_seen("shop", ["same"])) == {}


@pytest.mark.parametrize(
    ("later", "source", "body", "kept"),
    [
        (MINUTE, "shop", b"{", False),
        (HOUR - timedelta(microseconds=1), "shop", b"{", False),
        (HOUR, "shop", b"{", True),
        (MINUTE, "shop", b"[", True),
        (MINUTE, "alertmanager", b"{", True),
    ],
)
async def test_the_same_broken_bytes_are_kept_once_an_hour(
    store: Store, later: timedelta, source: str, body: bytes, kept: bool
) -> None:
    number = await store.write(lambda tx: tx.keep_dead_letter("shop", b"{", "not JSON", NOW))
    assert number is not None
    again = await store.write(lambda tx: tx.keep_dead_letter(source, body, "not JSON", NOW + later))
    assert (again is not None) is kept
    letter = await store.read(lambda tx: tx.receipt(number))
    assert letter and (letter.state, letter.body, letter.result) == (ReceiptState.DEAD, b"{", {"problem": "not JSON"})
    assert await store.read(lambda tx: tx.receipts_waiting(9)) == []
