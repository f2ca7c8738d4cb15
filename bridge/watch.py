"""The bridge about itself: one chat message per trouble, begun with a ring, edited, ended.

`begin` and `end` work inside any transaction, so a trouble and what caused it are committed together.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.domain import sms
from bridge.domain.house import House
from bridge.domain.notification import WATCH, Notification, Priority
from bridge.ports import Card, CardKind, Place, Timer, Transaction


def begin(
    tx: Transaction,
    house: House,
    kind: str,
    text: str,
    now: datetime,
    *,
    subject: str = "",
    by_sms: bool = False,
    over_at: datetime | None = None,
) -> None:
    """Tell the watch chat of a trouble: it rings when new and is edited while it lasts.

    `by_sms` also texts `watch.notify`, once per outbreak: for when the chat itself may be the trouble. `over_at`: when
    it ends by itself, if it does not come again; what only passes ends after an hour without it.
    """
    trouble = tx.open_trouble(kind, subject)
    if trouble is None:
        trouble = tx.add_trouble(kind, subject, text, now)
        if place := _watch_place(house):
            tx.add_card(Card(0, CardKind.TROUBLE, trouble.id, place, ring=True, changed_at=now))
    else:
        trouble = replace(trouble, text=text, seen_at=now, count=trouble.count + 1)
        tx.bump_cards(CardKind.TROUBLE, [trouble.id], now)
    if by_sms and trouble.texted_at is None and house.watch.notify:
        _text_people(tx, house, f"sms-bridge: {text}", now)
        trouble = replace(trouble, texted_at=now)
    tx.save_trouble(trouble)
    if over_at or kind in _PASSING:
        tx.set_timer(Timer(TROUBLE_OVER, f"{kind}:{subject}", over_at or now + _PASSED_AFTER))
    tx.wake("reporter")


def end(tx: Transaction, kind: str, now: datetime, *, subject: str = "") -> None:
    """It is over, and the message says so; nothing happens when it had not begun."""
    if trouble := tx.open_trouble(kind, subject):
        tx.save_trouble(replace(trouble, over_at=now))
        tx.bump_cards(CardKind.TROUBLE, [trouble.id], now, urgent=True)
        tx.wake("reporter")


def keep(tx: Transaction, house: House, kind: str, text: str, now: datetime, *, subject: str = "") -> None:
    """Let a trouble be as it is now: begun, put right without another word, or, without a text, ended."""
    trouble = tx.open_trouble(kind, subject)
    if not text:
        end(tx, kind, now, subject=subject)
    elif trouble is None:
        begin(tx, house, kind, text, now, subject=subject)
    elif trouble.text != text:
        tx.save_trouble(replace(trouble, text=text, seen_at=now))
        tx.bump_cards(CardKind.TROUBLE, [trouble.id], now)
        tx.wake("reporter")


def tell(
    tx: Transaction, house: House, text: str, now: datetime, *, ring: bool = False, place: Place | None = None
) -> None:
    """Say one plain line in the watch chat, or in another place."""
    if place := place or _watch_place(house):
        tx.add_card(Card(0, CardKind.NOTE, 0, place, ring=ring, changed_at=now, text=text))
        tx.wake("reporter")


def chat_moved(tx: Transaction, house: House, old_chat_id: int, new_chat_id: int, now: datetime) -> None:
    """A group became a supergroup: its cards go on there, and so does what the config says of the old id.

    The watch chat hears which id to write, and goes on showing it until the config has it.
    """
    tx.move_chat(old_chat_id, new_chat_id)
    ours = house.chats_by_id(old_chat_id)
    if not ours:
        return
    known = {was: new_chat_id if ends == old_chat_id else ends for was, ends in moves(tx).items()}
    tx.set_meta(_MOVES, json.dumps({**known, old_chat_id: new_chat_id}))
    for chat in ours:
        text = f"the group {chat.name} became a supergroup; in the config set chats.{chat.name}.id: {new_chat_id}"
        begin(tx, house.moved({old_chat_id: new_chat_id}), _MOVED, text, now, subject=chat.name)


def moves(tx: Transaction) -> dict[int, int]:
    """The ids that chats of the config have now, by those that the config may still say."""
    return {int(was): int(ends) for was, ends in json.loads(tx.meta(_MOVES) or "{}").items()}


def forget_moves(tx: Transaction, configured: House, now: datetime) -> None:
    """What the config says by itself need not be remembered: it has the new ids, or not the chat any more."""
    known = moves(tx)
    needed = {was: ends for was, ends in known.items() if configured.chats_by_id(was)}
    if needed != known:
        tx.set_meta(_MOVES, json.dumps(needed))
    for trouble in tx.open_troubles():
        chat = configured.chats.get(trouble.subject)
        if trouble.kind == _MOVED and (chat is None or chat.id not in needed):
            end(tx, _MOVED, now, subject=trouble.subject)


def _watch_place(house: House) -> Place | None:
    chat = house.chats.get(house.watch.chat or "")
    return Place(chat.id, chat.topic) if chat else None


def _text_people(tx: Transaction, house: House, text: str, now: datetime) -> None:
    plain = sms.shorten(sms.plain(text, house.sms.alphabet), house.most_segments())
    size = sms.measure(plain)
    tx.add_notifications(
        Notification(
            id=number,
            target=name,
            due_at=now,
            created_at=now,
            priority=Priority.CRITICAL,
            text=plain,
            alphabet=size.alphabet,
            segments=size.segments,
            validity=house.sms.page_validity,
            expires_at=now + _WORTH_TELLING,
            asked_by=WATCH,
        )
        for number, name in zip(tx.numbers(len(house.watch.notify)), house.watch.notify, strict=True)
    )
    tx.wake("sender")


_MOVES = "moved_chats"
_MOVED = "chat_moved"
TROUBLE_OVER = "trouble_over"
"""The timer that ends a passing trouble; its subject is kind:subject."""
_PASSING = {
    "clock_set",
    "source_refused",
    "dead_letter",
    "unreadable",
    "too_big",
    "sender_id",
    "card",
    "update",
    "template",
}
_PASSED_AFTER = timedelta(hours=1)  # nothing tells that these are over, but that they do not come again
_WORTH_TELLING = timedelta(minutes=15)  # an SMS that waited longer tells of a trouble that may be long over
