"""Our own HTTP API, as the command line uses it: asks a running bridge, and says in one sentence why it could not."""

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from bridge import __version__
from bridge.clock import Clock
from bridge.config import Config
from bridge.domain.house import Role
from bridge.domain.notification import State
from bridge.domain.secret import Secret

TOKEN_VARIABLE = "SMS_BRIDGE_API_TOKEN"  # noqa: S105 - the name of the variable, not what is in it

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)  # /balance waits for Mobizon, which has 20 s
_BETWEEN_LOOKS = 0.5  # seconds; somebody is watching
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to knock when it listens everywhere


class CannotAsk(Exception):
    """The bridge could not be asked, or said no; one sentence for whoever typed the command."""


class NotThere(CannotAsk):
    """The bridge has no such thing."""


class NoAnswer(CannotAsk):
    """The request may have arrived: no answer came."""


def address(config: Config) -> str:
    """Where the bridge of this config answers, seen from its own machine."""
    host, port = config.server.listen
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def api_token(
    config: Config,
    needed: Role,
    *,
    file: Path | None = None,
    name: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Secret:
    """What we show: the file, the named token, the environment, else the config's first that may do it.

    Raises CannotAsk naming the key that is missing.
    """
    told = (os.environ if environ is None else environ).get(TOKEN_VARIABLE, "")
    if file is not None:
        try:
            written = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CannotAsk(f"{file}: the token cannot be read ({getattr(error, 'strerror', 'not text')})") from error
        if not written:
            raise CannotAsk(f"{file}: empty; it should hold an API token")
        return Secret(written.splitlines()[0].strip())
    if name is not None:
        if name not in config.api_tokens:
            known = ", ".join(config.api_tokens) or "none yet"
            raise CannotAsk(f"api.tokens has no {name}; there are: {known}")
        return config.api_tokens[name].secret
    if told:
        return Secret(told)
    able = next((token.secret for token in config.api_tokens.values() if token.role >= needed), None)
    if able is None:
        role = needed.name.lower()
        raise CannotAsk(
            f"no API token with the role {role}; add api.tokens.scripts: {{token_file: FILE, role: {role}}} "
            f"to the config and reload, or give --token-file or {TOKEN_VARIABLE}"
        )
    return able


class Client:
    """Asks one bridge. Use as an async context manager."""

    def __init__(self, url: str, token: Secret | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {b"User-Agent": f"sms-bridge/{__version__}".encode()}
        if token is not None:  # as bytes: what is no ASCII is the bridge's to refuse
            headers[b"Authorization"] = f"Bearer {token.reveal()}".encode("utf-8", "surrogateescape")
        # Proxies and .netrc of the environment would be shown the token.
        self._http = httpx.AsyncClient(headers=headers, timeout=_TIMEOUT, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **parameters: str) -> Any:
        """The JSON at this path. Raises CannotAsk."""
        return await self._ask("GET", path, params=parameters)

    async def post(self, path: str, content: Mapping[str, Any] | None = None) -> Any:
        """What the bridge answers to this. Raises CannotAsk; NoAnswer when it may have arrived all the same."""
        return await self._ask("POST", path, json=content)

    async def follow(self, number: int, clock: Clock, tell: Callable[[Mapping[str, Any]], None]) -> Any:
        """Look at an SMS until it has reached its end, telling of every look; the last one is the answer."""
        while True:
            try:
                sms = await self.get(f"/api/v1/sms/{number}")
            except CannotAsk as error:
                raise CannotAsk(f"#{number} was handed over; then: {error}; later: sms-bridge show {number}") from error
            tell(sms)
            if State(sms["state"]).is_final:
                return sms
            await clock.wait(_BETWEEN_LOOKS)

    async def _ask(self, method: str, path: str, **content: Any) -> Any:
        try:
            answer = await self._http.request(method, self.url + path, **content)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise CannotAsk(
                f"no sms-bridge answers at {self.url}; start it with sms-bridge run, or name another with --url"
            ) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise CannotAsk(f"{self.url} is not an address; write it like http://127.0.0.1:9877") from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"{self.url} gave no answer ({type(error).__name__})") from error
        if answer.is_success:
            try:
                return answer.json()
            except ValueError as error:
                raise CannotAsk(f"what answers at {self.url} is no sms-bridge") from error
        raise self._refused(answer)

    def _refused(self, answer: httpx.Response) -> CannotAsk:
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            return CannotAsk(f"what answers at {self.url} is no sms-bridge (HTTP {answer.status_code})")
        if answer.status_code == 404:
            return NotThere(detail)
        if answer.status_code == 401:
            return CannotAsk(f"the bridge at {self.url} refuses us: {detail}")
        after = answer.headers.get("Retry-After")
        return CannotAsk(f"{detail}; try again in {after} s" if after else detail)


async def clock_difference(url: str, clock: Clock) -> timedelta | None:
    """How far our clock is ahead of the one behind this URL; None when it does not say. Nothing secret is sent."""
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as http:
            answer = await http.head(url)
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError):
        return None
    return _whole_seconds(clock.now()) - theirs


def _whole_seconds(moment: datetime) -> datetime:
    """A Date header has no fractions."""
    return moment.replace(microsecond=0)
