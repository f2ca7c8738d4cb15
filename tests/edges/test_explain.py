"""What `explain` promises: the truth about a webhook, and nothing sent."""

import asyncio
import json
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bridge.config import Config, load_config
from bridge.demo.telegram import BOT_TOKEN
from bridge.domain.escalation import Policy, Step
from bridge.domain.notification import State
from bridge.domain.rota import Rota, Unit
from bridge.domain.throttle import Limits, Window
from bridge.explain import CannotExplain, ExplainedIncident, Explanation, explain, hour_of
from tests.edges.cli_scene import Said, a_config, a_terminal, typed
from tests.fakes import START
from tests.world import CONFIG, a_world, firing, resolved

NOBODY = "http://127.0.0.1:9"
LOCAL = CONFIG.replace("MOBIZON", NOBODY).replace("TELEGRAM", NOBODY).replace("TOKEN", BOT_TOKEN)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The town's config, with nobody at its addresses: whoever is asked for anything fails."""
    return load_config(a_config(tmp_path, LOCAL))


async def explained(
    config: Config, body: object, *, source: str = "alertmanager", route: str | None = None, at: datetime = START
) -> Explanation:
    return await explain(config, source, json.dumps(body).encode(), at, route=route)


def with_policy(config: Config, *steps: Step, limits: Limits | None = None, repeat: int = 0) -> Config:
    """The same house, whose policy `critical` has these steps."""
    house = replace(config.house, policies={"critical": Policy("critical", steps, repeat)})
    return replace(config, house=replace(house, limits=limits or house.limits))


def calls(opened: ExplainedIncident, since: datetime = START) -> list[str]:
    """Who is called in which minute, in order."""
    return [f"{(hour_of(row) - since) // timedelta(minutes=1)} {row.target}" for row in opened.planned]


async def test_each_planned_sms_is_told_with_person_time_and_text(config: Config) -> None:
    steps = Step(("aigerim",), timedelta(minutes=5)), Step(("chat", "jonas", "aigerim"))
    found = await explained(with_policy(config, *steps), firing("db1"))

    (opened,) = found.incidents
    assert (opened.incident.route, opened.incident.chat) == ("critical", "ops")
    assert calls(opened) == ["0 aigerim", "5 chat", "5 jonas", "5 aigerim"]
    assert {(row.text, row.alphabet, row.segments) for row in opened.sms} == {
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


async def test_each_sms_has_about_the_price_that_the_config_says(tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps(firing("db1")))
    path = a_config(tmp_path, LOCAL.replace("sms: {", "sms: {prices: {KZ: 20.50 KZT}, "))
    words = "explain", "--config", path, "--source", "alertmanager", payload
    said, as_json = await asyncio.to_thread(typed, *words), await asyncio.to_thread(typed, *words, "-o", "json")
    lines = [line for line in said.out.splitlines() if "1 segment" in line]
    assert [line.partition("1 segment")[2] for line in lines] == [", about 20.50 KZT", ""]
    assert [(sms["estimate"], sms["currency"]) for sms in as_json.json["incidents"][0]["sms"]] == [
        ("20.50", "KZT"),
        (None, None),
    ]


ARROW = {"description": "Load → 97 — the “north” node\u00a0is hot."}


def test_what_was_replaced_and_left_out_is_told(tmp_path: Path) -> None:
    config = a_config(tmp_path, LOCAL)
    said = typed_explain(config, tmp_path, ARROW, "-o", "json")
    first = said.json["incidents"][0]["sms"][0]
    assert 'Load -> 97 - the "north" node is hot' in first["text"]
    assert {"sign": "→", "by": "->"} in first["replaced"] and {"sign": "“", "by": '"'} in first["replaced"]
    assert (first["alphabet"], first["characters"], first["culprits"]) == ("gsm7", len(first["text"]), [])
    assert (first["parts"], first["dropped"]) == ([first["text"]], [])
    words = typed_explain(config, tmp_path, ARROW).out
    assert '            replaced: -> for →, - for —, " for “ ”\n' in words
    assert "without" not in words

    long = {"description": "The kernel begins to kill " + "whatever it finds there " * 8 + "soon."}
    first = typed_explain(config, tmp_path, long, "-o", "json").json["incidents"][0]["sms"][0]
    assert first["segments"] == 1 and first["dropped"] and "soon" not in first["text"]
    assert f"            without {', '.join(first['dropped'])}\n" in typed_explain(config, tmp_path, long).out


def test_a_page_that_stays_unicode_says_which_sign_makes_it_so(tmp_path: Path) -> None:
    config = a_config(tmp_path, LOCAL.replace("sms: {", "sms: {alphabet: unicode, ", 1))
    words = typed_explain(config, tmp_path, {"description": "Load → 97."}).out
    assert "            unicode because of → (rightwards arrow, U+2192) at " in words
    assert "            with -> for →: gsm7, 1 segment\n" in words
    assert "replaced" not in words


def test_letters_that_were_spelled_are_told_where_a_person_allows_it(tmp_path: Path) -> None:
    config = a_config(tmp_path, LOCAL.replace('phone: "+77010000001"', 'phone: "+77010000001", alphabet: auto', 1))
    russian = {"description": "На диске осталось совсем мало места, через четыре часа он заполнится до конца."}
    aigerim, *others = typed_explain(config, tmp_path, russian, "-o", "json").json["incidents"][0]["sms"]
    assert aigerim["alphabet"] == "gsm7" and {"sign": "д", "by": "d"} in aigerim["replaced"]
    assert all(one["alphabet"] == "unicode" and one["replaced"] == [] for one in others)


def typed_explain(config: Path, folder: Path, annotations: dict[str, str], *options: str) -> Said:
    body = firing("db1")
    for described in (body["commonAnnotations"], body["alerts"][0]["annotations"]):
        described.clear()
        described.update(annotations)
    payload = folder / "payload.json"
    payload.write_text(json.dumps(body))
    return typed("explain", "--config", config, "--source", "alertmanager", payload, *options)


async def test_a_limit_that_makes_an_sms_wait_is_seen(config: Config) -> None:
    tight = Limits(per_person=(Window(timedelta(hours=1), 1),))
    steps = Step(("aigerim",)), Step(("aigerim",)), Step(("jonas",))
    found = await explained(with_policy(config, *steps, limits=tight), firing("db1"))

    assert calls(found.incidents[0]) == [
        "0 aigerim",
        "60 aigerim",
        "5 jonas",
    ]  # who had their share keeps nobody waiting


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


DOG = ("sources:\n", "sources:\n  dog: {kind: heartbeat, token: dog-secret, every: 10m, route: critical}\n")


async def test_a_beat_shows_whom_the_silence_after_it_would_page(tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text("")
    async with a_terminal(tmp_path, CONFIG.replace(*DOG)) as terminal:
        said = await terminal.types("explain", "--source", "dog", payload, "--at", "2026-11-24T12:00")
        assert ": a beat; it pages nobody. Without another beat for 10 min:" in said.out
        assert "incident No beat from dog · route critical · key dog, (no beat), critical" in said.out
        assert "12:10:00  aigerim" in said.out
        assert "No beat from dog: last 12:00, expected every 10 min 12:10 #1042" in said.out

        payload.write_text('{"alerts": [], "status": "resolved"}')
        said = await terminal.types("explain", "--source", "dog", payload, "--at", "2026-11-24T12:00", "-o", "json")
        assert (said.json["beat"], said.json["silence_seconds"]) == (False, 600)
        assert "none yet" in said.json["incidents"][0]["sms"][0]["text"]
        said = await terminal.types("explain", "--source", "dog", payload)
        assert ": no sign of life, for all of it is resolved; it pages nobody." in said.out


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


# --- the plan to its end


CLIMB = """policies:
  critical:
    steps:
      - {notify: [chat, aigerim], wait: 5m}
      - {notify: [jonas, magnum], wait: 10m, deliver_within: 3m}
      - {notify: [chat], wait: 5m}
    repeat: 1
    ack_for: 2h
    taken_sms: true
"""
ROTA = """rotas:
  primary: {people: [aigerim, jonas], every: 1d, since: 2026-11-20, handover: "08:12"}
"""


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def policies(text: str) -> tuple[str, str]:
    """What to change to have these policies, and `one` which another route may name."""
    before = LOCAL[LOCAL.index("policies:") : LOCAL.index("sources:")]
    return before, f"{text}  one:\n    steps: [{{notify: [aigerim]}}]\n"


QUIET = """time_intervals:
  - name: quiet
    time_intervals: [{times: [{start_time: "08:12", end_time: "09:00"}], location: Asia/Almaty}]
  - name: later
    time_intervals: [{times: [{start_time: "09:20", end_time: "12:00"}], location: Asia/Almaty}]
"""


@pytest.mark.parametrize("hours", ["", "mute_time_intervals: [quiet, later], "])
async def test_what_is_foretold_is_what_comes(tmp_path: Path, hours: str) -> None:
    """Every rung of every round, the ring of the chat among them, and the ring at the end, in the real bridge."""
    climb = (policies("")[0], (QUIET if hours else "") + policies(CLIMB)[1])
    route = ("policy: critical,", f"policy: critical, {hours}")
    config = load_config(a_config(tmp_path, changed(LOCAL, climb, route)))
    (foretold,) = (await explained(config, firing("db1"))).incidents
    assert foretold.nobody_at is not None
    last = foretold.nobody_at - START - timedelta(seconds=30)

    (tmp_path / "town").mkdir()
    async with a_world(tmp_path / "town", changes=[climb, route]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(seconds=last.total_seconds())
        before = len(world.ops.cards)
        assert not any("NOBODY HAS IT" in card.text for card in world.ops.cards)
        await world.advance(minutes=1)
        assert "NOBODY HAS IT" in world.ops.cards[-1].text
        came = (await world.api("GET", "/incidents/1"))["notifications"]
        texts = [text for name in ("aigerim", "jonas", "magnum") for text in world.phone(name).texts]

    sent = [
        f"{(datetime.fromisoformat(row['submitted_at']) - START) // timedelta(minutes=1)} {row['to']}"
        for row in came
        if row["submitted_at"]
    ]
    assert [call for call in calls(foretold) if "chat" not in call] == sent
    assert before == 1 + len(foretold.rings) == 4  # the card, and the chat's turns
    assert sorted((row.text or "").replace("#1042", "#1") for row in foretold.sms) == sorted(texts)
    assert any(text.startswith("2nd call. ") for text in texts)


async def test_who_is_on_call_is_asked_when_the_rung_is_due(config: Config) -> None:
    """At 08:10 Aigerim has it, from 08:12 on Jonas."""
    turns = Rota(("aigerim", "jonas"), date(2026, 11, 19), time(8, 12), 1, Unit.DAYS, ZoneInfo("Asia/Almaty"))
    climbing = with_policy(config, Step(("rota primary",)), Step(("everyone on call",)), repeat=1)
    house = replace(climbing.house, rotas={"primary": turns})
    (opened,) = (await explained(replace(climbing, house=house), firing("db1"))).incidents

    assert calls(opened) == ["0 aigerim", "5 jonas", "10 jonas", "15 jonas"]
    assert set(opened.rotas.values()) == {"rota primary"}


def test_a_rota_without_anybody_calls_the_next_at_once(tmp_path: Path) -> None:
    (tmp_path / "oncall.ics").write_text("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    climb = policies(
        "policies:\n  critical:\n    steps: [{notify: [rota empty], wait: 5m}, {notify: [jonas], wait: 5m}]\n"
    )
    path = a_config(tmp_path, changed(LOCAL, climb) + "rotas: {empty: {calendar: oncall.ics}}\n")
    (opened,) = asyncio.run(explained(load_config(path), firing("db1"))).incidents
    assert calls(opened) == ["0 rota empty", "0 jonas"]

    said = typed("explain", "--config", path, "--source", "alertmanager", "-", stdin=json.dumps(firing("db1")).encode())
    assert "rota empty: failed, nobody is on call then" in said.out


async def test_a_calendar_says_who_is_on_call(tmp_path: Path) -> None:
    booked = "DTSTART:20261120T030000Z\r\nDTEND:20261120T040000Z\r\nSUMMARY:Jonas"
    event = f"BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20261101T000000Z\r\n{booked}\r\nEND:VEVENT"
    calendar = tmp_path / "oncall.ics"
    calendar.write_text(f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{event}\r\nEND:VCALENDAR\r\n")
    climb = policies("policies:\n  critical:\n    steps: [{notify: [rota sun]}]\n")
    config = load_config(a_config(tmp_path, changed(LOCAL, climb) + "rotas: {sun: {calendar: oncall.ics}}\n"))
    found = await explained(config, firing("db1"))
    assert (calls(found.incidents[0]), found.unknown) == (["0 jonas"], ())

    calendar.write_text("hello")
    unread = await explained(config, firing("db1"))
    assert unread.unknown == (
        "rota sun: not iCalendar; it begins with BEGIN:VCALENDAR; whose turn it is is not known here",
    )


NIGHT = """time_intervals:
  - name: night
    time_intervals: [{times: [{start_time: "08:00", end_time: "09:00"}], location: Asia/Almaty}]
"""


@pytest.mark.parametrize(
    ("hours", "planned", "sentence"),
    [
        ("policy_at: {night: one}", ["0 aigerim"], "by the hours of its route; at other hours policy critical"),
        ("hold_time_intervals: [night]", ["50 aigerim", "50 jonas"], "held by the hours of its route until 09:00:00"),
        ("mute_time_intervals: [night]", ["50 aigerim", "50 jonas"], "muted by the hours of its route until 09:00:00"),
        ("active_time_intervals: [night]", ["0 aigerim", "0 jonas"], ""),
    ],
)
def test_the_hours_of_the_route_are_kept_and_told(
    tmp_path: Path, hours: str, planned: list[str], sentence: str
) -> None:
    path = a_config(tmp_path, changed(LOCAL, ("policy: critical,", f"policy: critical, {hours},")) + NIGHT)
    (opened,) = asyncio.run(explained(load_config(path), firing("db1"))).incidents
    assert calls(opened) == planned

    words = ("explain", "--config", path, "--source", "alertmanager", "--at", "2026-11-20T08:10", "-")
    said = typed(*words, stdin=json.dumps(firing("db1")).encode())
    assert sentence in said.out
    assert ("hours of its route" in said.out) is bool(sentence)


def test_people_read_the_whole_plan_for_any_hour(tmp_path: Path) -> None:
    climb = policies(CLIMB.replace("[chat, aigerim]", "[chat, rota primary]"))
    path = a_config(tmp_path, changed(LOCAL, climb) + ROTA)
    words = ("explain", "--config", path, "--source", "alertmanager", "--at", "2026-12-24T23:50", "-")
    body = json.dumps(firing("db1")).encode()
    said = typed(*words, stdin=body)

    assert said.code == 0, said.err
    lines = [line for line in said.out.splitlines() if "HostOutOfDiskSpace db1.example.net:" not in line]
    assert lines == [
        'alertmanager, Thu 24 Dec 2026 23:50 Asia/Almaty: 1 alert, group {}:{alertname="HostOutOfDiskSpace"}',
        "  firing · HostOutOfDiskSpace · critical · route critical",
        "",
        "incident HostOutOfDiskSpace db1.example.net · route critical · key alertmanager, "
        '{}:{alertname="HostOutOfDiskSpace"}, critical',
        "  card in ops, policy critical",
        "  23:50:00  aigerim (rota primary) +7 701 ••• •• 01 · gsm7, 86 characters, 1 segment",
        "            the next at 23:52:00 if it is on no handset by then",
        "  23:55:00  jonas +49 15•• •••••78 · gsm7, 86 characters, 1 segment",
        "  23:55:00  magnum +7 701 ••• •• 03 · gsm7, 86 characters, 1 segment",
        "            the next at 23:58:00 if it is on no handset by then",
        "  Fri 25 Dec 00:05:00  ops rings",
        "  2nd call",
        "  Fri 25 Dec 00:10:00  ops rings",
        "  Fri 25 Dec 00:10:00  aigerim (rota primary) +7 701 ••• •• 01 · gsm7, 96 characters, 1 segment",
        "            the next at Fri 25 Dec 00:12:00 if it is on no handset by then",
        "  Fri 25 Dec 00:15:00  jonas +49 15•• •••••78 · gsm7, 96 characters, 1 segment",
        "  Fri 25 Dec 00:15:00  magnum +7 701 ••• •• 03 · gsm7, 96 characters, 1 segment",
        "            the next at Fri 25 Dec 00:18:00 if it is on no handset by then",
        "  Fri 25 Dec 00:25:00  ops rings",
        "  Fri 25 Dec 00:30:00  nobody has it: ops rings, and again after 5, 10, 20, 40 minutes, then hourly",
        "  taken, it asks again after 2 h if it still fires",
        "  those who were paged get an SMS when somebody has it",
        "",
        "Nothing was sent. The numbers (#…) stand for those it would get.",
        "This is how it goes if every SMS arrives and nobody takes it.",
        "Who is on call is by the config; what was swapped with /oncall only the running bridge knows.",
    ]

    (incident,) = typed(*words, "-o", "json", stdin=body).json["incidents"]
    (first, *_), second_call = incident["sms"], [sms for sms in incident["sms"] if sms["call"] == 2]
    assert (first["person"], first["rota"], first["step"]) == ("aigerim", "primary", 1)
    assert first["next_if_on_no_handset_by"] == "2026-12-24T23:52:00+05:00"
    assert [sms["at"][11:16] for sms in second_call] == ["00:10", "00:15", "00:15"]
    assert [(ring["call"], ring["step"], ring["at"][11:16]) for ring in incident["rings"]] == [
        *((1, 3, "00:05"), (2, 1, "00:10"), (2, 3, "00:25")),
    ]
    assert incident["nobody_at"] == "2026-12-25T00:30:00+05:00"
    assert (incident["ack_for_seconds"], incident["also_told"]) == (7200, ["when somebody has it"])


@pytest.mark.parametrize(
    ("chat", "sentences"),
    [
        ("chat: ops, ttl: 7m", ["08:25:00  ops does not ring: too old to be worth sending"]),
        ("chat: ops", ["08:25:00  ops rings", "08:50:00  nobody has it: ops rings, and again after"]),
        ("", ["08:25:00  there is no chat to ring in", "08:50:00  nobody has it: there is no chat to ring in"]),
    ],
)
def test_a_ring_that_nobody_would_hear_is_told(tmp_path: Path, chat: str, sentences: list[str]) -> None:
    """The chat's turn that comes too late for the route, and that of a route without a chat."""
    there = "policy: critical, chat: ops, priority"
    path = a_config(
        tmp_path, changed(LOCAL, policies(CLIMB), (there, f"policy: critical, {chat or 'silent: false'}, priority"))
    )
    words = ("explain", "--config", path, "--source", "alertmanager", "--at", "2026-11-20T08:10", "-")
    said = typed(*words, stdin=json.dumps(firing("db1")).encode())
    for sentence in sentences:
        assert sentence in said.out
    assert said.out.count("nobody has it") == 1


@pytest.mark.parametrize(
    ("at", "hour"), [("2026-12-24T03:00", "03:00"), ("2026-12-24T03:00+00:00", "08:00"), ("2026-12-24 03:00Z", "08:00")]
)
def test_an_hour_is_read_in_the_zone_of_the_config_unless_it_names_one(
    tmp_path: Path, config: Config, at: str, hour: str
) -> None:
    words = ("explain", "--config", tmp_path / "config.yaml", "--source", "alertmanager", "--at", at, "-")
    assert f"Thu 24 Dec 2026 {hour} Asia/Almaty" in typed(*words, stdin=json.dumps(firing("db1")).encode()).out


# --- how it is said


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


async def test_a_teams_own_words_leave_out_nothing_by_mistake_and_tell_what_was_replaced(config: Config) -> None:
    house = replace(config.house, sms=replace(config.house.sms, template="{{ title }}: {{ fact }}"))
    body = firing("db1")
    body["alerts"][0]["annotations"] = {"summary": "“data” is full — 9% left"}
    (opened,) = (await explained(replace(config, house=house), body)).incidents
    told = opened.told[opened.sms[0].id]
    assert opened.sms[0].text == 'HostOutOfDiskSpace: "data" is full - 9% left #1042'
    assert dict(told.seen.replaced) == {"“": '"', "”": '"', "—": "-"}
    assert told.dropped == ()
