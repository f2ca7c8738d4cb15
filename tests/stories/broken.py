"""Parts of a bridge that are out of order, to be put in the place of good ones."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bridge.budget import Budget, Closed
from bridge.domain.costs import Amount
from bridge.domain.house import House
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification
from bridge.outbox import Outbox
from bridge.ports import Chat, ChatOutcome, NotStored, Place, Store, Transaction, View

T = TypeVar("T")


@dataclass
class FullDisk:
    """A store that can be read; it keeps nothing while it is `full`. `reads` counts."""

    store: Store
    full: bool = True
    reads: int = 0

    async def write(self, fn: Callable[[Transaction], T], **turn: bool) -> T:
        if self.full:
            raise NotStored("the disk is full")
        return await self.store.write(fn, **turn)

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        self.reads += 1
        return await self.store.read(fn)

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        self.store.on_commit(hook)


@dataclass
class ClumsyChat:
    """A chat that breaks on one subject: an incident, SMS or trouble, by its number."""

    chat: Chat
    breaks_on: int

    async def show(self, place: Place, view: View, **how: Any) -> ChatOutcome:
        if getattr(getattr(view, "incident", None), "id", None) == self.breaks_on:
            raise OverflowError("date value out of range")
        return await self.chat.show(place, view, **how)


@dataclass
class BreakingTick:
    """A tick that fails while it is `broken`."""

    name: str
    broken: bool = False

    async def run(self) -> None:
        if self.broken:
            raise RuntimeError("a mistake of ours")


class ForgetfulBooks(Outbox):
    """Counts what an SMS cost, and does not write down that it did: the next life counts it once more."""

    def _price(self, tx: Transaction, asked: Sequence[Notification], *found: Any) -> list[Amount]:
        costs = super()._price(tx, asked, *found)
        rows = tx.notifications_by_id([row.id for row in asked]).values()
        again = found[-1] + timedelta(minutes=5)
        tx.save_notifications([(replace(row, cost=None, next_price_at=again), row) for row in rows])
        return costs


class FragileOutbox(Outbox):
    """Lets the error of a template go on to the page that it was to word."""

    def _own_words(self, *_: Any) -> str:
        raise ZeroDivisionError("division by zero")


class HalfCharacters(Outbox):
    """Makes a text for Aigerim that cannot be encoded, after all that looks a row over has seen it."""

    def _budget(self, tx: Transaction, house: House, now: datetime) -> Budget:
        return _Spoils(tx, house, now)


class _Spoils(Budget):
    def closed(self, row: Notification, incident: Incident | None) -> Closed | None:
        if row.person == "aigerim":
            f"{row.text}\ud800".encode()
        return super().closed(row, incident)


class HalfCharactersStopAll(HalfCharacters):
    """Planted: one row that cannot be made ready ends the claim of all."""

    def _given_up(self, tx: Transaction, house: House, row: Notification, error: Exception, now: datetime) -> Any:
        raise error
