"""Tick: once a minute the bridge looks after itself: its ticks, its key, its money, its disk, its heartbeat."""

import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bridge import costs, watch
from bridge.clock import Clock, moment_in
from bridge.dispatcher import Dispatcher
from bridge.domain.costs import Amount
from bridge.domain.house import House, Watch
from bridge.ports import Balance, Live, SmsGateway, Store, Transaction
from bridge.texts import length

log = logging.getLogger(__name__)

LAST_ALIVE = "last_alive"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def last_alive(tx: Transaction) -> datetime | None:
    """When this database was last in use; None: never. Where a damaged file has no time there, it was long ago."""
    stamp = tx.meta(LAST_ALIVE)
    return None if stamp is None else moment_in(stamp) or _LONG_AGO


"""In the database: when a bridge last used it. Long ago at a start, it may be a restored backup."""
_MONEY_EVERY = 600.0  # seconds
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_CLOCK_OFF = timedelta(seconds=30)
_DISK_LOW, _DISK_WELL = 0.05, 0.06  # of it is free; apart, or a file that comes and goes would ring each time


class Caretaker:
    """`heartbeat` calls the address outside, but not while `stuck` names a tick that ends no run well any more.

    `read_key` reads the key file again after Mobizon refused the key. `disk_left` says how much of the disk that holds
    the database is free, from 0 to 1.
    """

    name = "caretaker"

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        gateway: SmsGateway,
        clock: Clock,
        house: Live[House],
        *,
        stuck: Callable[[], Collection[str]],
        heartbeat: Callable[[], Awaitable[None]],
        read_key: Callable[[], None],
        report_balance: Callable[[Balance], None],
        disk_left: Callable[[], Awaitable[float]],
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._gateway = gateway
        self._clock = clock
        self._house = house
        self._stuck = stuck
        self._heartbeat = heartbeat
        self._read_key = read_key
        self._report_balance = report_balance
        self._disk_left = disk_left
        self._money_seen: float | None = None  # monotonic

    async def run(self) -> None:
        """One look at everything."""
        stamp = self._clock.now().isoformat()
        await self._store.write(lambda tx: tx.set_meta(LAST_ALIVE, stamp))
        stuck = self._stuck()
        await self._tell_of_ticks(stuck)
        if await self._store.read(lambda tx: tx.open_trouble("mobizon", "")):
            self._read_key()
            await self._end_idle_trouble()
        await self._look_at_money()
        await self._compare_clocks()
        await self._look_at_disk()
        if not stuck:
            await self._heartbeat()

    async def _tell_of_ticks(self, stuck: Collection[str]) -> None:
        for name in stuck:
            log.error("the %s tick has not ended well for minutes; no heartbeat until it does", name)
            text = f"the {name} of this bridge does not work any more: look at its log, then restart it"
            await self._dispatcher.begin_trouble("tick", name, text, by_sms=True)
        for trouble in await self._store.read(lambda tx: tx.open_troubles()):
            if trouble.kind == "tick" and trouble.subject not in stuck:
                await self._dispatcher.end_trouble("tick", trouble.subject)

    async def _end_idle_trouble(self) -> None:
        """With nothing left to send no SMS will tell that Mobizon is well again; so its balance has to."""
        now = self._clock.now()
        idle = await self._store.read(lambda tx: tx.oldest_due(now)) is None
        if idle and isinstance(await self._gateway.balance(), Balance):
            await self._dispatcher.end_trouble("mobizon")

    async def _look_at_money(self) -> None:
        """Before it is none: little by the config's word, or by the pace of this week."""
        seen = self._clock.monotonic()
        if self._money_seen is not None and seen - self._money_seen < _MONEY_EVERY:
            return
        self._money_seen = seen
        balance = await self._gateway.balance()
        if not isinstance(balance, Balance):
            return
        self._report_balance(balance)
        house, now = self._house.value, self._clock.now()
        pace = await self._store.read(lambda tx: costs.pace(tx, house, balance.currency, _WEEK, now))
        # The first day of a bridge is one of trying it out.
        days = pace.days(balance) if pace and pace.known_for >= _DAY else None

        def tell(tx: Transaction) -> None:
            costs.learn_currency(tx, balance)
            text = _too_little(balance, house.watch, days, known=tx.open_trouble("balance", "") is not None)
            watch.keep(tx, house, "balance", text, now)

        await self._store.write(tell)

    async def _compare_clocks(self) -> None:
        """With Mobizon's, as it said the hour in its newest answer."""
        if await self._store.read(lambda tx: tx.open_trouble("clock", "")):
            await self._gateway.balance()  # with nothing to send, no other answer would say that the clock is right
        ahead = self._gateway.ahead
        if abs(ahead) >= _CLOCK_OFF:
            side = "ahead of" if ahead > timedelta(0) else "behind"
            text = f"the clock of this machine is {length(abs(ahead))} {side} Mobizon's: set it right, by NTP for good"
            await self._dispatcher.begin_trouble("clock", "", text)
        else:
            await self._dispatcher.end_trouble("clock")

    async def _look_at_disk(self) -> None:
        """Full, the database takes nothing more: no webhook, no acknowledgement."""
        left, house, now = await self._disk_left(), self._house.value, self._clock.now()
        known = await self._store.read(lambda tx: tx.open_trouble("disk", ""))
        text = ""
        if left < (_DISK_WELL if known else _DISK_LOW):
            text = f"less than {int(left * 100) + 1} % of the disk that holds the database is free: make room"
        if known or text:
            await self._store.write(lambda tx: watch.keep(tx, house, "disk", text, now))


def _too_little(balance: Balance, rules: Watch, days: int | None, *, known: bool) -> str:
    """What is wrong with this balance; empty when it is enough. `days` it lasts, where that is known.

    A `known` trouble of days ends a day later: a pace goes up and down, and would ring each time.
    """
    below = rules.balance_below
    left = f"Mobizon has {Amount(balance.amount, balance.currency)} left"
    lasts = "" if days is None else f", {'less than a day' if days < 1 else _days(days)} at this week's pace"
    if below is not None and balance.amount < Decimal(str(below)):
        return f"{left}, less than {below:g}{lasts}: top it up"
    if days is not None and rules.days_below and days < rules.days_below + known:
        return f"{left}{lasts}: top it up"
    return ""


def _days(count: int) -> str:
    return f"{count} day{'s' * (count != 1)}"
