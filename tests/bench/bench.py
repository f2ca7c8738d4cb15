"""`make bench`: the README's table, measured on this machine with real processes over loopback.

The bridge, the load client and a bare aiohttp handler are processes of their own; the simulated Mobizon
runs in this one, which has nothing else to do meanwhile.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import aiohttp
import uvloop

from bridge.clock import SystemClock
from bridge.demo.mobizon import SeenRequest, SimulatedMobizon
from tests.bench import wording
from tests.bench.inside import measure_elsewhere
from tests.bench.load import connect, load_elsewhere, numbered, request, webhook
from tests.bench.programs import KEY, PATIENCE, Running, free_port, program, run, start_bridge

CONNECTIONS = (1, 16, 64)
BURST = 5.0  # seconds
IDLE_WEBHOOKS = 300
BACKLOG = 20_000
UNDER_WAY = 100_000
OLD_ROWS = 1_000_000
PAGES = 20_000
PAGES_IF_LONG = 1_000_000
MOBIZON_TAKES = 0.050  # seconds
PATH = "/webhooks/alertmanager"
CLOCK = SystemClock()

Row = tuple[str, str, str]


async def main(pages: int) -> None:
    rows = await _inside()
    rows.append(await _start())
    with tempfile.TemporaryDirectory(prefix="sms-bridge-bench-") as folder:
        async with (
            SimulatedMobizon(CLOCK, api_key=KEY, balance=Decimal(10**9)) as mobizon,
            start_bridge(Path(folder), mobizon.base_url) as bridge,
        ):
            _say("webhook to Mobizon, idle")
            idle, latencies = bridge.resident, await _idle(bridge.port, mobizon)
            rows += [
                ("Webhook to Mobizon, idle, p50", f"{percentile(latencies, 50) * 1000:.1f} ms", ""),
                ("Webhook to Mobizon, idle, p99", f"{percentile(latencies, 99) * 1000:.1f} ms", ""),
            ]
            for connections in CONNECTIONS:
                _say(f"durable webhooks, {connections} connections")
                rows.append(await _accept(bridge.port, connections))
            _say(f"{pages} SMS through the whole path")
            mobizon.latency = MOBIZON_TAKES
            rows += await _throughput(bridge, mobizon, pages, idle)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d')}\n")
    print("| measured | sms-bridge | bare aiohttp handler |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


async def _inside() -> list[Row]:
    """What is measured in one process, with nothing posted to it."""
    _say(f"{BACKLOG} webhooks understood, twice")
    understood = await measure_elsewhere("understand", BACKLOG)
    _say(f"{UNDER_WAY} SMS asked about")
    polled = await measure_elsewhere("poll", UNDER_WAY)
    _say("the words of a page")
    worst, what = wording.slowest()
    return [
        (
            "The text of a page, ten alerts; the slowest SMS of any kind, made hostile",
            f"{wording.usual() * 1e6:.0f} µs; {worst * 1e3:.1f} ms ({what})",
            "",
        ),
        ("Webhooks understood per second, each opens an incident with one SMS", f"{understood['opened']:.0f}", ""),
        ("Webhooks understood per second, each repeats a known one", f"{understood['repeated']:.0f}", ""),
        (
            f"A round of status questions, {UNDER_WAY} SMS under way",
            f"{polled['calls']:.0f} calls of at most {polled['most']:.0f}, {polled['cpu']:.1f} s of CPU",
            "",
        ),
    ]


async def _start() -> Row:
    """From the start of the process to `/-/ready`, on a database that has been in use for long."""
    with tempfile.TemporaryDirectory(prefix="sms-bridge-bench-") as folder:
        _say(f"start with {OLD_ROWS} old rows; making them takes minutes")
        await run("tests.bench.old_rows", str(Path(folder) / "bridge.db"), str(OLD_ROWS))
        began = time.perf_counter()
        async with (
            start_bridge(Path(folder), f"http://127.0.0.1:{free_port()}") as bridge,
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{bridge.port}/-/ready") as answer,
        ):
            took = time.perf_counter() - began
            assert answer.status == 200, f"/-/ready answered {answer.status}"
    return f"Start to ready, {OLD_ROWS} old SMS", f"{took:.1f} s", ""


async def _idle(port: int, mobizon: SimulatedMobizon) -> list[float]:
    """From the first byte of a webhook to its SMS asked of Mobizon, one after the other."""
    connection, body, latencies = await connect(port), webhook("critical"), []
    for number in range(IDLE_WEBHOOKS):
        ready = request(PATH, numbered(body, number))
        began = CLOCK.now()
        status = await connection.post(ready)
        assert status == 202, f"a webhook was answered {status}"
        latencies.append(((await _sends(mobizon, number + 1))[number].at - began).total_seconds())
    return latencies


async def _accept(port: int, connections: int) -> Row:
    """A burst that makes incidents but no SMS; then the time until the last of it is understood."""
    before = await _understood(port)
    burst = await load_elsewhere(port, PATH, "info", connections=connections, seconds=BURST, first=connections * 10**9)
    ended = time.perf_counter()
    accepted = burst.statuses[202]
    assert burst.statuses.total() == accepted, f"answers other than 202: {burst.statuses}"
    backlog = accepted - (await _understood(port) - before)
    async with asyncio.timeout(PATIENCE):
        while await _understood(port) - before < accepted:  # noqa: ASYNC110 - another program: only asking tells
            await asyncio.sleep(0.05)
    drained = time.perf_counter() - ended
    bare = free_port()
    async with program("tests.bench.bare", str(bare), port=bare):
        baseline = await load_elsewhere(bare, PATH, "info", connections=connections, seconds=BURST, first=0)
    rate, bare_rate = accepted / burst.seconds, baseline.statuses[202] / baseline.seconds
    return (
        f"Durable webhooks per second, {connections} connection{'s' if connections > 1 else ''}",
        f"{rate:.0f} ({rate / bare_rate:.0%}), p99 {percentile(burst.latencies, 99) * 1000:.1f} ms,"
        f" backlog {backlog} gone in {drained:.1f} s",
        f"{bare_rate:.0f}",
    )


async def _throughput(bridge: Running, mobizon: SimulatedMobizon, pages: int, idle: int) -> list[Row]:
    """A pile of pages posted as fast as they are taken, and once they are sent as many again."""
    seconds, held = 0.0, [idle]
    for first in (10**12, 2 * 10**12):
        before, half = len(_sent(mobizon)), pages // 2
        posted = await load_elsewhere(bridge.port, PATH, "critical", connections=16, first=first, most=half)
        assert posted.statuses == {202: half}, f"answers other than 202: {posted.statuses}"
        sends = (await _sends(mobizon, before + half))[before:]
        seconds += (sends[-1].at - sends[0].at).total_seconds()  # from the first SMS asked of Mobizon to the last
        held.append(bridge.resident)
    rate, (empty, once, twice) = pages / seconds, (f"{bytes_ / 2**20:.0f} MB" for bytes_ in held)
    return [
        (f"SMS per second, Mobizon answers in {MOBIZON_TAKES * 1000:.0f} ms", f"{rate:.0f}", ""),
        (f"Memory, idle, after {pages // 2} SMS, after {pages}", f"{empty}, {once}, {twice}", ""),
    ]


def _sent(mobizon: SimulatedMobizon) -> list[SeenRequest]:
    return [seen for seen in mobizon.requests if seen.method == "message/sendsmsmessage"]


async def _sends(mobizon: SimulatedMobizon, count: int) -> list[SeenRequest]:
    """The SMS asked of Mobizon, as soon as there are so many."""
    async with asyncio.timeout(PATIENCE + count / 50):
        while len(sends := _sent(mobizon)) < count:
            await mobizon.has_seen(len(mobizon.requests) + max(1, (count - len(sends)) // 10))
    return sends


async def _understood(port: int) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        text = await response.text()
    return sum(int(float(value)) for value in re.findall(r"^sms_bridge_alerts_total\{.*\} (\S+)$", text, re.MULTILINE))


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr)


if __name__ == "__main__":
    uvloop.run(main(PAGES_IF_LONG if "--long" in sys.argv else PAGES))
