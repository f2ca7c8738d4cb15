"""The page behind the link in an SMS: what fires, who has it, and buttons to say "I have it". Plain HTML, no script.

Looking at it changes nothing: phones and chats open links by themselves to show a preview. The unguessable address is
the whole credential, and no browser adds it to a stranger's form as it would a cookie, so a form carries no second one.
"""

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from urllib.parse import parse_qs

from aiohttp import web

from bridge.clock import Clock
from bridge.dispatcher import Dispatcher, LinkView, Verb
from bridge.domain.incident import IncidentState
from bridge.inquiries import Inquiries
from bridge.ports import NotStored
from bridge.texts import hour, length
from bridge.web.bodies import read_body
from bridge.web.problems import RETRY_AFTER, Problem

_TOKEN = re.compile(r"[0-9A-Za-z]{11}", re.ASCII)
_LARGEST_FORM = 1024
_PLACES_SHOWN = 6
_LONGEST_NAME = 300
_LONGEST_FACT = 1000
_BUTTONS = {
    Verb.ACKNOWLEDGE: ("Acknowledge", "You have it, and nobody else is called."),
    Verb.TAKE_OVER: ("Take it over", "You have it instead."),
    Verb.PASS_ON: ("Pass on", "The next is called now."),
    Verb.RESOLVE: ("Resolve", "It is over; its repeats page nobody."),
    Verb.HAND_BACK: ("Hand back", "Somebody else is called now."),
}
_FIRST = (Verb.ACKNOWLEDGE, Verb.TAKE_OVER)
_STYLE = (
    "*{box-sizing:border-box}"
    ":root{color-scheme:light dark;--back:#fff;--ink:#111;--soft:#555;--line:#bbb;--state:#c62828}"
    "body{margin:0;background:var(--back);color:var(--ink);font:20px/1.4 system-ui,sans-serif}"
    "main{max-width:30rem;margin:0 auto;padding:1.25rem 1.25rem 2rem}"
    ".acknowledged{--state:#b26a00}.resolved{--state:#2e7d32}.gone{--state:#777}"
    ".state{margin:0 0 1rem;padding:.6rem .9rem;border-left:.5rem solid var(--state);font-weight:700;font-size:1.1em}"
    "h1{margin:0 0 .75rem;font-size:1.2em;line-height:1.25;overflow-wrap:anywhere}"
    "p{margin:0 0 .75rem;overflow-wrap:anywhere}.soft{color:var(--soft)}"
    ".problem{padding:.6rem .9rem;border:2px solid var(--state);border-radius:.5rem;font-weight:700}"
    ".done{min-height:9rem;padding-top:.75rem}"
    "button{display:block;width:100%;min-height:4rem;margin:1rem 0 .25rem;padding:.5rem;border:2px solid var(--line);"
    "border-radius:.75rem;background:transparent;color:inherit;font:inherit;font-size:1.2em;font-weight:700}"
    "button.first{border-color:#1b5e20;background:#1b5e20;color:#fff}"
    "button:focus-visible{outline:3px solid #4a90d9;outline-offset:2px}"
    "small{display:block;color:var(--soft);text-align:center}"
    "@media(prefers-color-scheme:dark){:root{--back:#000;--ink:#eee;--soft:#aaa;--line:#666;--state:#ef5350}"
    ".acknowledged{--state:#ffb300}.resolved{--state:#66bb6a}}"
)
# Stands where *Acknowledge* stood: the second tap of a hasty thumb must not be *Resolve*.
_DONE = '<p class="done">Nobody else is called. You may close this page.</p>'
_HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="robots" content="noindex, nofollow"><meta name="referrer" content="no-referrer">'
    '<meta name="format-detection" content="telephone=no">'
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


class AnswerPage:
    """The handlers of `/a/{token}`. What leads nowhere, was never there or is over for a day answers all the same."""

    def __init__(self, dispatcher: Dispatcher, inquiries: Inquiries, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._inquiries = inquiries
        self._clock = clock

    async def show(self, request: web.Request) -> web.Response:
        try:
            view = await self._behind(request)
        except NotStored:
            return _failed()
        passed = Verb.PASS_ON in request.query
        return _shown(view, "The next is being called." if passed else "") if view else _nothing()

    async def press(self, request: web.Request) -> web.Response:
        """A button: then the page anew, by a redirect, so that loading it again presses nothing."""
        token = request.match_info["token"]
        try:
            if await self._behind(request) is None:  # a stranger who tries addresses must not make us write
                return _nothing()
            verb, called = _understood(await read_body(request, _LARGEST_FORM, self._clock))
            view = await self._dispatcher.answer_by_link(token, verb, called)
        except NotStored:
            return _failed()
        if view is None:
            return _nothing()
        if view.problem:
            return _shown(view, view.problem)
        # Seen from this address: a proxy may serve us below a path that we do not know.
        return web.Response(status=303, headers={**_HEADERS, "Location": f"?{verb}"})

    async def _behind(self, request: web.Request) -> LinkView | None:
        token = request.match_info["token"]
        return await self._inquiries.behind_link(token) if _TOKEN.fullmatch(token) else None


def _understood(body: bytes) -> tuple[Verb, int]:
    """Which button, and how many had been called when its page was made."""
    form = parse_qs(body.decode("ascii", "replace"))
    verb, called = (form.get(name, [""])[0] for name in ("verb", "called"))
    if verb not in set(Verb):
        raise Problem(400, f"verb: not one of {', '.join(Verb)}", errors=[("verb", f"one of {', '.join(Verb)}")])
    return Verb(verb), int(called) if re.fullmatch(r"\d{1,9}", called, re.ASCII) else -1


def _shown(view: LinkView, told: str = "") -> web.Response:
    incident = view.incident
    where = [*incident.places[:_PLACES_SHOWN]]
    if len(incident.places) > _PLACES_SHOWN:
        where.append(f"+{len(incident.places) - _PLACES_SHOWN}")
    name = " ".join((incident.title or "an alert without a name", *where))[:_LONGEST_NAME]
    since = f"since {hour(incident.started_at, view.now, view.zone)}, for {length(incident.lasted(view.now))}"
    lines = [
        f'<p class="state">{escape(_state(view))}</p>',
        f"<h1>#{incident.id} {escape(name)}</h1>",
        "<p>TEST, nothing is broken.</p>" if incident.test else "",
        f"<p>{escape(incident.fact[:_LONGEST_FACT])}</p>" if incident.fact else "",
        f'<p class="soft">{escape(" · ".join(filter(None, (incident.severity, since))))}</p>',
        f'<p class="problem" role="status">{escape(told)}</p>' if told else "",
        _DONE if Verb.RESOLVE in view.verbs else "",
        _form(view) if view.verbs else "",
    ]
    return _page(f"#{incident.id} {name}", incident.state, "".join(lines))


def _state(view: LinkView) -> str:
    incident = view.incident
    match incident.state:
        case IncidentState.TRIGGERED:
            return "Nobody has it yet"
        case IncidentState.ACKNOWLEDGED:
            has = "You have it" if view.mine else f"{view.holder} has it"
            return f"{has} since {hour(incident.acknowledged_at or view.now, view.now, view.zone)}"
        case IncidentState.RESOLVED:
            by = f", resolved by {incident.ended_by}" if incident.ended_by else ""
            return f"Over since {hour(incident.ended_at or view.now, view.now, view.zone)}{by}"


def _form(view: LinkView) -> str:
    """No action: it goes to the page's own address, whatever stands before it."""
    buttons = []
    for verb in view.verbs:
        label, what = _BUTTONS[verb]
        first = ' class="first"' if verb in _FIRST else ""
        buttons.append(f'<button name="verb" value="{verb}"{first}>{label}</button><small>{what}</small>')
    return f'<form method="post"><input type="hidden" name="called" value="{view.called}">{"".join(buttons)}</form>'


def _nothing() -> web.Response:
    told = "<h1>This link leads nowhere</h1><p>It may be too old: a link ends a day after its incident.</p>"
    return _page("This link leads nowhere", "gone", told, status=404)


def _failed() -> web.Response:
    """Nothing was changed: people do not read problem documents."""
    told = "<h1>That did not work</h1><p>Nothing was changed. Load this page again in a moment.</p>"
    page = _page("That did not work", "gone", told, status=503)
    page.headers["Retry-After"] = RETRY_AFTER
    return page


def _page(title: str, kind: str, body: str, status: int = 200) -> web.Response:
    head = f"{_HEAD}<title>{escape(title)}</title><style>{_STYLE}</style>"
    text = f'<!doctype html><html lang="en"><head>{head}</head><body class="{kind}"><main>{body}</main></body></html>'
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)
