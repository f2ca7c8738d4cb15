"""What `explain` promises: the truth about a webhook, and nothing sent."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.config import Config, load_config
from bridge.demo.telegram import BOT_TOKEN
from bridge.domain.escalation import Policy, Step
from bridge.domain.notification import State
from bridge.domain.throttle import Limits, Window
from bridge.explain import CannotExplain, Explanation, explain
from tests.edges.cli_scene import a_config, a_terminal, typed
from tests.fakes import START
from tests.world import CONFIG, firing, resolved

NOBODY = "http://127.0.0.1:9"
LOCAL = CONFIG.replace("MOBIZON", NOBODY).replace("TELEGRAM", NOBODY).replace("TOKEN", BOT_TOKEN)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The town's config, with nobody at its addresses: whoever is asked for anything fails."""
    return load_config(a_config(tmp_path, LOCAL))


async def explained(
    config: Config, body: object, *, source: str = "alertmanager", route: str | None = None
) -> Explanation:
    return await explain(config, source, json.dumps(body).encode(), START, route=route)


def with_policy(config: Config, *steps: Step, limits: Limits | None = None) -> Config:
    """The same house, whose policy `critical` has these steps."""
    house = replace(config.house, policies={"critical": Policy("critical", steps)})
    return replace(config, house=replace(house, limits=limits or house.limits))


async def test_each_planned_sms_is_told_with_person_time_and_text(config: Config) -> None:
    steps = Step(("aigerim",), timedelta(minutes=5)), Step(("chat", "jonas", "aigerim"))
    found = await explained(with_policy(config, *steps), firing("db1"))

    (opened,) = found.incidents
    assert (opened.incident.route, opened.incident.chat) == ("critical", "ops")
    assert [(row.target, row.claimed_at) for row in opened.planned] == [
        ("aigerim", START),
        ("jonas", START + timedelta(minutes=5)),
        ("aigerim", START + timedelta(minutes=5)),
    ]
    assert {(row.text, row.alphabet, row.segments) for row in opened.planned} == {
        ("HostOutOfDiskSpace db1.example.net: Disk is almost full (< 10% left) 08:09 #1042", "gsm7", 1)
    }


async def test_the_text_is_the_one_that_is_really_sent(tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps(firing("db1", "db2", "web1")))
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("explain", "--source", "alertmanager", payload, "-o", "json")
        await terminal.world.advance(minutes=10)
        assert terminal.world.mobizon.sent == []

        # The rehearsal reads the machine's clock, which is days ahead of the town's: its text names the date.
        await terminal.world.post("alertmanager", firing("db1", "db2", "web1"))
        (sent,) = terminal.world.phone("aigerim").texts
    (incident,) = said.json["incidents"]
    assert incident["sms"][0]["text"].replace("20.11 08:09 #1042", "08:09 #1") == sent


async def test_a_limit_that_makes_an_sms_wait_is_seen(config: Config) -> None:
    tight = Limits(per_person=(Window(timedelta(hours=1), 1),))
    steps = Step(("aigerim",)), Step(("aigerim",)), Step(("jonas",))
    found = await explained(with_policy(config, *steps, limits=tight), firing("db1"))

    rows = found.incidents[0].planned
    assert [row.claimed_at for row in rows] == [START, START + timedelta(hours=1), START + timedelta(hours=1)]


async def test_a_page_too_old_to_send_is_told_with_its_reason(config: Config) -> None:
    routes = tuple(replace(route, ttl=timedelta(minutes=1)) for route in config.house.routes)
    late = with_policy(config, Step(("aigerim",), timedelta(minutes=5)), Step(("jonas",)))
    found = await explained(replace(late, house=replace(late.house, routes=routes)), firing("db1"))

    states = [(row.state, row.reason) for row in found.incidents[0].planned]
    assert states == [(State.SUBMITTED, None), (State.CANCELLED, "too old to be worth sending")]


async def test_what_no_route_matches_is_told(config: Config) -> None:
    narrow = replace(config, house=replace(config.house, routes=config.house.routes[:1]))
    found = await explained(narrow, firing("db1", severity="info"))

    (opened,) = found.incidents
    assert (opened.incident.note, opened.incident.chat, opened.planned) == ("no route matched", "watch", ())
    assert found.alerts[0].routes == ("",)


async def test_a_resolve_ends_nothing_in_an_empty_history(config: Config) -> None:
    found = await explained(config, resolved("db1"))

    assert (found.incidents, found.alerts[0].routes) == ((), ())


async def test_the_route_of_the_url_is_taken_instead_of_matching(config: Config) -> None:
    found = await explained(config, firing("db1"), route="rest")

    assert [(one.incident.route, one.planned) for one in found.incidents] == [("rest", ())]


async def test_what_is_json_of_another_shape_would_page_nobody(config: Config) -> None:
    found = await explained(config, {"hello": "world"})

    assert found.problem
    assert found.incidents == ()


@pytest.mark.parametrize(
    ("source", "body", "sentence"),
    [
        ("nagios", b"{}", "no source is called nagios; there are: alertmanager, generic"),
        ("generic", b"message=hello", "not JSON (400)"),
        ("generic", b'"' + b"x" * 40 * 1024 * 1024 + b'"', "larger than server.max_body, 33554432 bytes (413)"),
    ],
)
async def test_what_the_door_would_refuse_is_said_so(config: Config, source: str, body: bytes, sentence: str) -> None:
    with pytest.raises(CannotExplain) as refused:
        await explain(config, source, body, START)
    assert sentence in str(refused.value)


async def test_a_source_bound_to_routes_may_not_name_another(config: Config) -> None:
    rules = replace(config.house.sources["generic"], routes=frozenset({"rest"}))
    bound = replace(config, house=replace(config.house, sources={"generic": rules}))
    with pytest.raises(CannotExplain, match=r"may not name route critical \(403\)"):
        await explained(bound, {"message": "hi"}, source="generic", route="critical")


def test_people_read_it_without_a_whole_number(tmp_path: Path, config: Config) -> None:
    said = typed(
        *("explain", "--config", tmp_path / "config.yaml", "--source", "alertmanager", "-"),
        stdin=json.dumps(firing("db1")).encode(),
    )
    assert said.code == 0
    assert "firing · HostOutOfDiskSpace · critical · route critical" in said.out
    assert "aigerim +7 701 ••• •• 01 · gsm7" in said.out
    assert "Nothing was sent." in said.out
    assert "+77010000001" not in said.everything


@pytest.mark.parametrize(
    ("watch", "sentence"),
    [
        ("watch: {chat: watch, notify: [aigerim]}", "no route matched, so it would be shown in watch only"),
        ("", "no route matched, so it would be shown nowhere; set watch.chat"),
    ],
)
def test_people_read_where_an_alert_without_route_goes(tmp_path: Path, watch: str, sentence: str) -> None:
    text = LOCAL.replace("  - {name: rest, chat: ops, silent: true}\n", "")
    text = text.replace("watch: {chat: watch, notify: [aigerim]}", watch)
    said = typed(
        *("explain", "--config", a_config(tmp_path, text), "--source", "generic", "-"), stdin=b'{"message": "hi"}'
    )
    assert sentence in said.out


def test_a_payload_that_is_not_there(tmp_path: Path, config: Config) -> None:
    said = typed(
        *("explain", "--config", tmp_path / "config.yaml", "--source", "generic", tmp_path / "none.json"),
    )
    assert (said.code, said.err) == (1, f"{tmp_path / 'none.json'}: cannot be read (No such file or directory)\n")
