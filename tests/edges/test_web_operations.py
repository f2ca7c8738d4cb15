"""Every route there is, who may use it, and what the people who run the bridge can ask."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp.web import Application

from bridge.web.app import is_loopback
from bridge.web.openapi import OPERATIONS
from tests.edges.web_scene import CONFIG, SECRET_HEADER, Edge, bearer, served

OPEN, OWN, LINK, LOOPBACK = "open", "own", "link", "loopback"
OBSERVER, RESPONDER, OPERATOR = "observer", "responder", "operator"

# Every route of server.listen, and what it wants. A new route belongs here too: nothing is open by accident.
ROUTES = {
    ("*", "/webhooks/{source}"): OWN,
    ("*", "/webhooks/{source}/{route}"): OWN,
    ("GET", "/a/{token}"): LINK,
    ("POST", "/a/{token}"): LINK,
    ("POST", "/telegram/{path}"): OWN,
    ("POST", "/delivery-reports/mobizon/{token}"): OWN,
    ("POST", "/api/v1/sms"): RESPONDER,
    ("GET", "/api/v1/sms"): OBSERVER,
    ("GET", "/api/v1/sms/{id}"): OBSERVER,
    ("GET", "/api/v1/incidents"): OBSERVER,
    ("GET", "/api/v1/incidents/{id}"): OBSERVER,
    ("POST", "/api/v1/incidents/{id}/acknowledge"): RESPONDER,
    ("POST", "/api/v1/incidents/{id}/resolve"): RESPONDER,
    ("GET", "/api/v1/receipts"): OBSERVER,
    ("GET", "/api/v1/receipts/{id}"): OBSERVER,
    ("POST", "/api/v1/receipts/{id}/replay"): OPERATOR,
    ("GET", "/api/v1/balance"): OBSERVER,
    ("GET", "/api/v1/bill"): OBSERVER,
    ("GET", "/api/v1/credentials"): OBSERVER,
    ("GET", "/-/healthy"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/-/ready"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("POST", "/-/reload"): OPERATOR,
    ("GET", "/metrics"): LOOPBACK,
    ("GET", "/openapi.json"): LOOPBACK,
    ("GET", "/docs"): LOOPBACK,
    ("GET", "/"): LOOPBACK,
}
PUBLIC = {
    ("*", "/webhooks/{source}"),
    ("*", "/webhooks/{source}/{route}"),
    ("GET", "/a/{token}"),
    ("POST", "/a/{token}"),
    ("POST", "/telegram/{path}"),
    ("POST", "/delivery-reports/mobizon/{token}"),
    ("GET", "/-/healthy"),
}
ROLES = [OBSERVER, RESPONDER, OPERATOR]
OFF_LOOPBACK = replace(CONFIG, server=replace(CONFIG.server, listen=("0.0.0.0", 9877)))


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with served() as edge:
        yield edge


def routes_of(app: Application) -> set[tuple[str, str]]:
    registered = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    return {(method, path.rstrip("/") or "/") for method, path in registered if method != "HEAD"}


async def status(edge: Edge, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    concrete = path.format(id=7, source="am", route="critical", path="updates", token="wrong")
    return (await edge.client.request(method, concrete, headers=headers, allow_redirects=False)).status


async def test_there_are_no_other_routes(edge: Edge) -> None:
    assert routes_of(edge.inside) == set(ROUTES)


async def test_the_internet_sees_only_these(edge: Edge) -> None:
    assert edge.public is not None
    assert routes_of(edge.public.app) == PUBLIC
    for _, path in set(ROUTES) - PUBLIC:
        answer = await edge.public.get(path.format(id=7), headers=bearer("operator-token"))
        assert answer.status == 404


async def test_there_is_no_public_application_unless_the_config_wants_one() -> None:
    async with served(replace(CONFIG, server=replace(CONFIG.server, public_listen=None))) as edge:
        assert edge.public is None


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES))
@pytest.mark.parametrize("config", [CONFIG, OFF_LOOPBACK], ids=["loopback", "network"])
async def test_every_route_wants_what_its_row_says(config: object, method: str, path: str) -> None:
    needs = ROUTES[method, path]
    method = "POST" if method == "*" else method
    async with served(OFF_LOOPBACK if config is OFF_LOOPBACK else CONFIG) as edge:
        if needs == OPEN or (needs == LOOPBACK and config is CONFIG):
            assert await status(edge, method, path) == 200
            return
        if needs == LINK:  # there is nothing at an address that nobody was texted, whatever one shows
            for headers in ({}, bearer("operator-token")):
                assert await status(edge, method, path, headers) == 404
            return
        for headers in ({}, bearer("wrong"), bearer(""), {SECRET_HEADER: "wrong"}):
            assert await status(edge, method, path, headers) == 401
        if needs == OWN:
            for role in ROLES:
                assert await status(edge, method, path, bearer(f"{role}-token")) == 401
            return
        least = ROLES.index(OBSERVER if needs == LOOPBACK else needs)
        for rank, role in enumerate(ROLES):
            allowed = await status(edge, method, path, bearer(f"{role}-token")) not in (401, 403)
            assert allowed == (rank >= least)


async def test_the_credential_of_a_source_is_no_api_token(edge: Edge) -> None:
    assert await status(edge, "GET", "/api/v1/sms", bearer("am-token")) == 401


async def test_without_api_tokens_the_answer_says_how_to_add_one() -> None:
    async with served(replace(CONFIG, api_tokens={})) as edge:
        answer = await edge.client.get("/api/v1/sms", headers=bearer("observer-token"))
        assert answer.status == 401
        assert "api.tokens" in (await answer.json(content_type=None))["detail"]


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES))
async def test_no_route_redirects_in_either_spelling(edge: Edge, method: str, path: str) -> None:
    for spelling in (path, path.rstrip("/") + "/", path + "//"):
        for tried in ("GET", "HEAD", "POST", "PUT"):
            assert not 300 <= await status(edge, tried, spelling, bearer("operator-token")) < 400


async def test_a_wrong_method_is_told_as_a_problem(edge: Edge) -> None:
    answer = await edge.client.delete("/api/v1/sms", headers=bearer("operator-token"))
    assert (answer.status, answer.content_type) == (405, "application/problem+json")
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


async def test_ready_says_why_not(edge: Edge) -> None:
    assert (await edge.client.get("/-/ready")).status == 200
    edge.not_ready.append("the database cannot be written")
    answer = await edge.client.get("/readyz")
    assert answer.status == 503
    assert (await answer.json(content_type=None))["detail"] == "the database cannot be written"
    assert (await edge.client.get("/healthz")).status == 200


async def test_a_bad_config_is_not_loaded_and_said(edge: Edge) -> None:
    assert (await edge.client.post("/-/reload", headers=bearer("operator-token"))).status == 200
    edge.reload_problems.append("config.yaml:3: server.listen: not an address")
    answer = await edge.client.post("/-/reload", headers=bearer("operator-token"))
    assert answer.status == 500
    assert "config.yaml:3" in await answer.text()


async def test_metrics_count_the_outbox_as_it_is(edge: Edge) -> None:
    answer = await edge.client.get("/metrics")
    text = await answer.text()
    assert 'sms_bridge_outbox_depth{state="planned"} 3.0' in text
    assert 'sms_bridge_outbox_depth{state="sending"} 0.0' in text
    assert 'sms_bridge_incidents{state="triggered"} 1.0' in text


async def test_metrics_are_shown_without_a_database_too(edge: Edge) -> None:
    edge.outbox.stores = False
    answer = await edge.client.get("/metrics")
    assert answer.status == 200
    assert "sms_bridge_build_info" in await answer.text()


async def test_the_names_of_strangers_never_become_labels(edge: Edge) -> None:
    await edge.client.post("/webhooks/surprise", data=b"{}")
    text = await (await edge.client.get("/metrics")).text()
    assert 'source="unknown"' in text
    assert "surprise" not in text


async def test_telegram_is_heard_by_its_secret(edge: Edge) -> None:
    headers = {SECRET_HEADER: "telegram-secret"}
    assert (await edge.client.post("/telegram/updates", data=b'{"update_id": 1}', headers=headers)).status == 200
    assert edge.updates == [("telegram-secret", b'{"update_id": 1}')]
    assert (await edge.client.post("/telegram/elsewhere", data=b"{}", headers=headers)).status == 404


async def test_the_pages_need_nothing_from_elsewhere(edge: Edge) -> None:
    for path in ("/", "/docs"):
        answer = await edge.client.get(path)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "http://" not in await answer.text()
        assert "https://" not in await answer.text()


async def test_the_api_is_described_whole(edge: Edge) -> None:
    described = {(operation.method, operation.path) for operation in OPERATIONS}
    assert described == {(method, path) for method, path in ROUTES if path.startswith("/api/")}
    answer = await edge.client.get("/openapi.json")
    assert (await answer.json())["openapi"] == "3.1.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_is_only_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "sms.example.net", "127.0.0.1.example.net"])
def test_all_else_is_the_network(host: str) -> None:
    assert not is_loopback(host)
