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
    tokens = [secret.matches(token) for token in _bearer(authorization) for secret in credentials.tokens]
    pairs = [
        Secret(user).matches(name) & secret.matches(password)
        for name, password in _basic(authorization)
        for user, secret in credentials.basic
    ]
    return any(tokens) or any(pairs)


def token_of(authorization: Sequence[str], tokens: Mapping[str, ApiToken]) -> ApiToken | None:
    """The API token these headers show, if it is one of ours."""
    found = [token for shown in _bearer(authorization) for token in tokens.values() if token.secret.matches(shown)]
    return found[0] if found else None


def challenge(credentials: Credentials) -> str:
    """What would be right, for WWW-Authenticate."""
    schemes = ["Bearer"] if credentials.tokens else []
    schemes += ["Basic"] if credentials.basic else []
    return ", ".join(f'{scheme} realm="sms-bridge"' for scheme in schemes or ["Bearer"])


def _bearer(authorization: Sequence[str]) -> list[str]:
    shown = _shown(authorization, "bearer")
    return [shown] if shown else []


def _basic(authorization: Sequence[str]) -> list[tuple[str, str]]:
    try:
        decoded = base64.b64decode(_shown(authorization, "basic"), validate=True).decode()
    except (binascii.Error, ValueError):
        return []
    name, colon, password = decoded.partition(":")
    return [(name, password)] if colon and password else []


def _shown(authorization: Sequence[str], wanted: str) -> str:
    """What follows the scheme; nothing when two headers contradict each other."""
    if len(authorization) != 1:
        return ""
    scheme, _, shown = authorization[0].partition(" ")
    return shown.strip() if scheme.lower() == wanted else ""
