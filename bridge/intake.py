"""Tick: receipts not yet understood become alerts and go through the door, many in one transaction."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from bridge.admission import Parsed
from bridge.clock import Clock
from bridge.dispatcher import Dispatcher
from bridge.domain.alert import Report
from bridge.domain.house import House
from bridge.ports import Live, NotStored, Receipt, Store

log = logging.getLogger(__name__)

Parse = Callable[[str, Receipt], Report]
"""A source's format (its kind) and a receipt → what it says; raises ValueError naming the field."""

_SLICE = 200
# While more webhooks arrive, intake takes a fifth of the time: storing them is what their senders wait for. It takes
# that fifth in small slices, for the longest of them is what the slowest answers wait for.
_SMALL_SLICE = 40
_REST = 4  # times as long as the last slice took
_LONGEST_REST = 1.0  # seconds
_FEW = 16  # receipts in a slice: whoever comes after so few may be a page of its own
_SHORT_REST = 0.02  # seconds, after a few
_BIG = 256 * 1024  # bytes; parsing more than this in the event loop would be felt elsewhere


class Intake:
    """Understands what webhooks left behind. A crash here repeats it harmlessly."""

    name = "intake"

    def __init__(self, store: Store, dispatcher: Dispatcher, parse: Parse, house: Live[House], clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._parse = parse
        self._house = house
        self._clock = clock
        # Of the last slice: the newest receipt, when it ended, until when to rest if more came while it was worked on.
        self._newest = 0
        self._ended = clock.now()
        self._rest_until = clock.monotonic()

    async def run(self) -> None:
        """Until every receipt is understood, or set aside as unreadable."""
        full = True
        while full:
            receipts, size = await self._waiting(_SLICE), _SLICE
            if self._arriving(receipts):
                if (rest := self._rest_until - self._clock.monotonic()) > 0:
                    await self._clock.wait(rest)
                receipts, size = await self._waiting(_SMALL_SLICE), _SMALL_SLICE
            if not receipts:
                return
            began = self._clock.monotonic()
            await self._take(receipts)
            ended = self._clock.monotonic()
            longest = _LONGEST_REST if len(receipts) > _FEW else _SHORT_REST
            self._rest_until = ended + min(_REST * (ended - began), longest)
            self._newest, self._ended = receipts[-1].id, self._clock.now()
            full = len(receipts) == size  # else what came meanwhile has woken us again

    async def _waiting(self, limit: int) -> list[Receipt]:
        return await self._store.read(lambda tx: tx.receipts_waiting(limit))

    def _arriving(self, receipts: Sequence[Receipt]) -> bool:
        """Whether more came while the last slice was worked on, so that their senders had to wait for it."""
        return any(receipt.id > self._newest and receipt.received_at < self._ended for receipt in receipts)

    async def _take(self, receipts: Sequence[Receipt]) -> None:
        arrived = [await self._understand(receipt) for receipt in receipts]
        try:
            await self._dispatcher.accept(arrived)
        except NotStored:
            raise
        except Exception:
            log.exception("a batch of webhooks broke the door, trying each alone")
            await self._one_by_one(arrived)

    async def _one_by_one(self, arrived: Sequence[Parsed]) -> None:
        """One bad webhook must not hold up the others, nor be tried for ever."""
        for parsed in arrived:
            try:
                await self._dispatcher.accept([parsed])
            except NotStored:
                raise
            except Exception as error:
                log.exception("a webhook broke the door", extra={"receipt": parsed.receipt.id})
                problem = f"a mistake of ours while reading it ({type(error).__name__}); please report it"
                await self._dispatcher.accept([Parsed(parsed.receipt, None, problem)])

    async def _understand(self, receipt: Receipt) -> Parsed:
        rules = self._house.value.sources.get(receipt.source)
        if rules is None:
            return Parsed(receipt, None, f"no source is called {receipt.source} any more")
        try:
            if len(receipt.body) > _BIG:
                report = await asyncio.to_thread(self._parse, rules.kind, receipt)
            else:
                report = self._parse(rules.kind, receipt)
        except (ValueError, RecursionError) as error:
            return Parsed(receipt, None, str(error))
        return Parsed(receipt, report)
