"""kill -9 at every place where a task waits loses nothing that was accepted, sends nothing twice, changes no climb."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.awaits import BUGS, FLOWS, Kills, a_killer, drawn, everywhere, planted
from tests.faults.tracing import LONG

SEEDS = range(1, 21 if LONG else 2)
# The database's thread may be faster or slower by a round: the last time at a place is then met once less.
_MOST = 0.9
EVERY = 1 if LONG else 8 if os.environ.get("CI") else 12  # of the places, always the same ones
ROOMS = {
    "webhooks": ["bridge/web/webhooks.py", "bridge/web/api.py", "bridge/intake.py", "bridge/sender.py"],
    "chat": ["bot/poller.py", "bot/app.py", "bot/chat.py", "bridge/reporter.py", "bridge/sender.py"],
    "lost": ["bridge/finder.py", "bridge/outbox.py", "bridge/mobizon.py", "bridge/tracker.py"],
    "starts": ["storage/store.py"],
    "climbs": ["bridge/timers.py", "bridge/sender.py", "bridge/tracker.py", "bridge/reporter.py"],
    "answers": ["bot/app.py", "bot/chat.py", "bridge/web/api.py", "bridge/intake.py"],
}
"""Where the lives of each group have to have waited when they died, or little was tried."""
GROUPS = {
    "webhooks": ["two alerts and a script at once", "the same alert again, then over"],
    "chat": ["typed", "send again is pressed"],
    "lost": ["an answer lost, the SMS found", "a page lost, sent once more", "a typed one lost, and asked about"],
    "starts": ["a start on nothing", "a start after a kill on the wire"],
    "climbs": [
        "the first is called",
        "nobody answers, the next is called",
        "nobody has it, the chat rings",
        "it does not arrive, the next is called",
    ],
    "answers": [
        "somebody takes it",
        "a script takes it",
        "somebody takes it after the chat rang",
        "over before the next is called",
        "passed on",
        "handed back",
    ],
}
pytestmark = pytest.mark.timeout(4 * 3600 if LONG else 1200)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kills(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kills]:
    """One for all of them: to import everything takes longer than to live."""
    async with a_killer(tmp_path_factory.mktemp("kills"), each_end=LONG) as kills:
        yield kills


def test_every_flow_is_in_a_group() -> None:
    assert sorted(FLOWS) == sorted(name for names in GROUPS.values() for name in names)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("group", GROUPS)
async def test_a_kill_at_any_await_loses_nothing_and_repeats_nothing(kills: Kills, group: str) -> None:
    flows = {name: FLOWS[name] for name in GROUPS[group]}
    every = EVERY * len(GROUPS[group]) // 2  # as many places of a group, whether it has few flows or many
    found = await everywhere(kills, flows, every=1 if LONG else every, all_times=LONG)
    print(found)
    assert found.wrong == []
    assert found.killed >= _MOST * found.points.total() - 1
    if EVERY == 1:  # fewer places may leave a room out
        assert found.files.issuperset(ROOMS[group])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", SEEDS)
async def test_nor_when_anything_comes_in_any_order(kills: Kills, seed: int) -> None:
    found = await everywhere(kills, {f"drawn {seed}": drawn(random.Random(seed))}, every=2 * EVERY)
    print(found)
    assert found.wrong == []
    assert found.killed >= _MOST * found.points.total() - 1


@pytest.mark.parametrize("name", BUGS)
async def test_a_planted_bug_is_found(tmp_path: Path, name: str) -> None:
    found = await planted(tmp_path, name)
    print(found)
    assert any(BUGS[name][1] in wrong for wrong in found.wrong), found.wrong
