"""A clock that is set forward or back, once or every minute: nothing is lost, nothing is sent twice."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.world import World, a_world, firing

ROOMY = [("watch: {chat", "limits: {per_person: {1h: 1000}, total: {1d: 10000}}\nwatch: {chat")]
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
        world.clock.jump(seconds)
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
            world.clock.jump(step)
            await world.advance(minutes=1)
        await hours(world, 1)
        assert sent(world) == once_each(names)


@pytest.mark.parametrize("seconds", [2 * HOUR, -2 * HOUR])
async def test_a_jump_across_a_restart(tmp_path: Path, seconds: int) -> None:
    async with a_world(tmp_path, changes=ROOMY) as world:
        world.mobizon.throttles(60, times=1)
        await world.post("alertmanager", firing("db1", name="Before"))
        await world.sleeps()
        world.clock.jump(seconds)
        await world.wakes()
        await world.post("alertmanager", firing("db1", name="After"))
        await hours(world, 4)
        texts = Counter((sms.to, sms.text.rpartition("#")[2]) for sms in world.mobizon.sent)
        assert len(texts) == 4 and set(texts.values()) == {1}
