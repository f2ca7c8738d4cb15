"""The sampler of loop lag shows a loop that was blocked, and for how long."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.demo.mobizon import SimulatedMobizon
from tests.fakes import FakeClock
from tests.faults.lag import Sampler
from tests.faults.life import write_config
from tests.faults.tracing import ROOT


def test_a_block_counts_for_every_moment_in_which_somebody_would_have_asked(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "lag.json")
    for _ in range(980):
        sampler.note(0.0)
    sampler.note(0.1)
    lag = sampler.lag()
    assert (lag.samples, lag.p50, lag.worst) == (1000, 0, 100)
    assert lag.p99 == pytest.approx(55)  # twenty moments waited 5, 10, … 100 ms


async def test_a_running_bridge_writes_its_figures_when_asked_and_at_its_end(tmp_path: Path) -> None:
    async with SimulatedMobizon(FakeClock()) as mobizon:
        config, figures = write_config(tmp_path, mobizon.base_url), tmp_path / "lag.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.lag", str(figures), "run", "--config", str(config)),
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        try:
            while not (tmp_path / "bridge.db").exists():  # noqa: ASYNC110 - another program: only asking tells
                await asyncio.sleep(0.05)
            asked = {"samples": 0}
            while not asked["samples"]:  # it may be asked before its first moment is over
                figures.unlink(missing_ok=True)
                process.send_signal(signal.SIGUSR1)
                while not figures.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                asked = json.loads(figures.read_text())
            process.send_signal(signal.SIGTERM)
            _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        ended = json.loads(figures.read_text())
    assert process.returncode == 0, said.decode()
    assert asked.keys() == ended.keys() == {"samples", "p50", "p99", "worst"}
