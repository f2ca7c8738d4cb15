"""`make demo` as a user runs it: the whole product in a process of its own, from the webhook to the handset."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

DEMO = [sys.executable, "-m", "bridge", "demo", "--listen", "127.0.0.1:0"]
_PATIENCE = 120  # seconds; it takes half a minute
pytestmark = pytest.mark.timeout(200)


async def _says(reader: asyncio.StreamReader, last: str) -> str:
    """What it prints, up to the line with `last`."""
    told = ""
    async with asyncio.timeout(_PATIENCE):
        while last not in told:
            line = await reader.readline()
            assert line, f"it ended after:\n{told}"
            told += line.decode()
    return told


async def test_the_demo_shows_an_alert_and_a_command_reach_their_phones_and_ends_cleanly(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *DEMO, stdout=asyncio.subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert process.stdout is not None
    told = await _says(process.stdout, "Ctrl-C ends it")

    for scene in ("webhook   alertmanager: HostOutOfDiskSpace db1 firing, stored in",
                  "incident  #1 opened on route critical; 2 SMS planned",
                  "Aigerim  planned", "Aigerim  accepted by Mobizon", "Aigerim  has it at the operator",
                  "Aigerim  on the handset", "card sent:", "card edited:",
                  "press Acknowledge, or see Jonas called at", "Jonas    planned for",
                  "everybody was called"):  # fmt: skip
        assert scene in told, told
    play = re.search(r"in a browser: (\S+)", told)
    assert play is not None
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{play[1]}/chat", data={"text": "/sms jonas from the playground"}) as answer:
            assert answer.status == 200
        await _says(process.stdout, "#5 Jonas")
        async with http.post(f"{play[1]}/press", data={"label": "Acknowledge"}) as answer:
            assert answer.status == 200
        await _says(process.stdout, "#1: Aigerim has it, nobody else is called")
        async with http.get(f"{play[1]}/phones") as answer:
            assert "from the playground" in await answer.text()
        async with http.get(play[1]) as answer:
            assert "playground" in await answer.text()

    process.send_signal(signal.SIGINT)
    rest = (await asyncio.wait_for(process.stdout.read(), _PATIENCE)).decode()
    assert await process.wait() == 0
    assert "nothing is left behind" in rest
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - the one look an async function may take
