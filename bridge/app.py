"""The composition root: builds everything, starts it, and stops it in reverse. Nobody else knows how."""

import asyncio
import gc
import importlib
import logging
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from bridge import __version__, calendars, doubt, heartbeat
from bridge.bookings import Bookings
from bridge.caretaker import LAST_ALIVE, Caretaker, last_alive
from bridge.clock import Clock, SteadyClock, SystemClock
from bridge.config import Config, ConfigError, TelegramSettings, load_config
from bridge.dispatcher import Dispatcher
from bridge.domain.alert import Report
from bridge.domain.house import House
from bridge.domain.notification import State
from bridge.domain.rota import FromCalendar
from bridge.domain.secret import Secret
from bridge.finder import Finder
from bridge.handovers import Handovers
from bridge.inquiries import Inquiries
from bridge.intake import Intake
from bridge.metrics import Metrics
from bridge.mobizon import Mobizon
from bridge.outbox import Outbox
from bridge.ports import BadCalendar, Balance, Live, NotStored, Reading, Receipt, Transaction
from bridge.pricer import Pricer
from bridge.reporter import Reporter
from bridge.retention import Retention
from bridge.sender import Sender
from bridge.silences import Alertmanager
from bridge.silencing import Silencing
from bridge.sources import parse
from bridge.ticker import Tick, Ticker
from bridge.timekeeper import Timekeeper
from bridge.timers import Timers
from bridge.tracker import Tracker
from bridge.watchdog import notify_systemd, watching
from bridge.web.app import build_apps
from storage import SqliteStore, open_store

if TYPE_CHECKING:
    from bot.app import TelegramBot

log = logging.getLogger(__name__)

# The safety net's pace: commits wake the ticks, these beats only find what nobody woke them for.
_EVERY = {
    "intake": timedelta(seconds=5),
    "sender": timedelta(seconds=1),
    "finder": timedelta(seconds=5),
    "tracker": timedelta(seconds=1),
    "pricer": timedelta(seconds=10),
    "reporter": timedelta(seconds=1),
    "bot": timedelta(seconds=5),
    "timers": timedelta(seconds=5),
    "silences": timedelta(seconds=5),
    "retention": timedelta(hours=1),
    "caretaker": timedelta(minutes=1),
    "files": timedelta(seconds=10),
    "timekeeper": timedelta(seconds=1),
    "bookings": timedelta(minutes=1),
    "handovers": timedelta(seconds=15),
}
_VITAL = {"intake", "sender", "finder", "tracker", "reporter"}
"""The ticks without which nobody is told of anything: while one is stuck there is no heartbeat."""
_TALKING = {"reporter", "bot", "silences", "bookings", "pricer"}
"""The ticks that a stop may interrupt: what was not answered is said or asked again."""
_LAST_WORDS = 25.0
"""How long a stop takes at most, in seconds: what is on the wire is answered and recorded meanwhile."""
_GAP = timedelta(minutes=10)  # longer than any restart
_COUNTED = 1000  # a number that people read need not be larger


@dataclass(slots=True)
class Bridge:
    """Everything, built and listening; it beats once it has a `ticker`. `ports` are those really bound."""

    config: Live[Config]
    house: Live[House]
    store: SqliteStore
    gateway: Mobizon
    dispatcher: Dispatcher
    inquiries: Inquiries
    outbox: Outbox
    sender: Sender
    metrics: Metrics
    clock: Clock
    config_file: Path | None = None
    bot: "TelegramBot | None" = None
    ticks: list[Tick] = field(default_factory=list)
    ticker: Ticker | None = None
    ports: list[int] = field(default_factory=list)

    async def reload(self) -> list[str]:
        """Read the config again; the problems found, and with any the old one stays in force."""
        if self.config_file is None:
            return ["this bridge was not started from a config file"]
        try:
            config = load_config(self.config_file)
        except ConfigError as error:
            self.metrics.reload_good.set(0)
            log.error("the new config is refused, the old one stays:\n%s", error)
            text = f"the new config is refused, the old one stays: {len(error.problems)} problems, run check-config"
            await _if_it_can_be_kept(self.dispatcher.begin_trouble("config", "", text))
            return error.problems
        self.metrics.reload_good.set(1)
        for name in _needs_restart(self.config.value, config):
            log.warning("%s changed: that takes a restart", name)
        self.config.value, self.house.value = config, config.house
        await _if_it_can_be_kept(self.dispatcher.follow_moves(config.house))
        await _if_it_can_be_kept(self.dispatcher.keep_hours())
        await _if_it_can_be_kept(self.dispatcher.ask_limits_anew())
        await _if_it_can_be_kept(self.dispatcher.follow_beats())
        self.gateway.set_key(config.mobizon.api_key)
        await _if_it_can_be_kept(self.dispatcher.end_trouble("config"))
        if self.ticker is not None:
            self.ticker.wake(["bookings", "handovers"])
        log.info("config read again")
        return []

    async def ready(self) -> str | None:
        """Why we cannot take work; None when we can: the database is writable. Mobizon may be down."""
        stamp = self.clock.now().isoformat()
        await self.store.look_at_files()

        def touch(tx: Transaction) -> None:
            tx.set_meta("last_ready", stamp)

        try:
            await self.store.write(touch)
        except NotStored as error:
            return f"the database cannot be written: {error}"
        return None

    def stuck(self) -> set[str]:
        """The vital ticks that end no run well any more; before they beat nobody knows."""
        return _VITAL & self.ticker.stuck() if self.ticker else set()

    async def read_calendar(self, rota: str, since: datetime, until: datetime) -> Reading:
        """What the calendar of a rota says of that time. Raises BadCalendar."""
        config = self.config.value
        booked, where = config.house.rotas.get(rota), config.calendars.get(rota)
        if not isinstance(booked, FromCalendar) or where is None:
            raise BadCalendar("the config has it no more")
        content = await calendars.fetch(where)
        return await calendars.read_calendar(content, config.house.people, booked.zone, since, until)

    def read_key(self) -> None:
        """Mobizon refused the key: whoever mends the file has done everything there is to do."""
        settings = self.config.value.mobizon
        if settings.key_file is not None:
            try:
                text = settings.key_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                log.warning("the key file cannot be read: %s", error.strerror)
                return
            if text:
                self.gateway.set_key(Secret(text))


@asynccontextmanager
async def build(config: Config, machine: Clock, config_file: Path | None = None) -> AsyncIterator[Bridge]:
    """Open the store, connect the edges, listen. Webhooks are taken from the first moment on."""
    async with AsyncExitStack() as stack:
        metrics, clock = Metrics(), SteadyClock(machine)
        live, house = Live(config), Live(config.house)
        store = await stack.enter_async_context(open_store(config.storage.path))
        await _begin_life(stack, store, clock)
        gateway = await stack.enter_async_context(Mobizon(config.mobizon, clock, metrics))
        dispatcher = Dispatcher(store, clock, house, metrics)
        outbox = Outbox(store, clock, house, metrics)
        await dispatcher.follow_moves(config.house)
        timekeeper = Timekeeper(store, clock, house)
        await timekeeper.catch_up()
        await dispatcher.keep_hours()
        await dispatcher.ask_limits_anew()
        await _make_up_for_the_pause(store, dispatcher, clock)
        await dispatcher.follow_beats()
        await outbox.recover()
        await dispatcher.end_trouble("config")  # we started from a good one
        await _distrust_a_gap(store, dispatcher, clock)
        bridge = Bridge(
            config=live,
            house=house,
            store=store,
            gateway=gateway,
            dispatcher=dispatcher,
            inquiries=Inquiries(store, gateway, clock, house),
            outbox=outbox,
            sender=Sender(outbox, gateway, clock, config.mobizon.concurrency),
            metrics=metrics,
            clock=clock,
            config_file=config_file,
        )
        doubted = doubt.Doubt(store, outbox, gateway, clock)
        await doubted.recall()
        bridge.sender.sent_before = doubted.sent_before
        bridge.ticks += [
            timekeeper,
            Intake(store, dispatcher, _parse, house, clock),
            bridge.sender,
            Finder(store, outbox, gateway, clock),
            Tracker(store, outbox, gateway, clock),
            Pricer(store, outbox, gateway, clock),
            Timers(store, dispatcher, clock),
            Silencing(store, Alertmanager(live), clock, house),
            Bookings(store, clock, house, bridge.read_calendar),
            Handovers(store, clock, house),
            Retention(store, clock, lambda: live.value.storage.keep),
            _caretaker(bridge),
            _FilesTick(store),
        ]
        await _listen(stack, bridge)
        if config.telegram is not None:
            bridge.bot = await stack.enter_async_context(await _bot(bridge, config.telegram))
            bridge.ticks += [_BotTick(bridge.bot), Reporter(store, bridge.bot.chat, clock, house)]
        yield bridge


@asynccontextmanager
async def beating(bridge: Bridge) -> AsyncIterator[Ticker]:
    """Everything alive: ticks beat, Telegram is polled. At the end, what is on the wire is finished first."""
    ticker = Ticker(bridge.ticks, _EVERY, bridge.clock, bridge.metrics)
    bridge.store.on_commit(ticker.wake)
    bridge.sender.on_free = lambda: ticker.wake(["sender"])
    bridge.dispatcher.on_accept = lambda: ticker.wake(["sender"])  # it claims in the commit that plans: one sync less
    bridge.ticker = ticker
    talking = asyncio.create_task(_talk(bridge), name="telegram")
    await _say_hello(bridge)
    ticker.start()
    try:
        yield ticker
    finally:
        talking.cancel()  # what it fetched and did not keep, Telegram gives again
        await asyncio.wait({talking})
        began = bridge.clock.monotonic()
        bridge.sender.stop()
        await ticker.stop(interrupt=_TALKING, within=_LAST_WORDS)
        left = _LAST_WORDS - (bridge.clock.monotonic() - began)
        if bridge.store.ruined.is_set():
            left = 0.0  # no answer will be recorded any more; at the next start those sends are looked up
        await asyncio.wait({asyncio.create_task(bridge.sender.drain())}, timeout=max(0.0, left))


async def run(config_file: Path) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the config again.

    Raises ConfigError before anything starts, and NotStored when the disk failed the database: whoever started us
    starts us again.
    """
    config, clock = load_config(config_file), SystemClock()
    loop, stopping, reload = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    async with watching(clock, notify_systemd), build(config, clock, config_file) as bridge, beating(bridge):
        notify_systemd(b"READY=1")
        # What is here now stays as long as we do; to search it for garbage again and again stops everything for 0.2 s.
        gc.freeze()
        log.info("sms-bridge %s is up, listening on port %s", __version__, ", ".join(map(str, bridge.ports)))
        examined = asyncio.create_task(bridge.store.examine(), name="examine")
        stop = asyncio.create_task(stopping.wait())
        ruined = asyncio.create_task(bridge.store.ruined.wait())
        while not stop.done() and not ruined.done():
            again = asyncio.create_task(reload.wait())
            await asyncio.wait({stop, ruined, again}, return_when=asyncio.FIRST_COMPLETED)
            if reload.is_set():
                reload.clear()
                await bridge.reload()
            again.cancel()
        examined.cancel()
        await asyncio.wait({examined})
        notify_systemd(b"STOPPING=1")
        log.info("stopping: what is on the wire is finished first")
    _take_no_more_signals(loop)
    if ruined.done() and not stop.done():
        raise NotStored(bridge.store.ruin)


def _take_no_more_signals(loop: asyncio.AbstractEventLoop) -> None:
    """All is done, and whoever asks once more to stop gets what they ask for: this end, which was a good one."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


async def _if_it_can_be_kept(told: Awaitable[None]) -> None:
    """A full disk must not end the bridge over a message about it."""
    try:
        await told
    except NotStored as error:
        log.error("the watch chat could not be told: %s", error)


async def _begin_life(stack: AsyncExitStack, store: SqliteStore, clock: Clock) -> None:
    """Before anything is claimed: learn how the life before ended, and say that this one has not ended well yet."""
    now = clock.now()
    if not await store.write(lambda tx: doubt.begin_life(tx, now, first=_name_installation(tx))):
        log.warning("the last stop was not in good order: for a while SMS are looked for before they are sent")
    # Into the file itself: were the last stop's mark taken back in the log only, losing the log brought it back,
    # and with it the trust in what else was lost.
    if not await store.fold():
        log.warning("somebody reads the database, so its log could not be folded into the file")

    async def end(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not store.ruined.is_set():
            stamp = clock.now().isoformat()

            def last_words(tx: Transaction) -> None:
                doubt.end_life(tx)
                tx.set_meta(LAST_ALIVE, stamp)

            await _if_it_can_be_kept(store.write(last_words))

    stack.push_async_exit(end)


async def _make_up_for_the_pause(store: SqliteStore, dispatcher: Dispatcher, clock: Clock) -> None:
    """While no bridge listened, no source could have been heard."""
    last = await store.read(last_alive)
    if last is not None:
        await dispatcher.make_up_for(clock.now() - last)


async def _distrust_a_gap(store: SqliteStore, dispatcher: Dispatcher, clock: Clock) -> None:
    """Nobody used this database for a while: perhaps it is a restored backup, and what it owes was sent since."""
    last = await store.read(last_alive)
    now = clock.now()
    if last is not None and now - last > _GAP:
        await store.write(lambda tx: doubt.doubt_all(tx, now))
        waiting = await store.read(lambda tx: len(tx.claimable(now, _COUNTED)))
        if waiting:
            text = (
                f"the database was last in use {last:%d.%m %H:%M} UTC: {waiting} SMS are looked up before they are sent"
            )
            log.warning(text)
            await dispatcher.say(text)
    await store.write(lambda tx: tx.set_meta(LAST_ALIVE, now.isoformat()))


@dataclass(frozen=True, slots=True)
class _FilesTick:
    """Sees that the database is still where it was, also while nothing is written."""

    store: SqliteStore
    name: str = "files"

    async def run(self) -> None:
        await self.store.look_at_files()


@dataclass(frozen=True, slots=True)
class _BotTick:
    """The bot's commands as a tick."""

    bot: "TelegramBot"
    name: str = "bot"

    async def run(self) -> None:
        await self.bot.handle_waiting()


async def _bot(bridge: Bridge, settings: TelegramSettings) -> "TelegramBot":
    # 2.3 s and 150 MB: in a thread, for webhooks are being taken already.
    module = await asyncio.to_thread(importlib.import_module, "bot.app")
    bot: TelegramBot = module.TelegramBot(
        settings, bridge.dispatcher, bridge.inquiries, bridge.store, bridge.clock, bridge.house, bridge.metrics
    )
    return bot


async def _talk(bridge: Bridge) -> None:
    """Get updates from Telegram, by polling or by having them posted."""
    bot, settings, server = bridge.bot, bridge.config.value.telegram, bridge.config.value.server
    if bot is None or settings is None:
        return
    await bot.offer_commands()
    if settings.updates == "polling":
        await bot.poller.poll_forever()
    await bot.posted.look_after(f"{server.public_url}/telegram/{settings.webhook_path}")


def _parse(kind: str, receipt: Receipt) -> Report:
    return parse(kind, receipt.body, receipt.received_at)


def _caretaker(bridge: Bridge) -> Caretaker:
    async def beat() -> None:
        if url := bridge.config.value.heartbeat_url:
            await heartbeat.beat(url)

    def report(balance: Balance) -> None:
        bridge.metrics.balance.labels(balance.currency).set(float(balance.amount))

    async def disk_left() -> float:
        # In a thread: a sick disk takes its time.
        disk = await asyncio.to_thread(shutil.disk_usage, bridge.config.value.storage.path)
        return disk.free / disk.total

    return Caretaker(
        bridge.store,
        bridge.dispatcher,
        bridge.gateway,
        bridge.clock,
        bridge.house,
        stuck=bridge.stuck,
        heartbeat=beat,
        read_key=bridge.read_key,
        report_balance=report,
        disk_left=disk_left,
    )


async def _listen(stack: AsyncExitStack, bridge: Bridge) -> None:
    config = bridge.config.value
    internal, public = build_apps(
        bridge.config,
        bridge.dispatcher,
        bridge.inquiries,
        bridge.store,
        bridge.clock,
        bridge.metrics,
        reload=bridge.reload,
        ready=bridge.ready,
        telegram_webhook=_updates_posted(bridge),
    )
    for app, address in ((internal, config.server.listen), (public, config.server.public_listen)):
        if app is None or address is None:
            continue
        # No access log: it prints paths and queries, and tokens may hide there.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, *address)
        await site.start()
        bridge.ports.append(runner.addresses[0][1])


def _updates_posted(bridge: Bridge) -> Callable[[str | None, bytes], Awaitable[int]] | None:
    """What Telegram's own webhook calls, if the config wants updates posted."""
    telegram = bridge.config.value.telegram
    if telegram is None or telegram.updates != "webhook":
        return None

    async def receive(secret_header: str | None, body: bytes) -> int:
        return 503 if bridge.bot is None else await bridge.bot.receive_webhook(secret_header, body)

    return receive


def _name_installation(tx: Transaction) -> bool:
    """Our own name in references: two installations on one account never take each other's SMS for theirs.

    Whether it is new, and so the database.
    """
    if tx.meta("installation") is not None:
        return False
    tx.set_meta("installation", secrets.token_hex(8))
    return True


async def _say_hello(bridge: Bridge) -> None:
    now = bridge.clock.now()
    counts = await bridge.store.read(lambda tx: tx.outbox_counts())
    late = await bridge.store.read(lambda tx: len(tx.claimable(now, _COUNTED)))
    open_now = len(await bridge.inquiries.incidents(limit=1000))
    uncertain = counts.get(State.UNCERTAIN, 0)
    await bridge.dispatcher.say(f"{__version__} up: {open_now} open, {uncertain} uncertain, {late} late.")


def _needs_restart(old: Config, new: Config) -> list[str]:
    """The parts of the config that are read at start only."""
    changed = {
        "server": old.server != new.server,
        "storage.url": old.storage.path != new.storage.path,
        "mobizon, but for its key,": replace(old.mobizon, api_key=new.mobizon.api_key) != new.mobizon,
        "telegram": old.telegram != new.telegram,
    }
    return [name for name, differs in changed.items() if differs]
