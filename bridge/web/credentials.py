"""Who sends this: decided from the request's headers alone, so that a stranger's body is never read."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.clock import Clock
from bridge.config import ApiToken, Config, Credentials
from bridge.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Shown:
    """One credential of the config: whose, which of them, and when it was last shown; None: not since the start."""

    owner: str
    which: str
    last_used: datetime | None


class LastUse:
    """When each credential was last shown, since this process began: after a rotation, whether the old one still is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: dict[tuple[str, Secret], datetime] = {}
        self.since = clock.now()

    def note(self, owner: str, secret: Secret) -> None:
        """That it was shown now; `owner` is where it stands in the config, as `sources.alertmanager`."""
        self._at[owner, secret] = self._clock.now()

    def of(self, config: Config) -> Iterator[Shown]:
        """Every credential of the config, in its order."""
        for name, source in config.sources.items():
            owner, known = f"sources.{name}", source.credentials
            for kind, secrets in (("token", known.tokens), ("basic pair", [password for _, password in known.basic])):
                for n, secret in enumerate(secrets, 1):
                    yield Shown(owner, f"{kind} {n} of {len(secrets)}", self._at.get((owner, secret)))
        for name, token in config.api_tokens.items():
            yield Shown(f"api.tokens.{name}", "token", self._at.get((f"api.tokens.{name}", token.secret)))


def opened_by(credentials: Credentials, authorization: Sequence[str]) -> Secret | None:
    """The credential that these Authorization headers show; every one is compared, in constant time."""
    scheme, shown = _shown(authorization)
    matches: list[tuple[bool, Secret]] = []
    if scheme == "bearer" and shown:
        matches = [(secret.matches(shown), secret) for secret in credentials.tokens]
    elif scheme == "basic" and (pair := _pair(shown)):
        name, password = pair
        matches = [(Secret(u).matches(name) & secret.matches(password), secret) for u, secret in credentials.basic]
    return next((secret for fits, secret in matches if fits), None)


def token_of(authorization: Sequence[str], tokens: Mapping[str, ApiToken]) -> ApiToken | None:
    """The API token these headers show, if it is one of ours."""
    scheme, shown = _shown(authorization)
    if scheme != "bearer" or not shown:
        return None
    found = [token for token in tokens.values() if token.secret.matches(shown)]
    return found[0] if found else None


def challenge(credentials: Credentials) -> str:
    """What would be right, for WWW-Authenticate."""
    schemes = ["Bearer"] if credentials.tokens else []
    schemes += ["Basic"] if credentials.basic else []
    return ", ".join(f'{scheme} realm="sms-bridge"' for scheme in schemes or ["Bearer"])


def _pair(shown: str) -> tuple[str, str] | None:
    try:
        decoded = base64.b64decode(shown, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(":")
    return (name, password) if colon and password else None


def _shown(authorization: Sequence[str]) -> tuple[str, str]:
    """The scheme and what follows it; nothing when two headers contradict each other."""
    if len(authorization) != 1:
        return "", ""
    scheme, _, shown = authorization[0].partition(" ")
    return scheme.lower(), shown.strip()
