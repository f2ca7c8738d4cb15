"""Tick: cards that are behind are brought up to what is true now, at the pace Telegram allows."""

import logging
from collections import defaultdict, deque
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bridge import watch
from bridge.clock import Clock
from bridge.domain.house import House
from bridge.ports import Card, Chat, ChatOutcome, Closed, Later, Live, Moved, Shown, Store, Transaction, Vanished
from bridge.views import view_of

log = logging.getLogger(__name__)

_A_ROUND = 50
_SETTLE = timedelta(seconds=3)  # an intermediate state younger than this is not worth an edit
_CHAT_PAUSE = timedelta(seconds=1)  # Telegram: about one message a second in a chat
_GROUP_MINUTE = 18  # Telegram: about twenty a minute in a group; two are kept for answers


class Reporter:
    """Shows cards. What it shows is read afresh each time, so many changes become one edit."""

    name = "reporter"

    def __init__(self, store: Store, chat: Chat, clock: Clock, house: Live[House]) -> None:
        self._store = store
        self._chat = chat
        self._clock = clock
        self._house = house
        self._recent: dict[int, deque[datetime]] = defaultdict(lambda: deque(maxlen=_GROUP_MINUTE))
        self._quiet_until: datetime | None = None

    async def run(self) -> None:
        """Until every card that may be shown now is up to date."""
        passed: set[int] = set()
        while True:
            now = self._clock.now()
            if self._quiet_until is not None and now < self._quiet_until:
                return
            todo = [card for card in await self._behind(now, _A_ROUND + len(passed)) if card.id not in passed]
            if not todo:
                return
            for card in todo:
                if self._waits(card, now):
                    passed.add(card.id)
                elif not await self._show(card):
                    return

    async def _behind(self, now: datetime, limit: int) -> list[Card]:
        return await self._store.read(lambda tx: tx.cards_behind(now, limit))

    def _waits(self, card: Card, now: datetime) -> bool:
        """Whether this card has to let others pass: too fresh to show, or its chat has had its share."""
        if card.message_id is not None and not card.urgent and card.changed_at and now - card.changed_at < _SETTLE:
            return True
        recent = self._recent[card.place.chat_id]
        if recent and now - recent[-1] < _CHAT_PAUSE:
            return True
        is_group = card.place.chat_id < 0
        return is_group and len(recent) == _GROUP_MINUTE and now - recent[0] < timedelta(minutes=1)

    async def _show(self, card: Card) -> bool:
        """Bring one card up to date; False when the whole bot has to wait."""
        house, now = self._house.value, self._clock.now()
        view = await self._store.read(lambda tx: view_of(tx, house, card, now))
        if view is None:
            await self._save(replace(card, closed="what it showed is gone"))
            return True
        outcome = await self._chat.show(
            card.place, view, message_id=card.message_id, reply_to=card.reply_to, ring=card.ring
        )
        now = self._clock.now()
        self._recent[card.place.chat_id].append(now)
        await self._store.write(lambda tx: self._record(tx, house, card, outcome, now))
        if isinstance(outcome, Later) and outcome.whole_bot:
            self._quiet_until = now + outcome.wait
            return False
        return True

    async def _save(self, card: Card) -> None:
        await self._store.write(lambda tx: tx.save_card(card))

    def _record(self, tx: Transaction, house: House, card: Card, outcome: ChatOutcome, now: datetime) -> None:
        match outcome:
            case Shown(message_id):
                shown = replace(card, shown=card.wanted, message_id=message_id, shown_at=now, retry_at=None)
                tx.save_card(shown)
            case Later(wait, reason):
                log.warning("a card waits for Telegram: %s", reason, extra={"card": card.id})
                tx.save_card(replace(card, retry_at=now + wait))
            case Vanished():
                tx.save_card(replace(card, message_id=None, reply_to=None, retry_at=None))
            case Moved(chat_id):
                watch.chat_moved(tx, house, card.place.chat_id, chat_id, now)
            case Closed(reason):
                log.warning("a chat is closed to us: %s", reason, extra={"card": card.id})
                tx.save_card(replace(card, closed=reason))
                names = [chat.name for chat in house.chats_by_id(card.place.chat_id)]
                if names and house.watch.chat not in names:
                    text = f"Telegram does not let me write to {names[0]}: {reason}"
                    watch.begin(tx, house, "chat_closed", text, now, subject=names[0])
            case _:
                assert_never(outcome)
