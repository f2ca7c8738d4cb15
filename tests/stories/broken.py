"""Parts of a bridge that are out of order, to be put in the place of good ones."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

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
