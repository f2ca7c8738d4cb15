"""kill -9 at every call that writes, syncs or sends: what was accepted leaves exactly once."""

import shutil
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bridge.clock import SystemClock
from bridge.demo.mobizon import SimulatedMobizon
from tests.fakes import FakeClock
from tests.faults.ends import live_on, wrong_in
from tests.faults.life import write_config
from tests.faults.tracing import LONG, Lives, calls_in, needs_strace

ON_DISK = ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink")
# Of the event loop's own thread only: the database's thread wakes it with a sendto each time, and would be
# the first to reach any number.
TO_THE_WORLD = ("write", "sendto")
WEBHOOKS = 20 if LONG else 2
STEP = 1 if LONG else 10
pytestmark = [needs_strace, pytest.mark.timeout(4 * 3600 if LONG else 300)]


class Kills:
    """Kills lives at chosen calls; `wrong` gathers what the survivors' ledgers show."""

    def __init__(self, nursery: Lives, folder: Path, bug: str = "") -> None:
        self._nursery = nursery
        self._folder = folder
        self._bug = bug
        self.tried = self.killed = self.accepted = self.sent = 0
        self.wrong: list[str] = []

    async def points(self, step: int, calls: Sequence[str]) -> list[tuple[str, int]]:
        """(call, which one) of a life that nobody kills."""
        name = f"whole-{calls[0]}"
        log = self._folder / f"{name}.log"
        async with SimulatedMobizon(SystemClock()) as mobizon:
            ended = await self._life(
                name, mobizon, [*_threads(calls[0]), "-o", str(log), "-e", f"trace={','.join(calls)}"]
            )
        assert ended == (0, set(range(WEBHOOKS))), ended
        made = calls_in(log)
        return [(call, number) for call in calls for number in range(1, made.get(call, 0) + 1, step)]

    async def at(self, points: Collection[tuple[str, int]]) -> None:
        for call, number in points:
            await self._kill(call, number)

    async def _kill(self, call: str, number: int) -> None:
        clock = FakeClock(SystemClock().now())
        killing = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
        name = f"{call}-{number}"
        async with SimulatedMobizon(clock) as mobizon:
            status, acked = await self._life(name, mobizon, [*_threads(call), "-o", "/dev/null", *killing])
            self.tried, self.killed = self.tried + 1, self.killed + (status == -9)
            if self._bug == "what was on the wire is sent again":
                with closing(sqlite3.connect(self._folder / name / "bridge.db")) as database, database:
                    database.execute("UPDATE notification SET state = 'planned' WHERE state = 'sending'")
                    database.execute(
                        "UPDATE meta SET value = 'yes' WHERE key = 'stopped_well'"
                    )  # or it would look first
            await live_on(self._folder / name, clock)
            self.accepted, self.sent = self.accepted + len(acked), self.sent + len(mobizon.sent)
            self.wrong += [f"{name}: {what}" for what in wrong_in(mobizon, acked, range(WEBHOOKS))]
        shutil.rmtree(self._folder / name)

    async def _life(self, name: str, mobizon: SimulatedMobizon, strace: Sequence[str]) -> tuple[int, set[int]]:
        folder = self._folder / name
        folder.mkdir()
        write_config(folder, mobizon.base_url)
        ended = await self._nursery.live(folder, strace, does="pages", first=0, webhooks=WEBHOOKS, bug=self._bug)
        return ended.status, ended.numbers("kept")


def _threads(call: str) -> list[str]:
    return [] if call in TO_THE_WORLD else ["-f"]


async def test_a_kill_at_any_call_loses_nothing_and_repeats_nothing(nursery: Lives, tmp_path: Path) -> None:
    kills = Kills(nursery, tmp_path)
    await kills.at(await kills.points(STEP, ON_DISK))
    await kills.at(await kills.points(1, TO_THE_WORLD))
    print(f"{kills.tried} lives, {kills.killed} killed, {kills.accepted} webhooks accepted, {kills.sent} SMS sent")
    assert kills.wrong == []
    assert kills.killed >= kills.tried * 0.9  # the last calls of a thread may be fewer than counted
    assert kills.accepted > 0


async def test_it_shows_an_answer_before_the_commit(nursery: Lives, tmp_path: Path) -> None:
    kills = Kills(nursery, tmp_path, bug="acks before the commit")
    await kills.at([("write", 2)])  # just after the first was said to be kept
    assert kills.wrong == ["write-2: trouble-00000. was accepted and never sent"]


async def test_it_shows_a_send_that_is_simply_repeated(nursery: Lives, tmp_path: Path) -> None:
    kills = Kills(nursery, tmp_path, bug="what was on the wire is sent again")
    for point in reversed(await kills.points(1, TO_THE_WORLD)):  # one of the last cuts off an answer
        await kills.at([point])
        if kills.wrong:
            break
    assert any("sent 2 times" in what for what in kills.wrong), kills.wrong
