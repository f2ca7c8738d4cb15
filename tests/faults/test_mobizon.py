"""One fault of Mobizon at a time, for as long as it likes; all of them mixed are in test_chaos.py."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from bridge.config import MobizonSettings
from bridge.demo.mobizon import SimulatedMobizon
from bridge.domain.notification import State
from bridge.domain.phone import parse_phone
from bridge.domain.secret import Secret
from bridge.metrics import Metrics
from bridge.mobizon import Mobizon
from bridge.ports import Lost, Outgoing, Submitted
from tests.fakes import FakeClock
from tests.faults.chaos import torment
from tests.faults.tracing import LONG
from tests.world import World, a_world, firing

LATE = (
    10_000 if LONG else 800
)  # messages; an eighth of them at least is performed late: the sender pauses when answers are lost
HANGS = 1000 if LONG else 96
SLOTS = 16
PAGE = Outgoing(parse_phone("+77010000001"), "db1 is down", "sb0")
pytestmark = pytest.mark.timeout(2 * 3600 if LONG else 120)


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """A port at which connections neither succeed nor fail: nobody accepts, and the queue is full."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # who stopped there still holds it
        listening.bind(("127.0.0.1", port))
        listening.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        yield


class Wire:
    """A proxy before Mobizon. Gone dead, its connections stay open, and nothing goes through any more."""

    def __init__(self, port: int) -> None:
        self._mobizon = port
        self._open: set[asyncio.Task[None]] = set()
        self._alive = asyncio.Event()
        self._alive.set()
        self.url = ""
        self.swallowed = asyncio.Event()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._mobizon)
        for one in (self._pass(reader, requests), self._pass(answers, writer, answering=True)):
            task = asyncio.create_task(one)
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answering: bool = False) -> None:
        try:
            while some := await reader.read(65536):
                if answering and not self._alive.is_set():
                    writer.write(some[:20])  # it breaks in the middle of the status line
                    self.swallowed.set()
                    await asyncio.Event().wait()
                writer.write(some)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def goes_dead(self) -> None:
        self._alive.clear()
        self.swallowed.clear()

    def is_mended(self) -> None:
        """For new connections; those that went dead never hear of it."""
        self._alive.set()

    async def ends(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


@asynccontextmanager
async def a_wire(world: World) -> AsyncIterator[Wire]:
    """The world's bridge wakes behind it."""
    wire = Wire(int(world.mobizon.base_url.rpartition(":")[2]))
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await world.sleeps()
    world.config_text = world.config_text.replace("MOBIZON", f"http://127.0.0.1:{port}")
    await world.wakes()
    try:
        yield wire
    finally:
        await world.sleeps()
        await wire.ends()
        server.close()
        await server.wait_closed()
        world.config_text = world.config_text.replace(f"http://127.0.0.1:{port}", "MOBIZON")
        await world.wakes()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


@pytest.mark.parametrize("swallows", [False, True], ids=["refuses connections", "swallows connections"])
async def test_while_no_connection_comes_about_a_page_waits_and_leaves_once(world: World, swallows: bool) -> None:
    port = int(world.mobizon.base_url.rpartition(":")[2])
    await world.mobizon.stop()
    with black_hole(port) if swallows else nullcontext():
        posting = asyncio.create_task(world.post("alertmanager", firing("db1")))
        for _ in range(30):  # each try takes 20 s; what is not answered by then never left
            waiting = asyncio.create_task(world.clock.waiting(2 if swallows else 1))
            await asyncio.wait({posting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if posting.done():
                break
            world.clock.advance(20)
        await posting
        rows = await world.bridge.store.read(lambda tx: tx.find_notifications())
        assert {row.state for row in rows} == {State.PLANNED}
        assert all(row.failures for row in rows)
    await world.mobizon.start()
    await world.advance(minutes=10)
    assert sorted(sms.to for sms in world.mobizon.sent) == ["4915112345678", "77010000001"]
    assert world.card.text.count("on the handset") == 2


async def test_a_connection_that_dies_in_the_middle_of_an_answer_is_given_up_and_the_sms_found(world: World) -> None:
    async with a_wire(world) as wire:
        wire.goes_dead()
        typing = asyncio.create_task(world.types("/sms jonas hello"))
        await wire.swallowed.wait()
        assert [sms.text for sms in world.mobizon.sent] == ["hello"]
        world.clock.advance(20)
        await typing
        wire.is_mended()
        assert "uncertain" in world.card.text

        await world.advance(minutes=2)
        assert "on the handset" in world.card.text
        await world.types("/sms jonas again")
        await world.advance(minutes=1)
        assert [sms.text for sms in world.mobizon.sent] == ["hello", "again"]


async def test_after_any_number_of_hangs_as_many_are_on_the_wire_at_once_as_before() -> None:
    """Counted in requests that Mobizon holds at one moment: a slot that a hang kept would be missing there."""
    clock = FakeClock()
    async with SimulatedMobizon(clock) as sim:
        settings = MobizonSettings(base_url=sim.base_url, api_key=Secret("demo"), concurrency=SLOTS)
        async with Mobizon(settings, clock, Metrics()) as mobizon:
            for _ in range(HANGS // SLOTS):
                sim.hangs(times=SLOTS)
                sends = [asyncio.create_task(mobizon.send(PAGE)) for _ in range(SLOTS)]
                await sim.holding(SLOTS)
                clock.advance(20)
                assert all(isinstance(outcome, Lost) for outcome in await asyncio.gather(*sends))
                sim.recovers()
                while sim.held:  # noqa: ASYNC110 - they end by themselves, and tell nobody
                    await asyncio.sleep(0)
            sim.hangs()
            sends = [asyncio.create_task(mobizon.send(PAGE)) for _ in range(SLOTS)]
            await sim.holding(SLOTS)
            sim.answers_held()
            assert all(isinstance(outcome, Submitted) for outcome in await asyncio.gather(*sends))
            assert len(sim.requests) == HANGS // SLOTS * SLOTS + SLOTS


async def test_what_is_performed_late_doubles_at_most_a_page_that_was_sent_once_more(tmp_path: Path) -> None:
    """Half of all sends lose their answer and are performed 1 to 600 s later: longer than we look for them."""
    tally = await torment(tmp_path, LATE, only={"late"}, share=0.5)
    print(tally)
    assert tally.wrong == []  # no typed one came twice, and each page at most twice, after the card said so
    assert tally.performed_late >= LATE / 8
    assert tally.found and tally.resent
    assert 0 < len(tally.page_twice) <= tally.resent


async def test_it_shows_a_page_that_is_sent_again_on_silence(tmp_path: Path) -> None:
    tally = await torment(tmp_path, 60, only={"silence"}, share=0.5, hasty=True)
    assert any("came 2 times" in wrong for wrong in tally.wrong), tally


async def test_money_that_runs_out_loses_nothing_unseen_and_doubles_nothing(tmp_path: Path) -> None:
    """Nobody has seen what Mobizon says then; its "not finished" (15) leaves most to ask about."""
    limits = "limits: {per_person: {1h: 100}, total: {1h: 100}, typed_share: 100%}\nsms: {default"
    async with a_world(tmp_path, changes=[("sms: {default", limits)]) as world:
        world.mobizon.balance = 4 * world.mobizon.price
        for number in range(12):
            await world.api("POST", "/sms", {"to": "dana", "text": f"text {number}"}, status=202)
        await world.advance(minutes=10)
        assert len(world.mobizon.sent) == 4

        world.mobizon.balance = 100 * world.mobizon.price
        await world.advance(hours=1)
        texts = world.phone("dana").texts
        assert len(texts) == len(set(texts)) >= 4
        rows = await world.bridge.store.read(lambda tx: tx.find_notifications())
        asked = [str(row.text) for row in rows if row.state is State.UNCERTAIN and row.asked_at is not None]
        assert sorted([*texts, *asked]) == sorted(f"text {number}" for number in range(12))
        assert {row.state for row in rows} <= {State.DELIVERED, State.UNCERTAIN}

        await world.api("POST", "/sms", {"to": "dana", "text": "after the payment"}, status=202)
        await world.advance(minutes=2)
        assert world.phone("dana").texts[-1] == "after the payment"
