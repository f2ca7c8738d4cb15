"""What is too old is forgotten: numbers, texts and bodies go; times and counts stay."""

from dataclasses import replace
from datetime import timedelta

from bridge.domain.notification import Event, State
from bridge.ports import ReceiptState, TelegramUpdate, Transaction
from storage import SqliteStore
from tests.storage.values import NOW, NUMBER, alert, claimed, incident, page, question, submitted, typed

BEFORE = NOW + timedelta(days=1)
LATER = BEFORE + timedelta(days=90)


async def test_numbers_and_texts_of_what_ended_go_and_the_rest_stays(store: SqliteStore) -> None:
    def fill(tx: Transaction) -> None:
        tx.add_incidents(
            [
                incident(1, fact="secret fact", labels={"host": "secret"}, within="secret"),
                incident(2, group_key="open", fact="still on"),
            ]
        )
        tx.save_incidents(
            [
                replace(
                    incident(1, fact="secret fact", labels={"host": "secret"}, within="secret"), ended_at=NOW
                ).resolve("am", NOW)
            ]
        )
        tx.save_alerts([alert(1, ended_at=NOW), alert(0, fingerprint="tomb", ended_at=NOW)])
        ended = submitted(claimed(typed(3)), "m1").becomes(Event.DELIVERED, ended_at=NOW)
        torn_up = replace(page(6, 1), state=State.CANCELLED, ended_at=NOW, link_token="7fKq2MZp9Wd")
        tx.add_notifications([typed(3), page(4, 2), torn_up])
        tx.save_notification(claimed(typed(3)), typed(3))
        tx.save_notification(submitted(claimed(typed(3)), "m1"), claimed(typed(3)))
        tx.save_notification(ended, submitted(claimed(typed(3)), "m1"))
        tx.add_question(replace(question(5), answer="sent", expires_at=NOW))
        old = tx.keep_receipt("am", None, {}, b"{}", NOW)
        receipt = tx.receipt(old)
        assert receipt is not None
        tx.save_receipts([replace(receipt, state=ReceiptState.UNDERSTOOD)])
        tx.keep_receipt("am", None, {}, b"{}", NOW)  # not yet understood: kept, however old
        tx.keep_updates([TelegramUpdate(1, 1, NOW, b"{}")])
        tx.finish_update(1, 1, "done", NOW)

    await store.write(fill)
    while await store.write(lambda tx: tx.forget(BEFORE, LATER, 1)):
        pass

    def look(tx: Transaction) -> None:
        gone, still = tx.notification(3), tx.notification(4)
        assert gone is not None and still is not None
        assert (gone.number, gone.text, gone.state, gone.segments) == (None, None, State.DELIVERED, typed(3).segments)
        assert NUMBER.e164 not in gone.target
        assert tx.notification_by_link("7fKq2MZp9Wd") is None
        assert still == page(4, 2)
        over, on = tx.incident(1), tx.incident(2)
        assert (
            over is not None
            and on is not None
            and (over.fact, over.labels, over.within, on.fact) == ("", {}, "", "still on")
        )
        assert tx.question(5) is None
        assert [receipt.state for receipt in tx.receipts(NOW - timedelta(days=1), 10)] == [ReceiptState.STORED]
        assert tx.alert_records([("am", "group")], NOW - timedelta(days=1)) == []

    await store.read(look)
    assert await store.write(lambda tx: tx.keep_updates([TelegramUpdate(1, 1, NOW, b"{}")])) == 1
