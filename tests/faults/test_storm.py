"""A storm on a real bridge process: nothing is lost, the limits hold, and a page of somebody else leaves meanwhile."""

import asyncio
import io
import json
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from bridge.clock import SystemClock
from bridge.demo.mobizon import SimulatedMobizon
from storage import open_store
from tests.faults.tracing import LONG, ROOT
from tests.world import alert, group

ALERTS = 100_000 if LONG else 10_000
REQUESTS = 100_000 if LONG else 2000
CONNECTIONS = 200
PATIENCE = 3600 if LONG else 120  # seconds for what takes a few
pytestmark = pytest.mark.timeout(2 * PATIENCE)

CONFIG = """
server: {{listen: "127.0.0.1:{port}", max_body: 134217728}}
storage: {{url: "sqlite:bridge.db"}}
mobizon: {{base_url: "{mobizon}", api_key: demo}}
chats: {{ops: {{id: -1001234567890}}}}
people: {{aigerim: {{phone: "+77010000001"}}, dana: {{phone: "+77010000002"}}}}
policies: {{storm: {{steps: [{{notify: [aigerim]}}]}}, vital: {{steps: [{{notify: [dana]}}]}}}}
sources: {{alertmanager: {{token: am-secret}}}}
routes:
  - {{name: vital, matchers: ['severity="vital"'], policy: vital, priority: critical}}
  - {{name: storm, matchers: ['severity="critical"'], policy: storm}}
  - {{name: rest, chat: ops, silent: true}}
sms: {{default_region: KZ}}
limits: {{per_person: {{1h: 5}}, total: {{1h: 60}}}}
"""
AIGERIM, DANA = "77010000001", "77010000002"


@dataclass
class Running:
    """A bridge in a process of its own, seen from outside."""

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession
    answers: Counter[int] = field(default_factory=Counter)

    async def post(self, body: bytes) -> None:
        headers = {"Authorization": "Bearer am-secret"}
        async with self.http.post("/webhooks/alertmanager", data=io.BytesIO(body), headers=headers) as answer:
            self.answers[answer.status] += 1

    async def understood(self) -> int:
        """How many alerts have gone through the door."""
        async with self.http.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("sms_bridge_alerts_total{"))

    async def healthy_within(self, stop: asyncio.Event) -> list[float]:
        """How long each question after its health took, asked one after the other."""
        took = []
        while not stop.is_set():
            began = time.perf_counter()
            async with self.http.get("/-/healthy") as answer:
                assert answer.status == 200
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
        return took

    def memory(self) -> int:
        """Megabytes resident."""
        status = Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


@asynccontextmanager
async def running(folder: Path, mobizon: SimulatedMobizon, text: str) -> AsyncIterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "config.yaml"
    config.write_text(text.format(port=port, mobizon=mobizon.base_url))
    config.chmod(0o600)
    command = [sys.executable, "-m", "bridge", "run", "--config", str(config), "--log-level", "error"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    pool = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=pool) as http:
        try:
            async with asyncio.timeout(PATIENCE):
                while not await _listens(port):  # noqa: ASYNC110 - another program: only asking tells
                    await asyncio.sleep(0.05)
            yield Running(process, http)
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def body_of(name: str, count: int, severity: str = "critical") -> bytes:
    """One group of so many alerts, 650 bytes each as Alertmanager's are."""
    alerts = [alert(f"host-{number:06d}", name=name, severity=severity) for number in range(count)]
    for one in alerts:
        one["fingerprint"] = f"{abs(hash((name, one['labels']['instance']))):016x}"
        one["annotations"]["runbook"] = "x" * 150
    return json.dumps(group(alerts, name=name)).encode()


@dataclass
class Storm:
    """What a storm came to; `figures` is for people."""

    answers: Counter[int] = field(default_factory=Counter)
    unread: int = 0
    incidents: int = 0
    records: int = 0
    sms: Counter[str] = field(default_factory=Counter)
    figures: str = ""


async def storm(folder: Path, alerts: int, requests: int, config: str = CONFIG) -> Storm:
    """So many alerts in one body, somebody else's page at once after it, then so many requests."""
    found, clock = Storm(), SystemClock()
    async with SimulatedMobizon(clock) as mobizon:
        async with running(folder, mobizon, config) as bridge:
            await bridge.post(body_of("Warm", 1, "info"))
            idle, body, over = bridge.memory(), body_of("Storm", alerts), asyncio.Event()
            asking = asyncio.create_task(bridge.healthy_within(over))
            began = time.perf_counter()
            await bridge.post(body)
            accepted = time.perf_counter() - began
            await bridge.post(body_of("Vital", 1, "vital"))
            async with asyncio.timeout(PATIENCE):
                while not mobizon.phone(DANA).texts:
                    await mobizon.has_seen(len(mobizon.requests) + 1)
            page = time.perf_counter() - began
            await _until(bridge, alerts + 2)
            understood = time.perf_counter() - began
            over.set()
            lags, grown = sorted(await asking), bridge.memory() - idle

            began = time.perf_counter()
            await asyncio.gather(*(bridge.post(body_of(f"Each{number}", 1)) for number in range(requests)))
            posted = time.perf_counter() - began
            await _until(bridge, alerts + 2 + requests)
            drained = time.perf_counter() - began
        found.figures = (
            f"{alerts} alerts in {len(body) / 1e6:.1f} MB: accepted in {accepted:.2f} s, understood in"
            f" {understood:.2f} s, a vital page out after {page:.2f} s, /-/healthy p99"
            f" {lags[len(lags) * 99 // 100] * 1000:.0f} ms (worst {lags[-1] * 1000:.0f} ms of {len(lags)}),"
            f" {grown} MB above idle; {requests} requests on {CONNECTIONS} connections: answered in {posted:.2f} s,"
            f" understood in {drained:.2f} s"
        )
        async with open_store(folder / "bridge.db") as store:
            incidents = await store.read(lambda tx: tx.incidents(limit=10 * requests))
            groups = [("alertmanager", one.group_key) for one in incidents if one.title.startswith("Storm")]
            found.records = len(await store.read(lambda tx: tx.alert_records(groups, clock.now())))
            found.unread = len(await store.read(lambda tx: tx.receipts_waiting(10)))
        found.answers, found.incidents = bridge.answers, len(incidents)
        found.sms = Counter(sms.to for sms in mobizon.sent)
    return found


async def test_ten_thousand_alerts_in_one_body_and_two_thousand_requests(tmp_path: Path) -> None:
    found = await storm(tmp_path, ALERTS, REQUESTS)
    print(found.figures)
    assert found.answers == {202: 3 + REQUESTS}
    assert (found.unread, found.incidents, found.records) == (0, 3 + REQUESTS, ALERTS)
    assert found.sms == {AIGERIM: 5, DANA: 1}, "as many as limits.per_person lets out, and the vital one"


async def test_it_shows_limits_that_do_not_hold(tmp_path: Path) -> None:
    found = await storm(tmp_path, 20, 20, CONFIG.replace("{{1h: 5}}", "{{1h: 1000}}"))
    assert found.sms[AIGERIM] > 5


async def _until(bridge: Running, alerts: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await bridge.understood() < alerts:  # noqa: ASYNC110 - another program: only asking tells
            await asyncio.sleep(0.05)
