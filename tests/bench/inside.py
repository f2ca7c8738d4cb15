"""What is measured without a socket between: the real store, door and ticks on a file, in a process of their own.

python -m tests.bench.inside understand|poll COUNT; prints what it measured as JSON.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, cast

import uvloop

from bridge.app import Bridge, build
from bridge.clock import SystemClock
from bridge.config import load_config
from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber
from bridge.ports import DeliveryReport, Statuses, Transaction, Verdict
from bridge.tracker import Tracker
from tests.bench.load import numbered, webhook
from tests.bench.programs import configure, free_port, run

CLOCK = SystemClock()
_AT_ONCE = 1000
_LONG_AGO = timedelta(hours=1)
_LONG_VALID = 3 * 24 * 60  # minutes


async def understand(count: int) -> dict[str, float]:
    """Webhooks a second, from a backlog on disk to incidents and plans on disk: first all new, then all known."""
    measured, body = {}, webhook("critical")
    async with _bridge() as bridge:
        intake = next(tick for tick in bridge.ticks if tick.name == "intake")
        for what in ("opened", "repeated"):
            for numbers in _some(count):
                keep = [bridge.dispatcher.keep_webhook("alertmanager", None, {}, numbered(body, n)) for n in numbers]
                await asyncio.gather(*keep)
            began = time.perf_counter()
            await intake.run()
            measured[what] = count / (time.perf_counter() - began)
        counts = await bridge.store.read(lambda tx: (tx.incident_counts(), tx.outbox_counts()))
    assert [sum(of.values()) for of in counts] == [count, count], f"{count} incidents with an SMS each, not {counts}"
    return measured


async def poll(count: int) -> dict[str, float]:
    """What a round of status questions costs while so many SMS are under way: calls, and seconds of CPU."""
    gateway = _Waiting()
    async with _bridge() as bridge:
        for numbers in _some(count):
            await bridge.store.write(lambda tx: _submit(tx, numbers))  # noqa: B023 - run at once
        began = time.process_time()
        await Tracker(bridge.store, bridge.outbox, gateway, CLOCK).run()
        took = time.process_time() - began
        again = await bridge.store.read(lambda tx: tx.polls_due(CLOCK.now(), count))
    assert sum(gateway.asked) == count and not again, f"{count} were due, {gateway.asked} were asked for"
    return {"calls": len(gateway.asked), "most": max(gateway.asked), "cpu": took}


class _Waiting:
    """A gateway that says of every SMS that it is under way, and costs nothing."""

    ahead = timedelta(0)

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def statuses(self, message_ids: Sequence[str]) -> Statuses:
        self.asked.append(len(message_ids))
        return Statuses({known: DeliveryReport(known, "PDLIVRD", Verdict.PENDING) for known in message_ids})

    async def _unasked(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("nobody sends or lists here")

    send = messages = balance = _unasked


def _submit(tx: Transaction, numbers: range) -> None:
    at = CLOCK.now() - _LONG_AGO
    tx.add_notifications(
        Notification(
            id=n + 1,
            target="+77010000001",
            due_at=at,
            created_at=at,
            state=State.SUBMITTED,
            number=PhoneNumber("+77010000001"),
            text="disk full on db1",
            alphabet="gsm7",
            segments=1,
            validity=_LONG_VALID,
            attempt=1,
            claimed_at=at,
            submitted_at=at,
            message_id=str(n),
            gateway_status="PDLIVRD",
            next_poll_at=at,
        )
        for n in numbers
    )


def _some(count: int) -> list[range]:
    """From 0 to `count`, a commit's worth at a time."""
    return [range(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]


@asynccontextmanager
async def _bridge() -> AsyncIterator[Bridge]:
    """Everything built on a file, and nothing beating."""
    with tempfile.TemporaryDirectory(prefix="sms-bridge-bench-") as folder:
        config = load_config(configure(Path(folder), free_port(), f"http://127.0.0.1:{free_port()}"))
        async with build(config, CLOCK) as bridge:
            yield bridge


async def measure_elsewhere(what: str, count: int) -> dict[str, float]:
    """The same in another process, so that nothing else takes its time."""
    return cast("dict[str, float]", json.loads(await run("tests.bench.inside", what, str(count))))


if __name__ == "__main__":
    print(json.dumps(uvloop.run({"understand": understand, "poll": poll}[sys.argv[1]](int(sys.argv[2])))))
