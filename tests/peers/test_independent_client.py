"""Somebody else's Mobizon client talks to our simulated Mobizon: it was not written by looking at ours.

mobizon-client (PyPI, pinned) wants an older httpx than we do, so it lives in a venv of its own.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.mobizon import SimulatedMobizon
from tests.fakes import FakeClock

pytestmark = pytest.mark.timeout(300)  # the first run installs the client

LOCK = Path(__file__).with_name("mobizon-client.lock")
PEERS = Path(__file__).parents[2] / ".venv-peers"
KEY = "kz0123456789012345678901234567890123456789"
SCRIPT = """
import json, sys
from mobizon_client import MobizonClient

url, key, method, *arguments = sys.argv[1:]
client = MobizonClient(url=url, api_key=key)
answer = getattr(client, method)(*map(json.loads, arguments))
rows = answer if isinstance(answer, list) else [answer]
print(json.dumps([row._asdict() for row in rows], default=str))
"""

Ask = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter that has mobizon-client; made once for each content of the lock."""
    home = PEERS / f"mobizon-client-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    program = home / "bin" / "python"
    if program.exists():
        return program
    PEERS.mkdir(exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=PEERS))
    try:
        for command in (
            [sys.executable, "-m", "venv", str(building)],
            [
                str(building / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--require-hashes",
                "--no-deps",
                "-r",
                str(LOCK),
            ],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                why = f"mobizon-client cannot be installed: {(done.stderr or done.stdout).strip()[-300:]}"
                (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
        building.rename(home)  # whole or not at all; a second run beside us finds it or makes its own
    except OSError:
        if not program.exists():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return program


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sim(clock: FakeClock) -> AsyncIterator[SimulatedMobizon]:
    async with SimulatedMobizon(clock, api_key=KEY) as sim:
        yield sim


@pytest.fixture
def ask(python: Path, sim: SimulatedMobizon) -> Ask:
    async def ask(method: str, *arguments: Any, key: str = KEY) -> list[dict[str, Any]]:
        """Call this method of their client; its answer, or RuntimeError when it raised."""
        client = await asyncio.create_subprocess_exec(
            str(python),
            *("-c", SCRIPT, sim.base_url, key, method, *map(json.dumps, arguments)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONUTF8": "1"},  # no proxy settings
        )
        said, complained = await client.communicate()
        if client.returncode != 0:
            raise RuntimeError(complained.decode())
        rows: list[dict[str, Any]] = json.loads(said)
        return rows

    return ask


async def test_it_sends_and_reads_our_answer(ask: Ask, sim: SimulatedMobizon) -> None:
    (answer,) = await ask("send_message", "77010000001", "Диск полон & 50% + 1", "MyAlpha")

    (sms,) = sim.sent
    assert answer == {"campaign_id": sms.campaign_id, "message_id": sms.id, "status": 2}
    assert (sms.to, sms.text, sms.sender) == ("77010000001", "Диск полон & 50% + 1", "MyAlpha")
    assert sim.phone("+77010000001").messages == [sms]


async def test_it_sends_without_a_sender_and_follows_the_sms_to_the_handset(
    ask: Ask, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    (answer,) = await ask("send_message", "77010000001", "DB down")
    clock.advance(3)

    (status,) = await ask("get_message_status", [answer["message_id"], "1"])

    assert status == {
        "message_id": sim.sent[0].id,
        "segment_count": "1",
        "status": "DELIVRD",
        "created_at": "2026-11-20 03:10:01",
        "last_updated_at": "2026-11-20 03:10:03",
    }
    assert sim.sent[0].sender == "Service"


async def test_it_reads_the_balance(ask: Ask, sim: SimulatedMobizon) -> None:
    sim.balance = Decimal("4043.0656")
    assert await ask("get_balance") == [{"balance": "4043.07", "currency": "KZT"}]


async def test_with_a_wrong_key_it_sends_nothing(ask: Ask, sim: SimulatedMobizon) -> None:
    with pytest.raises(RuntimeError):
        await ask("send_message", "77010000001", "DB down", key="wrong")
    assert not sim.sent
    assert sim.requests[0].method == "message/sendsmsmessage"
