"""Alertmanager's API v2 as an edge: what each answer means, and what never happens whatever it answers."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import Config
from bridge.config.values import Credentials, MobizonSettings, ServerSettings, SourceSettings, StorageSettings
from bridge.domain.house import House
from bridge.domain.secret import Secret
from bridge.domain.silence import Silence, SilenceState
from bridge.ports import Live, Lost, Refused
from bridge.silences import Alertmanager
from tests.storage.values import HOUR, NOW, incident

URL = "http://alertmanager.example.net:9093/prefix"
INCIDENT = incident(17, labels={"alertname": "HostDown", "instance": 'a "b" \\ c'})
WISH = Silence(17, SilenceState.WANTED, "jonas", NOW, NOW + HOUR, "0123456789abcdef", NOW)
Answer = Callable[[httpx.Request], httpx.Response]


def edge(answer: Answer, *, url: str | None = URL, token: str | None = "s3cret") -> Alertmanager:
    source = SourceSettings(
        "alertmanager", "alertmanager", Credentials(open=True), url, Secret(token) if token else None
    )
    config = Config(
        House(),
        ServerSettings(),
        StorageSettings(Path("bridge.db")),
        MobizonSettings("", Secret("")),
        None,
        {"alertmanager": source},
        {},
    )
    return Alertmanager(Live(config), httpx.MockTransport(answer))


def says(value: Any, status: int = 200) -> Answer:
    return lambda _: said(value, status)


def said(value: Any, status: int = 200) -> httpx.Response:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return httpx.Response(status, stream=httpx.ByteStream(content))


async def everything(answer: Answer) -> list[Any]:
    """What it makes of this answer to whatever it asks."""
    there = edge(answer)
    return [
        await there.create(WISH, INCIDENT, "Jonas"),
        await there.end(WISH, INCIDENT),
        await there.fires(INCIDENT, []),
    ]


async def test_it_looks_first_and_asks_for_exactly_this() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return said([] if request.method == "GET" else {"silenceID": "one"})

    assert await edge(answer).create(WISH, INCIDENT, "Jonas") == "one"
    look, make = asked
    assert str(look.url) == f"{URL}/api/v2/silences?filter=alertname%3D%22HostDown%22"
    assert (make.method, str(make.url)) == ("POST", f"{URL}/api/v2/silences")
    assert {request.headers["Authorization"] for request in asked} == {"Bearer s3cret"}
    assert json.loads(make.content) == {
        "matchers": [
            {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in INCIDENT.labels.items()
        ],
        "startsAt": NOW.isoformat(),
        "endsAt": (NOW + HOUR).isoformat(),
        "createdBy": "Jonas via sms-bridge",
        "comment": "incident #17 (0123456789abcdef)",
    }


def listed(
    state: str = "active", comment: str = "incident #17 (0123456789abcdef)", source_id: str = "one"
) -> dict[str, Any]:
    return {"id": source_id, "comment": comment, "status": {"state": state}}


@pytest.mark.parametrize(
    ("there", "made"),
    [
        ([listed()], "one"),
        ([listed("pending")], "one"),
        ([listed("expired")], "new"),
        ([listed(comment="incident #17 (fedcba9876543210)")], "new"),
        ([listed(comment="")], "new"),
    ],
)
async def test_only_its_own_living_silence_is_taken_for_made(there: list[Any], made: str) -> None:
    answer = lambda request: said(there if request.method == "GET" else {"silenceID": "new"})  # noqa: E731 - read in one line
    assert await edge(answer).create(WISH, INCIDENT, "Jonas") == made


async def test_it_ends_every_one_of_its_own_and_nobody_else_s() -> None:
    deleted: list[str] = []
    there = [
        listed(),
        listed(source_id="two"),
        listed("expired", source_id="old"),
        listed(comment="of Dana", source_id="x"),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            deleted.append(request.url.path)
            return said(b"")
        return said(there)

    assert await edge(answer).end(WISH, INCIDENT) is None
    assert deleted == ["/prefix/api/v2/silence/one", "/prefix/api/v2/silence/two"]


async def test_one_that_was_made_and_is_not_listed_has_not_ended() -> None:
    made = WISH.created("of-the-other-member")
    assert await edge(says([])).end(made, INCIDENT) == Lost("it does not list the silence")
    assert await edge(says([])).end(WISH, INCIDENT) is None


@pytest.mark.parametrize(
    ("alerts", "fires"),
    [
        ([], False),
        ([{"labels": dict(INCIDENT.labels) | {"pod": "x"}, "fingerprint": "f9"}], True),
        ([{"labels": {"alertname": "HostDown"}, "fingerprint": "f1"}], True),
        ([{"labels": {"alertname": "HostDown"}, "fingerprint": "f9"}], False),
    ],
)
async def test_what_fires_is_known_by_fingerprint_or_by_all_its_labels(alerts: list[Any], fires: bool) -> None:
    assert await edge(says(alerts)).fires(INCIDENT, ["f1"]) is fires


def _away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route to host", request=request)


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1024 * 1024


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (_away, Lost("it did not answer (ConnectError)")),
        (says({}, 500), Lost("it answered 500")),
        (says({}, 429), Lost("it answered 429")),
        (says(b"<html>", 200), Lost("it answered something that is not JSON")),
        (says(b"[" * 200_000, 200), Lost("it answered something that is not JSON")),
        (lambda _: httpx.Response(200, content=_endless()), Lost("its answer is larger than 16 MiB")),
        (
            says("Failed to create silence: too\nmany", 400),
            Refused("it answered 400: Failed to create silence: too many"),
        ),
        (says({"code": 612, "message": "matchers" + "!" * 999}, 422), Refused("it answered 422: matchers" + "!" * 192)),
        (says(b"<html>", 404), Refused("it answered 404")),
        (says({}, 403), Refused("it does not let us in (403); set api_token")),
    ],
)
async def test_what_an_answer_means(answer: Answer, outcome: Lost | Refused) -> None:
    assert await everything(answer) == [outcome] * 3


async def test_no_redirect_is_followed() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://169.254.169.254/"}, stream=httpx.ByteStream(b""))

    moved = Refused("its API has moved; put the new address into api_url")
    assert await everything(answer) == [moved] * 3
    assert set(asked) == {"alertmanager.example.net"}


async def test_without_an_address_nobody_is_called() -> None:
    called: list[httpx.Request] = []
    gone = edge(lambda request: called.append(request) or httpx.Response(500), url=None)  # type: ignore[func-returns-value]  # a list
    assert await gone.create(WISH, INCIDENT, "Jonas") == Refused(
        "sources.alertmanager.api_url is no longer in the config"
    )
    assert called == []


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("0123456789abcdef"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "comment", "status", "state", "labels", "silenceID"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(value=_json)
async def test_no_json_breaks_it(value: Any) -> None:
    for outcome in await everything(says(value)):
        assert outcome is None or isinstance(outcome, str | bool | Lost | Refused)


# --- how far it has come -----------------------------------------------------------------------------------


def test_a_source_that_is_away_is_asked_ever_more_rarely_and_not_past_the_end() -> None:
    silence, waits, now = WISH, [], NOW
    for _ in range(9):
        silence = silence.put_off("away", now)
        assert silence.next_at is not None
        waits.append(silence.next_at - now)
        now = silence.next_at
    assert waits == [timedelta(seconds=s) for s in (5, 10, 20, 40, 80, 160, 300, 300, 300)]
    last = WISH.put_off("away", NOW + HOUR - timedelta(seconds=1))
    assert last.next_at == NOW + HOUR


def test_who_changed_their_mind_while_it_was_made_still_has() -> None:
    made = WISH.undo("jonas", NOW).created("one")
    assert (made.state, made.source_id) == (SilenceState.UNWANTED, "one")
