"""A load client in a process of its own: so many connections, each posting again as soon as it is answered.

Raw asyncio, because a client library would measure itself.
python -m tests.bench.load ARGUMENTS, a JSON list for `load`; prints its Result as JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import uvloop

from tests.bench.programs import ROOT, TOKEN, run

DIGITS = 16
_MARK = "f" * DIGITS
_EXAMPLE = json.loads((ROOT / "examples/disk_full.json").read_text(encoding="utf-8"))


def webhook(severity: str) -> bytes:
    """An Alertmanager webhook as large as real ones are, with a mark where each gets a number of its own."""
    alert = _EXAMPLE["alerts"][0]
    labels = {**alert["labels"], "instance": _MARK, "severity": severity}
    mine = {**alert, "labels": labels, "fingerprint": _MARK}
    group = {**_EXAMPLE, "groupKey": f"{{}}:{{instance={_MARK}}}", "commonLabels": labels, "alerts": [mine]}
    return json.dumps(group).encode()


def numbered(body: bytes, number: int) -> bytes:
    """The same webhook about another instance: a new incident."""
    return body.replace(_MARK.encode(), b"%0*x" % (DIGITS, number))


def request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Result:
    """What came back. Latencies in seconds, in the order of the answers."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One keep-alive connection; `post` returns the status once the whole answer is there."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but ancestry

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed before the answer"))

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, rest = self._read.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(rest) >= length and self._answer:
            self._read = b""
            self._answer.set_result(int(head[9:12]))

    async def post(self, request: bytes) -> int:
        assert self._transport
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def load(port: int, path: str, severity: str, connections: int, seconds: float, first: int, most: int) -> Result:
    """Post for so long, or until so many are posted, numbering from `first`."""
    result, body = Result(), webhook(severity)
    numbers = iter(range(first, first + most))
    began = time.perf_counter()

    async def post_on(connection: Connection) -> None:
        for number in numbers:
            sent = time.perf_counter()
            if sent - began > seconds:
                return
            status = await connection.post(request(path, numbered(body, number)))
            result.latencies.append(time.perf_counter() - sent)
            result.statuses[status] += 1

    await asyncio.gather(*[post_on(await connect(port)) for _ in range(connections)])
    result.seconds = time.perf_counter() - began
    return result


async def load_elsewhere(
    port: int, path: str, severity: str, *, connections: int, seconds: float = 600, first: int, most: int = 10**9
) -> Result:
    """The same in another process, so that client and bench do not share an interpreter."""
    arguments = json.dumps([port, path, severity, connections, seconds, first, most])
    parsed = json.loads(await run("tests.bench.load", arguments))
    statuses = Counter({int(status): count for status, count in parsed.pop("statuses").items()})
    return Result(**parsed, statuses=statuses)


if __name__ == "__main__":
    print(json.dumps(vars(uvloop.run(load(*json.loads(sys.argv[1]))))))
