from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.ports import CardKind, Duplicate, Place, Store, TelegramUpdate, Transaction
from tests.storage.values import HOUR, MINUTE, NOW, SECOND, card, question


async def subjects_behind(store: Store, limit: int = 50) -> list[int]:
    return [card.subject for card in await store.read(lambda tx: tx.cards_behind(NOW, limit))]


# --- questions -----------------------------------------------------------------------------------------


async def test_a_question_is_read_back_whole(store: Store) -> None:
    asked = question(
        1, chat="ops", cause="telegram:7:42", why="3 segments", options={"due_at": NOW, "flash": True, "validity": 60}
    )
    await store.write(lambda tx: tx.add_question(asked))
    assert await store.read(lambda tx: tx.question(1)) == asked
    assert await store.read(lambda tx: tx.question_by_cause("telegram:7:42")) == asked
    assert await store.read(lambda tx: tx.question(2)) is None
    with pytest.raises(Duplicate):
        await store.write(lambda tx: tx.add_question(question(2, cause="telegram:7:42")))


async def test_of_two_answers_the_first_one_counts(store: Store) -> None:
    await store.write(lambda tx: tx.add_question(question(1)))
    assert await store.write(lambda tx: tx.answer_question(1, "sent"))
    assert not await store.write(lambda tx: tx.answer_question(1, "dropped"))
    answered = await store.read(lambda tx: tx.question(1))
    assert answered and answered.answer == "sent"


# --- cards ---------------------------------------------------------------------------------------------


async def test_a_thing_has_one_card_in_a_chat_and_asking_again_bumps_it(store: Store) -> None:
    first = card(1, reply_to=5, ring=True)

    def three(tx: Transaction) -> None:
        tx.add_card(first)
        tx.add_card(card(1, chat_id=-1002))
        tx.add_card(card(1, CardKind.FAILED))

    await store.write(three)
    (shown, _) = await store.read(lambda tx: tx.cards_of(CardKind.SMS, 1))
    assert shown == replace(first, id=shown.id)
    await store.write(lambda tx: tx.add_card(card(1, urgent=True, changed_at=NOW + MINUTE)))
    (bumped, _) = await store.read(lambda tx: tx.cards_of(CardKind.SMS, 1))
    assert bumped == replace(shown, wanted=2, urgent=True, changed_at=NOW + MINUTE)


async def test_a_note_may_be_said_twice(store: Store) -> None:
    for _ in range(2):
        await store.write(lambda tx: tx.add_card(card(0, CardKind.NOTE, text="Started.")))
    assert [c.text for c in await store.read(lambda tx: tx.cards_of(CardKind.NOTE, 0))] == ["Started."] * 2


async def test_cards_that_show_the_newest_are_not_behind(store: Store) -> None:
    await store.write(lambda tx: tx.add_card(card(1)))
    (new,) = await store.read(lambda tx: tx.cards_behind(NOW, 9))
    await store.write(lambda tx: tx.save_card(replace(new, shown=1, message_id=40, shown_at=NOW)))
    assert await subjects_behind(store) == []
    await store.write(lambda tx: tx.bump_cards(CardKind.SMS, [1, 2], NOW))
    assert await subjects_behind(store) == [1]


async def test_rings_go_first_then_new_cards_then_ends_then_other_edits(store: Store) -> None:
    def some(tx: Transaction) -> None:
        tx.add_card(card(0, shown=1, wanted=2))
        tx.add_card(card(1, shown=1, wanted=2, urgent=True))
        tx.add_card(card(2, urgent=True))
        tx.add_card(card(3, ring=True))
        tx.add_card(card(4, shown=1, wanted=2, ring=True))
        tx.add_card(card(5, ring=True, changed_at=NOW - SECOND))

    await store.write(some)
    assert await subjects_behind(store) == [5, 3, 2, 1, 0, 4]
    assert await subjects_behind(store, limit=2) == [5, 3]


@pytest.mark.parametrize(
    ("retry_at", "closed", "behind"),
    [
        (None, None, True),
        (NOW, None, True),
        (NOW + timedelta(microseconds=1), None, False),
        (None, "bot was kicked", False),
    ],
)
async def test_a_card_waits_for_its_retry_and_a_closed_one_for_ever(
    store: Store, retry_at: object, closed: str | None, behind: bool
) -> None:
    await store.write(lambda tx: tx.add_card(card(1, retry_at=retry_at, closed=closed)))
    assert await subjects_behind(store) == ([1] if behind else [])


async def test_cards_of_chats_that_had_their_share_are_left_out(store: Store) -> None:
    await store.write(lambda tx: tx.add_card(card(1, chat_id=-1001)))
    await store.write(lambda tx: tx.add_card(card(2, chat_id=-1002)))
    left = await store.read(lambda tx: tx.cards_behind(NOW, 9, [-1001]))
    assert [c.subject for c in left] == [2]


async def test_a_change_that_comes_while_a_card_is_being_shown_is_not_lost(store: Store) -> None:
    await store.write(lambda tx: tx.add_card(card(1)))
    (taken,) = await store.read(lambda tx: tx.cards_behind(NOW, 1))
    await store.write(lambda tx: tx.bump_cards(CardKind.SMS, [1], NOW))
    await store.write(lambda tx: tx.save_card(replace(taken, shown=taken.wanted, message_id=40)))
    (still,) = await store.read(lambda tx: tx.cards_behind(NOW, 1))
    assert (still.shown, still.wanted, still.message_id) == (1, 2, 40)
    await store.write(lambda tx: tx.save_card(replace(still, wanted=still.wanted + 1)))
    assert [c.wanted for c in await store.read(lambda tx: tx.cards_of(CardKind.SMS, 1))] == [3]


async def test_urgency_lasts_until_it_was_shown(store: Store) -> None:
    async def urgent() -> bool:
        (found,) = await store.read(lambda tx: tx.cards_of(CardKind.SMS, 1))
        return found.urgent

    await store.write(lambda tx: tx.add_card(card(1)))
    await store.write(lambda tx: tx.bump_cards(CardKind.SMS, [1], NOW, urgent=True))
    await store.write(lambda tx: tx.bump_cards(CardKind.SMS, [1], NOW))
    assert await urgent()
    (taken,) = await store.read(lambda tx: tx.cards_behind(NOW, 1))
    await store.write(lambda tx: tx.save_card(replace(taken, shown=taken.wanted)))
    await store.write(lambda tx: tx.bump_cards(CardKind.SMS, [1], NOW))
    assert not await urgent()


async def test_a_card_is_found_by_its_message(store: Store) -> None:
    await store.write(lambda tx: tx.add_card(card(1, message_id=40)))
    found = await store.read(lambda tx: tx.card_at(-1001, 40))
    assert found and found.subject == 1
    assert await store.read(lambda tx: tx.card_at(-1002, 40)) is None
    assert await store.read(lambda tx: tx.card_at(-1001, 41)) is None


async def test_the_cards_of_a_group_follow_it_and_forget_their_messages(store: Store) -> None:
    def some(tx: Transaction) -> None:
        tx.add_card(card(1, message_id=40, shown=1, reply_to=39))
        tx.add_card(card(2, closed="kicked"))
        tx.add_card(card(3))
        tx.add_card(card(3, chat_id=-2002))
        tx.add_card(card(0, CardKind.NOTE))
        tx.add_card(card(0, CardKind.NOTE, chat_id=-2002))

    await store.write(some)
    await store.write(lambda tx: tx.move_chat(-1001, -2002))

    async def where(kind: CardKind, subject: int) -> list[int]:
        return [c.place.chat_id for c in await store.read(lambda tx: tx.cards_of(kind, subject))]

    (moved,) = await store.read(lambda tx: tx.cards_of(CardKind.SMS, 1))
    assert (moved.place, moved.message_id, moved.reply_to, moved.shown) == (Place(-2002, 7), None, None, 1)
    assert await where(CardKind.SMS, 2) == [-1001], "a closed card stays where it was"
    assert await where(CardKind.SMS, 3) == [-1001, -2002], "what has its card there keeps that one"
    assert await where(CardKind.NOTE, 0) == [-2002, -2002]


# --- troubles, what is remembered, updates ---------------------------------------------------------------


async def test_a_trouble_is_open_once(store: Store) -> None:
    first = await store.write(lambda tx: tx.add_trouble("mobizon", "8", "The key is refused.", NOW))
    assert await store.read(lambda tx: tx.open_trouble("mobizon", "8")) == first
    with pytest.raises(Duplicate):
        await store.write(lambda tx: tx.add_trouble("mobizon", "8", "again", NOW))

    over = replace(first, count=3, seen_at=NOW + MINUTE, over_at=NOW + HOUR, texted_at=NOW)
    await store.write(lambda tx: tx.save_trouble(over))
    assert await store.read(lambda tx: tx.open_trouble("mobizon", "8")) is None
    assert await store.read(lambda tx: tx.trouble(first.id)) == over
    second = await store.write(lambda tx: tx.add_trouble("mobizon", "8", "anew", NOW + HOUR))
    other = await store.write(lambda tx: tx.add_trouble("disk", "", "5 % left", NOW))
    assert await store.read(lambda tx: tx.open_troubles()) == [other, second]


async def test_what_is_remembered_is_the_last_that_was_said(store: Store) -> None:
    await store.write(lambda tx: tx.set_meta("offset", "41"))
    await store.write(lambda tx: tx.set_meta("offset", "42"))
    assert await store.read(lambda tx: tx.meta("offset")) == "42"
    assert await store.read(lambda tx: tx.meta("started")) is None


async def test_one_update_runs_once_however_often_telegram_brings_it(store: Store) -> None:
    one, two = TelegramUpdate(7, 42, NOW, b'{"a": 1}'), TelegramUpdate(7, 41, NOW + SECOND, b"{}")
    other_bot = TelegramUpdate(8, 42, NOW + MINUTE, b"{}")
    assert await store.write(lambda tx: tx.keep_updates([one, one])) == 1
    assert await store.write(lambda tx: tx.keep_updates([one, two, other_bot])) == 2
    assert await store.write(lambda tx: tx.keep_updates([])) == 0
    assert await store.read(lambda tx: tx.updates_waiting(9)) == [one, two, other_bot]
    assert await store.read(lambda tx: tx.updates_waiting(1)) == [one]

    assert not await store.read(lambda tx: tx.is_update_done(7, 42))
    await store.write(lambda tx: tx.do_update(7, 42))
    assert await store.read(lambda tx: (tx.is_update_done(7, 42), tx.is_update_done(8, 42))) == (True, False)
    assert await store.read(lambda tx: tx.updates_waiting(1)) == [one]
    assert await store.write(lambda tx: tx.finish_update(7, 42, "done", NOW))
    assert not await store.write(lambda tx: tx.finish_update(7, 42, "done", NOW))
    assert await store.write(lambda tx: tx.keep_updates([one])) == 0, "a week's memory"
    assert await store.read(lambda tx: tx.updates_waiting(9)) == [two, other_bot]
