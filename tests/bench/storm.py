"""A storm on a real bridge process, measured: one body with thousands of alerts, then as many requests.

By hand: python -m tests.bench.storm
"""

import asyncio
import io
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bridge.clock import SystemClock
from bridge.demo.mobizon import SimulatedMobizon
from storage import open_store
from tests.bench.programs import free_port, listens
from tests.faults.lag import Lag
from tests.faults.tracing import LONG, ROOT
from tests.world import alert, group

ALERTS, REQUESTS = 10_000, 10_000
CONNECTIONS = 200
PATIENCE = 3600 if LONG else 120  # seconds for what takes a few

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
    figures: Path
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

    async def lag(self) -> Lag:
        """How late its event loop was since this was asked last."""
        self.figures.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        while not self.figures.exists():  # noqa: ASYNC110 - another program: only looking tells
            await asyncio.sleep(0.01)
        return Lag(**json.loads(self.figures.read_text()))

    def memory(self) -> int:
        """Megabytes resident."""
        status = Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


@asynccontextmanager
async def running(folder: Path, mobizon: SimulatedMobizon, text: str) -> AsyncIterator[Running]:
    port = free_port()
    config = folder / "config.yaml"
    config.write_text(text.format(port=port, mobizon=mobizon.base_url))
    config.chmod(0o600)
    figures = folder / "lag.json"
    command = [sys.executable, "-m", "tests.faults.lag", str(figures), "run", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    pool = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=pool) as http:
        try:
            async with asyncio.timeout(PATIENCE):
                while not await listens(port):  # noqa: ASYNC110 - another program: only asking tells
                    await asyncio.sleep(0.05)
            yield Running(process, http, figures)
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


def body_of(name: str, count: int, severity: str = "critical") -> bytes:
    """One group of so many alerts, 650 bytes each as Alertmanager's are."""
    alerts = [alert(f"host-{number:06d}", name=name, severity=severity) for number in range(count)]
    for one in alerts:
        one["fingerprint"] = f"{abs(hash((name, one['labels']['instance']))):016x}"
        one["annotations"]["runbook"] = "x" * 150
    return json.dumps(group(alerts, name=name)).encode()


@dataclass
class Storm:
    """What a storm came to: what has to be true of it, and how long it took."""

    answers: Counter[int] = field(default_factory=Counter)
    unread: int = 0
    incidents: int = 0
    records: int = 0
    sms: Counter[str] = field(default_factory=Counter)
    megabytes: float = 0  # of the body
    accepted: float = 0  # seconds, and so are the others
    understood: float = 0
    page: float = 0  # until somebody else's SMS was out
    grown: int = 0  # megabytes above idle, at the worst
    lag: Lag | None = None  # of the event loop, from the body until it was understood
    answered: float = 0  # all the requests
    drained: float = 0  # and understood
    lag_of_requests: Lag | None = None

    def __str__(self) -> str:
        assert self.lag is not None and self.lag_of_requests is not None
        return (
            f"{self.records} alerts in {self.megabytes:.1f} MB: accepted in {self.accepted:.2f} s, understood in"
            f" {self.understood:.2f} s, a vital page out after {self.page:.2f} s, event loop late by p99"
            f" {self.lag.p99:.0f} ms (worst {self.lag.worst:.0f}), {self.grown} MB above idle;"
            f" {self.answers.total()} requests on {CONNECTIONS} connections: answered in {self.answered:.2f} s,"
            f" understood in {self.drained:.2f} s, p99 {self.lag_of_requests.p99:.0f} ms"
            f" (worst {self.lag_of_requests.worst:.0f})"
        )


async def storm(folder: Path, alerts: int = ALERTS, requests: int = REQUESTS, config: str = CONFIG) -> Storm:
    """So many alerts in one body, somebody else's page at once after it, then so many requests."""
    found, clock = Storm(), SystemClock()
    async with SimulatedMobizon(clock) as mobizon:
        async with running(folder, mobizon, config) as bridge:
            await bridge.post(body_of("Warm", 1, "info"))
            idle, body = bridge.memory(), body_of("Storm", alerts)
            await bridge.lag()
            found.megabytes, began = len(body) / 1e6, time.perf_counter()
            await bridge.post(body)
            found.accepted = time.perf_counter() - began
            await bridge.post(body_of("Vital", 1, "vital"))
            async with asyncio.timeout(PATIENCE):
                while not mobizon.phone(DANA).texts:
                    await mobizon.has_seen(len(mobizon.requests) + 1)
            found.page = time.perf_counter() - began
            await _until(bridge, alerts + 2)
            found.understood = time.perf_counter() - began
            found.lag, found.grown = await bridge.lag(), bridge.memory() - idle

            began = time.perf_counter()
            await asyncio.gather(*(bridge.post(body_of(f"Each{number}", 1)) for number in range(requests)))
            found.answered = time.perf_counter() - began
            await _until(bridge, alerts + 2 + requests)
            found.drained = time.perf_counter() - began
            found.lag_of_requests = await bridge.lag()
        async with open_store(folder / "bridge.db") as store:
            incidents = await store.read(lambda tx: tx.incidents(limit=10 * requests))
            groups = [("alertmanager", one.group_key) for one in incidents if one.title.startswith("Storm")]
            found.records = len(await store.read(lambda tx: tx.alert_records(groups, clock.now())))
            found.unread = len(await store.read(lambda tx: tx.receipts_waiting(10)))
        found.answers, found.incidents = bridge.answers, len(incidents)
        found.sms = Counter(sms.to for sms in mobizon.sent)
    return found


async def _until(bridge: Running, alerts: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await bridge.understood() < alerts:  # noqa: ASYNC110 - another program: only asking tells
            await asyncio.sleep(0.05)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(asyncio.run(storm(Path(folder))))


if __name__ == "__main__":
    main()
