"""Alertmanager's API v2, as far as silences need it: made, ended, and whether the alerts under one still fire.

Asking twice must not silence twice, and the API has no key against that: so our reference stands in the comment, and
the list is looked through before anything is made or ended. An ended silence stays in that list for days.
"""

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import httpx

from bridge.config import Config
from bridge.config.values import SourceSettings
from bridge.domain.incident import Incident
from bridge.domain.silence import Silence
from bridge.ports import Live, Lost, Refused

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_PATIENCE = 15.0  # seconds, for a whole answer
_LARGEST = 16 * 1024 * 1024  # 10 000 alerts are 7 MB
_LONGEST_REASON = 200
_NOT_NOW = {408, 425, 429}  # of the 4xx, what may be answered otherwise later


class Alertmanager:
    """ports.Silencer. Only addresses of the config are called, each with the token that stands beside it."""

    def __init__(self, config: Live[Config], transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._config = config
        self._transport = transport

    async def create(self, silence: Silence, incident: Incident, by: str) -> str | Refused | Lost:
        """Make it, or find that it was made before; what Alertmanager calls it."""
        known = await self._ours(silence, incident)
        if not isinstance(known, dict):
            return known
        if known:
            return next(iter(known))
        if not incident.shares_a_name:  # what has joined meanwhile would widen it to alerts of anybody's
            return Refused("its alerts are not called the same any more")
        wish = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in incident.labels.items()
            ],
            "startsAt": silence.asked_at.isoformat(),
            "endsAt": silence.ends_at.isoformat(),
            "createdBy": f"{by} via sms-bridge",
            "comment": f"incident #{incident.id} ({silence.reference})",
        }
        answer = await self._call(incident.source, "POST", "/silences", body=wish)
        if isinstance(answer, Refused | Lost):
            return answer
        made = answer.get("silenceID") if isinstance(answer, dict) else None
        return made if isinstance(made, str) and made else Lost("it answered something else than a silence")

    async def end(self, silence: Silence, incident: Incident) -> Refused | Lost | None:
        """End it, however often it was made; None: it holds no longer."""
        known = await self._ours(silence, incident, also_ended=True)
        if not isinstance(known, dict):
            return known
        if silence.source_id and silence.source_id not in known:
            return Lost("it does not list the silence")  # the other one of a pair hears of it a moment later
        for source_id, state in known.items():
            if state != "expired":
                answer = await self._call(incident.source, "DELETE", f"/silence/{source_id}")
                if isinstance(answer, Refused | Lost):
                    return answer
        return None

    async def fires(self, incident: Incident, fingerprints: Collection[str]) -> bool | Refused | Lost:
        """Whether any of these alerts, or any other with the incident's labels, fires: silenced or not."""
        listed = await self._call(incident.source, "GET", "/alerts", narrow=incident.labels)
        if isinstance(listed, Refused | Lost):
            return listed
        if not isinstance(listed, list):
            return Lost("it answered something else than a list of alerts")
        for alert in listed:
            labels = alert.get("labels") if isinstance(alert, dict) else None
            if not isinstance(labels, dict):
                return Lost("it answered something else than a list of alerts")
            if alert.get("fingerprint") in fingerprints or incident.labels.items() <= labels.items():
                return True
        return False

    async def _ours(
        self, silence: Silence, incident: Incident, *, also_ended: bool = False
    ) -> dict[str, str] | Refused | Lost:
        """The silences with our reference, each with its state."""
        listed = await self._call(incident.source, "GET", "/silences", narrow=incident.labels)
        if isinstance(listed, Refused | Lost):
            return listed
        known: dict[str, str] = {}
        for one in listed if isinstance(listed, list) else [None]:
            match one:
                case {"id": str(source_id), "comment": str(comment), "status": {"state": str(state)}}:
                    if f"({silence.reference})" in comment and (also_ended or state != "expired"):
                        known[source_id] = state
                case _:
                    return Lost("it answered something else than a list of silences")
        return known

    async def _call(
        self, source: str, method: str, path: str, *, body: Any = None, narrow: Mapping[str, str] | None = None
    ) -> Any:
        """What it answered, decoded; Refused: it will never do this, Lost: it did not say."""
        settings = self._config.value.sources.get(source)
        if settings is None or settings.api_url is None:
            return Refused(f"sources.{source}.api_url is no longer in the config")
        return await call(settings, method, path, body=body, narrow=narrow, transport=self._transport)


async def call(
    settings: SourceSettings,
    method: str,
    path: str,
    *,
    body: Any = None,
    narrow: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Any:
    """One request to the API of this source, and its JSON; Refused or Lost when there is none."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}  # unpacked, a small answer could be huge
    if settings.api_token:
        headers["Authorization"] = f"Bearer {settings.api_token.reveal()}"
    # A client of its own for each request: a cancelled one may cost it a connection, and nothing else.
    client = httpx.AsyncClient(
        timeout=_TIMEOUT, trust_env=False, follow_redirects=False, headers=headers, transport=transport
    )
    try:
        async with (
            asyncio.timeout(_PATIENCE),
            client as http,
            http.stream(
                method, f"{settings.api_url}/api/v2{path}", json=body, params=_narrowed(narrow or {})
            ) as answer,
        ):
            content = b""
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > _LARGEST:
                    return Lost("its answer is larger than 16 MiB")
    except TimeoutError:
        return Lost("it took too long to answer")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Lost(f"it did not answer ({type(error).__name__})")
    return _understood(answer.status_code, content)


def _narrowed(labels: Mapping[str, str]) -> dict[str, str]:
    """Lists only what has this alertname: a filter that Alertmanager understands in every version, or none."""
    name = labels.get("alertname", "")
    return {"filter": f'alertname="{name}"'} if _PLAIN.fullmatch(name) else {}


_PLAIN = re.compile(r"[\w .:/-]{1,200}")


def _understood(status: int, content: bytes) -> Any:
    if 300 <= status < 400:
        return Refused("its API has moved; put the new address into api_url")
    if status in (401, 403):
        return Refused(f"it does not let us in ({status}); set api_token")
    if 400 <= status < 500 and status not in _NOT_NOW:
        return Refused(f"it answered {status}{_reason(content)}")
    if not 200 <= status < 300:
        return Lost(f"it answered {status}")
    try:
        return json.loads(content) if content.strip() else None
    except (ValueError, RecursionError):
        return Lost("it answered something that is not JSON")


def _reason(content: bytes) -> str:
    """What it says itself, in one short line."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    words = told.get("message") if isinstance(told, dict) else told
    if not isinstance(words, str):
        return ""
    return ": " + " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())[:_LONGEST_REASON]
