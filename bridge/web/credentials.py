"""Who sends this: decided from the request's headers alone, so that a stranger's body is never read."""

import base64
import binascii
from collections.abc import Mapping, Sequence

from bridge.config import ApiToken, Credentials
from bridge.domain.secret import Secret


def admits(credentials: Credentials, authorization: Sequence[str]) -> bool:
    """Whether these Authorization headers open a source. Every credential is compared, in constant time."""
    if credentials.open:
        return True
    scheme, shown = _shown(authorization)
    matches: list[bool] = []
    if scheme == "bearer" and shown:
        matches = [secret.matches(shown) for secret in credentials.tokens]
    elif scheme == "basic" and (pair := _pair(shown)):
        name, password = pair
        matches = [Secret(user).matches(name) & secret.matches(password) for user, secret in credentials.basic]
    return any(matches)


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
