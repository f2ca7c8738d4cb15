"""A clock that is set forward or back, once or every minute: nothing is lost, sent twice, or late because of it."""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.notification import Notification
from bridge.finder import Finder, listed_between
from bridge.ports import ListedMessage, Transaction
from bridge.timekeeper import Timekeeper
from tests.world import World, a_world, firing

ROOMY = [("watch: {chat", "limits: {per_person: {1h: 1000}, total: {1d: 10000}}\nwatch: {chat")]
ONE = [*ROOMY, ("  - {name: rest", "  - {name: one, matchers: ['x=\"y\"'], policy: one, chat: ops}\n  - {name: rest")]
SINGLY = [*ONE, ("watch: {chat", 'storm: "off"\nwatch: {chat')]
HOUR = 3600


def sent(world: World) -> dict[str, Counter[str]]:
    """How often each handset got which alert."""
    return {
        name: Counter(sms.text.split()[0] for sms in world.mobizon.sent if sms.to == world.phone(name).digits)
        for name in ("aigerim", "jonas")
    }


async def hours(world: World, count: int) -> None:
    """Half an hour at a time, and a while for what became due."""
    for _ in range(2 * count):
        world.clock.advance(HOUR / 2)
        await world.settle()
    await world.advance(minutes=6)


def once_each(names: Collection[str]) -> dict[str, Counter[str]]:
    return {person: Counter(names) for person in ("aigerim", "jonas")}


async def jumping(world: World, jumps: Sequence[int], *, forgets_what_was_lost: bool = False) -> list[str]:
    """One SMS is lost, one waits for its delivery, and more are asked for after each jump. Returns the names."""
    world.mobizon.drops_after_accepting(times=1)
    await world.post("alertmanager", firing("db1", name="Before"))
    for number, seconds in enumerate(jumps):
        set_clock(world, seconds)
        if forgets_what_was_lost:
            with closing(sqlite3.connect(world.folder / "bridge.db")) as database, database:
                database.execute("UPDATE notification SET state = 'planned' WHERE state = 'uncertain'")
        await world.post("alertmanager", firing("db1", name=f"After{number}"))
        await world.advance(minutes=1)
    await hours(world, 5)
    return ["Before", *(f"After{number}" for number in range(len(jumps)))]


@pytest.mark.parametrize("jumps", [[2 * HOUR], [-2 * HOUR], [2 * HOUR, -2 * HOUR], [-2 * HOUR, 2 * HOUR]], ids=str)
async def test_a_jump_with_everything_under_way(tmp_path: Path, jumps: Sequence[int]) -> None:
    async with a_world(tmp_path, changes=ROOMY) as world:
        names = await jumping(world, jumps)
        assert sent(world) == once_each(names)
        counts = await world.bridge.store.read(lambda tx: tx.outbox_counts())
        assert not any(counts.values()), counts


async def test_it_shows_a_lost_sms_that_is_sent_again_unseen(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=ROOMY) as world:
        names = await jumping(world, [2 * HOUR], forgets_what_was_lost=True)
        assert sent(world) != once_each(names)


@pytest.mark.parametrize("step", [7, -7, 61, -61])
async def test_a_clock_that_is_set_every_minute(tmp_path: Path, step: int) -> None:
    async with a_world(tmp_path, changes=ROOMY) as world:
        names = [f"Alert{number}" for number in range(8)]
        for number, name in enumerate(names):
            if number % 4 == 0:
                world.mobizon.drops_after_accepting(times=1)
            await world.post("alertmanager", firing("db1", name=name))
            set_clock(world, step)
            await world.advance(minutes=1)
        await hours(world, 1)
        assert sent(world) == once_each(names)


@pytest.mark.parametrize("seconds", [2 * HOUR, -2 * HOUR])
async def test_a_jump_across_a_restart(tmp_path: Path, seconds: int) -> None:
    async with a_world(tmp_path, changes=ROOMY) as world:
        world.mobizon.throttles(60, times=1)
        await world.post("alertmanager", firing("db1", name="Before"))
        await world.sleeps()
        set_clock(world, seconds)
        await world.wakes()
        await world.post("alertmanager", firing("db1", name="After"))
        await hours(world, 4)
        texts = Counter((sms.to, sms.text.rpartition("#")[2]) for sms in world.mobizon.sent)
        assert len(texts) == 4 and set(texts.values()) == {1}


class LeavesWaits(Timekeeper):
    """A planted bug: it takes the new hour for true and leaves what waits where it was."""

    def _moved(self, tx: Transaction, old: datetime, jump: timedelta) -> None:
        pass


class TrustsItsClock(Finder):
    """A planted bug: it asks Mobizon for the days that our own clock says."""

    async def _listed(self, row: Notification) -> list[ListedMessage] | None:
        assert row.number is not None and row.lost_at is not None
        return await listed_between(self._gateway, row.number, row.lost_at, self._clock.now())


def tick(world: World, name: str) -> Any:
    return next(one for one in world.bridge.ticks if one.name == name)


def puts_in(world: World, bad: type[Timekeeper] | type[Finder]) -> None:
    """Let this tick stand where the good one stood."""
    ticks = world.bridge.ticks
    place = next(place for place, tick in enumerate(ticks) if isinstance(tick, bad.__base__ or bad))
    broken: Any = object.__new__(bad)
    vars(broken).update(vars(ticks[place]))
    ticks[place] = broken


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


def set_clock(world: World, seconds: float) -> None:
    """Ours alone: Mobizon's goes on."""
    world.clock.jump(seconds)
    world.mobizon.away -= timedelta(seconds=seconds)


async def waiting_for_a_minute(world: World, jump: float) -> list[int]:
    """Mobizon asks for a minute of patience and the clock is set; how many SMS are out after one and two minutes."""
    world.mobizon.throttles(60, times=2)
    await world.post("alertmanager", firing("db1"))
    set_clock(world, jump)
    out = []
    for minutes in (0.9, 0.3):
        await world.advance(minutes=minutes)
        out.append(len(world.mobizon.sent))
    return out


@pytest.mark.parametrize("jump", [-2 * HOUR, 2 * HOUR, -30 * 24 * HOUR, 30 * 24 * HOUR])
async def test_what_waits_waits_as_long_as_before(tmp_path: Path, jump: int) -> None:
    changes = [*ROOMY, ("policy: critical, chat: ops, priority", "policy: critical, ttl: 1h, chat: ops, priority")]
    async with a_world(tmp_path, changes=changes) as world:
        assert await waiting_for_a_minute(world, jump) == [0, 2]


@pytest.mark.parametrize(("jump", "out"), [(-2 * HOUR, [0, 0]), (2 * HOUR, [0, 0])])
async def test_it_shows_waits_that_are_left_where_they_were(tmp_path: Path, jump: float, out: list[int]) -> None:
    changes = [*ROOMY, ("policy: critical, chat: ops, priority", "policy: critical, ttl: 1h, chat: ops, priority")]
    async with a_world(tmp_path, changes=changes) as world:
        puts_in(world, LeavesWaits)
        assert await waiting_for_a_minute(world, jump) == out


async def test_what_waits_waits_no_longer_for_a_clock_set_back_while_nobody_lived(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=ROOMY) as world:
        world.mobizon.throttles(60, times=2)
        await world.post("alertmanager", firing("db1"))
        await world.sleeps()
        set_clock(world, -2 * HOUR)
        await world.wakes()
        await world.advance(minutes=1.2)
        assert len(world.mobizon.sent) == 2
        assert "set back by 2 h" in world.watch.last.text


class Impatient(Timekeeper):
    """A planted bug: it moves what is there, and what was dated before it and is committed after it stays behind."""

    async def run(self) -> None:
        store = self._store

        class Hasty:
            async def write(self, fn: Callable[[Transaction], None], *, in_turn: bool) -> None:
                await store.write(fn)

        self._store = Hasty()  # type: ignore[assignment]  # all that a run needs of it
        await super().run()


async def many_at_the_moment_of_a_jump(world: World) -> int:
    """So many webhooks that writing what they mean waits its turn, and the clock is set back just then.

    How many of twenty pages are out after five minutes.
    """
    names = [f"Alert{number}" for number in range(20)]
    for name in names:
        body = json.dumps(firing("db1", name=name)).encode()
        await world.bridge.dispatcher.keep_webhook("alertmanager", "one", {}, body)
    timekeeper, jumps = tick(world, "timekeeper"), []

    def notices() -> None:
        set_clock(world, -2 * HOUR)
        jumps.append(asyncio.create_task(timekeeper.run()))

    world.bridge.dispatcher.on_accept = notices
    await tick(world, "intake").run()
    await asyncio.gather(*jumps)
    assert len(jumps) == 1
    await world.advance(minutes=5)
    return len(world.mobizon.sent)


async def test_what_waits_its_turn_to_be_written_moves_along(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=SINGLY) as world:
        assert await many_at_the_moment_of_a_jump(world) == 20


async def test_it_shows_what_stays_behind_when_the_clock_is_set(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=SINGLY) as world:
        puts_in(world, Impatient)
        assert await many_at_the_moment_of_a_jump(world) == 0


async def test_an_hour_that_a_person_named_stays(world: World) -> None:
    await world.types("/sms jonas at=18:00 hello")  # 13:00 UTC; it is 03:10
    set_clock(world, 5 * HOUR)
    await world.advance(hours=4)
    assert world.mobizon.sent == []
    set_clock(world, -2 * HOUR)
    await world.advance(hours=2.5)
    assert world.mobizon.sent == []
    await world.advance(hours=0.5)
    assert world.phone("jonas").texts == ["hello"]


async def test_a_question_stays_open_as_long_as_before(world: World) -> None:
    await world.types("/sms +77010000009 hello")
    set_clock(world, 2 * HOUR)
    await world.settle()
    await world.press("Send")
    await world.advance(minutes=1)
    assert world.phone("+77010000009").texts == ["hello"]


async def test_limits_count_what_was_sent_before_the_clock_was_set_back(tmp_path: Path) -> None:
    changes = [("watch: {chat", "limits: {per_person: {1h: 1}, total: {1d: 100}}\nwatch: {chat")]
    async with a_world(tmp_path, changes=changes) as world:
        await world.post("alertmanager", firing("db1", name="One"))
        set_clock(world, -2 * HOUR)
        await world.post("alertmanager", firing("db2", name="Two"))
        await world.advance(minutes=59)
        assert len(world.mobizon.sent) == 2
        await world.advance(minutes=2)
        assert len(world.mobizon.sent) == 4


async def test_the_watch_chat_is_told_once(world: World) -> None:
    set_clock(world, -2 * HOUR)
    await world.advance(minutes=1)
    set_clock(world, 10)
    set_clock(world, 2 * HOUR)
    await world.advance(minutes=1)
    assert len(world.watch.cards) == 1
    assert "set forward by 2 h" in world.watch.last.text
    await world.advance(hours=2)
    assert world.watch.last.text.startswith("🟢")


async def lost_and_looked_for(world: World, jump: float) -> list[str]:
    world.mobizon.drops_after_accepting(times=1)
    await world.post("alertmanager", firing("db1"), route="one")
    set_clock(world, jump)
    await world.advance(minutes=10)
    return world.phone("aigerim").texts


LONG = [-5 * 24 * HOUR, 5 * 24 * HOUR]


@pytest.mark.parametrize("jump", LONG)
async def test_a_lost_sms_is_found_by_a_clock_that_is_days_off(tmp_path: Path, jump: int) -> None:
    async with a_world(tmp_path, changes=ONE) as world:
        assert len(await lost_and_looked_for(world, jump)) == 1


@pytest.mark.parametrize("jump", LONG)
async def test_it_shows_a_look_at_the_wrong_days(tmp_path: Path, jump: int) -> None:
    async with a_world(tmp_path, changes=ONE) as world:
        puts_in(world, TrustsItsClock)
        assert len(await lost_and_looked_for(world, jump)) == 2


async def test_a_clock_that_differs_from_mobizons_is_told_until_it_is_right(world: World) -> None:
    world.mobizon.away = timedelta(seconds=-29)
    await world.types("/sms jonas hello")
    await world.looks_after_itself()
    assert world.watch.cards == []

    world.mobizon.away = timedelta(seconds=-95)
    await world.types("/sms jonas hello again")
    await world.looks_after_itself()
    assert "1 min ahead of Mobizon's" in world.watch.last.text

    world.mobizon.away = timedelta(0)
    await world.looks_after_itself()
    await world.advance(seconds=5)
    assert "over" in world.watch.last.text
