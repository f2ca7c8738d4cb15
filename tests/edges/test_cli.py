"""The verbs, typed as people type them, against the real bridge between two simulators."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import pytest
import typer

from bridge import __version__
from bridge.cli import app
from bridge.cli import typed as typed_words
from bridge.client import CannotAsk, address, api_token
from bridge.config import load_config
from bridge.demo.telegram import BOT_TOKEN
from bridge.domain.house import Role
from storage import head_revision
from tests.edges.cli_scene import SINCE, a_config, a_terminal, typed
from tests.world import CONFIG, JONAS, firing

ROOT = Path(__file__).parent.parent.parent
NOBODY = "http://127.0.0.1:9"
LOCAL = CONFIG.replace("MOBIZON", NOBODY).replace("TELEGRAM", NOBODY).replace("TOKEN", BOT_TOKEN)
VERBS = [str(command.callback.__name__).replace("_", "-") for command in app.registered_commands if command.callback]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The town's config where nothing runs."""
    return a_config(tmp_path, LOCAL.replace("127.0.0.1:0", "127.0.0.1:9"))


# --- every verb


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_in_one_line_what_it_does(verb: str) -> None:
    listed = next(line for line in typed("--help").out.splitlines() if line.split()[:1] == [verb])
    said = typed(verb, "--help")

    assert said.code == 0
    assert listed.strip().endswith(".")
    assert not listed.strip().endswith("...")
    assert listed.split(maxsplit=1)[1] in said.out


def test_the_verbs_are_those_of_the_readme() -> None:
    assert set(VERBS) == {
        *("run", "demo", "check-config", "explain", "send", "status", "messages", "balance", "doctor"),
        *("migrate", "config-schema", "incidents", "show", "receipts", "replay", "backup", "bill"),
        "text",
    }


def test_the_version_is_told() -> None:
    assert typed("--version").out == f"sms-bridge {__version__}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("balance", "Missing option '--config'"),
        ("fly", "No such command 'fly'"),
        ("send --config FILE +77010000001", "Missing argument 'TEXT…'"),
        ("send --config FILE +77010000001 hi --at 25:00", "'25:00' is no time; write 18:00"),
        ("send --config FILE +77010000001 hi --at 7d", "'7d' is no time; write 18:00"),
        ("status --config FILE", "Missing argument 'ID…'"),
        ("status --config FILE #1042", "there is: sms-bridge show #1042"),
        ("show --config FILE db1", "'db1' is no number of ours; write 1042 or #1042"),
        ("incidents --config FILE --since yesterday", "'yesterday' is no time; write 7d"),
        ("receipts --config FILE --since 9999999999w", "is longer ago than there are dates"),
        ("messages --config FILE --sort colour:asc", "no sort field is called colour; there are: id"),
        ("messages --config FILE --sort id:up", "id is sorted ASC or DESC, not UP"),
        ("messages --config FILE --page-size 7", "Mobizon lists 25, 50 or 100 messages a page, not 7"),
        ("messages --config FILE --page -1", "'--page': Input should be greater than or equal to 0"),
        ("text", "Missing argument 'TEXT…'"),
        ("text hello --alphabet latin", "'latin' is not one of"),
        ("explain --config FILE --source generic --at soon -", "'soon' is no time; write 18:00 or 2026-11-22T18:00"),
        (
            "explain --config FILE --source generic --at 1999-12-24T03:00 -",
            "is too far away; write a day of these years",
        ),
        ("replay --config FILE one", "'ID': Input should be a valid integer"),
        ("balance --config FILE -o yaml", "'yaml' is not one of"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(config: Path, words: str, sentence: str) -> None:
    said = typed(*words.replace("FILE", str(config)).split())

    assert said.code == 2
    assert sentence in " ".join(said.err.split())
    assert said.out == ""


@pytest.mark.parametrize("words", ["balance", "incidents", "migrate", "backup TARGET", "send aigerim hi", "doctor"])
def test_a_bad_config_is_told_line_by_line(tmp_path: Path, words: str) -> None:
    path = a_config(
        tmp_path, LOCAL.replace("role: responder}", "role: king}").replace("silent: true", "silent: perhaps")
    )
    verb, *rest = words.split()
    said = typed(verb, "--config", path, *rest)

    *problems, count = said.err.splitlines()
    assert said.code == 1
    assert count == "2 problems"
    assert all(problem.startswith(f"{path}:") for problem in problems)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("send aigerim hi", "no sms-bridge answers at http://127.0.0.1:9; start it with sms-bridge run"),
        ("incidents", "no sms-bridge answers at http://127.0.0.1:9"),
        ("show 1", "no sms-bridge answers at http://127.0.0.1:9"),
        ("receipts --url localhost:1", "localhost:1 is not an address; write it like http://127.0.0.1:9877"),
        ("receipts --token-file none", "none: the token cannot be read (No such file or directory)"),
        ("send aigerim hi --as nobody", "api.tokens has no nobody; there are: scripts, sight"),
        ("balance", "no connection"),
        ("status 5", "no connection"),
        ("messages", "no connection"),
        ("replay 1 --dry-run", "cannot open this database"),
        ("backup TARGET", "cannot open this database"),
    ],
)
def test_who_does_not_answer_is_named_in_one_sentence(config: Path, words: str, sentence: str) -> None:
    verb, *rest = words.replace("TARGET", str(config.parent / "copy.db")).split()
    said = typed(verb, "--config", config, *rest)

    assert said.code == 1
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1


# --- the config


def test_check_config_says_what_is_good(config: Path) -> None:
    said = typed("check-config", "--config", config)

    assert said.code == 0
    assert said.out.startswith(f"{config}: good. 4 people, 2 routes. Next: sms-bridge doctor")


def test_check_config_warns_and_passes(tmp_path: Path) -> None:
    path = a_config(tmp_path, LOCAL.replace("  - {name: rest, chat: ops, silent: true}\n", ""))
    said = typed("check-config", "--config", path)

    assert said.code == 0
    assert said.err.startswith(f"warning: {path}:")
    assert typed("check-config", "--config", path, "-o", "json").json["warnings"] != []


def test_check_config_answers_scripts(tmp_path: Path) -> None:
    said = typed("check-config", "--config", a_config(tmp_path, LOCAL + "\nhat: red\n"), "-o", "json")

    assert said.code == 1
    assert said.json["good"] is False
    assert "hat" in said.json["problems"][0]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(typed("config-schema").json)


# --- through a running bridge


async def test_an_sms_is_sent_and_followed_to_the_handset(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("send", "8 701 000 00 09", "Your", "order", "is ready", "--wait")
        assert terminal.world.phone("+77010000009").texts == ["Your order is ready"]
    assert said.code == 0, said.err
    assert said.out.startswith("#1 +7 701 ••• •• 09 · on the handset 2026-11-20 08:")
    assert "+77010000009" not in said.everything


async def test_what_made_an_sms_dear_is_told_when_it_is_handed_over(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("send", "magnum", "a" * 90 + "…")
        quiet = await terminal.types("send", "magnum", "hello")
    assert said.out.splitlines()[0].endswith(" · unicode, 2 segments")
    assert said.out.splitlines()[1:] == [
        "unicode because of … (horizontal ellipsis, U+2026) at 91",
        "with ... for …: gsm7, 1 segment",
    ]
    assert quiet.out.endswith(" · gsm7, 1 segment\n")


async def test_an_sms_that_does_not_arrive_is_exit_code_1(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        terminal.world.phone("magnum").is_blacklisted()
        said = await terminal.types("send", "magnum", "hello", "--wait", "-o", "json")
    assert said.code == 1
    assert (said.json["state"], said.json["gateway_status"]) == ("undelivered", "REJECTD")


async def test_every_option_of_send_reaches_the_wire(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        options = ("--sender-id", "Other", "--validity", "2h", "--flash", "--shorten-links")
        terminal.world.mobizon.senders.add("Other")
        said = await terminal.types("send", "magnum", "hello", *options)
        await terminal.world.advance(seconds=1)
        (sent,) = terminal.world.mobizon.sent
    assert said.code == 0, said.err
    assert (sent.sender, sent.validity, sent.mclass, sent.shorten_links) == ("Other", timedelta(hours=2), "0", True)


async def test_a_deferred_sms_waits(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        tomorrow = terminal.world.clock.now() + timedelta(days=1)
        at = f"{tomorrow.astimezone(ZoneInfo('Asia/Almaty')):%Y-%m-%dT%H:%M:%S}"
        said = await terminal.types("send", "magnum", "hello", "--at", at, "-o", "json")
        assert terminal.world.mobizon.sent == []
    assert datetime.fromisoformat(said.json["due_at"]) == tomorrow


async def test_an_idempotency_key_makes_one_sms(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        twice = [await terminal.types("send", "magnum", "hi", "--idempotency-key", "k", "-o", "json") for _ in range(2)]
        await terminal.world.advance(seconds=5)
        assert len(terminal.world.mobizon.sent) == 1
    assert twice[0].json["id"] == twice[1].json["id"]


async def test_what_the_bridge_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        wrong_number = await terminal.types("send", "+7701000", "hi")
        observer = await terminal.types("send", "aigerim", "hi", "--as", "sight")
        stranger = await terminal.types("receipts", environ={"SMS_BRIDGE_API_TOKEN": "guessed"})
        assert terminal.world.mobizon.sent == []
    assert (wrong_number.code, observer.code, stranger.code) == (1, 1, 1)
    assert "write it like" in wrong_number.err
    assert observer.err == "token sight has the role observer; this takes responder\n"
    assert "refuses us: no or a wrong API token" in stranger.err
    assert "guessed" not in stranger.everything


async def test_the_environment_and_a_file_may_hold_the_token(tmp_path: Path) -> None:
    held = tmp_path / "token"
    held.write_text("api-secret\n")
    async with a_terminal(tmp_path) as terminal:
        terminal.config.write_text(terminal.config.read_text().replace("api-secret", "of-another-bridge"))
        refused = await terminal.types("replay", "1")
        by_file = await terminal.types("incidents", "--token-file", held, environ={"SMS_BRIDGE_API_TOKEN": "wrong"})
        by_environment = await terminal.types("incidents", environ={"SMS_BRIDGE_API_TOKEN": "api-secret"})
    assert (refused.code, by_file.code, by_environment.code) == (1, 0, 0)


async def test_a_page_is_seen_from_the_shell(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        kept = await terminal.world.post("alertmanager", firing("db1"))
        await terminal.world.advance(seconds=10)
        listed = await terminal.types("incidents")
        whole = await terminal.types("show", "#1")
        of_its_sms = await terminal.types("show", "2", "-o", "json")
        received = await terminal.types("receipts", "--since", SINCE)
        nothing = await terminal.types("show", "99")
    assert listed.out.splitlines()[1].startswith("#1      triggered  2026-11-20 08:09:30")
    for told in ("Disk is almost full", "#2   aigerim  on the handset  2026-11-20 08:10", "800000001", "opened"):
        assert told in whole.out
    assert of_its_sms.json["id"] == 1
    assert f"{kept['receipt']}   2026-11-20" in received.out
    assert "1 alert: #1 opened" in received.out
    assert (nothing.code, nothing.err) == (1, "there is no incident or SMS #99\n")


async def test_beats_are_seen_from_the_shell(tmp_path: Path) -> None:
    dog = "sources:\n  dog: {kind: heartbeat, token: dog-secret, every: 5m, route: critical}\n"
    async with a_terminal(tmp_path, CONFIG.replace("sources:\n", dog)) as terminal:
        world = terminal.world
        await world.post("dog", b"", token="dog-secret")
        await world.post("dog", {"alerts": [], "status": "resolved"}, token="dog-secret")
        await world.advance(minutes=5)
        await world.post("dog", b"", token="dog-secret")
        received = await terminal.types("receipts", "--since", SINCE)
    told = [" ".join(line.split()) for line in received.out.splitlines()[1:]]
    assert [line.partition(" dog ")[2] for line in told] == [
        "understood a beat, #1 resolved",
        "understood 1 alert: #1 opened",
        "understood no beat: all of it is resolved",
        "understood a beat",
    ]


async def test_who_has_it_and_who_is_next_is_seen_from_the_shell(tmp_path: Path) -> None:
    steps = "{notify: [aigerim], wait: 5m}, {notify: [jonas, chat], wait: 5m}"
    climb = CONFIG.replace("steps: [{notify: [aigerim, jonas]}]", f"steps: [{steps}]")
    async with a_terminal(tmp_path, climb) as terminal:
        await terminal.world.post("alertmanager", firing("db1"))
        await terminal.world.advance(seconds=10)
        nobody = await terminal.types("show", "1")
        none_listed = await terminal.types("incidents")
        await terminal.world.press("Acknowledge", by=JONAS)
        taken = await terminal.types("show", "1")
        listed = await terminal.types("incidents")
    assert "next jonas, chat 2026-11-20 08:15:" in nobody.out
    assert "queued, due 2026-11-20 08:15:" in nobody.out
    assert "jonas  HostOutOfDiskSpace" not in none_listed.out
    assert " · acknowledged · " in taken.out and "next" not in taken.out
    assert "\njonas has it, taken 2026-11-20 08:10:" in taken.out
    assert "jonas     HostOutOfDiskSpace db1" in listed.out


async def test_an_ended_incident_is_listed_when_asked_for(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        await terminal.world.post("generic", {"message": "backup failed", "key": "k"})
        await terminal.world.post("generic", {"message": "backup failed", "key": "k", "status": "resolved"})
        answers = [await terminal.types("incidents", *options, "-o", "json") for options in ((), ("--all",))]
        since = await terminal.types("incidents", "--since", SINCE)
        empty = await terminal.types("incidents")
    assert [len(answer.json["items"]) for answer in answers] == [0, 1]
    assert "resolved" in since.out
    assert (empty.out, empty.err) == ("", "no incidents\n")


async def test_a_webhook_is_replayed(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        kept = await terminal.world.post("alertmanager", firing("db1"))
        sent = len(terminal.world.mobizon.sent)
        rehearsed = await terminal.types("replay", str(kept["receipt"]), "--dry-run", "-o", "json")
        after_rehearsal = len((await terminal.types("receipts", "--since", SINCE, "-o", "json")).json["items"])
        again = await terminal.types("replay", str(kept["receipt"]))
        unknown = await terminal.types("replay", "99")
        unknown_dry = await terminal.types("replay", "99", "--dry-run")
        await terminal.world.advance(seconds=5)
        assert len(terminal.world.mobizon.sent) == sent
    assert rehearsed.json["incidents"][0]["sms"][0]["person"] == "aigerim"
    assert after_rehearsal == 1
    assert again.out == "receipt 1 goes through again as receipt 2\n"
    assert [said.err for said in (unknown, unknown_dry)] == ["there is no receipt 99\n"] * 2


# --- a text before it is sent


def test_a_text_is_shown_as_it_would_be_billed() -> None:
    said = typed("text", "see", "“north”")
    assert said.code == 0
    assert said.out.splitlines() == [
        "  see “north”",
        "unicode, 11 characters, 1 segment, room for 59 more",
        "unicode because of “ (left double quotation mark, U+201C) at 5, ” (right double quotation mark, U+201D) at 11",
        'with " for “ ”: gsm7, 1 segment',
    ]


def test_a_long_text_is_shown_where_it_is_cut() -> None:
    said = typed("text", "a" * 153 + "b" * 20)
    assert said.out.splitlines() == [
        f"  1  {'a' * 153}",
        f"  2  {'b' * 20}",
        "gsm7, 173 characters, 2 segments, room for 133 more in the last",
        "13 characters too long for 1 segment",
    ]


def test_a_text_is_shown_as_a_page_would_have_it(tmp_path: Path) -> None:
    config = a_config(tmp_path, LOCAL.replace("sms: {", "sms: {alphabet: gsm7, ", 1))
    said = [typed("text", "ещё —", *options) for options in (("--alphabet", "gsm7"), ("--config", config))]
    assert said[0].out == said[1].out
    assert said[0].out.splitlines()[-4:] == [
        "A page would say, with sms.alphabet gsm7:",
        "  eshchyo -",
        "gsm7, 9 characters, 1 segment, room for 151 more",
        "replaced: - for —, e for е, shch for щ, yo for ё",
    ]


def test_a_text_that_would_be_refused_is_told_so(tmp_path: Path) -> None:
    config = a_config(tmp_path, LOCAL.replace("sms: {", "sms: {typed_max_segments: 2, ", 1))
    long = "a" * 150 + "“"
    said = typed("text", long, "--config", config)
    told = typed("text", long, "--config", config, "-o", "json").json
    assert said.code == 1
    assert said.err == (
        "refused: the text takes 3 segments (151 characters in unicode); at most 2 go out (sms.typed_max_segments); "
        'unicode because of “ (left double quotation mark, U+201C) at 151; with " for “: gsm7, 1 segment; '
        "17 characters too long for 2 segments\n"
    )
    assert f"refused: {told['refused']}\n" == said.err
    assert typed("text", long).code == 0


def test_a_text_comes_from_stdin_and_goes_to_scripts() -> None:
    told = typed("text", "-", "--alphabet", "auto", "-o", "json", stdin="a\u00a0b\n".encode()).json
    assert (told["text"], told["parts"], told["alphabet"]) == ("a\u00a0b", ["a\u00a0b"], "unicode")
    assert (told["characters"], told["units"], told["units_left"], told["segments"]) == (3, 3, 67, 1)
    assert told["culprits"] == [{"sign": "\u00a0", "code": "U+00A0", "name": "no-break space", "at": 2, "times": 1}]
    assert (told["replaced"], told["instead"]["text"]) == ([], "a b")
    assert (told["page"]["text"], told["page"]["replaced"]) == ("a b", [{"sign": "\u00a0", "by": " "}])


@pytest.mark.parametrize("broken", [b"\xff\xfe", "\ud83d"])
def test_what_is_no_text_is_told(broken: bytes | str) -> None:
    said = typed("text", "-", stdin=broken) if isinstance(broken, bytes) else typed("text", broken)
    assert said.code == 1
    assert "not UTF-8" in said.err


# --- Mobizon itself


async def test_mobizons_own_words(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        await terminal.types("send", "magnum", "hello", "--wait")
        left = await terminal.types("balance")
        left_json = await terminal.types("balance", "-o", "json")
        told = await terminal.types("status", "800000001")
        mixed = await terminal.types("status", "800000001", "5", "-o", "json")
    assert left.out == "9979.5 KZT\n"
    assert left_json.json == {"amount": "9979.5000", "currency": "KZT"}
    assert told.code == 0
    assert told.out.splitlines()[1].startswith("800000001   #1    DELIVRD  1")
    assert mixed.code == 1
    assert (mixed.json["items"][0]["ours"], mixed.json["missing"]) == (1, ["5"])


async def test_statuses_are_told_where_no_database_is(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        await terminal.types("send", "magnum", "hello", "--wait")
        terminal.config.write_text(terminal.config.read_text().replace("sqlite:bridge.db", "sqlite:other.db"))
        said = await terminal.types("status", "800000001")
    assert said.code == 0
    assert "DELIVRD" in said.out
    assert "which of them are ours cannot be told:" in said.err


async def test_messages_asks_as_it_was_told(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        await terminal.types("send", "magnum", "hello", "--wait")
        said = await terminal.types(
            *("messages", "--to", "+7 701 000 00 03", "--text", "hello", "--from", "MyAlpha", "--status", "delivrd"),
            *("--since", SINCE, "--until", "2026-12-01", "--sort", "id:desc", "--sort", "to", "--page-size", "50"),
            *("--number-info", "--campaign-id", "200000001"),
        )
        asked = terminal.world.mobizon.requests[-1].parameters
    wanted = {name: value for name, value in asked.items() if name not in ("output", "api")}
    assert wanted == {
        "criteria[to]": "77010000003",
        "criteria[text]": "hello",
        "criteria[from]": "MyAlpha",
        "criteria[status]": "DELIVRD",
        "criteria[campaignIds][0]": "200000001",
        "criteria[campaignCreateTsFrom]": "2026-11-01 00:00:00",
        "criteria[campaignCreateTsTo]": "2026-12-01 00:00:00",
        "sort[id]": "DESC",
        "sort[to]": "ASC",
        "pagination[currentPage]": "0",
        "pagination[pageSize]": "50",
        "withNumberInfo": "1",
    }
    assert said.out.splitlines()[1].split()[:3] == ["800000001", "77010000003", "DELIVRD"]


async def test_messages_always_names_a_range(tmp_path: Path) -> None:
    """Told none, Mobizon leaves out what is old, silently."""
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("messages", "-o", "json")
        asked = terminal.world.mobizon.requests[-1].parameters
    assert said.json["total"] == 0
    assert {"criteria[campaignCreateTsFrom]", "criteria[campaignCreateTsTo]"} <= asked.keys()


async def test_a_text_cannot_move_the_cursor(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        await terminal.types("send", "magnum", "one\ntwo \x1b[2Jthree", "--wait")
        said = await terminal.types("messages", "--since", SINCE)
    assert len(said.out.splitlines()) == 2
    assert "\x1b" not in said.out


# --- the database


async def test_a_backup_is_taken_while_the_bridge_runs(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with a_terminal(tmp_path) as terminal:
        await terminal.world.post("alertmanager", firing("db1"))
        said = await terminal.types("backup", copy)
        again = await terminal.types("backup", copy)
        running = await terminal.types("migrate")
        restored = terminal.config.read_text().replace("sqlite:bridge.db", "sqlite:copy.db")
        terminal.config.write_text(restored)
        from_copy = await terminal.types("replay", "1", "--dry-run", "-o", "json")
        migrated = await terminal.types("migrate")
    assert said.code == 0, said.err
    assert (again.code, "is there already" in again.err) == (1, True)
    assert (running.code, "in use by another sms-bridge" in running.err) == (1, True)
    assert from_copy.json["source"] == "alertmanager"
    assert (migrated.code, migrated.out) == (0, f"{copy}: schema {head_revision()}, the newest\n")


# --- what the verbs never say


async def test_no_secret_and_no_whole_number_is_printed(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        await terminal.types("send", "+77010000009", "hello", "--wait")
        await terminal.world.post("alertmanager", firing("db1"))
        words = ["incidents --all", "show 1", "show 2", "receipts", "replay 1", "replay 1 --dry-run", "balance"]
        words += ["bill", "bill --by person -o csv", "bill --by asker -o json"]
        words += ["status 800000001", "check-config", "send +77010000008 hi", "doctor", "incidents -o json"]
        said = [await terminal.types(*line.split()) for line in words]
    everything = "".join(one.everything for one in said)
    for hidden in ("api-secret", "sight-secret", "am-secret", "generic-secret", BOT_TOKEN, "apiKey"):
        assert hidden not in everything
    for number in ("7010000001", "7010000008", "7010000009"):
        assert number not in everything.replace(" ", "")


# --- which token, which bridge


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:9877", "http://127.0.0.1:9877"),
        ("0.0.0.0:9877", "http://127.0.0.1:9877"),
        ("[::1]:9877", "http://[::1]:9877"),
        ("[::]:9877", "http://[::1]:9877"),
    ],
)
def test_the_bridge_is_asked_where_it_listens(tmp_path: Path, listen: str, url: str) -> None:
    text = LOCAL.replace('{listen: "127.0.0.1:0"}', f'{{listen: "{listen}", allow_plain: true}}')
    assert address(load_config(a_config(tmp_path, text))) == url


def test_the_token_is_the_nearest(tmp_path: Path) -> None:
    config = load_config(a_config(tmp_path, LOCAL))
    held, environ = tmp_path / "token", {"SMS_BRIDGE_API_TOKEN": "from-environment"}
    held.write_text("from-file\n")

    def shown(needed: Role = Role.OBSERVER, **how: object) -> str:
        return api_token(config, needed, **({"environ": {}} | how)).reveal()  # type: ignore[arg-type]  # by name

    assert shown(file=held, name="sight", environ=environ) == "from-file"
    assert shown(name="sight", environ=environ) == "sight-secret"
    assert shown(environ=environ) == "from-environment"
    assert shown() == "api-secret"
    only_sight = load_config(a_config(tmp_path, LOCAL.replace("scripts: {token: api-secret, role: operator}, ", "")))
    with pytest.raises(CannotAsk, match=r"add api\.tokens\.scripts: \{token_file: FILE, role: responder\}"):
        api_token(only_sight, Role.RESPONDER, environ={})


# --- times as people type them


NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # 17:00 in Almaty


@pytest.mark.parametrize(
    ("read", "written", "meant"),
    [
        (typed_words.ago, "90s", "2026-11-20T11:58:30+00:00"),
        (typed_words.ago, "1h", "2026-11-20T11:00:00+00:00"),
        (typed_words.ago, "2w", "2026-11-06T12:00:00+00:00"),
        (typed_words.ago, "2026-11-19", "2026-11-19T00:00:00+05:00"),
        (typed_words.ago, "2026-11-19T08:00:00Z", "2026-11-19T08:00:00+00:00"),
        (typed_words.ahead, "18:00", "2026-11-20T18:00:00+05:00"),
        (typed_words.ahead, "16:59", "2026-11-21T16:59:00+05:00"),
        (typed_words.ahead, "17:00", "2026-11-21T17:00:00+05:00"),
        (typed_words.ahead, "2026-11-22T09:30", "2026-11-22T09:30:00+05:00"),
    ],
)
def test_times_are_read_in_the_zone_of_the_config(
    read: Callable[[str, ZoneInfo, datetime], datetime], written: str, meant: str
) -> None:
    assert read(written, ZoneInfo("Asia/Almaty"), NOW) == datetime.fromisoformat(meant)


@pytest.mark.parametrize("written", ["", "d", "7y", "-7d", "18", "18:00:00", "24:00", "soon", "²d"])
@pytest.mark.parametrize("read", [typed_words.ago, typed_words.ahead])
def test_what_is_no_time_is_said_so(read: Callable[[str, ZoneInfo, datetime], datetime], written: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time; write"):
        read(written, ZoneInfo("UTC"), NOW)


# --- as a process of its own


@asynccontextmanager
async def a_process(*words: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LOG_", "SMS_BRIDGE"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", *map(str, words)),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_run_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    path = a_config(tmp_path, _without_telegram(LOCAL))
    async with a_process("run", "--config", path) as process:
        assert process.stderr
        while b"is up, listening on port" not in (line := await process.stderr.readline()):
            assert line, "it ended"
        async with a_process("migrate", "--config", path) as second:
            _, told = await second.communicate()
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert (second.returncode, b"in use by another sms-bridge" in told) == (1, True)
    assert (process.returncode, out) == (0, b"")


async def test_run_says_in_one_sentence_why_it_cannot(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = a_config(tmp_path, _without_telegram(LOCAL).replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        async with a_process("run", "--config", path) as process:
            _, told = await process.communicate()
    assert process.returncode == 1
    assert f"'127.0.0.1', {port}" in told.decode()
    assert told.decode().rstrip().endswith("address already in use; stop what listens there (another sms-bridge?), "
                                           "or change server.listen")  # fmt: skip
    assert b"Traceback" not in told


async def test_ctrl_c_ends_a_verb_quietly(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        words = ("send", "--config", a_config(tmp_path, LOCAL), "--url", url, "aigerim", "hello")
        async with a_process(*words) as process:
            await asked.wait()
            process.send_signal(signal.SIGINT)
            out, told = await process.communicate()
    assert (process.returncode, out, told) == (130, b"", b"")


async def test_a_lost_answer_tells_how_to_ask_again_safely(tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        words = ("send", "--config", a_config(tmp_path, LOCAL), "--url", url, "aigerim", "hello")
        said = await asyncio.to_thread(typed, *words, "--idempotency-key", "k1")
    assert said.code == 1
    assert "it may have been taken: again with --idempotency-key k1 never makes a second SMS" in said.err


async def test_a_bridge_that_goes_away_leaves_the_number_to_ask_for(tmp_path: Path) -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.close()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{"id": 7}')
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    words = ("send", "--config", a_config(tmp_path, LOCAL), "--url", url, "aigerim", "hello", "--wait")
    said = await asyncio.to_thread(typed, *words)
    assert said.code == 1
    assert said.err.startswith("#7 was handed over; then: no sms-bridge answers at")


@pytest.mark.parametrize("token", ["тайна", "two words", "a\x00b"])
async def test_a_token_that_could_never_be_one_is_refused_by_the_bridge(tmp_path: Path, token: str) -> None:
    held = tmp_path / "token"
    held.write_text(token)
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("incidents", "--token-file", held)
    assert said.code == 1
    assert len(said.err.splitlines()) == 1
    assert token not in said.err


async def test_the_verbs_that_need_no_bot_do_not_import_it(tmp_path: Path, config: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps(firing("db1")))
    lines = [["check-config"], ["explain", "--source", "alertmanager", str(payload)], ["balance"], ["send", "a", "b"]]
    lines += [["status", "5"], ["messages"], ["incidents"], ["migrate"], ["replay", "1", "--dry-run"]]
    code = f"""
import sys
from bridge.cli import app
for verb, *rest in {lines}:
    try:
        app([verb, "--config", {str(config)!r}, *rest])
    except SystemExit as error:
        assert error.code in (0, 1), (verb, error.code)
    assert "aiogram" not in sys.modules, verb
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 0, told.decode()


def _without_telegram(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("telegram:"))
