"""At DEBUG, with everything going wrong that can: no secret, no number and no text leaves the database and the chat."""

import json
import logging
import re
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.demo.mobizon import SimulatedMobizon
from bridge.logs import set_up
from storage import backup
from tests.stories.broken import BreakingTick
from tests.world import AIGERIM, CONFIG, OPS, TOPIC, World, firing

KEY, MESSAGE = "kz0canarykey0canarykey0canarykey0canaryk", "canary-text-of-an-sms"
TOKENS = ("am-secret", "generic-secret", "api-secret", "sight-secret", "canary-report-token", "wrong-canary-token")
NUMBERS = ("+77010000009", "+77010000001")
TYPED = NUMBERS[0]
EXAMPLE = "+7 701 000 00 01"  # of how to write a number; by chance somebody's here


class Kept(logging.Handler):
    """Every line that any logger lets out, with its traceback and whatever else it carries."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        carried = {name: value for name, value in vars(record).items() if name not in ("msg", "args", "exc_info")}
        self.lines.append(f"{record.name}: {self.format(record)} {carried!r}")


@asynccontextmanager
async def listening() -> AsyncIterator[Kept]:
    """All that `LOG_LEVEL=DEBUG` lets out."""
    kept, root = Kept(), logging.getLogger()
    handlers = list(root.handlers)
    levels = [(logger, logger.level) for logger in (root, *map(logging.getLogger, list(root.manager.loggerDict)))]
    set_up("DEBUG")
    root.handlers[:] = [kept]
    try:
        yield kept
    finally:
        root.handlers[:] = handlers
        for logger, level in levels:
            logger.setLevel(level)


def told_in(text: str, *more: str) -> list[str]:
    """The secrets, texts and numbers that stand in it, a number in any way of writing it."""
    text = text.replace(EXAMPLE, "")
    digits = re.sub(r"(?<=\d)[ ()-]+(?=\d)", "", text)
    return [said for said in (KEY, MESSAGE, *TOKENS, *more) if said in text] + [n for n in NUMBERS if n[1:] in digits]


def links(world: World) -> list[str]:
    """The keys of all links that were texted."""
    return [found[0] for sms in world.mobizon.sent if (found := re.search(r"(?<=/a/)\w{11}$", sms.text))]


async def a_bad_day(world: World) -> list[str]:
    """Everything goes wrong; what anybody outside the chat is shown."""
    shown: list[str] = []
    for path in ("/webhooks/alertmanager", "/api/v1/sms", "/webhooks/nobody", "/-/reload"):
        headers = {"Authorization": "Bearer wrong-canary-token"}
        async with world.http.post(path, data=f"{MESSAGE} {TYPED}".encode(), headers=headers) as answer:
            shown.append(await answer.text())
    shown.append(json.dumps(await world.post("generic", f"{MESSAGE} {TYPED}".encode(), status=400)))
    await world.post("generic", {"message": 7, "labels": MESSAGE, "to": TYPED})
    await world.post("alertmanager", firing("db1"))
    (link, *_) = links(world)
    async with world.http.get(f"/a/{link}") as answer:
        page = (await answer.text()).replace("db1.example.net", "")
        shown.append(page)
    for press in ("pass_on", "nonsense", "acknowledge"):
        async with world.http.post(f"/a/{link}", data={"verb": press}, allow_redirects=False) as answer:
            shown.append(await answer.text())
    body = {"to": TYPED, "text": MESSAGE}
    wrong = [{**body, "to": f"{TYPED}12345"}, {**body, "more": TYPED}, {**body, "text": MESSAGE * 200}, MESSAGE]
    shown += [json.dumps(await world.api("POST", "/sms", each, status=400)) for each in wrong]
    mobizon, quotes = world.mobizon, f"{TYPED} {KEY} is wrong"
    faults: list[Callable[[], None]] = [
        mobizon.drops,
        mobizon.drops_after_accepting,
        lambda: mobizon.answers_http(502, quotes.encode()),
        lambda: mobizon.answers_http(302, headers={"Location": f"http://127.0.0.1:1/?apiKey={KEY}"}),
        lambda: mobizon.answers_http(429, quotes.encode(), headers={"Retry-After": "9" * 30}),
        lambda: mobizon.answers(13, {"url": f"api.mobizon.uz/?apiKey={KEY}"}, quotes),
        lambda: mobizon.answers(1, {"recipient": quotes}),
        lambda: mobizon.answers(1, {TYPED: KEY}),
        lambda: mobizon.answers(999, None, quotes),
    ]
    for number, fault in enumerate(faults):
        fault()
        world.telegram.type(AIGERIM, OPS, f"/sms {TYPED} {MESSAGE} {number}", topic=TOPIC)
        await world.settle()
        await world.api("POST", "/sms", {"to": "dana", "text": f"{MESSAGE} {number}"}, status=202)
        await world.advance(seconds=31)
        world.mobizon.recovers()
        await world.advance(minutes=6)
    world.telegram.floods()
    await world.post("alertmanager", firing("db2", name="Two"))
    world.telegram.recovers()
    world.telegram.poison()
    await world.settle()
    world.config_file.write_text(world.config_file.read_text().replace(KEY, f"{KEY}\nnonsense: {TYPED}"))
    shown += await world.bridge.reload()
    breaking = BreakingTick("intake", broken=True)
    try:
        await breaking.run()
    except RuntimeError:
        logging.getLogger("bridge.ticker").exception("a tick failed")
    await world.looks_after_itself()
    for path in ("/-/healthy", "/-/ready", "/metrics", "/openapi.json", "/docs", "/"):
        async with world.http.get(path) as answer:
            shown.append(await answer.text())
    listed = await world.api("GET", "/sms", token="sight-secret")
    shown.append(json.dumps(listed))
    for item in (one for one in listed["items"] if one["incident"] is None):
        shown.append(json.dumps(await world.api("GET", f"/sms/{item['id']}", token="sight-secret")))
    shown.append(json.dumps(await world.api("GET", "/receipts", token="sight-secret")))
    return shown


@asynccontextmanager
async def a_town(folder: Path) -> AsyncIterator[World]:
    """As every story's, with a key worth looking for."""
    text = CONFIG.replace('"127.0.0.1:0"', '"127.0.0.1:0", public_url: "https://sms.example.net"').replace(
        "api_key: demo", f"api_key: {KEY}, report_token: canary-report-token"
    )
    world = World(folder, text + "limits: {per_person: {1h: 1000}, total: {1h: 1000}}\n")
    world.mobizon = SimulatedMobizon(world.clock, api_key=KEY)
    await world.telegram.start()
    try:
        async with world.mobizon:
            await world.wakes()
            try:
                yield world
            finally:
                world.mobizon.recovers()
                await world.sleeps()
    finally:
        await world.telegram.stop()


@pytest.mark.timeout(240)
async def test_nothing_is_given_away_on_a_bad_day_at_debug(tmp_path: Path) -> None:
    async with listening() as kept, a_town(tmp_path) as world:
        shown = await a_bad_day(world)
        tokens = [world.telegram.token, *links(world)]
        backup(tmp_path / "bridge.db", tmp_path / "copy.db")
    spoke = {line.partition(":")[0].partition(".")[0] for line in kept.lines}
    assert {"bridge", "bot"} <= spoke, "whoever is silent proves nothing"
    for text in (*kept.lines, *shown):
        assert not (given := told_in(text, *tokens)), f"{given} in {text[:600]}"
    for name in ("bridge.db", "copy.db"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    everything = "".join(shown)
    assert "Mobizon" in everything, "the failures were shown, and still gave nothing away"


@pytest.mark.parametrize("said", [KEY, MESSAGE, *NUMBERS, "7 701 000 00 09", "7701000-00-09", "api-secret"])
async def test_a_line_that_gives_something_away_is_found(said: str) -> None:
    async with listening() as kept:
        logging.getLogger("asyncio").debug("POST https://api.mobizon.kz/?apiKey=%s", said)
        try:
            raise ValueError(f"not a number: {said}")
        except ValueError:
            logging.getLogger("bridge.planted").exception("it failed", extra={"to": said})
    assert len(kept.lines) == 2
    assert all(told_in(line) for line in kept.lines)
    assert not told_in("+7 701 ••• •• 09 +7701…09")
