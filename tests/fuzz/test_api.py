"""Whatever is asked over HTTP: every answer as documented, nothing for whoever shows no credential, no number taken
from a payload. schemathesis makes the API's requests from its own document; all go to the real bridge on loopback.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from yarl import URL

from bridge.web.openapi import document
from tests.faults.tracing import LONG
from tests.world import PHONES, World, a_world, firing

T = TypeVar("T")
REQUESTS = 2500 if LONG else 100  # of each operation, right ones and as many wrong ones
STRANGERS = 1_000_000 if LONG else 10_000
DOCUMENT = document()
_FOUND = schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
OPERATIONS: dict[str, Any] = {operation.label: operation for found in _FOUND if (operation := cast("Any", found).ok())}
PATIENCE = 7200 if LONG else 240


def examples(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """So many different ones, the same in every quick run."""
    found: list[T] = []

    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=not LONG
    )
    @given(example=strategy)
    def keep(example: T) -> None:
        found.append(example)

    keep()
    return found


def wrong_in(operation: Mapping[str, Any], status: int, kind: str, body: bytes) -> str:
    """What in this answer its document does not know; empty when all is as documented."""
    told = operation["responses"].get(str(status))
    if told is None:
        return f"{status} is not documented"
    schema = told["content"].get(kind, {}).get("schema")
    if schema is None:
        return f"{kind} is not documented for {status}"
    whole = {**schema, "components": DOCUMENT["components"]}
    return "; ".join(error.message for error in Draft202012Validator(whole).iter_errors(json.loads(body)))


async def asked(world: World, case: Any, token: str) -> tuple[int, str, bytes]:
    how = case.as_transport_kwargs(base_url=str(world.http._base_url).rstrip("/"))
    headers = {k: v for k, v in (how.get("headers") or {}).items() if k.lower() in ("content-type", "accept")}
    url = URL(how["url"], encoded=True).update_query({k: str(v) for k, v in (how.get("params") or {}).items()})
    data = json.dumps(how["json"]).encode() if "json" in how else how.get("data")
    data = data if isinstance(data, bytes) else str(data).encode() if data is not None else None
    headers["Authorization"] = f"Bearer {token}"
    async with world.http.request(how["method"], url, data=data, headers=headers, allow_redirects=False) as answer:
        return answer.status, answer.content_type, await answer.read()


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("label", OPERATIONS)
async def test_every_answer_is_as_documented(tmp_path: Path, label: str) -> None:
    operation = OPERATIONS[label]
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]
    async with a_world(tmp_path) as world:
        await world.post("alertmanager", firing("db1"))
        await world.api("POST", "/sms", {"to": "dana", "text": "hello"}, status=202)
        answers = set()
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            for case in examples(operation.as_strategy(generation_mode=mode), REQUESTS):
                if case.method.upper() != operation.method.upper():
                    continue  # another verb is another operation, or none
                status, kind, body = await asked(world, case, "api-secret")
                answers.add(status)
                routed = status not in (404, 405) or "404" in described["responses"]
                assert status < 500 or status == 503
                if routed:
                    assert not (wrong := wrong_in(described, status, kind, body)), f"{case.as_curl_command()}: {wrong}"
                status, _, _ = await asked(world, case, "not-the-token")
                assert status in (401, 404, 405)
        assert answers
        assert {sms.to for sms in world.mobizon.sent} <= {number.removeprefix("+") for number in PHONES.values()}


@pytest.mark.timeout(PATIENCE)
async def test_a_preview_of_any_text_is_as_documented_and_owes_nothing(tmp_path: Path) -> None:
    described = DOCUMENT["paths"]["/api/v1/sms"]["post"]
    texts = st.text(min_size=1, max_size=300) | st.text(
        st.sampled_from("a€я😀“\u200d\ud800 "), min_size=1, max_size=400
    )
    answers = set()
    async with a_world(tmp_path) as world:
        headers = {"Authorization": "Bearer api-secret"}
        for text in examples(texts, REQUESTS * 5):
            body = json.dumps({"to": "dana", "text": text, "idempotency_key": "k"}).encode()
            async with world.http.post("/api/v1/sms?preview=1", data=body, headers=headers) as answer:
                answers.add(answer.status)
                assert not (wrong := wrong_in(described, answer.status, answer.content_type, await answer.read())), (
                    wrong
                )
        await world.settle()
        assert answers == {200, 400}
        assert not await rows(world)
        assert not world.mobizon.requests


def test_an_answer_that_is_not_documented_is_found() -> None:
    described = DOCUMENT["paths"]["/api/v1/balance"]["get"]
    good = {"amount": "1", "currency": "KZT", "sms_left": 3, "days_left": None}
    assert not wrong_in(described, 200, "application/json", json.dumps(good).encode())
    assert wrong_in(described, 500, "application/problem+json", b"{}")
    assert wrong_in(described, 200, "text/html", b"")
    assert wrong_in(described, 200, "application/json", json.dumps({**good, "amount": 1}).encode())


# --- strangers

_paths = st.sampled_from(
    [
        "/webhooks/alertmanager", "/webhooks/generic", "/webhooks/generic/critical", "/api/v1/sms", "/api/v1/balance",
        "/api/v1/incidents", "/api/v1/receipts/1", "/api/v1/receipts/1/replay", "/-/reload", "/webhooks/x", "/api/v1/",
        "/webhooks/alertmanager/", "/telegram/updates", "/delivery-reports/mobizon/x",
        "/a/7fKq2MZp9Wd", "/a/1", "/api/v1/incidents/1/acknowledge", "/api/v1/incidents/1/resolve",
    ]
)  # fmt: skip
_secrets = st.sampled_from(["am-secret", "generic-secret", "api-secret", "sight-secret"])
_almost = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    _secrets.map(lambda secret: secret[:-1]),
    _secrets.map(lambda secret: secret + "x"),
    _secrets.map(str.upper),
)
_authorization = st.one_of(
    st.none(),
    _almost,
    st.builds(
        "{} {}".format, st.sampled_from(["Bearer", "bearer", "Basic", "Token", "Digest", "Bearer Bearer"]), _almost
    ),
    _secrets,
    st.builds("Basic {}".format, _secrets),
)
_bodies = st.one_of(
    st.binary(max_size=100),
    st.just(json.dumps(firing("db1")).encode()),
    st.just(b'{"message": "x", "severity": "critical"}'),
    st.just(b'{"to": "aigerim", "text": "x"}'),
)
_strangers = st.tuples(st.sampled_from(["POST", "GET", "PUT", "DELETE", "PATCH"]), _paths, _authorization, _bodies)


@pytest.mark.timeout(PATIENCE)
async def test_nothing_happens_for_whoever_shows_no_credential(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for _ in range(max(1, STRANGERS // 10_000)):
            for method, path, shown, body in examples(_strangers, min(STRANGERS, 10_000)):
                headers = {"Authorization": shown} if shown is not None else {}
                async with world.http.request(method, path, data=body, headers=headers) as answer:
                    assert answer.status in (401, 404, 405), (method, path, shown)
        await world.settle()
        assert not await rows(world)
        assert not world.mobizon.requests


async def test_a_door_that_anybody_may_use_is_found(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("generic: {token: generic-secret}", "generic: {open: true}")]) as world:
        answers = set()
        for method, path, shown, body in examples(_strangers, 300):
            headers = {"Authorization": shown} if shown is not None else {}
            async with world.http.request(method, path, data=body, headers=headers) as answer:
                answers.add(answer.status)
        assert answers - {401, 404, 405}
        assert await rows(world)


async def rows(world: World) -> int:
    """How much is owed to anybody."""
    return await world.bridge.store.read(
        lambda tx: (
            len(tx.find_notifications(limit=10)) + len(tx.receipts_waiting(10)) + len(tx.incidents(open_only=False))
        )
    )


# --- payloads that name numbers

_names = st.sampled_from(["phone", "to", "recipient", "recipients", "number", "msisdn", "notify", "tel", "target"])
_values: st.SearchStrategy[Any] = st.sampled_from(["+447700900123", "12025550100", ["+4915112345678"], {"phone": "x"}])
_named = st.dictionaries(_names, _values, min_size=1, max_size=3)


@pytest.mark.timeout(PATIENCE)
async def test_no_payload_chooses_whom_it_reaches(tmp_path: Path) -> None:
    limits = "limits: {per_person: {1h: 1000000}, total: {1h: 1000000}}\n"
    async with a_world(tmp_path, changes=[("watch: {chat: watch", limits + "watch: {chat: watch")]) as world:
        for number, named in enumerate(examples(_named, 2000 if LONG else 25)):
            told = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in named.items()}
            body = firing(f"db{number}", name=f"Full{number}")
            body |= named
            body["commonLabels"] |= told
            body["alerts"][0] |= named
            body["alerts"][0]["labels"] |= told
            body["alerts"][0]["annotations"] |= told
            await world.post("alertmanager", body)
            labels = {"labels": told, "key": f"k{number}", **named}
            await world.post("generic", {"message": f"Trouble {number}.", "severity": "critical", **labels})
        assert {sms.to for sms in world.mobizon.sent} == {
            PHONES[name].removeprefix("+") for name in ("aigerim", "jonas")
        }
