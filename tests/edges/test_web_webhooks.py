"""Webhooks on the wire: who is heard, what is kept, and what every answer means to the sender."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.config import Credentials, SourceSettings
from tests.edges.web_scene import CONFIG, SECRET_HEADER, Edge, bearer, served

AM = bearer("am-token")
BODY = b'{"alerts": [{"labels": {"alertname": "A"}}]}'


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with served() as edge:
        yield edge


async def problem(answer: ClientResponse, status: int) -> Any:
    """The problem document of an answer that has this status."""
    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    document = await answer.json(content_type=None)
    assert document["status"] == status
    return document


async def test_a_webhook_is_kept_raw_and_answered_with_its_receipt(edge: Edge) -> None:
    headers = AM | {"User-Agent": "Alertmanager/0.28", "Content-Type": "application/json", "X-Secret": "not kept"}
    answer = await edge.client.post("/webhooks/am", data=BODY + b"\n", headers=headers)
    assert answer.status == 202
    assert await answer.json() == {"receipt": 7}
    kept = {"Content-Type": "application/json", "User-Agent": "Alertmanager/0.28"}
    assert edge.door.calls == [("keep_webhook", "am", None, kept, BODY + b"\n")]
    assert edge.counted("am", 202) == 1


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/webhooks/am", None),
        ("/webhooks/am/", None),
        ("/webhooks/am?x=1", None),
        ("/webhooks/am/critical", "critical"),
        ("/webhooks/am/critical/", "critical"),
        ("/webhooks/am/no%20such%00route", "no suchroute"),
    ],
)
async def test_the_url_may_name_the_route(edge: Edge, path: str, route: str | None) -> None:
    answer = await edge.client.post(path, data=BODY, headers=AM, allow_redirects=False)
    assert answer.status == 202
    assert edge.door.calls[0][:3] == ("keep_webhook", "am", route)


async def test_a_bounded_source_may_name_only_its_routes(edge: Edge) -> None:
    headers = bearer("bounded-token")
    assert (await edge.client.post("/webhooks/bounded/rest", data=b"{}", headers=headers)).status == 202
    await problem(await edge.client.post("/webhooks/bounded/critical", data=b"{}", headers=headers), 403)
    assert edge.door.verbs() == ["keep_webhook"]


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"alerts": []}',
        b'{"alerts": "\\u0000"}',
        b'{"alerts": "\\ud800"}',
        b'{"alerts": NaN, "n": ' + b"9" * 900 + b"}",
        b'"a wrong shape is for intake to tell of"',
        b"[" * 60 + b"]" * 60,
    ],
)
async def test_dirty_json_is_accepted_as_it_came(edge: Edge, body: bytes) -> None:
    assert (await edge.client.post("/webhooks/am", data=body, headers=AM)).status == 202
    assert edge.door.calls[0][-1] == body


@pytest.mark.parametrize("body", [b"", b"message=disk", b'{"a": ', b'{"a": "\xff"}', b"[" * 999])
async def test_what_is_no_json_becomes_a_dead_letter(edge: Edge, body: bytes) -> None:
    answer = await edge.client.post("/webhooks/am", data=body, headers=AM)
    document = await problem(answer, 400)
    assert document["errors"][0]["field"] == "body"
    assert [call[:3] for call in edge.door.calls] == [("keep_dead_letter", "am", body)]


async def test_a_large_body_is_judged_as_a_small_one_is() -> None:
    server = replace(CONFIG.server, max_body=1_000_000)
    async with served(replace(CONFIG, server=server)) as edge:
        large = b'{"alerts": "' + b"x" * 500_000 + b'"}'
        assert (await edge.client.post("/webhooks/am", data=large, headers=AM)).status == 202
        await problem(await edge.client.post("/webhooks/am", data=large[:-1], headers=AM), 400)
        assert [(call[0], call[-1] == large) for call in edge.door.calls] == [
            ("keep_webhook", True),
            ("keep_dead_letter", False),
        ]


async def test_a_compressed_body_is_kept_inflated(edge: Edge) -> None:
    headers = AM | {"Content-Encoding": "gzip"}
    answer = await edge.client.post("/webhooks/am", data=gzip.compress(BODY), headers=headers)
    assert answer.status == 202
    assert edge.door.calls[0][-1] == BODY


async def test_a_garbled_body_is_refused(edge: Edge) -> None:
    headers = AM | {"Content-Encoding": "gzip"}
    await problem(await edge.client.post("/webhooks/am", data=b"no gzip at all", headers=headers), 400)
    assert edge.door.verbs() == ["keep_dead_letter"]


@pytest.mark.parametrize("path", ["/webhooks/nobody", "/webhooks/nobody/critical", "/webhooks/AM", "/webhooks/%00"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_unknown_source_is_not_found_whatever_it_shows(edge: Edge, path: str, method: str) -> None:
    for headers in ({}, AM, bearer("wrong")):
        await problem(await edge.client.request(method, path, data=BODY, headers=headers), 404)
    assert edge.door.calls == []
    assert edge.counted("unknown", 404) == 3


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_a_post_is_a_webhook(edge: Edge, method: str) -> None:
    answer = await edge.client.request(method, "/webhooks/am", headers=AM, allow_redirects=False)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert edge.door.calls == []


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/", "/webhooks//am", "/webhooks/am/a/b"])
async def test_a_misspelt_path_is_not_found_and_never_redirected(edge: Edge, path: str) -> None:
    answer = await edge.client.post(path, data=BODY, headers=AM, allow_redirects=False)
    assert answer.status == 404
    assert edge.door.verbs() == []


async def test_no_or_a_wrong_credential_is_refused_and_told(edge: Edge) -> None:
    for headers in ({}, bearer("wrong"), bearer("basic-password"), {"Authorization": "Basic am-token"}):
        answer = await edge.client.post("/webhooks/am", data=BODY, headers=headers)
        await problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sms-bridge"'
    assert edge.door.calls == [("source_refused", "am")] * 4
    assert edge.counted("am", 401) == 4


async def test_a_refusal_that_cannot_be_told_is_still_a_refusal(edge: Edge) -> None:
    edge.door.stores = False
    await problem(await edge.client.post("/webhooks/am", data=BODY), 401)


async def test_basic_credentials_and_open_sources_are_heard(edge: Edge) -> None:
    pair = base64.b64encode(b"am:am-password").decode()
    answer = await edge.client.post("/webhooks/basic", data=BODY, headers={"Authorization": f"Basic {pair}"})
    assert answer.status == 202
    assert (await edge.client.post("/webhooks/open", data=b"{}")).status == 202


async def test_a_reload_is_in_force_for_the_next_request(edge: Edge) -> None:
    assert (await edge.client.post("/webhooks/late", data=BODY)).status == 404
    late = SourceSettings("late", "generic", Credentials(open=True))
    edge.config.value = replace(CONFIG, sources={**CONFIG.sources, "late": late})
    assert (await edge.client.post("/webhooks/late", data=BODY)).status == 202


async def test_what_could_not_be_stored_may_be_sent_again(edge: Edge) -> None:
    edge.door.stores = False
    answer = await edge.client.post("/webhooks/am", data=BODY, headers=AM)
    await problem(answer, 503)
    assert answer.headers["Retry-After"]
    await problem(await edge.client.post("/webhooks/am", data=b"no json", headers=AM), 503)
    await problem(await edge.client.post("/webhooks/am", data=b" " * 1001, headers=AM), 503)
    assert edge.counted("am", 503) == 3


@pytest.mark.parametrize("encoding", ["plain", "gzip", "chunked"])
async def test_too_large_a_body_is_refused_and_told(edge: Edge, encoding: str) -> None:
    large = json.dumps({"message": "x" * 100_000}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield large[:600]
        yield large[600:]

    headers = AM | ({"Content-Encoding": "gzip"} if encoding == "gzip" else {})
    data = {"plain": large, "gzip": gzip.compress(large), "chunked": chunks()}[encoding]
    document = await problem(await edge.client.post("/webhooks/am", data=data, headers=headers), 413)
    assert "server.max_body" in document["detail"]
    assert [call[:3] for call in edge.door.calls] == [("begin_trouble", "too_big", "am")]


async def test_the_largest_body_is_still_taken(edge: Edge) -> None:
    limit = edge.config.value.server.max_body
    assert (await edge.client.post("/webhooks/am", data=b"1".rjust(limit), headers=AM)).status == 202
    assert (await edge.client.post("/webhooks/am", data=b"1".rjust(limit + 1), headers=AM)).status == 413


async def test_the_credential_is_checked_before_the_size(edge: Edge) -> None:
    assert (await edge.client.post("/webhooks/am", data=b"x" * 5000)).status == 401


# --- on the bare wire ------------------------------------------------------------------------------------


async def said(edge: Edge, *, head: str, until: bytes = b"\r\n\r\n") -> tuple[bytes, asyncio.StreamWriter]:
    """What the edge says to this request head, before anything of its body was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.client.port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return await reader.readuntil(until), writer


@pytest.mark.parametrize("expect", ["", "\nExpect: 100-continue"])
@pytest.mark.parametrize("path", ["/webhooks/am", "/api/v1/sms", "/telegram/updates"])
async def test_a_stranger_is_refused_before_the_body_is_asked_for(edge: Edge, path: str, expect: str) -> None:
    answer, writer = await said(edge, head=f"POST {path} HTTP/1.1\nHost: x\nContent-Length: 900{expect}")
    assert answer.startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_who_is_admitted_is_asked_to_go_on(edge: Edge) -> None:
    head = "POST /webhooks/am HTTP/1.1\nHost: x\nAuthorization: Bearer am-token\nExpect: 100-continue"
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.client.port)
    writer.write(f"{head}\nContent-Length: {len(BODY)}".replace("\n", "\r\n").encode() + b"\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
    assert edge.door.calls[0][-1] == BODY
    writer.close()


async def test_too_large_a_body_is_refused_by_its_announced_length(edge: Edge) -> None:
    head = "POST /webhooks/am HTTP/1.1\nHost: x\nAuthorization: Bearer am-token\nContent-Length: 99999999"
    answer, writer = await said(edge, head=head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_body_that_does_not_come_in_time_may_be_sent_again(edge: Edge) -> None:
    head = "POST /webhooks/am HTTP/1.1\nHost: x\nAuthorization: Bearer am-token\nContent-Length: 900"
    answering = asyncio.ensure_future(said(edge, head=head))
    await edge.clock.waiting()
    edge.clock.advance(9.9)
    assert edge.clock.waiters == 1
    edge.clock.advance(0.2)
    answer, writer = await answering
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert edge.door.calls == []
    assert edge.clock.waiters == 0
    writer.close()


async def test_a_sender_that_leaves_in_the_middle_changes_nothing(edge: Edge) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.client.port)
    head = "POST /webhooks/am HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer am-token\r\nContent-Length: 900\r\n\r\n{"
    writer.write(head.encode())
    await edge.clock.waiting()
    writer.close()
    await writer.wait_closed()
    assert (await edge.client.post("/webhooks/am", data=BODY, headers=AM)).status == 202
    assert edge.door.verbs() == ["keep_webhook"]


# --- strangers -------------------------------------------------------------------------------------------

SECRETS = ("am-token", "am-password", "bounded-token", "-token", "telegram-secret")
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
guesses = printable.filter(lambda guess: not guess.endswith(SECRETS))
authorizations = st.one_of(
    st.none(),
    guesses,
    guesses.map(lambda guess: f"Bearer {guess}"),
    guesses.map(lambda guess: "Basic " + base64.b64encode(f"am:{guess}".encode()).decode()),
    st.sampled_from(["Bearer am-toke", "Bearer am-token2", "Token am-token", "Bearer", "Basic YW06"]),
)
doors = st.sampled_from(
    [
        "/webhooks/am",
        "/webhooks/am/",
        "/webhooks/am/critical",
        "/webhooks/basic",
        "/webhooks/bounded/rest",
        "/api/v1/sms",
        "/api/v1/receipts/7/replay",
        "/-/reload",
        "/telegram/updates",
    ]
)
requests = st.tuples(doors, authorizations, st.sampled_from([b"", BODY, b"\0", b'{"to": "aigerim", "text": "x"}']))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tried=st.lists(requests, min_size=15, max_size=15))
async def test_no_request_without_a_valid_credential_changes_anything(
    tried: list[tuple[str, str | None, bytes]],
) -> None:
    async with served() as edge:
        for path, authorization, body in tried:
            headers = {} if authorization is None else {"Authorization": authorization, SECRET_HEADER: authorization}
            answer = await edge.client.post(path, data=body, headers=headers)
            assert answer.status == 401
        assert set(edge.door.verbs()) <= {"source_refused"}
        assert edge.updates == []
