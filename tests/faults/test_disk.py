"""What the disk may do: be full, fail to sync, be locked by a stranger, turn bytes over."""

import asyncio
import errno
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.app import Bridge, build
from bridge.clock import SystemClock
from bridge.config import load_config
from bridge.demo.mobizon import Fault, SimulatedMobizon, SimulatedSms
from bridge.domain.notification import State
from bridge.doubt import STOPPED_WELL
from bridge.ports import NotStored, Store, Transaction
from storage import SchemaTooNew
from tests.fakes import FakeClock
from tests.faults.ends import live_on, wrong_in
from tests.faults.life import SAID, pragma, tick, webhook, write_config
from tests.faults.tracing import LONG, ROOT, Lives, calls_in, needs_strace
from tests.world import World, a_world, firing

CYCLES = 500 if LONG else 5
MEGABYTES = 80 if LONG else 4  # what the webhooks of all cycles need, and the log
SEEDS = 1000 if LONG else 200
LOGS = 1000 if LONG else 40
pytestmark = pytest.mark.timeout(4 * 3600 if LONG else 300)


async def post(world: World, name: str) -> int:
    """A webhook about something new, without settling after it."""
    body, headers = json.dumps(firing("db1", name=name)), {"Authorization": "Bearer am-secret"}
    async with world.http.post("/webhooks/alertmanager", data=body, headers=headers) as answer:
        return answer.status


async def receipts(world: World) -> int:
    return len(await world.bridge.store.read(lambda tx: tx.receipts(FakeClock().now(), 100_000)))


# --- full ----------------------------------------------------------------------------------------------

ROOMY = [("watch: {chat", "limits: {per_person: {1h: 100000}, total: {1d: 1000000}}\nwatch: {chat")]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A few megabytes of their own; None where we may not mount."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(disk)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


@asynccontextmanager
async def no_room(world: World, *, mounted: bool) -> AsyncIterator[None]:
    """The disk is full meanwhile. Where nothing could be mounted, SQLite is told that it is."""
    if not mounted:
        await pragma(world.bridge.store, "max_page_count = 1")
        yield
        await pragma(world.bridge.store, "max_page_count = 1000000")
        return
    ballast = world.folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    yield
    ballast.unlink()


async def test_a_full_disk_takes_nothing_keeps_answers_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    told: Counter[int] = Counter()
    with small_disk(tmp_path) as disk:
        async with a_world(disk or tmp_path, changes=ROOMY) as world:
            for cycle in range(CYCLES):
                world.mobizon.goes_wrong(Fault(carries_out=True, holds=True), times=2, method="sendsmsmessage")
                told[await post(world, f"Before{cycle}")] += 1
                await world.settle()  # two SMS are on the wire now
                async with no_room(world, mounted=disk is not None):
                    while (status := await post(world, f"While{cycle}")) == 202:
                        told[status] += 1  # the log has some pages left over
                    kept = await receipts(world)
                    for _ in range(3):
                        told[await post(world, f"Refused{cycle}")] += 1
                    assert await receipts(world) == kept
                    world.mobizon.answers_held()
                    await world.clock.waiting(2)  # both answers are held in memory
                world.clock.advance(1)
                await world.bridge.sender.drain()
                await world.advance(minutes=10)
            print(f"{CYCLES} times full (tmpfs: {disk is not None}), webhooks answered: {dict(told)}")
            assert set(told) == {202, 503} and told[503] == 3 * CYCLES
            assert await receipts(world) == told[202]
            texts = [sms.text.rpartition("#")[2] for sms in world.mobizon.sent]
            names = {sms.text.split()[0] for sms in world.mobizon.sent}
            assert not any(name.startswith("Refused") for name in names)
            assert {f"Before{cycle}" for cycle in range(CYCLES)} <= names
            assert Counter(Counter(texts).values()).keys() == {2}, "two people, one SMS each"
            assert (await world.bridge.store.read(lambda tx: tx.outbox_counts()))[State.UNCERTAIN] == 0
            assert "sms_bridge_uncertain_total{" not in await world.metrics()


# --- a sync that fails -----------------------------------------------------------------------------------


PADDING = 200_000  # bytes of each webhook: most writes are those that keep one


async def a_good_life_makes(nursery: Lives, tmp_path: Path, call: str) -> int:
    """How many of these calls; the first few dozen are the start's."""
    folder = tmp_path / f"good-{call}"
    folder.mkdir()
    async with SimulatedMobizon(FakeClock(SystemClock().now())) as mobizon:
        write_config(folder, mobizon.base_url)
        strace = ["-f", "-o", str(folder / "strace"), "-e", f"trace={call}"]
        await nursery.live(folder, strace, does="pages", first=0, webhooks=6, padding=PADDING)
    return calls_in(folder / "strace")[call]


async def failing(
    nursery: Lives, tmp_path: Path, call: str, error: str, whens: Iterable[str], bug: str = ""
) -> tuple[int, int, list[str]]:
    """Webhooks accepted and refused by lives in which calls like these fail, and what is wrong in the end."""
    refused, accepted, wrong = 0, 0, []
    for when in whens:
        clock, folder = FakeClock(SystemClock().now()), tmp_path / f"{call}-{when}"
        folder.mkdir()
        async with SimulatedMobizon(clock) as mobizon:
            write_config(folder, mobizon.base_url)
            inject = f"inject={call}:error={error}:when={when}"
            strace = ["-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
            ended = await nursery.live(folder, strace, does="pages", first=0, webhooks=6, padding=PADDING, bug=bug)
            kept, not_kept = ended.numbers("kept"), ended.numbers("refused")
            order = [line.split()[0] for line in (folder / SAID).read_text().splitlines()]
            if "refused" in order and "kept" in order[order.index("refused") :]:
                wrong.append(f"a webhook was accepted after a {call} had failed")
            wrong += [f"{number} was accepted and then not kept" for number in kept & not_kept]
            await live_on(folder, clock)
            wrong += wrong_in(mobizon, kept, range(6))
        refused, accepted = refused + len(not_kept), accepted + len(kept)
    return accepted, refused, wrong


@needs_strace
async def test_a_commit_whose_sync_failed_is_not_answered_and_nothing_else_is_lost(
    nursery: Lives, tmp_path: Path
) -> None:
    made = await a_good_life_makes(nursery, tmp_path, "fdatasync")
    # Three: were what shares a commit tried once more, each alone, that would fail too.
    whens = [f"{number}..{number + 2}" for number in range(1 if LONG else made - 13, made - 6)]
    accepted, refused, wrong = await failing(nursery, tmp_path, "fdatasync", "EIO", whens)
    print(f"fdatasync EIO: {accepted} webhooks accepted, {refused} refused")
    assert wrong == []
    assert refused and accepted


@needs_strace
@pytest.mark.parametrize("error", ["EROFS", "EIO"])
async def test_a_disk_that_cannot_be_written_any_more_ends_the_process_and_loses_nothing(
    nursery: Lives, tmp_path: Path, error: str
) -> None:
    """As a file system does that went read-only after an error, or a disk that died under it."""
    made = await a_good_life_makes(nursery, tmp_path, "pwrite64")
    whens = [f"{number}+" for number in range(1 if LONG else made // 2, made, 9 if LONG else made // 8)]
    accepted, refused, wrong = await failing(nursery, tmp_path, "pwrite64", error, whens)
    print(f"pwrite64 {error} for ever: {accepted} webhooks accepted, {refused} refused")
    assert wrong == []
    assert refused and accepted


@needs_strace
@pytest.mark.parametrize(("call", "error"), [("fdatasync", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EROFS")])
async def test_an_answer_before_the_commit_is_found(nursery: Lives, tmp_path: Path, call: str, error: str) -> None:
    made = await a_good_life_makes(nursery, tmp_path, call)
    syncs = range(made - 13, made - 6) if call == "fdatasync" else [made * tenths // 10 for tenths in (5, 6, 7, 8)]
    whens = [f"{number}+" for number in syncs]
    _, _, wrong = await failing(nursery, tmp_path, call, error, whens, bug="acks before the commit")
    # A sync that strace makes fail loses nothing by itself: there only the answer shows it.
    assert any(
        ("accepted and then not kept" if call == "fdatasync" else "accepted and never sent") in what for what in wrong
    )


# --- locked ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def a_stranger_holding(file: Path) -> AsyncIterator[None]:
    """Another process, a shell perhaps, in the middle of a transaction of its own."""
    code = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); d.execute('BEGIN EXCLUSIVE');"
        "print('held', flush=True); sys.stdin.read()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(file), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and await process.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        await process.communicate(b"")


async def test_a_short_lock_is_waited_for_and_a_long_one_is_503(world: World) -> None:
    async with a_stranger_holding(world.folder / "bridge.db"):
        waiting = asyncio.create_task(post(world, "Short"))
        done, _ = await asyncio.wait({waiting}, timeout=1)  # another process's second: no clock of ours moves it
        assert not done
    assert await waiting == 202

    async with a_stranger_holding(world.folder / "bridge.db"):
        for name in ("Long", *("Longer", "Longest", "Too long", "Far too long") * LONG):
            assert await post(world, name) == 503
        assert await receipts(world) == 1
    assert await post(world, "After") == 202
    await world.advance(minutes=1)
    assert Counter(sms.text.split()[0] for sms in world.mobizon.sent) == {"Short": 2, "After": 2}


@dataclass
class Forgetful:
    """The planted bug: a store that says it kept what it could not."""

    store: Store

    async def write(self, fn: Callable[[Transaction], Any]) -> Any:
        try:
            return await self.store.write(fn)
        except NotStored:
            return 1


async def test_a_locked_store_that_says_it_kept_is_found(world: World) -> None:
    world.bridge.dispatcher._store = Forgetful(world.bridge.store)  # type: ignore[assignment]
    async with a_stranger_holding(world.folder / "bridge.db"):
        assert await post(world, "Long") == 202
        assert await receipts(world) == 0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


# --- a file that is gone, a process that may hold no more -------------------------------------------------


@dataclass
class Running:
    """`sms-bridge run` in a process of its own."""

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession

    async def post(self, number: int, size: int = 0) -> int:
        """The status; 0 when there was no answer."""
        try:
            async with self.http.post("/webhooks/generic", data=webhook(number, size)) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    def may_hold_little_more(self, resource: str) -> None:
        """From now on: four files (nofile) or 8 MiB (as) more than it holds."""
        proc = Path("/proc") / str(self.process.pid)
        if resource == "nofile":
            most = max(int(file.name) for file in (proc / "fd").iterdir()) + 4
        else:
            most = int((proc / "statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + 8 * 2**20
        subprocess.run(["prlimit", "--pid", str(self.process.pid), f"--{resource}={most}"], check=True)

    async def ends(self) -> tuple[int, str]:
        """Its exit code, and the last thing it said."""
        _, said = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, said.decode().splitlines()[-1]


@asynccontextmanager
async def running(folder: Path, mobizon: SimulatedMobizon) -> AsyncIterator[Running]:
    config = write_config(folder, mobizon.base_url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "run", "--config", str(config)), cwd=ROOT, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        port = ""
        while not port:
            line = (await process.stderr.readline()).decode()
            assert line, "it ended before it listened"
            port = "".join(re.findall(r"listening on port (\d+)", line))
        headers = {"Authorization": "Bearer generic-secret"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as http:
            yield Running(process, http)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("file", ["bridge.db", "bridge.db-wal"])
async def test_a_bridge_whose_file_was_deleted_takes_nothing_more_and_ends(tmp_path: Path, file: str) -> None:
    async with SimulatedMobizon(FakeClock(SystemClock().now())) as mobizon, running(tmp_path, mobizon) as bridge:
        assert await bridge.post(1) == 202
        (tmp_path / file).unlink()
        assert await bridge.post(2) == 503
        code, said = await bridge.ends()
    assert code == 1
    assert f"{file} was deleted or replaced while it was in use" in said


async def test_an_idle_bridge_notices_by_itself_that_its_file_was_replaced(tmp_path: Path) -> None:
    async with SimulatedMobizon(FakeClock(SystemClock().now())) as mobizon, running(tmp_path, mobizon) as bridge:
        shutil.copy(tmp_path / "bridge.db", tmp_path / "copy.db")
        (tmp_path / "copy.db").replace(tmp_path / "bridge.db")
        code, said = await bridge.ends()
    assert (code, "bridge.db was deleted or replaced" in said) == (1, True)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
@pytest.mark.parametrize("resource", ["nofile", "as"])
async def test_a_process_that_may_hold_no_more_loses_nothing_it_accepted(tmp_path: Path, resource: str) -> None:
    clock = FakeClock(SystemClock().now())
    async with SimulatedMobizon(clock) as mobizon:
        async with running(tmp_path, mobizon) as bridge:
            bridge.may_hold_little_more(resource)
            large = 0 if resource == "nofile" else 900_000
            sizes = [large if number % 2 else 0 for number in range(40)]
            answers = await asyncio.gather(*(bridge.post(number, size) for number, size in enumerate(sizes)))
        accepted = {number for number, status in enumerate(answers) if status == 202}
        print(f"{resource}: webhooks answered {dict(Counter(answers))}")
        assert accepted and set(answers) <= {202, 500, 503, 0}
        await live_on(tmp_path, clock)
        assert wrong_in(mobizon, accepted, range(40)) == []


# --- bytes turned over -------------------------------------------------------------------------------------


@dataclass
class Town:
    """A bridge that stopped in the middle of work, and what had been sent by then."""

    folder: Path
    mobizon: SimulatedMobizon
    clock: FakeClock
    owed = frozenset(("77010000001", f"owed-{number}") for number in range(3))


@asynccontextmanager
async def interrupted(folder: Path) -> AsyncIterator[Town]:
    """Pages on handsets, pages whose answers were lost, and pages that Mobizon had no time for; killed then."""
    clock, alive = FakeClock(), folder / "alive"
    alive.mkdir()
    async with SimulatedMobizon(clock) as mobizon:
        config = write_config(alive, mobizon.base_url)
        town = Town(folder / "left", mobizon, clock)
        async with build(load_config(config), clock) as bridge:
            for number in range(8):
                await _page(bridge, f"arrived-{number}")
            clock.advance(30)
            await tick(bridge, "tracker")
        async with build(load_config(config), clock) as bridge:
            for number in range(8, 12):
                await _page(bridge, f"arrived-{number}")
            mobizon.drops_after_accepting(times=2)
            for number in range(2):
                await _page(bridge, f"lost-{number}")
            mobizon.throttles(60)
            for number in range(3):
                await _page(bridge, f"owed-{number}")
            mobizon.recovers()
            shutil.copytree(alive, town.folder)  # as a kill leaves it: with its log
        yield town


async def _page(bridge: Bridge, word: str) -> None:
    body = json.dumps({"message": f"{word}.", "key": word, "severity": "critical"}).encode()
    await bridge.dispatcher.keep_webhook("generic", None, {}, body)
    await tick(bridge, "intake", "sender")
    await bridge.sender.drain()


def said_to(sms: SimulatedSms) -> tuple[str, str]:
    word = re.search(r"(arrived|lost|owed)-\d+\b", sms.text)
    return sms.to, word[0] if word else sms.text


async def start_on(town: Town, folder: Path) -> tuple[str, Counter[tuple[str, str]]]:
    """How a start on this copy goes, and what it sends in ten minutes."""
    before, clock = len(town.mobizon.sent), FakeClock(town.clock.now())
    try:
        async with build(load_config(folder / "config.yaml"), clock) as bridge:
            how = "started"
            for seconds in (0, 40, 80, 180, 300):
                clock.advance(seconds)
                for name in ("intake", "finder", "sender", "tracker"):
                    try:
                        await tick(bridge, name)
                    except Exception as error:  # as the ticker has it: logged, and tried again at the next beat
                        how = f"stumbled over {error!r}"
                    if bridge.store.ruined.is_set():
                        raise NotStored(bridge.store.ruin)  # as `run` does
                await bridge.sender.drain()
    except (NotStored, SchemaTooNew) as refusal:
        assert re.fullmatch(r"[^\n]*bridge\.db[^\n]*", str(refusal))
        how = "refused"
    sent = Counter(map(said_to, town.mobizon.sent[before:]))
    del town.mobizon.sent[before:]
    return how, sent


def turned_over(content: bytes, chance: random.Random, times: int) -> bytes:
    damaged = bytearray(content)
    for _ in range(times):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


@dataclass
class Damage:
    """How starts on damaged copies went. `wrong`: to nobody who was to get it; `repeated`: it was sent before."""

    became: Counter[str]
    wrong: list[str]
    repeated: list[str]


async def damage(town: Town, tmp_path: Path, file: str, seeds: int, *, trusting: bool = False) -> Damage:
    """Starts on copies with bits of this file turned over; `trusting`: as if the last stop had been a good one."""
    known, found = {said_to(sms) for sms in town.mobizon.sent}, Damage(Counter(), [], [])
    for seed in range(seeds):
        chance, folder = random.Random(seed), tmp_path / f"{file}-{seed}"
        shutil.copytree(town.folder, folder)
        (folder / "bridge.db-shm").unlink(missing_ok=True)  # a machine that crashed has none
        damaged = folder / file
        damaged.write_bytes(turned_over(damaged.read_bytes(), chance, chance.choice((1, 8, 64))))
        if trusting:
            with closing(sqlite3.connect(folder / "bridge.db", isolation_level=None)) as raw:
                raw.execute("UPDATE meta SET value = 'yes' WHERE key = ?", (STOPPED_WELL,))
        how, sent = await start_on(town, folder)
        found.became[how] += 1
        found.wrong += [f"seed {seed}: {what}" for what in sent if what not in known | town.owed]
        found.repeated += [f"seed {seed}: {what}" for what, times in sent.items() if what in known or times > 1]
        shutil.rmtree(folder)
    return found


async def test_bits_turned_over_in_the_log_make_no_sms_wrong_and_none_twice(tmp_path: Path) -> None:
    async with interrupted(tmp_path) as town:
        found = await damage(town, tmp_path, "bridge.db-wal", LOGS)
        trusting = await damage(town, tmp_path, "bridge.db-wal", 10, trusting=True)
    print(f"log damaged {LOGS} times: {dict(found.became)}; SMS that a trusting bridge repeats: {trusting.repeated}")
    assert (found.wrong, found.repeated) == ([], [])
    assert set(found.became) <= {"started", "refused"} and found.became["started"]
    assert trusting.repeated, "looking before sending is not what kept them from being sent twice"


async def test_bits_turned_over_in_the_file_end_in_a_start_or_in_one_sentence(tmp_path: Path) -> None:
    async with interrupted(tmp_path) as town:
        found = await damage(town, tmp_path, "bridge.db", SEEDS)
    print(f"file damaged {SEEDS} times: {dict(found.became)}")
    assert (found.wrong, found.repeated) == ([], [])
    assert set(found.became) <= {"started", "refused"} and found.became["started"] and found.became["refused"]
