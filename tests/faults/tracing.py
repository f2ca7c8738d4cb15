"""Lives under strace: what they asked of the system, and lives that end or fail at one such call."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.life import SAID

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("SMS_BRIDGE_TORTURE") == "long"
"""Set for `make torture`: hours instead of seconds."""
_CALL = re.compile(r"^(?:(\d+) +)?(\w+)\(")


def strace_works() -> bool:
    """Whether it is there and allowed to trace: some containers forbid it."""
    strace = shutil.which("strace")
    if strace is None:
        return False
    return subprocess.run([strace, "-o", os.devnull, "true"], check=False, capture_output=True).returncode == 0


needs_strace = pytest.mark.skipif(not strace_works(), reason="strace is not installed, or may not trace here")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a life ended (a negative `status` is a signal), and what it had told the world by then."""

    status: int
    said: Sequence[Sequence[str]]

    def numbers(self, word: str) -> set[int]:
        return {int(words[1]) for words in self.said if words[0] == word}


class Lives:
    """Where lives come from: one process that has imported everything and forks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def live(self, folder: Path, strace: Sequence[str] = (), **orders: Any) -> Ended:
        """One life in this folder, traced with these options if there are any; all its threads with `-f`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), **orders}).encode() + b"\n")
        pid = int(await self._process.stdout.readline())
        tracer = await _attach(pid, strace) if strace else None
        os.kill(pid, signal.SIGUSR1)
        status = int(await self._process.stdout.readline())
        if tracer is not None:
            await tracer.communicate()
        said = folder / SAID
        return Ended(status, [line.split() for line in said.read_text().splitlines()] if said.exists() else [])


@asynccontextmanager
async def lives(program: str = "tests.faults.life", tree: Path = ROOT) -> AsyncIterator[Lives]:
    """`tree` is the source tree whose bridge lives."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", program),
        cwd=tree,
        env={**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Lives(process)
    finally:
        await process.communicate(b"")  # closes its input: there are no more orders


async def _attach(pid: int, options: Sequence[str]) -> asyncio.subprocess.Process:
    command = ["strace", "-p", str(pid), *options]
    tracer = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"})
    assert tracer.stderr is not None
    line = await tracer.stderr.readline()
    assert b"attached" in line, f"{' '.join(command)}: {line.decode()}"
    return tracer


def calls_in(log: Path) -> Mapping[str, int]:
    """How often each call was made by the thread that made it most often: strace counts thread by thread."""
    found = Counter(match.groups() for line in log.read_text().splitlines() if (match := _CALL.match(line)))
    most: dict[str, int] = {}
    for (_, call), count in found.items():
        most[call] = max(most.get(call, 0), count)
    return most
