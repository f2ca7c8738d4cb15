"""The two aiohttp applications: one for `server.listen` with everything, one that may face the internet."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from aiohttp import web

from bridge.clock import Clock
from bridge.config import Config
from bridge.dispatcher import Dispatcher
from bridge.domain.house import Role
from bridge.inquiries import Inquiries
from bridge.metrics import Metrics
from bridge.ports import Live, Store
from bridge.web import bodies, credentials
from bridge.web.answer_page import AnswerPage
from bridge.web.api import TOKEN, Api
from bridge.web.credentials import LastUse
from bridge.web.openapi import Pages
from bridge.web.operations import Operations, Ready, Reload
from bridge.web.problems import Handler, Problem, as_problems
from bridge.web.reports import DeliveryReports
from bridge.web.telegram import TelegramWebhook, UpdateReceiver
from bridge.web.webhooks import Webhooks

_EVERY_METHOD = "*"


class Access(Enum):
    """Who may make a request."""

    ANYBODY = "anybody"
    OWN = "whoever shows the credential that its own handler wants"
    LINK = "whoever was texted its address; there is nothing at any other"
    LOOPBACK = "anybody while we listen on loopback, else any API token"
    OBSERVER = Role.OBSERVER
    RESPONDER = Role.RESPONDER
    OPERATOR = Role.OPERATOR


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route; `public` ones are served on `server.public_listen` too. GET answers HEAD as well."""

    method: str
    path: str
    access: Access
    handler: Handler
    public: bool = False


def build_apps(
    config: Live[Config],
    dispatcher: Dispatcher,
    inquiries: Inquiries,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    *,
    reload: Reload,
    ready: Ready,
    telegram_webhook: UpdateReceiver | None = None,
) -> tuple[web.Application, web.Application | None]:
    """The application of `server.listen`, and the one of `server.public_listen` when the config has it.

    Run them without access log (it would write paths with tokens) and without handler cancellation (a
    receipt is stored although its sender left).
    """
    last_use = LastUse(clock)
    webhooks = Webhooks(config, dispatcher, clock, metrics, last_use)
    api = Api(config, dispatcher, inquiries, clock, last_use)
    operations = Operations(store, clock, metrics, reload, ready)
    pages = Pages()
    answers = AnswerPage(dispatcher, inquiries, clock)
    endpoints = [
        Endpoint(_EVERY_METHOD, "/webhooks/{source}", Access.OWN, webhooks.receive, public=True),
        Endpoint(_EVERY_METHOD, "/webhooks/{source}/{route}", Access.OWN, webhooks.receive, public=True),
        Endpoint("GET", "/a/{token}", Access.LINK, answers.show, public=True),
        Endpoint("POST", "/a/{token}", Access.LINK, answers.press, public=True),
        Endpoint("POST", "/api/v1/sms", Access.RESPONDER, api.send_sms),
        Endpoint("GET", "/api/v1/sms", Access.OBSERVER, api.list_sms),
        Endpoint("GET", "/api/v1/sms/{id}", Access.OBSERVER, api.sms),
        Endpoint("GET", "/api/v1/incidents", Access.OBSERVER, api.list_incidents),
        Endpoint("GET", "/api/v1/incidents/{id}", Access.OBSERVER, api.incident),
        Endpoint("POST", "/api/v1/incidents/{id}/acknowledge", Access.RESPONDER, api.acknowledge),
        Endpoint("POST", "/api/v1/incidents/{id}/resolve", Access.RESPONDER, api.resolve),
        Endpoint("GET", "/api/v1/receipts", Access.OBSERVER, api.list_receipts),
        Endpoint("GET", "/api/v1/receipts/{id}", Access.OBSERVER, api.receipt),
        Endpoint("POST", "/api/v1/receipts/{id}/replay", Access.OPERATOR, api.replay),
        Endpoint("GET", "/api/v1/balance", Access.OBSERVER, api.balance),
        Endpoint("GET", "/api/v1/credentials", Access.OBSERVER, api.credentials),
        Endpoint("GET", "/api/v1/bill", Access.OBSERVER, api.bill),
        Endpoint("GET", "/-/healthy", Access.ANYBODY, operations.healthy, public=True),
        Endpoint("GET", "/healthz", Access.ANYBODY, operations.healthy),
        Endpoint("GET", "/-/ready", Access.ANYBODY, operations.ready),
        Endpoint("GET", "/readyz", Access.ANYBODY, operations.ready),
        Endpoint("POST", "/-/reload", Access.OPERATOR, operations.reload),
        Endpoint("GET", "/metrics", Access.LOOPBACK, operations.metrics),
        Endpoint("GET", "/openapi.json", Access.LOOPBACK, pages.openapi),
        Endpoint("GET", "/docs", Access.LOOPBACK, pages.docs),
        Endpoint("GET", "/", Access.LOOPBACK, pages.home),
    ]
    if config.value.mobizon.report_token is not None:
        reports = DeliveryReports(config, dispatcher, clock)
        path = "/delivery-reports/mobizon/{token}"
        endpoints.append(Endpoint("POST", path, Access.OWN, reports.receive, public=True))
    if telegram_webhook is not None:
        telegram = TelegramWebhook(config, clock, telegram_webhook)
        endpoints.append(Endpoint("POST", "/telegram/{path}", Access.OWN, telegram.receive, public=True))
    server = config.value.server
    public = _application([e for e in endpoints if e.public], config, last_use, on_loopback=False)
    on_loopback = is_loopback(server.listen[0])
    return _application(endpoints, config, last_use, on_loopback=on_loopback), public if server.public_listen else None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _application(
    endpoints: Iterable[Endpoint], config: Live[Config], last_use: LastUse, *, on_loopback: bool
) -> web.Application:
    app = web.Application(middlewares=[as_problems])
    for endpoint in endpoints:
        handler = _guarded(endpoint, config, last_use, on_loopback=on_loopback)
        # Both spellings are served: a redirect to the other one would lose a POST.
        for path in dict.fromkeys((endpoint.path, endpoint.path.rstrip("/") + "/")):
            resource = app.router.add_resource(path)
            for method in ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,):
                resource.add_route(method, handler, expect_handler=bodies.uninvited)
    return app


def _guarded(endpoint: Endpoint, config: Live[Config], last_use: LastUse, *, on_loopback: bool) -> Handler:
    """The handler, behind a check of the API token; a body is never read before."""
    match endpoint.access:
        case Access.ANYBODY | Access.OWN | Access.LINK:
            return endpoint.handler
        case Access.LOOPBACK:
            if on_loopback:
                return endpoint.handler
            needed = Role.OBSERVER
        case _:
            needed = Role(endpoint.access.value)

    async def guarded(request: web.Request) -> web.StreamResponse:
        tokens = config.value.api_tokens
        token = credentials.token_of(request.headers.getall("Authorization", []), tokens)
        if token is None:
            told = "no or a wrong API token" if tokens else _NO_TOKENS
            raise Problem(401, told, headers={"WWW-Authenticate": 'Bearer realm="sms-bridge"'})
        if token.role < needed:
            has, wanted = (role.name.lower() for role in (token.role, needed))
            raise Problem(403, f"token {token.name} has the role {has}; this takes {wanted}")
        last_use.note(f"api.tokens.{token.name}", token.secret)
        request[TOKEN] = token
        return await endpoint.handler(request)

    return guarded


_NO_TOKENS = (
    "the config has no API token; add one, such as api.tokens.scripts: {token_file: FILE, role: responder}, and reload"
)
