"""Tick: cards that are behind are brought up to what is true now, at the pace Telegram allows."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bridge import watch
from bridge.clock import Clock
from bridge.domain.house import House
from bridge.ports import (
    Card,
    CardKind,
    Chat,
    ChatOutcome,
    Closed,
    IncidentView,
    Later,
    Live,
    Moved,
    NoteView,
    NotStored,
    QuestionView,
    RingView,
    Shown,
    SmsView,
    Store,
    Transaction,
    TroubleView,
    Unshowable,
    Vanished,
    View,
)
from bridge.views import view_of

log = logging.getLogger(__name__)

_A_ROUND = 50
_SETTLE = timedelta(seconds=3)  # an intermediate state younger than this is not worth an edit
_CHAT_PAUSE = 1.0  # seconds; Telegram: about one message a second in a chat
_MINUTE = 60.0
_GROUP_MINUTE = 18  # Telegram: about twenty a minute in a group; two are kept for answers
_OPEN_AGAIN = timedelta(minutes=10)
"""How soon a chat that is closed to us is tried again, while what its card shows goes on."""


class Reporter:
    """Shows cards. What it shows is read afresh each time, so many changes become one edit.

    Its own pace is kept on the monotonic clock: one that is set back must not silence a chat.
    """

    name = "reporter"

    def __init__(self, store: Store, chat: Chat, clock: Clock, house: Live[House]) -> None:
        self._store = store
        self._chat = chat
        self._clock = clock
        self._house = house
        self._recent: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_GROUP_MINUTE))
        self._quiet_until = 0.0
        self._unrecorded: Callable[[Transaction], None] | None = None

    async def run(self) -> None:
        """One card in every chat that may have one now; the next ones have the next beat."""
        if self._unrecorded is not None:
            await self._write_down(self._unrecorded)
        if self._clock.monotonic() < self._quiet_until:
            return
        served = {chat_id for chat_id in self._recent if self._is_full(chat_id)}
        progress = True
        while progress:
            progress = False
            for card in await self._behind(served):
                if card.place.chat_id in served or self._is_fresh(card):
                    continue
                served.add(card.place.chat_id)
                progress = True
                if not await self._show(card):
                    return

    async def _behind(self, served: Collection[int]) -> list[Card]:
        now = self._clock.now()
        return await self._store.read(lambda tx: tx.cards_behind(now, _A_ROUND, served))

    def _is_full(self, chat_id: int) -> bool:
        """Whether this chat has had its share for now."""
        recent, now = self._recent[chat_id], self._clock.monotonic()
        if recent and now - recent[-1] < _CHAT_PAUSE:
            return True
        return chat_id < 0 and len(recent) == _GROUP_MINUTE and now - recent[0] < _MINUTE

    def _is_fresh(self, card: Card) -> bool:
        """Whether more is about to happen to it. A change in the future was dated by a clock since set back."""
        if card.message_id is None or card.urgent or card.changed_at is None:
            return False
        return timedelta(0) <= self._clock.now() - card.changed_at < _SETTLE

    async def _show(self, card: Card) -> bool:
        """Bring one card up to date; False when Telegram has to be left alone for now."""
        house, now = self._house.value, self._clock.now()
        view: View | None = None
        outcome: ChatOutcome
        try:
            view = await self._store.read(lambda tx: view_of(tx, house, card, now))
            if view is None:
                await self._write_down(lambda tx: tx.save_card(replace(card, closed="what it showed is gone")))
                return True
            outcome = await self._chat.show(
                card.place, view, message_id=card.message_id, reply_to=card.reply_to, ring=card.ring
            )
        except NotStored:
            raise
        except Exception as error:
            # One card that breaks us must not silence all the others.
            log.exception("a card broke the reporter", extra={"card": card.id})
            outcome = Unshowable(f"a mistake of ours ({type(error).__name__}), please report it")
        self._recent[card.place.chat_id].append(self._clock.monotonic())
        now = self._clock.now()
        await self._write_down(lambda tx: _record(tx, house, card, view, outcome, now))
        if isinstance(outcome, Moved):
            self._house.value = self._house.value.moved({card.place.chat_id: outcome.chat_id})
            log.warning("a chat became a supergroup", extra={"old": card.place.chat_id, "new": outcome.chat_id})
        if isinstance(outcome, Later) and outcome.whole_bot:
            self._quiet_until = self._clock.monotonic() + outcome.wait.total_seconds()
        return not isinstance(outcome, Later)

    async def _write_down(self, outcome: Callable[[Transaction], None]) -> None:
        # Held until it is on disk: a card posted and forgotten would be posted again at every beat.
        self._unrecorded = outcome
        await self._store.write(outcome)
        self._unrecorded = None


def _record(tx: Transaction, house: House, card: Card, view: View | None, outcome: ChatOutcome, now: datetime) -> None:
    chat = house.chat_at(card.place.chat_id, card.place.topic)
    match outcome:
        case Shown(message_id):
            shown = replace(card, shown=card.wanted, message_id=message_id, shown_at=now, retry_at=None)
            tx.save_card(shown)
            if chat is not None:
                watch.end(tx, "chat_closed", now, subject=chat.name)
        case Later(wait, reason):
            log.warning("a card waits for Telegram: %s", reason, extra={"card": card.id})
            tx.save_card(replace(card, retry_at=now + wait))
        case Vanished():
            tx.save_card(replace(card, message_id=None, reply_to=None, retry_at=None))
        case Moved(chat_id):
            watch.chat_moved(tx, house, card.place.chat_id, chat_id, now)
        case Closed(reason):
            log.warning("a chat is closed to us: %s", reason, extra={"card": card.id})
            tx.save_card(_set_aside(card, view, reason, now))
            if chat is not None and chat.name != house.watch.chat:
                text = f"Telegram does not let me write to {chat.name}: {reason}"
                watch.begin(tx, house, "chat_closed", text, now, subject=chat.name)
        case Unshowable(reason):
            log.error("a card cannot be shown: %s", reason, extra={"card": card.id})
            tx.save_card(_set_aside(card, view, reason, now))
            if card.kind is not CardKind.TROUBLE:  # a trouble about a trouble's card would have no end
                text = f"a card cannot be shown ({card.kind} {card.subject}): {reason}"
                watch.begin(tx, house, "card", text, now)
        case _:
            assert_never(outcome)


def _set_aside(card: Card, view: View | None, reason: str, now: datetime) -> Card:
    """Tried again later while what it shows goes on; what is over is not worth it."""
    if view is not None and _goes_on(view):
        return replace(card, retry_at=now + _OPEN_AGAIN)
    return replace(card, closed=reason)


def _goes_on(view: View) -> bool:
    match view:
        case IncidentView(incident=incident):
            return incident.is_open
        case SmsView(notification=row):
            return not row.state.is_final
        case QuestionView(question=question):
            return question.answer is None
        case TroubleView(trouble=trouble):
            return trouble.over_at is None
        case NoteView() | RingView():
            return False
        case _:
            assert_never(view)
