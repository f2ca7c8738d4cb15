"""A small bridge to be killed: no Telegram, no beat of its own, every step in a fixed order.

`python -m tests.faults.life` imports everything once, then forks a life for each order on its standard
input, because importing takes longer than living. A life waits for SIGUSR1, so that strace can be attached.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridge.app import Bridge, build
from bridge.clock import SystemClock
from bridge.config import load_config
from bridge.ports import NotStored, Submitted
from storage import SqliteStore

CONFIG = """
server: {{listen: "127.0.0.1:0"}}
storage: {{url: "sqlite:bridge.db"}}
mobizon: {{base_url: "{mobizon}", api_key: demo}}
chats: {{ops: {{id: -1001234567890}}}}
people: {{aigerim: {{phone: "+77010000001"}}}}
policies: {{critical: {{steps: [{{notify: [aigerim]}}]}}}}
sources: {{generic: {{token: generic-secret}}}}
routes:
  - {{name: critical, matchers: ['severity="critical"'], policy: critical, chat: ops, priority: critical}}
  - {{name: rest, chat: ops, silent: true}}
sms: {{default_region: KZ}}
limits: {{per_person: {{1h: 1000000}}, total: {{1h: 1000000}}}}
storm: "off"
"""
SAID = "said"
"""What a life told the world, line by line: its 2xx."""


def webhook(number: int, size: int = 0) -> bytes:
    """Opens an incident of its own, and pages one person with a text of its own."""
    body = {"message": message(number), "key": f"k{number}", "severity": "critical", "labels": {"padding": "x" * size}}
    return json.dumps(body).encode()


def message(number: int) -> str:
    return f"trouble-{number:05d}."


def write_config(folder: Path, mobizon: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(CONFIG.format(mobizon=mobizon))
    file.chmod(0o600)
    return file


async def tick(bridge: Bridge, *names: str) -> None:
    for one in bridge.ticks:
        if one.name in names:
            await one.run()


async def pragma(store: SqliteStore, said: str) -> None:
    """Outside any transaction: some are ignored inside one."""
    writer = store._writer
    await writer.run(lambda: writer.session._raw.execute(f"PRAGMA {said}").close())


class Life:
    """One life in one folder. `orders` say how many webhooks, and which planted bug if any."""

    def __init__(self, folder: Path, orders: Mapping[str, Any]) -> None:
        self._folder = folder
        self._orders = orders
        self._said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def live(self) -> None:
        config = load_config(self._folder / "config.yaml")
        async with build(config, SystemClock()) as bridge:
            for wanted in self._orders.get("pragmas", ()):
                await pragma(bridge.store, wanted)
            await getattr(self, f"_{self._orders['does']}")(bridge)

    def _say(self, *words: object) -> None:
        os.write(self._said, (" ".join(map(str, words)) + "\n").encode())

    async def _pages(self, bridge: Bridge) -> None:
        """Webhooks in pairs, each pair to its SMS before the next."""
        numbers = range(self._orders["first"], self._orders["first"] + self._orders["webhooks"])
        for pair in zip(numbers[::2], numbers[1::2], strict=True):
            await asyncio.gather(*(self._keep(bridge, number) for number in pair))
            if not bridge.store.ruined.is_set():
                await tick(bridge, "intake", "sender")
            ends = {asyncio.create_task(bridge.sender.drain()), asyncio.create_task(bridge.store.ruined.wait())}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if bridge.store.ruined.is_set():
                os._exit(0)  # as `run` does: nothing more is written

    async def _commits(self, bridge: Bridge) -> None:
        """Receipts, claims and answers, each told of once it is said to be durable; nothing is sent."""
        for number in range(0, self._orders["webhooks"], 2):
            await asyncio.gather(*(self._keep(bridge, n) for n in (number, number + 1)))
            await tick(bridge, "intake")
            for row in await bridge.outbox.claim(2):
                self._say("claimed", row.id, row.reference)
                await bridge.outbox.record(row, Submitted(f"m{row.id}"))
                self._say("recorded", row.id, f"m{row.id}")

    async def _keep(self, bridge: Bridge, number: int) -> None:
        if self._orders.get("bug") == "acks before the commit":
            self._say("kept", number)
        try:
            await bridge.dispatcher.keep_webhook(
                "generic", None, {}, webhook(number, size=self._orders.get("padding", 0))
            )
        except NotStored:
            self._say("refused", number)
        else:
            self._say("kept", number)


def serve(lived: Callable[[Mapping[str, Any]], None]) -> None:
    """Fork a life for each order on standard input, and say its number and how it ended."""
    logging.disable()  # what goes wrong here is meant to
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for line in sys.stdin:
        orders = json.loads(line)
        if (pid := os.fork()) == 0:
            signal.sigwait({signal.SIGUSR1})
            os._exit(_status(lived, orders))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _status(lived: Callable[[Mapping[str, Any]], None], orders: Mapping[str, Any]) -> int:
    try:
        lived(orders)
    except NotStored:
        return 1
    return 0


def _lived(orders: Mapping[str, Any]) -> None:
    asyncio.run(Life(Path(orders["folder"]), orders).live())


if __name__ == "__main__":
    serve(_lived)
