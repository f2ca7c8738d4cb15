"""`make bench`: the README's table, measured on this machine with real processes over loopback.

The bridge, the load client and a bare aiohttp handler are processes of their own; the simulated Mobizon
runs in this one, which has nothing else to do meanwhile.
"""

import asyncio
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import aiohttp
import uvloop

from bridge.clock import SystemClock
from bridge.demo.mobizon import SeenRequest, SimulatedMobizon
from tests.bench.load import ROOT, TOKEN, connect, load_elsewhere, numbered, request, webhook

CONNECTIONS = (1, 16, 64)
BURST = 5.0  # seconds
IDLE_WEBHOOKS = 300
PAGES = 3000
MOBIZON_TAKES = 0.050  # seconds
PATIENCE = 120  # seconds
QUIET = {**os.environ, "LOG_LEVEL": "WARNING"}
PATH = "/webhooks/alertmanager"
CLOCK = SystemClock()

CONFIG = """
server: {{listen: "127.0.0.1:{port}"}}
storage: {{url: "sqlite:bridge.db"}}
chats: {{ops: {{id: -1001234567890}}}}
mobizon: {{base_url: "{mobizon}", api_key_file: key}}
people: {{aigerim: {{phone: "+77010000001"}}}}
policies: {{critical: {{steps: [{{notify: [aigerim]}}]}}}}
sources: {{alertmanager: {{token_file: token}}}}
routes:
  - {{name: critical, matchers: ['severity="critical"'], policy: critical}}
  - {{name: rest, chat: ops, silent: true}}
sms: {{default_region: KZ}}
limits: {{per_person: {{1h: 1000000}}, total: {{1h: 1000000}}}}
"""


async def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory(prefix="sms-bridge-bench-") as folder:
        async with (
            SimulatedMobizon(CLOCK, api_key="key", balance=Decimal(10**9)) as mobizon,
            start_bridge(Path(folder), mobizon) as port,
        ):
            _say("webhook to Mobizon, idle")
            latencies = await _idle(port, mobizon)
            rows += [
                ("Webhook to Mobizon, idle, p50", f"{percentile(latencies, 50) * 1000:.1f} ms", ""),
                ("Webhook to Mobizon, idle, p99", f"{percentile(latencies, 99) * 1000:.1f} ms", ""),
            ]
            for connections in CONNECTIONS:
                _say(f"durable webhooks, {connections} connections")
                rows.append(await _accept(port, connections))
            _say("SMS through the whole path")
            mobizon.latency = MOBIZON_TAKES
            rate = await _throughput(port, mobizon)
            rows.append((f"SMS per second, Mobizon answers in {MOBIZON_TAKES * 1000:.0f} ms", f"{rate:.0f}", ""))
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d')}\n")
    print("| measured | sms-bridge | bare aiohttp handler |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


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


async def _accept(port: int, connections: int) -> tuple[str, str, str]:
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


async def _throughput(port: int, mobizon: SimulatedMobizon) -> float:
    """From the first SMS asked of Mobizon to the last, of a pile of pages posted as fast as they are taken."""
    before = len(_sent(mobizon))
    posted = await load_elsewhere(port, PATH, "critical", connections=16, first=10**12, most=PAGES)
    assert posted.statuses == {202: PAGES}, f"answers other than 202: {posted.statuses}"
    sends = (await _sends(mobizon, before + PAGES))[before:]
    return len(sends) / (sends[-1].at - sends[0].at).total_seconds()


def _sent(mobizon: SimulatedMobizon) -> list[SeenRequest]:
    return [seen for seen in mobizon.requests if seen.method == "message/sendsmsmessage"]


async def _sends(mobizon: SimulatedMobizon, count: int) -> list[SeenRequest]:
    """The SMS asked of Mobizon, as soon as there are so many."""
    async with asyncio.timeout(PATIENCE):
        while len(sends := _sent(mobizon)) < count:
            await mobizon.has_seen(len(mobizon.requests) + max(1, (count - len(sends)) // 10))
    return sends


async def _understood(port: int) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        text = await response.text()
    return sum(int(float(value)) for value in re.findall(r"^sms_bridge_alerts_total\{.*\} (\S+)$", text, re.MULTILINE))


@asynccontextmanager
async def start_bridge(folder: Path, mobizon: SimulatedMobizon) -> AsyncIterator[int]:
    """The real program on a config of its own, ready; gives its port."""
    port = free_port()
    for name, secret in (("key", mobizon.api_key), ("token", TOKEN)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(secret, encoding="utf-8")
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(port=port, mobizon=mobizon.base_url), encoding="utf-8")
    async with program("bridge", "run", "--config", str(config), port=port):
        yield port


@asynccontextmanager
async def program(module: str, *arguments: str, port: int) -> AsyncIterator[None]:
    """One of our programs until the end of the block, begun once it listens on its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, cwd=ROOT, env=QUIET)
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _listens(port):
                if process.returncode is not None:
                    raise RuntimeError(f"{module} ended; what it said stands above")
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr)


if __name__ == "__main__":
    uvloop.run(main())
