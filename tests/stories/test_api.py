"""Scripts send through the HTTP API what people send from the chat."""

import logging
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, a_world, firing


async def test_a_script_sends_one_sms_however_often_it_asks(world: World) -> None:
    body = {"to": "jonas", "text": "backup done", "idempotency_key": "backup-1"}
    first = await world.api("POST", "/sms", body, status=202)
    again = await world.api("POST", "/sms", body, status=200)
    assert first["id"] == again["id"]

    await world.advance(seconds=30)
    told = await world.api("GET", f"/sms/{first['id']}")
    assert (told["state"], told["to"]) == ("delivered", "jonas")
    assert world.phone("jonas").texts == ["backup done"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"to": "jonas"}, 400, "text"),
        ({"to": "jonas", "text": ""}, 400, "text"),
        ({"to": "nobody", "text": "x"}, 400, "nobody"),
        ({"to": "+12025550100", "text": "x"}, 400, "United States"),
        ({"to": "jonas", "text": "x", "validity": 0}, 400, "validity"),
        ({"to": "jonas", "text": "x", "colour": "red"}, 400, "colour"),
        ({"to": "jonas", "text": "x" * 2000}, 400, "segments"),
    ],
)
async def test_a_bad_request_names_the_field_and_changes_nothing(
    world: World, body: dict[str, Any], status: int, told: str
) -> None:
    answer = await world.api("POST", "/sms", body, status=status)
    assert told in str(answer)
    assert await world.api("POST", "/sms?preview=1", body, status=status) == answer
    assert world.mobizon.sent == []


async def test_a_preview_says_all_of_it_and_does_nothing(world: World) -> None:
    body = {"to": "jonas", "text": "the “north” desk", "chat": "ops", "idempotency_key": "desk-1"}
    before = await everything(world)
    seen = await world.api("POST", "/sms?preview=1", body)
    await world.advance(minutes=1)
    assert (seen["to"], seen["alphabet"], seen["segments"], seen["opens_at"]) == ("jonas", "unicode", 1, None)
    assert seen["instead"]["text"] == 'the "north" desk'
    assert await everything(world) == before
    assert (world.mobizon.sent, world.ops.cards) == ([], [])

    sent = await world.api("POST", "/sms", body, status=202)  # its key is still unused
    assert (sent["text"], sent["alphabet"], sent["segments"]) == (seen["text"], seen["alphabet"], seen["segments"])
    assert world.phone("jonas").texts == seen["parts"]


async def test_a_preview_says_about_what_it_will_cost(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("sms: {", "sms: {prices: {KZ: 20.50 KZT}, ")]) as world:
        seen = await world.api("POST", "/sms?preview=1", {"to": "dana", "text": "x" * 200})
        assert (seen["segments"], seen["estimate"], seen["currency"]) == (2, "41.00", "KZT")
        seen = await world.api("POST", "/sms?preview=1", {"to": "jonas", "text": "x"})
        assert (seen["estimate"], seen["currency"]) == (None, None)


async def test_a_preview_knows_when_a_limit_opens_and_counts_for_none(world: World) -> None:
    for _ in range(10):
        assert (await world.api("POST", "/sms?preview=1", {"to": "jonas", "text": "x"}))["limit"] is None
    for _ in range(5):
        await world.api("POST", "/sms", {"to": "jonas", "text": "x"}, status=202)
    seen = await world.api("POST", "/sms?preview=1", {"to": "jonas", "text": "x"})
    assert "limits.per_person" in seen["limit"]
    await world.api("POST", "/sms", {"to": "jonas", "text": "x"}, status=503)

    world.clock.advance((datetime.fromisoformat(seen["opens_at"]) - world.clock.now()).total_seconds())
    assert (await world.api("POST", "/sms?preview=1", {"to": "jonas", "text": "x"}))["limit"] is None
    await world.api("POST", "/sms", {"to": "jonas", "text": "x"}, status=202)


async def test_a_preview_that_writes_is_found(world: World) -> None:
    before = await everything(world)
    await world.api("POST", "/sms", {"to": "jonas", "text": "x"}, status=202)
    assert await everything(world) != before


async def everything(world: World) -> list[str]:
    """Every row of every table."""
    with closing(sqlite3.connect(world.bridge.config.value.storage.path)) as database:
        return list(database.iterdump())


async def test_an_observer_sees_and_sends_nothing(world: World) -> None:
    await world.api("POST", "/sms", {"to": "jonas", "text": "x"}, token="sight-secret", status=403)
    await world.api("GET", "/sms", token="sight-secret")
    await world.api("GET", "/sms", token="wrong", status=401)
    assert world.mobizon.sent == []


async def test_the_api_shows_incidents_with_their_sms(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=30)
    (incident,) = (await world.api("GET", "/incidents"))["items"]
    whole = await world.api("GET", f"/incidents/{incident['id']}")
    assert [n["state"] for n in whole["notifications"]] == ["delivered", "delivered"]


async def test_a_script_takes_an_incident_and_ends_it_however_often_it_asks(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    for _ in range(2):
        taken = await world.api("POST", "/incidents/1/acknowledge")
        assert (taken["state"], taken["acknowledged_by"]) == ("acknowledged", "api:scripts")
    await world.advance(seconds=2)
    assert "api:scripts has it" in world.card.text and "through the API" in world.card.text
    for _ in range(2):
        assert (await world.api("POST", "/incidents/1/resolve"))["state"] == "resolved"
    told = await world.api("GET", "/incidents/1")
    assert [entry["what"] for entry in told["timeline"]].count("acknowledged through the API") == 1
    assert [entry["what"] for entry in told["timeline"]].count("resolved through the API") == 1
    assert "over already" in (await world.api("POST", "/incidents/1/acknowledge", status=409))["detail"]
    await world.api("POST", "/incidents/2/acknowledge", status=404)
    await world.api("POST", "/incidents/1/resolve", token="sight-secret", status=403)


async def test_no_key_token_number_or_text_reaches_a_log_or_a_metric(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.mobizon.answers(code=999, times=1, method="sendsmsmessage")
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=2)
    await world.types("/sms +77010000009 a text with pikachu")
    await world.advance(seconds=5)
    await world.press("Send")
    world.mobizon.drops_after_accepting(times=1)
    await world.types("/sms jonas another pikachu")
    await world.mobizon.stop()
    await world.types("/sms jonas third pikachu")
    await world.advance(seconds=30)
    await world.mobizon.start()
    await world.advance(minutes=1)

    pages = [caplog.text, await world.metrics()]
    for path in ("/-/ready", "/-/healthy", "/openapi.json"):
        async with world.http.get(path) as answer:
            pages.append(await answer.text())
    secrets = (
        "apiKey=demo",
        world.telegram.token,
        "am-secret",
        "api-secret",
        "7010000001",
        "7010000009",
        "15112345678",
    )
    for secret in (*secrets, "pikachu"):
        assert not [page[max(0, page.find(secret) - 80) :][:160] for page in pages if secret in page], secret
