"""The command line as people use it: typed words in, what it said and its exit code out."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from bridge.cli import app
from tests.world import CONFIG, World, a_world

SINCE = "2026-11-01"
"""A day before everything that happens in a world, whenever the test is run."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a verb answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def everything(self) -> str:
        return self.out + self.err


def typed(*words: str | Path, environ: Mapping[str, str] | None = None, stdin: bytes | None = None) -> Said:
    """`sms-bridge` with these words."""
    result = CliRunner().invoke(app, [str(word) for word in words], env=environ, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


class Terminal:
    """A shell on the machine of a world's bridge, with a config that names the port really bound."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.config = world.folder / "cli.yaml"
        text = world.config_file.read_text().replace("127.0.0.1:0", f"127.0.0.1:{world.bridge.ports[0]}")
        self.config.write_text(text)
        self.config.chmod(0o600)

    async def types(self, verb: str, *words: str | Path, environ: Mapping[str, str] | None = None) -> Said:
        """Type a verb and wait for its answer, while time passes for the bridge."""
        said = asyncio.create_task(asyncio.to_thread(typed, verb, "--config", self.config, *words, environ=environ))
        while not said.done():
            await self.world.advance(seconds=1)
        return await said


@asynccontextmanager
async def a_terminal(folder: Path, config: str = CONFIG) -> AsyncIterator[Terminal]:
    """A world that is awake, and a shell in it."""
    async with a_world(folder, config) as world:
        yield Terminal(world)


def a_config(folder: Path, text: str) -> Path:
    """A config file that only we can read."""
    path = folder / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return path
