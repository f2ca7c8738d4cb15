"""Lives of a real bridge process whose clock is set while it works with a Mobizon that fails, and that is killed.

libfaketime stands before the system's clock: the bridge reads whatever this harness writes into a file.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tests.faults import kill
from tests.faults.kill import BUGS, ROOT, Bug, Senders, Tally, a_nursery
from tests.world import World

HOUR = 3600
_LIBRARIES = ("/usr/lib", "/usr/local/lib")
_LATENCY = 0.3  # seconds of Mobizon: longer than between two settings of the clock
_PATIENCE = 100.0
_HELD, _AFTER = 4, 6  # messages
_BETWEEN = 0.5  # seconds

WALL_LEASES = (
    # Any clock that is read is believed, and a send whose lease is over by it goes out again.
    Bug("bridge/clock.py", "return wall if abs(wall - steady) < _STEP else steady", "return wall"),
    Bug("bridge/clock.py", "return ahead if abs(ahead) >= _STEP else timedelta(0)", "return timedelta(0)"),
    BUGS["sends-again-what-was-on-the-wire"],
)


def library() -> Path | None:
    """libfaketime for programs with threads, where it is installed."""
    return next((found for root in _LIBRARIES for found in Path(root).glob("**/libfaketimeMT.so.1")), None)


class Wall:
    """The clock that the bridge sees: the machine's, and so many seconds more."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "faketime"
        self.set_to(0)
        self.settings = 0

    def set_to(self, seconds: int) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self.file)

    @asynccontextmanager
    async def restless(self, chance: random.Random) -> AsyncIterator[None]:
        """Two hours back and forth, and steps of seconds, several times a second."""

        async def set_it() -> None:
            while True:
                await asyncio.sleep(chance.uniform(0.1, 0.4))
                self.set_to(chance.choice([-2 * HOUR, 0, 2 * HOUR, chance.randint(-90, 90)]))
                self.settings += 1

        setting = asyncio.create_task(set_it())
        try:
            yield
        finally:
            setting.cancel()
            with suppress(asyncio.CancelledError):
                await setting

    def environment(self, library: Path) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }


class Town:
    """A bridge in processes of its own, the clock it sees, and those who send."""

    def __init__(self, folder: Path, messages: int) -> None:
        port, people = kill._free_port(), max(20, messages // kill._EACH)
        self.port = port
        self.world = World(folder, kill._config(port, people))
        self.world.clock.jump((datetime.now(UTC) - self.world.clock.now()).total_seconds())
        self.world.mobizon.latency = _LATENCY
        self.world.mobizon.balance = Decimal(100 * messages)
        self.wall, self.tally = Wall(folder), Tally()
        self.senders = Senders(messages, people, f"http://127.0.0.1:{port}")

    @asynccontextmanager
    async def lives(self, library: Path, tree: Path = ROOT) -> AsyncIterator[kill.Nursery]:
        """Lives of this tree's bridge; after them one in peace, by a clock that is right, and the count."""
        world = self.world
        async with world.mobizon, a_nursery(tree, self.port, **self.wall.environment(library)) as nursery:
            world.config_file.write_text(world.config_text.replace("MOBIZON", world.mobizon.base_url))
            world.config_file.chmod(0o600)
            going = asyncio.create_task(_goes_along(world))
            yield nursery
            going.cancel()
            world.mobizon.recovers()
            world.mobizon.latency = 0
            await kill._live_on(world, self.senders, self.tally)
            kill._count(world, self.senders, self.tally)

    async def begins(self, nursery: kill.Nursery) -> None:
        await nursery.bears(self.world.config_file)
        await nursery.is_up()
        self.tally.kills += 1


async def restless(folder: Path, library: Path, messages: int, kills: int, seed: int = 1) -> tuple[Tally, int]:
    """So many lives under a clock that is set all the time. What came of it, and how often it was set."""
    chance, town = random.Random(seed), Town(folder, messages)
    mobizon, senders = town.world.mobizon, town.senders
    async with town.lives(library) as nursery:
        for left in range(kills, 0, -1):
            await town.begins(nursery)
            share = [senders.waiting.popleft() for _ in range(-(-len(senders.waiting) // left))]
            mobizon.drops_after_accepting(times=2)  # five lost in a row would make it pause for a minute
            mobizon.answers_http(503, b"<html>busy</html>", 1)
            mobizon.throttles(1, times=1)
            async with asyncio.timeout(_PATIENCE), town.wall.restless(chance):
                seen = len(mobizon.requests)
                await senders.send(share, [chance.uniform(0, 1) for _ in share])
                await mobizon.has_seen(seen + chance.randint(len(share) // 2, len(share)))
            await nursery.kills()
    return town.tally, town.wall.settings


async def in_mid_send(folder: Path, library: Path, *bugs: Bug) -> Tally:
    """The clock is set forward while Mobizon has taken some and not answered yet, and more comes after that."""
    town = Town(folder, _HELD + _AFTER)
    mobizon, senders = town.world.mobizon, town.senders
    mobizon.latency = 0
    async with town.lives(library, _with_bugs(bugs, folder) if bugs else ROOT) as nursery:
        await town.begins(nursery)
        mobizon.hangs_after_accepting(times=_HELD)
        async with asyncio.timeout(_PATIENCE):
            await senders.send([senders.waiting.popleft() for _ in range(_HELD)], [0.0] * _HELD)
            await mobizon.holding(_HELD)
            town.wall.set_to(2 * HOUR)
            for _ in range(_AFTER):  # each wakes the sender, which looks for leases that are over once a second
                seen = len(mobizon.requests)
                await senders.send([senders.waiting.popleft()], [_BETWEEN])
                await mobizon.has_seen(seen + 1)
        await nursery.kills()
    return town.tally


async def _goes_along(world: World) -> None:
    """Mobizon's clock goes as the machine's does, however busy that is."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.01)
        now = time.monotonic()
        world.clock.advance(now - last)
        last = now


def _with_bugs(bugs: tuple[Bug, ...], folder: Path) -> Path:
    first, *more = bugs
    tree = kill.with_bug(first, folder)
    for bug in more:
        file = tree / bug.file
        text = file.read_text(encoding="utf-8")
        assert text.count(bug.old) == 1, f"{bug.file}: the line that the planted bug replaces is not there"
        file.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
    return tree
