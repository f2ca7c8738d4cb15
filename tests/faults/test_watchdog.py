"""A bridge whose loop is blocked ends itself, and the next one goes on where it stood."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from bridge.clock import SystemClock
from bridge.demo.mobizon import SimulatedMobizon
from bridge.watchdog import PATIENCE, Watch
from tests.faults.life import webhook
from tests.faults.life import write_config as _write_config
from tests.faults.tracing import ROOT

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("looks", "answers", "ends"),
    [
        (range(1, 60), range(1, 60), None),
        (range(1, 60), range(1, 11), 30),  # blocked at 10
        ([*range(1, 11), *range(3610, 3660)], range(1, 11), 3630),  # stopped at 10 for an hour, and blocked since
        ([*range(1, 11), *range(3610, 3660)], [*range(1, 11), *range(3615, 3660)], None),
        (range(2, 60, 2), [], 20),  # a busy machine: looks are late, but not by much
    ],
)
def test_when_it_is_over(looks: Iterable[int], answers: Iterable[int], ends: int | None) -> None:
    watch, given = Watch(0), set(answers)
    over = None
    for now in looks:
        if watch.is_over(now):
            over = now
            break
        if now in given:
            watch.answered(now)
    assert over == ends


def write_config(folder: Path, mobizon: str) -> tuple[Path, str]:
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = _write_config(folder, mobizon)
    config.write_text(config.read_text().replace("127.0.0.1:0", address))
    return config, f"http://{address}"


async def begins(config: Path, address: str, *module: str, **environment: str) -> Process:
    """A bridge that answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *module, str(config)),
        cwd=ROOT,
        env={**os.environ, "LOG_LEVEL": "ERROR", **environment},
        stderr=subprocess.PIPE,
    )
    while not await healthy(address):
        assert process.returncode is None, await ends(process)
        await asyncio.sleep(0.1)
    return process


async def healthy(address: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{address}/-/healthy") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def ends(process: Process) -> tuple[int | None, str]:
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def waits(database: Path) -> None:
    """Return once Mobizon has put off the one page there is."""
    with closing(sqlite3.connect(database)) as reader:
        while reader.execute("SELECT state, failures FROM notification").fetchall() != [("planned", 1)]:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.05)


async def test_a_blocked_loop_ends_the_process_and_a_stopped_process_goes_on(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer generic-secret"}
    async with SimulatedMobizon(SystemClock()) as mobizon:
        config, address = write_config(tmp_path / "blocked", mobizon.base_url)
        other, other_address = write_config(tmp_path / "stopped", mobizon.base_url)
        mobizon.throttles(20, times=None)
        blocked = await begins(config, address, "tests.faults.blocked")
        stopped = await begins(other, other_address, "bridge", "run", "--config")
        try:
            async with (
                aiohttp.ClientSession(address, headers=headers) as http,
                http.post("/webhooks/generic", data=webhook(1)) as answer,
            ):
                assert answer.status == 202
            await waits(config.with_name("bridge.db"))  # were it on the wire now, it would be looked for, for minutes
            stopped.send_signal(signal.SIGSTOP)
            blocked.send_signal(signal.SIGUSR1)
            status, said = await ends(blocked)
            stopped.send_signal(signal.SIGCONT)
            assert status == 1
            assert f"has not answered itself for {PATIENCE:.0f} seconds" in said
            assert "tests/faults/blocked.py" in said and "in block" in said
            assert "generic-secret" not in said and "trouble-00001" not in said and "77010000001" not in said

            assert await healthy(other_address)
            stopped.send_signal(signal.SIGTERM)
            assert (await ends(stopped))[0] == 0

            mobizon.recovers()
            again = await begins(config, address, "bridge", "run", "--config")
            while not mobizon.sent:  # noqa: ASYNC110 - another program: only asking tells
                await asyncio.sleep(0.1)
            again.send_signal(signal.SIGTERM)
            assert (await ends(again))[0] == 0
        finally:
            for process in (blocked, stopped):
                if process.returncode is None:
                    process.kill()
        assert ["trouble-00001" in sms.text for sms in mobizon.sent] == [True]


async def test_systemd_is_told(tmp_path: Path) -> None:
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    systemd.setblocking(False)
    loop, heard = asyncio.get_running_loop(), []
    async with SimulatedMobizon(SystemClock()) as mobizon:
        config, address = write_config(tmp_path / "told", mobizon.base_url)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
        process = await begins(config, address, "bridge", "run", "--config", **told)
        try:
            while b"WATCHDOG=1" not in heard or b"READY=1" not in heard:
                heard.append(await loop.sock_recv(systemd, 100))
            process.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in heard:
                heard.append(await loop.sock_recv(systemd, 100))
            assert (await ends(process))[0] == 0
        finally:
            systemd.close()
            if process.returncode is None:
                process.kill()
