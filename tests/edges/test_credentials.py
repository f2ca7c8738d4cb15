"""Whose headers open a source, and whose an API."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import ApiToken, Credentials
from bridge.domain.house import Role
from bridge.domain.secret import Secret
from bridge.web.credentials import challenge, opened_by, token_of

BOTH = Credentials(tokens=(Secret("old-token"), Secret("new-token")), basic=(("am", Secret("pass:word")),))
TOKENS = {
    "scripts": ApiToken("scripts", Secret("s3cret"), Role.RESPONDER),
    "admin": ApiToken("admin", Secret("t0psecret"), Role.OPERATOR),
}


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    ["Bearer old-token", "Bearer new-token", "bearer new-token", "BEARER  new-token ", basic("am:pass:word")],
)
def test_any_valid_credential_opens_a_source(header: str) -> None:
    assert opened_by(BOTH, [header]) is not None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["old-token"],
        ["Bearer OLD-TOKEN"],
        ["Bearer old-token2"],
        ["Bearer old-toke"],
        ["Bearer pass:word"],
        ["Token old-token"],
        ["Bearer \udcff\udcfe"],
        ["Bearer old-token", "Bearer old-token"],
        ["Bearer old-token", "Basic x"],
        ["Basic"],
        ["Basic ???"],
        ["Basic " + base64.b64encode(b"\xff\xfe").decode()],
        [basic("am")],
        [basic("am:")],
        [basic("am:word")],
        [basic(":pass:word")],
        [basic("other:pass:word")],
        [basic("am:old-token")],
    ],
)
def test_nothing_else_does(headers: list[str]) -> None:
    assert opened_by(BOTH, headers) is None


def test_a_source_without_credentials_admits_nobody() -> None:
    assert opened_by(Credentials(), ["Bearer "]) is None
    assert opened_by(Credentials(), []) is None


def test_an_empty_secret_admits_nobody() -> None:
    assert opened_by(Credentials(tokens=(Secret(""),), basic=(("am", Secret("")),)), ["Bearer "]) is None
    assert opened_by(Credentials(basic=(("am", Secret("")),)), [basic("am:")]) is None


@given(st.text(max_size=30))
def test_no_guess_opens_a_source(guess: str) -> None:
    assert (opened_by(BOTH, [f"Bearer {guess}"]) is not None) == (guess.strip() in {"old-token", "new-token"})


def test_an_api_token_is_known_by_its_secret() -> None:
    found = token_of(["Bearer t0psecret"], TOKENS)
    assert found is TOKENS["admin"]


@pytest.mark.parametrize("headers", [[], ["Bearer "], ["Bearer admin"], ["t0psecret"], [basic("admin:t0psecret")]])
def test_any_other_api_token_is_nobodys(headers: list[str]) -> None:
    assert token_of(headers, TOKENS) is None


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        (Credentials(tokens=(Secret("t"),)), 'Bearer realm="sms-bridge"'),
        (Credentials(basic=(("a", Secret("t")),)), 'Basic realm="sms-bridge"'),
        (BOTH, 'Bearer realm="sms-bridge", Basic realm="sms-bridge"'),
    ],
)
def test_a_refusal_says_what_would_be_right(credentials: Credentials, told: str) -> None:
    assert challenge(credentials) == told
