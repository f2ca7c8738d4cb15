"""The page behind a link, as browsers and preview bots meet it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bridge.dispatcher import Dispatcher, LinkView, Verb
from bridge.domain.incident import Incident
from bridge.inquiries import Inquiries
from bridge.web.answer_page import AnswerPage
from tests.edges.web_scene import Door, Edge, Shelf, served
from tests.fakes import START, FakeClock

TOKEN = "7fKq2MZp9Wd"
VERBS = (Verb.ACKNOWLEDGE, Verb.PASS_ON)
VIEW = LinkView(
    Incident(1042, "am", "g", "critical", START, START, title="HostOutOfDiskSpace", places=("db1",), firing=1),
    mine=False,
    holder="",
    verbs=VERBS,
    called=1,
    zone=ZoneInfo("Asia/Almaty"),
    now=START,
)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with served() as edge:
        edge.shelf.behind[TOKEN] = edge.door.behind = VIEW
        yield edge


async def previewed(client: TestClient[Any, Any]) -> None:
    """What phones, chats and mail filters do with a link before anybody has pressed anything."""
    for method in ("HEAD", "GET", "OPTIONS", "GET", "PUT", "DELETE"):
        for path in (f"/a/{TOKEN}", f"/a/{TOKEN}?verb=acknowledge", f"/a/{TOKEN}/", f"/a/{TOKEN}?acknowledge"):
            headers = {"User-Agent": "TelegramBot (like TwitterBot)", "Purpose": "prefetch"}
            answer = await client.request(method, path, headers=headers, data={"verb": "acknowledge"})
            assert answer.status in (200, 405)


async def test_no_preview_presses_anything(edge: Edge) -> None:
    await previewed(edge.client)
    assert edge.public is not None
    await previewed(edge.public)
    assert edge.door.calls == []


async def test_a_page_that_acknowledges_when_it_is_looked_at_is_found() -> None:
    class Eager(AnswerPage):
        async def show(self, request: web.Request) -> web.Response:
            await self._dispatcher.answer_by_link(request.match_info["token"], Verb.ACKNOWLEDGE, 1)
            return await super().show(request)

    door = Door(behind=VIEW)
    page = Eager(cast("Dispatcher", door), cast("Inquiries", Shelf(behind={TOKEN: VIEW})), FakeClock())
    app = web.Application()
    app.router.add_get("/a/{token}", page.show)
    app.router.add_get("/a/{token}/", page.show)
    async with TestClient(TestServer(app)) as client:
        await previewed(client)
    assert door.calls


async def test_a_press_asks_the_door_and_leads_back_to_the_page(edge: Edge) -> None:
    form = {"verb": "pass_on", "called": "1"}
    answer = await edge.client.post(f"/a/{TOKEN}", data=form, allow_redirects=False)
    assert edge.door.calls == [("answer_by_link", TOKEN, Verb.PASS_ON, 1)]
    assert (answer.status, answer.headers["Location"]) == (303, "?pass_on")
    assert "The next is being called." in await (await edge.client.get(f"/a/{TOKEN}?pass_on")).text()


async def test_what_could_not_be_done_is_said_on_the_page(edge: Edge) -> None:
    edge.door.behind = replace(VIEW, problem="Nobody else is in the plan of #1042.")
    answer = await edge.client.post(f"/a/{TOKEN}", data={"verb": "pass_on"})
    assert answer.status == 200
    assert "Nobody else is in the plan" in await answer.text()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_cannot_be_stored_is_said_to_people(edge: Edge, method: str) -> None:
    edge.door.stores = False
    edge.shelf.reads = method == "POST"
    answer = await edge.client.request(method, f"/a/{TOKEN}", data={"verb": "acknowledge"})
    assert (answer.status, answer.content_type) == (503, "text/html")
    assert "Nothing was changed" in await answer.text()


async def test_a_stranger_who_tries_addresses_makes_nobody_write(edge: Edge) -> None:
    for path in ("/a/8fKq2MZp9Wd", "/a/x", "/a/" + "x" * 500):
        assert (await edge.client.post(path, data={"verb": "acknowledge"})).status == 404
    assert edge.door.calls == []


@pytest.mark.parametrize("body", [b"", b"verb=", b"verb=delete", b"\xff\xfe", b"verb=acknowledge%00", b"verb" * 200])
async def test_no_other_verb_reaches_the_door(edge: Edge, body: bytes) -> None:
    assert (await edge.client.post(f"/a/{TOKEN}", data=body)).status == 400
    assert edge.door.calls == []


async def test_a_large_body_is_not_read(edge: Edge) -> None:
    assert (await edge.client.post(f"/a/{TOKEN}", data=b"x" * 2000)).status == 413


async def test_a_name_without_end_is_cut(edge: Edge) -> None:
    edge.shelf.behind[TOKEN] = replace(VIEW, incident=replace(VIEW.incident, title="x" * 10_000, fact="y" * 10_000))
    assert len(await (await edge.client.get(f"/a/{TOKEN}")).text()) < 8000


async def test_the_page_is_made_for_a_phone_at_night(edge: Edge) -> None:
    answer = await edge.client.get(f"/a/{TOKEN}")
    page = await answer.text()
    assert "<title>#1042 HostOutOfDiskSpace db1</title>" in page
    for wanted in ('lang="en"', "width=device-width", "prefers-color-scheme:dark", "telephone=no", "noindex"):
        assert wanted in page
    assert "<script" not in page
    assert not {"src", "href", "action"} & {part.partition("=")[0] for part in page.split()}
