"""The programs that the bench measures: begun, found listening, ended."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120  # seconds
QUIET = {**os.environ, "LOG_LEVEL": "WARNING"}
KEY = "key"
TOKEN = "a-token-of-nobodys"
ROOT = Path(__file__).parents[2]

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
storm: "off"
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A program that listens."""

    port: int
    pid: int

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def configure(folder: Path, port: int, mobizon: str) -> Path:
    """A config of its own in this folder, with what it needs beside it."""
    for name, secret in (("key", KEY), ("token", TOKEN)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(secret, encoding="utf-8")
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(port=port, mobizon=mobizon), encoding="utf-8")
    return config


async def run(module: str, *arguments: str) -> bytes:
    """One of our programs, to its end; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, env=QUIET, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module} failed; what it said stands above")
    return said


@asynccontextmanager
async def start_bridge(folder: Path, mobizon: str) -> AsyncIterator[Running]:
    """The real program in this folder, listening; `mobizon` is the address of the simulated one."""
    port = free_port()
    config = configure(folder, port, mobizon)
    async with program("bridge", "run", "--config", str(config), port=port) as running:
        yield running


@asynccontextmanager
async def program(module: str, *arguments: str, port: int) -> AsyncIterator[Running]:
    """One of our programs until the end of the block, begun once it listens on its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, cwd=ROOT, env=QUIET)
    try:
        async with asyncio.timeout(PATIENCE):
            while not await listens(port):
                if process.returncode is not None:
                    raise RuntimeError(f"{module} ended; what it said stands above")
                await asyncio.sleep(0.05)
        yield Running(port, process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def listens(port: int) -> bool:
    """Whether somebody answers there."""
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
