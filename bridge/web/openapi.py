"""The API described: an OpenAPI 3.1 document made from the shapes, and a plain page to read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bridge import __version__
from bridge.domain.costs import By
from bridge.domain.notification import State
from bridge.web import shapes

_SHAPE = "#/components/schemas/{model}"
_STATES = ", ".join(State)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request that scripts may make: what it takes, what it answers when it goes well."""

    method: str
    path: str
    summary: str
    status: int
    answer: type[BaseModel]
    takes: type[BaseModel] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of these parameters, all there are
    looks: type[BaseModel] | None = None  # what it answers to preview=1
    refusals: tuple[int, ...] = (401,)


OPERATIONS = (
    Operation(
        "POST", "/api/v1/sms", "Send one SMS. 200 when the idempotency key was seen before. Takes a responder; "
        "a number that is not in the config takes an operator.",
        202, shapes.Sms, takes=shapes.NewSms,
        query={"preview": "1: only say what would be sent, and whether a limit lets it out; keeps and sends nothing"},
        choices={"preview": shapes.FLAG}, looks=shapes.SmsPreview, refusals=(400, 401, 403, 503),
    ),
    Operation(
        "GET", "/api/v1/sms", "Notifications, the newest first.", 200, shapes.SmsPage,
        query={"state": f"one of {_STATES}", "to": "a person's name or a number", "cursor": "`next` of the last page"},
        refusals=(400, 401),
    ),
    Operation("GET", "/api/v1/sms/{id}", "One SMS and its timeline.", 200, shapes.SmsWhole, refusals=(401, 404)),
    Operation(
        "GET", "/api/v1/incidents", "Open incidents, the newest first.", 200, shapes.IncidentList,
        query={"all": "true: the ended ones too", "since": "7d, 1h or an RFC 3339 time; the ended ones too"},
        refusals=(400, 401),
    ),
    Operation(
        "GET", "/api/v1/incidents/{id}", "One incident with its plan and timeline.", 200, shapes.IncidentWhole,
        refusals=(401, 404),
    ),
    Operation(
        "POST", "/api/v1/incidents/{id}/acknowledge", "You have it: nobody else is called. 409 when it is over. Takes "
        "a responder and no body.", 200, shapes.IncidentWhole, refusals=(401, 403, 404, 409, 503),
    ),
    Operation(
        "POST", "/api/v1/incidents/{id}/resolve", "It is over, until it begins anew. Takes a responder and no body.",
        200, shapes.IncidentWhole, refusals=(401, 403, 404, 503),
    ),
    Operation(
        "GET", "/api/v1/receipts", "Webhooks that arrived and what became of them, the newest first.",
        200, shapes.ReceiptList, query={"since": "7d, 1h or an RFC 3339 time; 1d when absent"}, refusals=(400, 401),
    ),
    Operation("GET", "/api/v1/receipts/{id}", "One webhook.", 200, shapes.ReceiptItem, refusals=(401, 404)),
    Operation(
        "POST", "/api/v1/receipts/{id}/replay", "Put a stored webhook, but no beat, through again. Takes an operator.",
        202, shapes.ReceiptKept, refusals=(401, 403, 404, 409, 503),
    ),
    Operation("GET", "/api/v1/balance", "Money left at Mobizon.", 200, shapes.BalanceNow, refusals=(401, 503)),
    Operation(
        "GET", "/api/v1/credentials", "Which credential of the config was last shown when.",
        200, shapes.CredentialList, refusals=(400, 401),
    ),
    Operation(
        "GET", "/api/v1/bill", "What a month cost, by the time an SMS left.", 200, shapes.BillOfMonth,
        query={"month": "2026-11; this one when absent", "by": f"what its lines stand for, one of {', '.join(By)}",
               "ids": "true: the Mobizon ids of its SMS, and of those of the days around it"},
        refusals=(400, 401),
    ),
)  # fmt: skip


def document() -> dict[str, Any]:
    """The OpenAPI document of this version."""
    models: list[type[BaseModel]] = [shapes.ProblemDocument, shapes.NewSms, *(op.answer for op in OPERATIONS)]
    models += [op.looks for op in OPERATIONS if op.looks]
    told = dict.fromkeys(models)
    _, schemas = models_json_schema([(model, "validation") for model in told], ref_template=_SHAPE)
    paths: dict[str, dict[str, Any]] = {}
    for op in OPERATIONS:
        paths.setdefault(op.path, {})[op.method.lower()] = _described(op)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sms-bridge", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "One of api.tokens."}},
        },
        "security": [{"token": []}],
    }


def _described(op: Operation) -> dict[str, Any]:
    answers = {str(op.status): _content("As asked.", op.answer)}
    if op.takes is not None:
        answers["200"] = _content("It was there before, or was only looked at.", op.answer, op.looks)
    for status in op.refusals:
        answers[str(status)] = _content("Refused.", shapes.ProblemDocument, kind="application/problem+json")
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": text, "schema": _string(op.choices.get(name))}
        for name, text in op.query.items()
    ]
    if "{id}" in op.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}})
    told: dict[str, Any] = {"summary": op.summary, "responses": answers, "parameters": parameters}
    if op.takes is not None:
        told["requestBody"] = {"required": True, **_content("", op.takes)}
        del told["requestBody"]["description"]
    return told


def _string(choices: Sequence[str] | None) -> dict[str, Any]:
    return {"type": "string"} | ({"enum": list(choices)} if choices else {})


def _content(description: str, *models: type[BaseModel] | None, kind: str = "application/json") -> dict[str, Any]:
    """One of these models; None stands for none."""
    schemas = [{"$ref": _SHAPE.format(model=model.__name__)} for model in models if model is not None]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"description": description, "content": {kind: {"schema": schema}}}


# Neither page needs anything but itself: no script, no font, no picture from elsewhere.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "code{font-family:ui-monospace,monospace}dt{margin-top:1rem}dd{margin-left:1.5rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}"
)


class Pages:
    """`/`, `/docs` and `/openapi.json`; made once."""

    def __init__(self) -> None:
        self._document = orjson.dumps(document())
        self._docs = _page("The API of sms-bridge", _DOCS.format(operations="".join(map(_listed, OPERATIONS))))
        self._home = _page("sms-bridge", _HOME)

    async def home(self, request: web.Request) -> web.Response:
        return _html(self._home)

    async def docs(self, request: web.Request) -> web.Response:
        return _html(self._docs)

    async def openapi(self, request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")


_HOME = (
    f"<p>Version {escape(__version__)}. Alerts come in at <code>/webhooks/</code>, SMS go out through Mobizon, "
    "and the chat shows what became of them.</p>"
    '<ul><li><a href="/docs">The API</a>, also as <a href="/openapi.json">OpenAPI</a></li>'
    '<li><a href="/-/ready">Ready?</a></li><li><a href="/metrics">Metrics</a></li></ul>'
)
_DOCS = (
    "<p>Every request shows a token of <code>api.tokens</code>: <code>Authorization: Bearer …</code>. Times are "
    "RFC 3339 in UTC. Refusals are <code>application/problem+json</code> and name the field. Every shape stands in "
    '<a href="/openapi.json">openapi.json</a>.</p><dl>{operations}</dl>'
)


def _listed(op: Operation) -> str:
    takes = [] if op.takes is None else [f"Takes JSON: {', '.join(op.takes.model_fields)}."]
    takes += [f"{name}: {text}." for name, text in op.query.items()]
    lines = "".join(f"<dd>{escape(line)}</dd>" for line in [op.summary, *takes])
    return f"<dt><code>{op.method} {escape(op.path)}</code></dt>{lines}"


def _page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{title}</h1>{body}</body></html>'


def _html(page: str) -> web.Response:
    return web.Response(text=page, content_type="text/html", headers=_HEADERS)
