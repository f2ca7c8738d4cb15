"""The config file: what is understood, what is refused and in which words, and what is never said aloud."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from bridge.config import CalendarSettings, Config, ConfigError, config_schema, describe, load_config
from bridge.domain.hours import Hours, RouteHours, TimeInterval
from bridge.domain.house import Role
from bridge.domain.phone import PhoneNumber
from bridge.domain.rota import FromCalendar, Rota, Unit
from bridge.domain.routing import Matcher
from bridge.domain.secret import Secret
from bridge.domain.storm import StormRules
from bridge.domain.throttle import Month, Window
from tests.fakes import START

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"

GOOD = """\
time_zone: Asia/Almaty
server: {listen: 127.0.0.1:9877}
storage: {url: sqlite:data/bridge.db, keep: 90d}
mobizon: {base_url: https://api.mobizon.kz, api_key_file: key}
telegram: {token_file: key, updates: polling}
chats:
  ops: {id: -1001234567890, topic: 7}
people:
  aigerim: {phone: +77010000001, telegram_id: 111111111, role: operator}
  jonas: {phone: "8 701 000 00 02"}
  dana: {telegram_id: 333333333}
policies:
  critical:
    steps:
      - {notify: [chat, aigerim], wait: 5m}
sources:
  alertmanager: {token_file: key}
  shop: {kind: generic, basic: {user: shop, password_file: key}}
routes:
  - {name: critical, matchers: ['severity="critical"'], policy: critical, chat: ops, priority: critical}
  - {name: rest, chat: ops, silent: true}
sms: {default_region: KZ}
limits: {per_person: {5m: 5}, typed_share: 70%}
watch: {chat: ops, notify: [aigerim]}
api: {tokens: {scripts: {token_file: key, role: responder}}}
"""


class Folder:
    """A folder with a config file in it, and the secrets that the config names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secret("key", "s3cret\n")

    def secret(self, name: str, content: str | bytes, mode: int = 0o600) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)

    def load(self, text: str | bytes = GOOD, environ: Mapping[str, str] | None = None, mode: int = 0o600) -> Config:
        self.secret("config.yaml", text, mode)
        return load_config(self.path / "config.yaml", environ or {})

    def problems(self, text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        """Every problem, the folder's name left out."""
        with pytest.raises(ConfigError) as refused:
            self.load(text, environ)
        return [problem.replace(f"{self.path}/config.yaml", "config.yaml") for problem in refused.value.problems]

    def warnings(self, config: Config) -> list[str]:
        return [warning.replace(f"{self.path}/config.yaml", "config.yaml") for warning in config.warnings]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- what is understood --------------------------------------------------------------------------------


def test_a_good_file_becomes_a_house(folder: Folder) -> None:
    config = folder.load()
    house = config.house

    assert config.warnings == ()
    assert house.time_zone.key == "Asia/Almaty"
    assert house.people["aigerim"].number == PhoneNumber("+77010000001")
    assert house.people["aigerim"].role is Role.OPERATOR
    assert house.people["jonas"].number == PhoneNumber("+77010000002")
    assert (house.people["dana"].number, house.people["dana"].role) == (None, Role.OBSERVER)
    assert (house.chats["ops"].id, house.chats["ops"].topic) == (-1001234567890, 7)
    assert house.policies["critical"].steps[0].notify == ("chat", "aigerim")
    assert house.policies["critical"].steps[0].wait == timedelta(minutes=5)
    assert [route.name for route in house.routes] == ["critical", "rest"]
    assert house.routes[0].matchers == (Matcher("severity", "=", "critical"),)
    assert (house.routes[0].critical, house.routes[1].critical, house.routes[1].silent) == (True, False, True)
    assert house.sms.allowed_regions == {"KZ"}
    assert house.limits.per_person == (Window(timedelta(minutes=5), 5),)
    assert house.limits.total == (Window(timedelta(hours=1), 60), Window(timedelta(days=1), 200))
    assert (house.watch.chat, house.watch.notify) == ("ops", ("aigerim",))
    assert config.server.listen == ("127.0.0.1", 9877)
    assert config.storage.path == folder.path / "data/bridge.db"
    assert config.storage.keep == timedelta(days=90)
    assert config.mobizon.api_key.reveal() == "s3cret"
    assert config.mobizon.key_file == folder.path / "key"
    assert config.telegram is not None and config.telegram.token.reveal() == "s3cret"
    assert config.sources["alertmanager"].credentials.tokens == (Secret("s3cret"),)
    assert config.sources["shop"].credentials.basic == (("shop", Secret("s3cret")),)
    assert config.api_tokens["scripts"].role is Role.RESPONDER


def test_a_window_may_be_a_calendar_month_of_the_house(folder: Folder) -> None:
    limits = folder.load(GOOD.replace("{5m: 5}", "{month: 90, 1d: 9, 60d: 170}")).house.limits
    month = Month(90, ZoneInfo("Asia/Almaty"))
    assert limits.per_person == (Window(timedelta(days=1), 9), month, Window(timedelta(days=60), 170))


def test_a_route_and_an_asker_may_have_limits_of_their_own(folder: Folder) -> None:
    text = GOOD.replace("priority: critical", "priority: critical, limits: {1h: 5, month: 60}")
    config = folder.load(text.replace("{5m: 5}", "{5m: 5}, per_asker: {1d: 9}"))
    zone = ZoneInfo("Asia/Almaty")
    assert config.house.routes[0].limits == (Window(timedelta(hours=1), 5), Month(60, zone))
    assert config.house.limits.per_asker == (Window(timedelta(days=1), 9),)
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        (
            "priority: critical",
            "priority: critical, limits: {30m: 61}",
            "20: routes[0].limits: 30m: 61 never holds, for the house may send 60 (1h of limits.total); write less",
        ),
        (
            "priority: critical",
            "priority: critical, limits: {1h: 5, 2h: 201}",
            "20: routes[0].limits: 2h: 201 never holds, for the house may send 200 (1d of limits.total); write less",
        ),
        (
            "silent: true",
            "silent: true, limits: {1h: 1}",
            "21: routes[1].limits: no policy, so no SMS is sent that they could hold; remove them, or add policy",
        ),
        (
            "default_region: KZ}\nlimits: {per_person: {5m: 5}",
            "default_region: KZ, typed_max_segments: 6}\nlimits: {per_asker: {1h: 4}",
            "22: sms.typed_max_segments: longer texts are refused, for limits.per_asker lets 4 out in 1h; write less",
        ),
    ],
)
def test_limits_that_never_hold_or_hold_too_much_are_warned_about(
    folder: Folder, old: str, new: str, warning: str
) -> None:
    assert folder.warnings(folder.load(_with(old, new))) == [f"config.yaml:{warning}"]


def test_a_good_file_is_told_in_one_line(folder: Folder) -> None:
    assert describe(folder.load(), Path("config.yaml"), START) == (
        "config.yaml: good. 3 people, 2 routes. Next: sms-bridge doctor --config config.yaml"
    )


def test_a_good_file_says_who_is_on_call_as_far_as_it_knows(folder: Folder) -> None:
    folder.secret("oncall.ics", "")
    text = GOOD + "rotas: {primary: {people: [jonas, aigerim], since: 2026-11-16}, night: {calendar: oncall.ics}}\n"
    told = "3 people, on call now in rota primary: jonas until Mon 23 Nov 09:00, on call now in rota night: as its"
    assert told in describe(folder.load(text), Path("config.yaml"), START)


def test_no_scalar_is_typed_before_its_time(folder: Folder) -> None:
    text = GOOD.replace("default_region: KZ", "allowed_regions: [NO, KZ]").replace('"8 701 000 00 02"', "+77010000002")
    config = folder.load(text.replace("user: shop", "user: 077"))
    assert config.house.sms.allowed_regions == {"NO", "KZ"}
    assert config.house.people["jonas"].number == PhoneNumber("+77010000002")
    assert config.sources["shop"].credentials.basic[0][0] == "077"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://api.mobizon.kz", "https://api.mobizon.com.br/"),
        ("https://api.mobizon.kz", "http://127.0.0.1:8080"),
        ("https://api.mobizon.kz", "'http://[::1]:8080'"),
        ("listen: 127.0.0.1:9877", "listen: '[::1]:0'"),
        ("listen: 127.0.0.1:9877", "listen: 0.0.0.0:9877, allow_plain: true"),
        ("listen: 127.0.0.1:9877", "public_listen: 0.0.0.0:9878, public_url: https://sms.example.net"),
        (
            "policies:\n  critical:\n    steps:\n      - {notify: [chat, aigerim]",
            "rotas: {r: {people: [jonas], since: 2026-11-23}}\n"
            "policies:\n  critical:\n    steps:\n      - {notify: [chat, everyone on call]",
        ),
        ("{kind: generic, basic: {user: shop, password_file: key}}", "{kind: generic, open: true}"),
        ("sms: {default_region: KZ}", "sms: {default_region: kz, validity: 24h, alphabet: unicode, max_segments: 10}"),
        ("sms: {default_region: KZ}", "sms: {default_region: KZ, prices: {kz: 20.50KZT, NO: '35 KZT'}}"),
        ('severity="critical"\'', 'team=~"db|web"\', severity!=info'),
    ],
)
def test_these_are_fine_too(folder: Folder, old: str, new: str) -> None:
    assert folder.load(_with(old, new)).warnings == ()


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, "%YAML 1.1\n---\n" + GOOD])
def test_a_file_from_another_editor_reads_the_same(folder: Folder, text: str) -> None:
    assert folder.load(text) == folder.load()


def test_tokens_in_a_file_are_all_valid(folder: Folder) -> None:
    folder.secret("tokens", "old\nnew\r\n\n")
    config = folder.load(_with("alertmanager: {token_file: key}", "alertmanager: {token_file: tokens}"))
    assert [token.reveal() for token in config.sources["alertmanager"].credentials.tokens] == ["old", "new"]


def test_a_secret_may_come_from_the_environment(folder: Folder) -> None:
    text = _with("api_key_file: key", "api_key: '${MOBIZON_API_KEY}'")
    config = folder.load(text, {"MOBIZON_API_KEY": "from-outside"}, mode=0o644)
    assert config.mobizon.api_key.reveal() == "from-outside"
    assert config.mobizon.key_file is None
    assert config.warnings == ()


# --- what is refused, and in which words -----------------------------------------------------------------


def _with(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


KEYS_OF_SERVER = "there are: allow_plain, listen, max_body, public_listen, public_url"

REFUSED = [
    # time and durations
    ("Asia/Almaty", "Almaty", "1: time_zone: no such time zone; did you mean Asia/Almaty?"),
    ("Asia/Almaty", "Nowhere", "1: time_zone: no such time zone; write it like Asia/Almaty"),
    ("Asia/Almaty", "", "1: time_zone: empty; write a value, or remove the key"),
    ("Asia/Almaty", "[UTC]", "1: time_zone: a list or a table; a single value would be right"),
    ("keep: 90d", "keep: 5 minutes", "3: storage.keep: not a duration; write 5m, 30s, 1h or 7d"),
    ("keep: 90d", "keep: 30m", "3: storage.keep: out of range; write 1d to 3650d"),
    # keys
    ("server: {listen:", "server: {lisen:", "2: server.lisen: no such key; did you mean listen?"),
    ("server: {", "server: {x: 1, ", f"2: server.x: no such key; {KEYS_OF_SERVER}"),
    ("server: {", "server: {listen: 127.0.0.1:1, ", "2: server.listen: stands here twice, first in line 2; keep one"),
    ("sms: {", "storm: no\nsms: {", "22: storm: not one of the words it may be; write off"),
    ("sms: {", "storm: [off]\nsms: {", "22: storm: not a table; write its keys in lines below, further in"),
    ("sms: {", "storm: {alerts: 1}\nsms: {", "22: storm.alerts: too small; 2 or more"),
    ("sms: {", "storm: {within: 2h}\nsms: {", "22: storm.within: out of range; write 1s to 1h"),
    ("sms: {", "storm: {calm: 5s}\nsms: {", "22: storm.calm: out of range; write 1m to 1d"),
    ("sms: {", "storm: {alert: 9}\nsms: {", "22: storm.alert: no such key; did you mean alerts?"),
    ("topic: 7", "page: criticl", '7: chats.ops.page: no policy is called "criticl"; did you mean critical?'),
    (
        "  critical:\n",
        "  critical:\n    notify_resolved: true\n",
        "14: policies.critical.notify_resolved: is called resolved_sms here",
    ),
    ("server: {", "server: {notify_resolved: yes, ", f"2: server.notify_resolved: no such key; {KEYS_OF_SERVER}"),
    (
        "  critical:\n",
        "  critical:\n    repeat: 10\n",
        "14: policies.critical.repeat: out of range; write 0 to 9",
    ),
    (
        "sms: {default_region: KZ}",
        "sms: {default_region: KZ, prices: {KZ: 20.50}}",
        "22: sms.prices.KZ: not a price; write it with its currency, like 20.50 KZT",
    ),
    (
        "sms: {default_region: KZ}",
        "sms: {default_region: KZ, prices: {Kazakhstan: 20.50 KZT}}",
        "22: sms.prices.Kazakhstan: not a country code; write two letters like KZ or DE (ISO 3166)",
    ),
    (
        "sms: {default_region: KZ}",
        "sms: {default_region: KZ, prices: {KZ: 20.50 KZT, DE: 0.0735 EUR}}",
        "22: sms.prices: several currencies; an account has one, the one that sms-bridge balance tells",
    ),
    (
        "sms: {default_region: KZ}",
        "sms: {default_region: KZ, prices: {}}",
        "22: sms.prices: no price in it; write it like {KZ: 20.50 KZT}",
    ),
    ("sms: {default_region: KZ}", "sms: KZ", "22: sms: not a table; write its keys in lines below, further in"),
    # the server and the database
    ("127.0.0.1:9877", "9877", "2: server.listen: not an address; write HOST:PORT like 127.0.0.1:9877"),
    ("127.0.0.1:9877", "127.0.0.1:65536", "2: server.listen: no such port; write one from 1 to 65535"),
    (
        "127.0.0.1:9877",
        "0.0.0.0:9877",
        "2: server.listen: others can reach it and read tokens off the wire; listen on 127.0.0.1 behind a TLS proxy, "
        "or say allow_plain: true",
    ),
    (
        "listen: 127.0.0.1:9877",
        "public_listen: 0.0.0.0:9878, public_url: http://sms.example.net",
        "2: server.public_listen: others can reach it and read tokens off the wire; listen on 127.0.0.1 behind a TLS "
        "proxy, or say allow_plain: true",
    ),
    (
        "listen: 127.0.0.1:9877",
        "public_listen: 127.0.0.1:9877",
        "2: server.public_listen: the same address as listen; take another port",
    ),
    (
        "listen: 127",
        "max_body: 3 MB, listen: 127",
        "2: server.max_body: not a size; write it like 32MiB, from 1KiB to 1024MiB",
    ),
    ("listen: 127", "allow_plain: yes, listen: 127", "2: server.allow_plain: neither yes nor no; write true or false"),
    (
        "sqlite:data/bridge.db",
        "postgresql://bridge:pw@db/bridge",
        "3: storage.url: PostgreSQL comes in a later version; write sqlite:data/bridge.db",
    ),
    (
        "sqlite:data/bridge.db",
        "sqlite::memory:",
        "3: storage.url: not a database; write sqlite:PATH like sqlite:data/bridge.db",
    ),
    # Mobizon: the key goes to nobody else
    (
        "https://api.mobizon.kz",
        "https://api.mobizon.evil.com",
        "4: mobizon.base_url: not a Mobizon API; write https://api.mobizon.kz, or the account's own site",
    ),
    (
        "https://api.mobizon.kz",
        "https://api.mobizon.kz@evil.example",
        "4: mobizon.base_url: more than an address; write it like https://host.example without user, ? or #",
    ),
    (
        "https://api.mobizon.kz",
        "https://evil.example/api.mobizon.kz",
        "4: mobizon.base_url: not a Mobizon API; write https://api.mobizon.kz, or the account's own site",
    ),
    (
        "https://api.mobizon.kz",
        "http://api.mobizon.kz",
        "4: mobizon.base_url: not encrypted, and the key travels in it; write https://",
    ),
    (
        "base_url: https://api.mobizon.kz, ",
        "",
        "4: mobizon: no base_url; write it like base_url: https://api.mobizon.kz",
    ),
    ("api_key_file: key", "", "4: mobizon: no key, so nothing can be sent; add api_key_file: FILE"),
    (
        "api_key_file: key",
        "api_key: x, api_key_file: key",
        "4: mobizon.api_key_file: api_key and api_key_file are both there; keep one",
    ),
    ("{base_url", "{concurrency: 17, base_url", "4: mobizon.concurrency: out of range; write 1 to 16"),
    (
        "{base_url",
        "{api_key_in: header, base_url",
        "4: mobizon.api_key_in: not one of the words it may be; write query or body",
    ),
    # Telegram and chats
    ("token_file: key, updates", "updates", "5: telegram: no token, so the bot cannot speak; add token_file: FILE"),
    ("id: -1001234567890", "id: ops", "7: chats.ops.id: not a whole number; write digits only"),
    ("topic: 7", "topic: 0", "7: chats.ops.topic: too small; 1 or more"),
    # people
    (
        "+77010000001",
        "+7701000001",
        "9: people.aigerim.phone: one digit short for Kazakhstan; ",
    ),
    ("+77010000001", "oops", "9: people.aigerim.phone: not a phone number; write digits, like +7 701 000 00 01"),
    (
        "+77010000001",
        "+4915112345678",
        "9: people.aigerim.phone: Germany is not allowed here; sms.allowed_regions has KZ; "
        "write a mobile number of an allowed country",
    ),
    (
        "telegram_id: 333333333",
        "role: observer",
        "11: people.dana: neither a phone nor a telegram_id; add the one they are reached by",
    ),
    (
        "telegram_id: 333333333",
        "telegram_id: 111111111",
        "11: people.dana.telegram_id: the same id as aigerim; one person, one entry",
    ),
    (
        '"8 701 000 00 02"',
        "+7 701 000 00 01",
        "10: people.jonas.phone: the same number as aigerim; one person, one entry",
    ),
    *(
        (
            "telegram_id: 333333333",
            f"telegram_id: {nobody}",
            "11: people.dana.telegram_id: Telegram's own id for anonymous admins and channels, not a person; "
            "/id tells the person's",
        )
        for nobody in (1087968824, 136817688, 777000)
    ),
    (
        "role: operator",
        "role: boss",
        "9: people.aigerim.role: not one of the words it may be; write observer, responder or operator",
    ),
    (
        "  dana:",
        "  everyone:",
        "11: people.everyone: a word with a meaning of its own; call this person something else",
    ),
    (
        "  dana:",
        "  Aigerim:",
        "11: people.Aigerim: only its capitals differ from somebody above; /sms could not tell them apart",
    ),
    # policies
    (
        "[chat, aigerim]",
        "[chat, aigerin]",
        '15: policies.critical.steps[0].notify[1]: no person is called "aigerin"; did you mean aigerim?',
    ),
    (
        "[chat, aigerim]",
        "[dana]",
        "15: policies.critical.steps[0].notify[0]: dana has no phone; give people.dana.phone",
    ),
    (
        "[chat, aigerim]",
        "[rota primary]",
        '15: policies.critical.steps[0].notify[0]: no rota is called "primary"; there are none',
    ),
    (
        "[chat, aigerim]",
        "[everyone on call]",
        "15: policies.critical.steps[0].notify[0]: there are no rotas, so it is nobody; "
        "add rotas, or write names of people",
    ),
    (
        "topic: 7}",
        "topic: 7, page: night}",
        '7: chats.ops.page: no policy is called "night"; there are: critical',
    ),
    (
        "topic: 7}",
        "topic: 7, rota: primary}",
        '7: chats.ops.rota: no rota is called "primary"; there are none',
    ),
    ("[chat, aigerim]", "[]", "15: policies.critical.steps[0].notify: nobody in it; write names of people, or chat"),
    (
        "notify: [chat, aigerim], ",
        "",
        "15: policies.critical.steps[0]: no notify; write whom it reaches, like notify: [chat, NAME]",
    ),
    ("[chat, aigerim]", "aigerim", "15: policies.critical.steps[0].notify: not a list; write it like [one, two]"),
    (
        "wait: 5m}",
        "deliver_within: never}",
        "15: policies.critical.steps[0].deliver_within: not a duration; write 5m, 30s, 1h or 7d",
    ),
    # sources
    (
        "{token_file: key}\n  shop",
        "{}\n  shop",
        "17: sources.alertmanager: no credential, so anyone who finds the address can page you; add token_file: FILE, "
        "or say open: true",
    ),
    (
        "alertmanager: {",
        "alertmanager: {open: true, ",
        "17: sources.alertmanager.open: open to anybody although there is token_file; keep one of the two",
    ),
    (
        "kind: generic",
        "kind: grafana",
        "18: sources.shop.kind: sources of kind grafana come in a later version; there are now: alertmanager, generic, "
        "heartbeat",
    ),
    (
        "kind: generic, ",
        "",
        "18: sources.shop.kind: no kind of that name; write kind: alertmanager, generic or heartbeat",
    ),
    (", password_file: key", "", "18: sources.shop.basic: no password; add password_file: FILE"),
    (
        "kind: generic",
        "kind: generic, routes: [night]",
        '18: sources.shop.routes[0]: no route is called "night"; there are: critical, rest',
    ),
    (
        "kind: generic",
        "kind: generic, api_url: http://am.example",
        "18: sources.shop.api_url: only an Alertmanager can be silenced; remove it",
    ),
    (
        "alertmanager: {",
        "alertmanager: {api_token_file: key, ",
        "17: sources.alertmanager.api_token_file: nobody is shown this token; add api_url: "
        "http://alertmanager.example:9093",
    ),
    (
        "alertmanager: {",
        "alertmanager: {api_url: http://am.example/api/v2/, ",
        "17: sources.alertmanager.api_url: we add /api/v2 ourselves; leave it out",
    ),
    ("kind: generic", "kind: heartbeat, route: critical", "18: sources.shop: no every; write it like every: 5m"),
    ("kind: generic", "kind: heartbeat, every: 5m", "18: sources.shop: no route; write it like route: critical"),
    (
        "kind: generic",
        "kind: heartbeat, every: 5m, route: night",
        '18: sources.shop.route: no route is called "night"; there are: critical, rest',
    ),
    (
        "kind: generic",
        "kind: heartbeat, every: 20s, route: critical",
        "18: sources.shop.every: out of range; write 30s to 7d",
    ),
    (
        "kind: generic",
        "kind: heartbeat, every: 8d, route: critical",
        "18: sources.shop.every: out of range; write 30s to 7d",
    ),
    (
        "kind: generic",
        "kind: generic, every: 5m",
        "18: sources.shop.every: only a heartbeat has it; remove it, or write kind: heartbeat",
    ),
    (
        "kind: generic",
        "kind: generic, route: rest",
        "18: sources.shop.route: only a heartbeat has it; remove it, or write kind: heartbeat",
    ),
    (
        "kind: generic",
        "kind: heartbeat, every: 5m, route: critical, routes: [rest]",
        "18: sources.shop.routes: a heartbeat has one route; write it as route, and remove this",
    ),
    (
        "kind: generic",
        "kind: heartbeat, every: 5m, route: critical, dedup_window: 20m",
        "18: sources.shop.dedup_window: each beat counts; remove it",
    ),
    (
        "kind: generic",
        "kind: heartbeat, every: 5m, route: critical, api_url: http://am.example",
        "18: sources.shop.api_url: only an Alertmanager can be silenced; remove it",
    ),
    # routes
    (
        "policy: critical,",
        "policy: night-shift,",
        '20: routes[0].policy: no policy is called "night-shift"; there are: critical',
    ),
    (
        "name: rest, chat: ops",
        "name: rest, chat: opps",
        '21: routes[1].chat: no chat is called "opps"; did you mean ops?',
    ),
    (
        "name: rest",
        "name: critical",
        '21: routes[1].name: a second route called "critical"; names are what cards and URLs tell apart',
    ),
    (
        "name: rest, chat: ops",
        "name: rest",
        "21: routes[1]: neither policy nor chat, so nobody would hear of it; add the one or the other",
    ),
    (
        "'severity=\"critical\"'",
        "severity critical",
        '20: routes[0].matchers[0]: not a matcher; write it like severity="critical", with = != =~ or !~',
    ),
    (
        "'severity=\"critical\"'",
        "'severity=~\"(\"'",
        "20: routes[0].matchers[0]: not a regular expression; Python's re has to understand it",
    ),
    (
        "role: operator",
        "role: operator, alphabet: latin",
        "9: people.aigerim.alphabet: not one of the words it may be; write auto, gsm7 or unicode",
    ),
    (
        "priority: critical",
        "priority: critical, max_segments: 11",
        "20: routes[0].max_segments: out of range; write 1 to 10",
    ),
    (
        "priority: critical",
        "priority: critical, alphabet: latin",
        "20: routes[0].alphabet: not one of the words it may be; write auto, gsm7 or unicode",
    ),
    (
        "priority: critical",
        "priority: high",
        "20: routes[0].priority: not one of the words it may be; write normal or critical",
    ),
    # sms, limits, watch, api
    (
        "default_region: KZ",
        "default_region: Kazakhstan",
        "22: sms.default_region: not a country code; write two letters like KZ or DE (ISO 3166)",
    ),
    ("default_region: KZ", "default_region: KZ, validity: 73h", "22: sms.validity: out of range; write 1m to 3d"),
    ("default_region: KZ", "default_region: KZ, max_segments: 0", "22: sms.max_segments: out of range; write 1 to 10"),
    (
        "default_region: KZ",
        "default_region: KZ, allowed_regions: []",
        "22: sms.allowed_regions: no country in it; write the ones you text, like [KZ]",
    ),
    ("{5m: 5}", "{5m: many}", "23: limits.per_person.5m: not a whole number; write digits only"),
    ("{5m: 5}", "{soon: 5}", "23: limits.per_person.soon: no window; write a duration like 5m, 1h or 1d, or month"),
    ("{5m: 5}", "{}", "23: limits.per_person: no window in it; write it like {1h: 11}"),
    ("{5m: 5}", "{month: 0}", "23: limits.per_person.month: too small; 1 or more"),
    (
        "{5m: 5}",
        "{91d: 5}",
        "23: limits.per_person: numbers are forgotten after storage.keep (90d), so 91d cannot be counted; write less, "
        "or keep them for longer",
    ),
    (
        "priority: critical",
        "priority: critical, limits: {1h: 5, fortnight: 9}",
        "20: routes[0].limits.fortnight: no window; write a duration like 5m, 1h or 1d, or month",
    ),
    ("70%", "70%, soft: 0%", "23: limits.soft: not a share; write 1% to 100%"),
    ("70%", "70%, soft: 101%", "23: limits.soft: not a share; write 1% to 100%"),
    ("70%", "70%, soft: many", "23: limits.soft: not a share; write 1% to 100%"),
    ("70%", "0.7", "23: limits.typed_share: not a share; write 0% to 100%"),
    ("notify: [aigerim]}", "notify: [dana]}", "24: watch.notify[0]: dana has no phone; give people.dana.phone"),
    (
        "{chat: ops, notify",
        "{balance_below: low, chat: ops, notify",
        "24: watch.balance_below: not an amount of money; write it like 3000 or 12.50",
    ),
    (
        "{token_file: key, role: responder}",
        "{role: responder}",
        "25: api.tokens.scripts: no token; add token_file: FILE",
    ),
    # YAML itself
    ("Asia/Almaty", "&zone UTC", "1: time_zone: anchors and aliases (& and *) are not read; write it out"),
    ("Asia/Almaty", "!!str UTC", "1: time_zone: tags (!) are not read; leave it out, or put it in quotes"),
]


@pytest.mark.parametrize(("old", "new", "line"), REFUSED)
def test_a_mistake_is_named_by_line_and_path(folder: Folder, old: str, new: str, line: str) -> None:
    (problem,) = folder.problems(_with(old, new))
    expected = f"config.yaml:{line}"
    assert problem == expected or (expected.endswith("; ") and problem.startswith(expected))


def test_every_problem_is_told_at_once_in_the_order_of_lines(folder: Folder) -> None:
    text = (
        GOOD.replace("Asia/Almaty", "Almaty")
        .replace("[chat, aigerim]", "[nobody]")
        .replace("{token_file: key}\n", "{}\n", 1)
        .replace("sqlite:data/bridge.db", "file.db")
    )
    lines = [int(problem.split(":")[1]) for problem in folder.problems(text)]
    assert lines == [1, 3, 15, 17]


def test_a_webhook_needs_a_secret_and_an_address(folder: Folder) -> None:
    assert folder.problems(_with("updates: polling", "updates: webhook")) == [
        "config.yaml:5: telegram.updates: webhook without a secret: anybody could speak as Telegram; "
        "add webhook_secret_file: FILE",
        "config.yaml:5: telegram.updates: webhook needs an address that Telegram can reach; set server.public_url",
    ]


def test_without_any_country_nothing_could_be_sent(folder: Folder) -> None:
    (first, *_) = folder.problems(_with("sms: {default_region: KZ}\n", ""))
    assert first.startswith("config.yaml:1: sms: no country is allowed, so nothing could be sent; ")


def test_an_empty_house_says_what_is_missing(folder: Folder) -> None:
    assert folder.problems("people: {}\n") == [
        "config.yaml:1: mobizon: not there, so nothing can be sent; add base_url and api_key_file below it",
        "config.yaml:1: sms: no country is allowed, so nothing could be sent; "
        "add default_region: KZ, or allowed_regions",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: empty; the shortest config that pages opens config.example.yaml"),
        ("# nothing\n", "1: empty; the shortest config that pages opens config.example.yaml"),
        ("- a\n", "1: not a table; write keys like mobizon: at the start of a line"),
        ("a: 1\n---\nb: 1\n", "2: a second document; keep one, without ---"),
        ("sms:\n\tmax_segments: 1\n", "2: not YAML: a tab; indent with spaces"),
        ("sms: [1\nlimits: {}\n", "2: not YAML: expected ',' or ']', but got ':'"),
        (b"sms:\n  x: \xff\n", "2: not UTF-8; save the file as UTF-8"),
        (
            "a: " + "[" * 100_000,
            "1: a[0][0][0][0][0][0][0][0][0][0][0][0]: nested too deeply; no key of ours stands there",
        ),
        ("#" * (1024 * 1024 + 1), "1: larger than 1 MiB; this is no config of ours"),
    ],
)
def test_what_is_no_config_at_all_is_told_so(folder: Folder, text: str | bytes, problem: str) -> None:
    assert folder.problems(text)[0] == f"config.yaml:{problem}"


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml:1: cannot be read \(No such file or directory\); name the"):
        load_config(tmp_path / "config.yaml", {})


# --- rotas and hours -------------------------------------------------------------------------------------

ROTA = "rotas: {primary: {people: [aigerim, jonas], every: 1w, since: 2026-11-23, handover: monday 09:00}}\n"
NIGHT = """\
time_intervals:
  - name: night
    time_intervals:
      - times: [{start_time: "22:00", end_time: 24:00}, {start_time: 00:00, end_time: 06:00}]
        weekdays: [monday:friday, Saturday]
        days_of_month: [-3:-1]
        months: [june:august, 12]
        years: [2026]
        location: Asia/Almaty
"""
DAY = """\
  - name: day
    time_intervals: [{times: [{start_time: 00:00, end_time: "23:00"}], location: Asia/Almaty}]
"""


def test_rotas_are_understood(folder: Folder) -> None:
    folder.secret("oncall.ics", "")
    folder.secret("feed", "https://calendar.example.net/private-1/basic.ics\n")
    rotas = (
        ROTA.rstrip("}\n")
        + "}, nights: {people: [jonas], every: 12h, since: 2026-11-24, handover: '21:00', time_zone: Europe/Berlin}, "
        + "days: {people: [jonas, jonas], every: 14d, since: 2026-11-23}, "
        + "holidays: {calendar: oncall.ics, time_zone: Europe/Berlin}, feed: {calendar_url_file: feed}}\n"
    )
    config = folder.load(_with("topic: 7", "topic: 7, rota: primary") + rotas)
    almaty, berlin = ZoneInfo("Asia/Almaty"), ZoneInfo("Europe/Berlin")
    assert config.house.rotas == {
        "primary": Rota(("aigerim", "jonas"), date(2026, 11, 23), time(9), 1, Unit.WEEKS, almaty),
        "nights": Rota(("jonas",), date(2026, 11, 24), time(21), 12, Unit.HOURS, berlin),
        "days": Rota(("jonas", "jonas"), date(2026, 11, 23), time(9), 14, Unit.DAYS, almaty),
        "holidays": FromCalendar(berlin),
        "feed": FromCalendar(almaty),
    }
    assert config.house.chats["ops"].rota == "primary"
    assert config.calendars == {
        "holidays": CalendarSettings(path=folder.path / "oncall.ics"),
        "feed": CalendarSettings(url=Secret("https://calendar.example.net/private-1/basic.ics")),
    }
    assert "private-1" not in repr(config)
    assert config.warnings == ()


def test_storms_are_understood(folder: Folder) -> None:
    assert folder.load(GOOD).house.storm == StormRules()
    assert folder.load(GOOD + 'storm: "off"\n').house.storm is None
    assert folder.load(GOOD + "storm: off\n").house.storm is None
    second = timedelta(seconds=1)
    written = folder.load(GOOD + "storm: {alerts: 7, within: 2m, gather: 5s, calm: 1h}\n").house.storm
    assert written == StormRules(7, 120 * second, 5 * second, 3600 * second)
    odd = folder.load(GOOD + "storm: {within: 5s}\n")
    (warning,) = folder.warnings(odd)
    assert "storm" in warning and "longer than within" in warning


def test_hours_are_understood(folder: Folder) -> None:
    uses = "mute_time_intervals: [night], active_time_intervals: [day], hold_time_intervals: [night]"
    route = f"policy: critical, {uses}, policy_at: {{night: critical}},"
    config = folder.load(_with("policy: critical,", route) + NIGHT + DAY)
    night = TimeInterval(
        "night",
        (
            Hours(
                times=((22 * 60, 24 * 60), (0, 6 * 60)),
                weekdays=((1, 5), (6, 6)),
                days_of_month=((-3, -1),),
                months=((6, 8), (12, 12)),
                years=((2026, 2026),),
                zone=ZoneInfo("Asia/Almaty"),
            ),
        ),
    )
    day = TimeInterval("day", (Hours(times=((0, 23 * 60),), zone=ZoneInfo("Asia/Almaty")),))
    assert config.house.routes[0].hours == RouteHours((night,), (day,), (night,), ((night, "critical"),))
    assert config.house.routes[1].hours == RouteHours()
    assert folder.warnings(config) == []


def test_hours_without_a_location_are_asked_about(folder: Folder) -> None:
    config = folder.load(GOOD + NIGHT.replace("        location: Asia/Almaty\n", ""))
    assert folder.warnings(config) == [
        "config.yaml:29: time_intervals[0].time_intervals[0]: read in UTC, as Alertmanager does; "
        "if you mean local time, add location: Asia/Almaty"
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[aigerim, jonas]", "[aigerim, jonsa]", '.people[1]: no person is called "jonsa"; did you mean jonas?'),
        ("[aigerim, jonas]", "[dana]", ".people[0]: dana has no phone; give people.dana.phone"),
        ("[aigerim, jonas]", "[]", ".people: nobody in it; write who takes turns, like [aigerim, jonas]"),
        (
            "people: [aigerim, jonas], ",
            "",
            ": no people; write them like people: [aigerim, jonas], or name a calendar",
        ),
        ("every: 1w", "every: 90m", ".every: not the length of a turn; write it like 1w, 2d or 12h"),
        ("every: 1w", "every: 0d", ".every: not the length of a turn; write it like 1w, 2d or 12h"),
        (
            "every: 1w",
            "every: 12h",
            ".handover: turns of this length do not all begin on one weekday; write the time alone",
        ),
        (
            "since: 2026-11-23",
            "since: 2026-11-25",
            ".since: a wednesday, but turns begin on monday; write 2026-11-23 or 2026-11-30",
        ),
        ("since: 2026-11-23", "since: 23.11.2026", ".since: not a day; write it like 2026-11-23"),
        ("since: 2026-11-23", "since: 2026-02-30", ".since: not a day; write it like 2026-11-23"),
        ("since: 2026-11-23", "since: 1026-02-20", ".since: too far away; write a day of these years, like 2026-11-23"),
        (
            "since: 2026-11-23, ",
            "",
            ": no since; write it like since: 2026-11-23, the day the first one's turn began",
        ),
        ("monday 09:00", "mon 9:00", ".handover: not a handover; write it like monday 09:00, or 09:00"),
        ("monday 09:00", "24:00", ".handover: not a handover; write it like monday 09:00, or 09:00"),
        ("every: 1w", "every: 1w, time_zone: Almaty", ".time_zone: no such time zone; did you mean Asia/Almaty?"),
        ("every: 1w", "evry: 1w", ".evry: no such key; did you mean every?"),
    ],
)
def test_a_mistake_in_a_rota_is_named(folder: Folder, old: str, new: str, line: str) -> None:
    assert old in ROTA
    assert folder.problems(GOOD + ROTA.replace(old, new)) == [f"config.yaml:26: rotas.primary{line}"]


@pytest.mark.parametrize(
    ("rotas", "line"),
    [
        (
            "{r: {calendar: no.ics}}",
            "r.calendar: no.ics is not there; export the calendar to it, or use calendar_url",
        ),
        ("{r: {calendar: key, people: [jonas]}}", "r.people: the turns come from calendar; keep one of the two"),
        ("{r: {calendar: key, calendar_url_file: url}}", "r.calendar_url_file: a second calendar; one rota has one"),
        ("{r: {calendar_url: webcal}}", "r.calendar_url: not a web address; write it like https://host.example"),
        ("{take: {calendar: key}}", "take: /oncall reads that word as something else; call this rota something else"),
        ("{Jonas: {calendar: key}}", "Jonas: /oncall reads that word as something else; call this rota something else"),
        (
            "{r: {calendar: key}, R: {calendar: key}}",
            "R: only its capitals differ from a rota above; /oncall could not tell them apart",
        ),
    ],
)
def test_a_mistake_around_a_rota_is_named(folder: Folder, rotas: str, line: str) -> None:
    folder.secret("url", "https://calendar.example.net/1\n")
    assert folder.problems(f"{GOOD}rotas: {rotas}\n") == [f"config.yaml:26: rotas.{line}"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "end_time: 06:00",
            "end_time: 6:00",
            "29: time_intervals[0].time_intervals[0].times[1].end_time: not a time of day; "
            "write it like 09:00, or 24:00 for the end of the day",
        ),
        (
            "end_time: 24:00",
            "end_time: 06:00",
            "29: time_intervals[0].time_intervals[0].times[0].end_time: ends before it begins; "
            "past midnight it is two: 22:00 to 24:00, and 00:00 to 06:00",
        ),
        (
            ", end_time: 06:00",
            "",
            '29: time_intervals[0].time_intervals[0].times[1]: no end_time; write it like end_time: "17:00"',
        ),
        (
            "monday:friday",
            "friday:monday",
            "30: time_intervals[0].time_intervals[0].weekdays[0]: ends before it begins, "
            "for the week begins on sunday; write it as two",
        ),
        (
            "[-3:-1]",
            "[]",
            "31: time_intervals[0].time_intervals[0].days_of_month: nothing in it, so it would never be; "
            "remove the key to leave it open",
        ),
        (
            "june:august",
            "summer",
            "32: time_intervals[0].time_intervals[0].months[0]: not a month; write may:august, 5:8 or may",
        ),
        (
            "years: [2026]",
            "years: [26y]",
            "33: time_intervals[0].time_intervals[0].years[0]: not a year; write 2026:2028, or 2026",
        ),
        (
            "Asia/Almaty",
            "Almaty",
            "34: time_intervals[0].time_intervals[0].location: no such time zone; did you mean Asia/Almaty?",
        ),
        (
            "name: night",
            "name: night\n    time_intervals: [{}]\n  - name: night",
            "",
        ),
    ],
)
def test_a_mistake_in_hours_is_named(folder: Folder, old: str, new: str, line: str) -> None:
    assert old in NIGHT
    problems = folder.problems(GOOD + NIGHT.replace(old, new, 1))
    if line:
        assert problems == [f"config.yaml:{line}"]
    else:
        assert problems == [
            "config.yaml:27: time_intervals[0]: never ends; narrow it, or leave it out",
            'config.yaml:29: time_intervals[1].name: a second interval called "night"; '
            "routes could not tell them apart",
        ]


def test_hours_that_hold_nothing_are_refused(folder: Folder) -> None:
    assert folder.problems(GOOD + "time_intervals: [{name: night}]\n") == [
        "config.yaml:26: time_intervals[0]: no hours in it; write time_intervals: [{weekdays: [saturday]}]"
    ]
    always = "time_intervals: [{name: x, time_intervals: [{weekdays: [sunday:friday]}, {weekdays: [saturday]}]}]\n"
    assert folder.problems(GOOD.replace("Asia/Almaty", "UTC") + always) == [
        "config.yaml:26: time_intervals[0]: never ends; narrow it, or leave it out"
    ]


@pytest.mark.parametrize(
    ("route", "line"),
    [
        (
            "policy: critical, mute_time_intervals: [nigt],",
            'mute_time_intervals[0]: no interval is called "nigt"; did you mean night?',
        ),
        (
            "policy: critical, policy_at: {night: quiet},",
            'policy_at.night: no policy is called "quiet"; there are: critical',
        ),
        (
            "policy: critical, hold_time_intervals: [],",
            "hold_time_intervals: no interval in it; remove the key",
        ),
        (
            "hold_time_intervals: [night],",
            "hold_time_intervals: no policy, so it pages nobody at any hour; remove this, or add policy",
        ),
    ],
)
def test_a_mistake_in_a_routes_hours_is_named(folder: Folder, route: str, line: str) -> None:
    assert folder.problems(_with("policy: critical,", route) + NIGHT) == [f"config.yaml:20: routes[0].{line}"]


# --- warnings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        (
            "  - {name: rest, chat: ops, silent: true}\n",
            "",
            "config.yaml:19: routes: no route catches everything; what none matches would show in ops only",
        ),
        (
            "default_region: KZ",
            "default_region: KZ, validity: 30m",
            "config.yaml:22: sms.validity: some operators ignore what is not between 60m and 24h",
        ),
        (
            "telegram: {token_file: key, updates: polling}\n",
            "",
            "config.yaml:5: chats: there is no bot to write there; add telegram: {token_file: FILE}",
        ),
    ],
)
def test_what_is_worth_a_look_is_a_warning(folder: Folder, old: str, new: str, warning: str) -> None:
    assert folder.warnings(folder.load(_with(old, new))) == [warning]


STEPS = "      - {notify: [chat, aigerim], wait: 5m}\n"
EVENING = """\
time_intervals:
  - name: evening
    time_intervals: [{times: [{start_time: "18:00", end_time: "24:00"}], location: Asia/Almaty}]
"""
DB = "  - {name: db, matchers: [team=db, 'severity=\"critical\"'], chat: ops}\n"
LONG = "  long: {delay: 1m, steps: [{notify: [aigerim], wait: 5m}], repeat: 1}\n"
ROUTES = GOOD[GOOD.index("  - {name: critical") : GOOD.index("sms:")]


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        (
            STEPS,
            "      - {notify: [chat]}\n",
            "14: policies.critical.steps: nobody in it gets an SMS, only the chat rings; name people or a rota as well",
        ),
        (
            "wait: 5m",
            "wait: 5m, deliver_within: 5m",
            "15: policies.critical.steps[0].deliver_within: the next step is called by then anyway, "
            "after its wait of 5m; write less, or off",
        ),
        (
            STEPS,
            f"{STEPS.replace(', wait: 5m', '')}    repeat: 2\n",
            "16: policies.critical.repeat: no step says how long it waits, so all of it is called every 5m; "
            "write wait beside notify",
        ),
        (
            STEPS,
            f"{STEPS}    ack_for: 4m\n",
            "16: policies.critical.ack_for: shorter than the wait of the first step (5m), "
            "so taking it calls sooner than not taking it; write more, like 2h",
        ),
        (STEPS, f"{STEPS}      - {{notify: [jonas]}}\n    repeat: 1\n    ack_for: 5m\n", ""),
        (
            "priority: critical",
            "priority: critical, ttl: 5m, policy_at: {evening: long}",
            "21: routes[0].ttl: over before policy long calls its second step, after 6m: only the first ever is; "
            "write more",
        ),
        (
            "priority: critical",
            "priority: critical, ttl: 1m, policy_at: {evening: long}",
            "21: routes[0].ttl: over before policy long sends its first SMS, after 1m: nobody would be paged; "
            "write more",
        ),
        ("priority: critical", "priority: critical, ttl: 361s, policy_at: {evening: long}", ""),
        (
            "policy: critical, chat: ops, priority",
            "policy: critical, priority",
            "21: routes[0]: policy critical calls the chat, and this route has none; add chat",
        ),
        (
            "silent: true",
            "silent: true, continue: true",
            "22: routes[1].continue: no route stands below it to go on to; remove it, or move the route up",
        ),
        (
            ROUTES,
            "".join(reversed(ROUTES.splitlines(keepends=True))),
            "22: routes[1]: no alert comes to critical: rest above takes everything and does not continue; "
            "move this one up, or remove it if no URL names it",
        ),
        (
            ROUTES,
            ROUTES.replace("  - {name: rest", f"{DB}  - {{name: rest"),
            "22: routes[1]: no alert comes to db: critical above takes all that this one matches "
            "and does not continue; move this one up, or remove it if no URL names it",
        ),
        (ROUTES, "".join(reversed(ROUTES.replace("silent", "continue").splitlines(keepends=True))), ""),
    ],
)
def test_what_undoes_itself_is_a_warning(folder: Folder, old: str, new: str, warning: str) -> None:
    text = _with(old, new).replace("sources:", f"{LONG}sources:") + EVENING
    assert folder.warnings(folder.load(text)) == ([f"config.yaml:{warning}"] if warning else [])


DOG = "  watchdog: {kind: heartbeat, token_file: key, every: 5m, route: critical}\n"


def test_a_heartbeat_is_waited_for_and_takes_no_route_but_its_own(folder: Folder) -> None:
    config = folder.load(GOOD.replace("sources:\n", f"sources:\n{DOG}"))
    rules = config.house.sources["watchdog"]
    assert (rules.every, rules.route, rules.routes) == (timedelta(minutes=5), "critical", frozenset({"critical"}))
    assert config.warnings == ()


def test_a_silence_that_pages_nobody_is_a_warning(folder: Folder) -> None:
    config = folder.load(GOOD.replace("sources:\n", f"sources:\n{DOG.replace('critical', 'rest')}"))
    assert folder.warnings(config) == [
        "config.yaml:17: sources.watchdog.route: rest has no policy, so its silence would page nobody; "
        "name a route that has"
    ]


def test_a_route_for_silence_alone_needs_no_alerts(folder: Folder) -> None:
    alone = GOOD.replace("silent: true}\n", "silent: true}\n  - {name: silence, policy: critical, chat: ops}\n")
    assert "no alert comes to silence" in "".join(folder.load(alone).warnings)
    dog = DOG.replace("critical", "silence")
    assert folder.load(alone.replace("sources:\n", f"sources:\n{dog}")).warnings == ()


@pytest.mark.parametrize("quiet", ["hold_time_intervals", "mute_time_intervals"])
def test_hours_that_together_never_end_are_refused(folder: Folder, quiet: str) -> None:
    day = EVENING.partition("\n")[2].replace("18:00", "00:00").replace("24:00", "18:00").replace("evening", "day")
    text = _with("policy: critical,", f"policy: critical, {quiet}: [evening, day],")
    assert folder.problems(text + EVENING + day) == [
        f"config.yaml:20: routes[0].{quiet}: together they never end, so nobody would ever be paged; change one of them"
    ]


@pytest.mark.parametrize(
    ("entry", "uses", "found"),
    [
        (
            "{days_of_month: [30], months: [february]}",
            "active_time_intervals: [some]",
            "active_time_intervals: none of them comes, so nobody would ever be paged; change one of them",
        ),
        (
            "{years: [2020:2021]}",
            "active_time_intervals: [some]",
            "warning: active_time_intervals: none of them comes, so nothing waits for it, and pages leave "
            "at once; change one of them",
        ),
        (
            "{weekdays: [monday:friday]}",
            "mute_time_intervals: [some], active_time_intervals: [some]",
            "mute_time_intervals: with active_time_intervals it leaves no hour to page in, "
            "so nobody would ever be paged; change one of them",
        ),
        (
            "{years: [2026:2099]}",
            "hold_time_intervals: [some]",
            "warning: hold_time_intervals: together they never end, so nothing waits for it, and pages leave "
            "at once; change one of them",
        ),
        (
            "{years: [2027:2099]}",
            "mute_time_intervals: [some]",
            "warning: mute_time_intervals: some never ends once it has begun, and pages leave at once then; end it",
        ),
        ("{years: [2026:2027]}", "mute_time_intervals: [some]", ""),
        ("{years: [2020]}", "mute_time_intervals: [some]", ""),
    ],
)
def test_hours_in_which_nobody_is_ever_paged_are_named(folder: Folder, entry: str, uses: str, found: str) -> None:
    interval = f"time_intervals: [{{name: some, time_intervals: [{entry.replace('}', ', location: Asia/Almaty}')}]}}]\n"
    folder.secret("config.yaml", _with("policy: critical,", f"policy: critical, {uses},") + interval)
    said: list[str] = []
    try:
        said += (f"warning: {line}" for line in load_config(folder.path / "config.yaml", {}, START).warnings)
    except ConfigError as refused:
        said += refused.problems
    said = [line.replace(f"{folder.path}/config.yaml:20: routes[0].", "") for line in said]
    assert said == ([found] if found else [])


def test_a_number_outside_the_known_ranges_is_only_warned_of(folder: Folder) -> None:
    text = _with("default_region: KZ", "default_region: KZ, allowed_regions: [KZ, GB]")
    config = folder.load(text.replace("+77010000001", "+447700900123"))
    assert config.house.people["aigerim"].number == PhoneNumber("+447700900123")
    assert folder.warnings(config) == [
        "config.yaml:9: people.aigerim.phone: in no range that we know of; check the digits. SMS go there all the same"
    ]


# --- secrets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "k is empty; write the secret into it"),
        ("\n", "k is empty; write the secret into it"),
        (b"\xff\xfe", "k is not text; write the secret into it, in one line"),
        ("one\ntwo\n", "holds several lines; one secret is expected"),
        ("x" * 70_000, "k is too large for a secret; write the secret into it, in one line"),
        (None, "k is not there; create it, readable only for us"),
    ],
)
def test_a_secret_file_that_will_not_do(folder: Folder, content: str | bytes | None, what: str) -> None:
    if content is not None:
        folder.secret("k", content, 0o600)
    problems = folder.problems(_with("api_key_file: key", "api_key_file: k"))
    assert problems == [f"config.yaml:4: mobizon.api_key_file: {what}"]


def test_a_secret_file_for_everybody_is_warned_of(folder: Folder) -> None:
    folder.secret("k", "s3cret", 0o444)  # as orchestrators mount them
    config = folder.load(_with("api_key_file: key", "api_key_file: k"))
    assert folder.warnings(config) == [
        "config.yaml:4: mobizon.api_key_file: everybody on this machine can read that file; chmod 600 it"
    ]


def test_a_missing_variable_is_named(folder: Folder) -> None:
    assert folder.problems(_with("api_key_file: key", "api_key: '${MOBIZON_API_KEY}'")) == [
        "config.yaml:4: mobizon.api_key: the environment has no MOBIZON_API_KEY; set it, or use a file"
    ]


def test_an_inline_secret_in_a_file_for_everybody_is_warned_of(folder: Folder) -> None:
    text = _with("api_key_file: key", "api_key: s3cret")
    assert folder.load(text).warnings == ()
    assert folder.warnings(folder.load(text, mode=0o644)) == [
        "config.yaml:4: mobizon.api_key: stands in a file that everybody on this machine can read; "
        "chmod 600 it, or use api_key_file"
    ]


def test_a_file_for_everybody_is_fine_without_a_secret_in_it(folder: Folder) -> None:
    assert folder.load(mode=0o644).warnings == ()


# --- the environment's overrides ------------------------------------------------------------------------


def test_the_environment_overrides_single_values(folder: Folder) -> None:
    environ = {
        "SMS_BRIDGE__MOBIZON__BASE_URL": "http://127.0.0.1:8080",
        "sms_bridge__Server__max_body": "1MiB",
        "SMS_BRIDGE__PEOPLE__AIGERIM__PHONE": "+77010000009",
        "SMS_BRIDGE__TIME_ZONE": "UTC",
        "SMS_BRIDGE__MOBIZON__API_KEY": "from-outside",
        "SMS_BRIDGE_API_TOKEN": "another matter",
    }
    config = folder.load(environ=environ)
    assert config.mobizon.base_url == "http://127.0.0.1:8080"
    assert config.server.max_body == 1024 * 1024
    assert config.house.people["aigerim"].number == PhoneNumber("+77010000009")
    assert config.house.time_zone.key == "UTC"
    assert config.mobizon.api_key.reveal() == "from-outside"


@pytest.mark.parametrize(
    ("variable", "problem"),
    [
        ("SMS_BRIDGE__MOBIZON__BASE_ULR", "names no key of the config; did you mean base_url?"),
        ("SMS_BRIDGE__PEOPLE__NOBODY__PHONE", "names no key of the config; there are: aigerim, dana, jonas"),
        ("SMS_BRIDGE__ROUTES", "names a whole section; only single values can be overridden"),
        ("SMS_BRIDGE__PEOPLE__AIGERIM", "names a whole section; only single values can be overridden"),
        ("SMS_BRIDGE__TIME_ZONE__X", "names a key below something that is no table"),
        ("SMS_BRIDGE__SERVER__LISTEN", "server.listen: not an address; write HOST:PORT like 127.0.0.1:9877"),
    ],
)
def test_an_override_that_makes_no_sense_is_told_so(folder: Folder, variable: str, problem: str) -> None:
    assert folder.problems(GOOD, {variable: "x"}) == [f"{variable}: {problem}"]


# --- nothing slips out -----------------------------------------------------------------------------------

CANARY = "5ecr3t0cafe12345678d00d90909090feedface1"
PHRASE = "correct-horse-battery-staple-in-the-wrong-place"
NUMBER = "+77010009876"


def test_neither_a_secret_nor_a_number_is_printed_by_a_config(folder: Folder) -> None:
    folder.secret("key", CANARY)
    text = GOOD.replace("+77010000001", NUMBER).replace("sms: {", f"# {CANARY}\nsms: {{")
    config = folder.load(text.replace("api_key_file: key", f"api_key: {CANARY}"), mode=0o644)
    printed = repr(config) + "".join(config.warnings)
    assert CANARY not in printed
    assert "09876" not in printed
    assert config.mobizon.api_key.reveal() == CANARY


def _scalars_of_good() -> Iterator[tuple[int, int]]:
    """Where each word of the good file stands."""
    return (found.span() for found in re.finditer(r"""'[^']*'|"[^"]*"|[^\s{}\[\],:'"]+(?::[^\s{}\[\],'"]+)*""", GOOD))


@pytest.mark.parametrize(
    "planted",
    [CANARY, NUMBER, PHRASE, "!" + CANARY, f"'{CANARY}", f"\t{CANARY}", f"%{CANARY}", f"*{CANARY}", f"!{CANARY}!x"],
)
def test_no_problem_repeats_what_stands_in_the_wrong_place(folder: Folder, planted: str) -> None:
    refused = 0
    for start, end in _scalars_of_good():
        try:
            config = folder.load(GOOD[:start] + planted + GOOD[end:])
            said = "".join(config.warnings)
        except ConfigError as error:
            refused += 1
            said = str(error) + repr(error)
        assert not any(secret in said for secret in (CANARY, PHRASE, "09876")), GOOD[start:end]
    assert refused > 30


def test_no_problem_of_an_override_repeats_its_value(folder: Folder) -> None:
    for key in ("TIME_ZONE", "MOBIZON__BASE_URL", "PEOPLE__JONAS__PHONE", "SERVER__LISTEN", "MOBIZON__API_KEY_FILE"):
        for planted in (CANARY, NUMBER + "0"):
            (problem,) = folder.problems(GOOD, {f"SMS_BRIDGE__{key}": planted})
            assert planted not in problem


# --- whatever stands in the file -------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(sorted(set(re.findall(r"[\w/.+%-]+", GOOD)))),
    st.text(max_size=12),
    st.integers().map(str),
    st.sampled_from(["~", "null", "0", "-1", "true", "1e9", "${X}", "a=~(?i)x", "a=~[[a]", "a=~x{99999999999}"]),
)
TREES: st.SearchStrategy[Any] = st.recursive(
    WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _only_config_errors(folder: Folder, text: str | bytes) -> None:
    try:
        folder.load(text)
    except ConfigError as error:
        assert error.problems
        assert all("\n" not in problem for problem in error.problems)


@FUZZ
@given(text=st.text(alphabet=st.sampled_from(list("ab:-[]{},&*!|>'\"%@`#?~\\ \n\t\0x\u2028\ufeff")), max_size=60))
def test_any_text_is_a_config_or_a_config_error(folder: Folder, text: str) -> None:
    _only_config_errors(folder, text)


@FUZZ
@given(content=st.binary(max_size=60))
def test_any_bytes_are_a_config_or_a_config_error(folder: Folder, content: bytes) -> None:
    _only_config_errors(folder, content)


@FUZZ
@given(section=st.sampled_from(sorted(config_schema()["properties"])), tree=TREES)
def test_any_tree_under_any_section_is_a_config_or_a_config_error(folder: Folder, section: str, tree: Any) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith((section, " "))]
    _only_config_errors(folder, "\n".join([*lines, f"{section}: {json.dumps(tree)}"]))


@FUZZ
@given(where=st.integers(0, len(GOOD)), length=st.integers(0, 12), instead=WORDS)
def test_any_slip_of_the_pen_is_a_config_or_a_config_error(
    folder: Folder, where: int, length: int, instead: str
) -> None:
    _only_config_errors(folder, GOOD[:where] + instead.encode(errors="replace").decode() + GOOD[where + length :])


# --- the example, the schema -------------------------------------------------------------------------------


def _secrets_of(folder: Folder, text: str) -> None:
    for place, name in enumerate(re.findall(r"_file: (\S+)", text)):
        folder.secret(name, "https://host.example.net/1" if "_url" in name else f"secret-{place}")
    folder.secret("oncall.ics", "")
    folder.secret("page.j2", "{{ title }}")


def _commented() -> str:
    """What is commented out in the example, taken in."""
    _, rest = EXAMPLE.read_text("utf-8").split("\n#\n", 1)
    return "".join(line.removeprefix("# ") + "\n" for line in rest.splitlines())


def test_the_example_opens_with_the_shortest_config_that_pages(folder: Folder) -> None:
    text = EXAMPLE.read_text("utf-8")
    _secrets_of(folder, text)
    config = folder.load(text)
    assert config.warnings == ()
    assert config.house.policies["critical"].steps[0].notify == ("aigerim",)


def test_all_of_the_example_loads(folder: Folder) -> None:
    text = _commented()
    _secrets_of(folder, text)
    config = folder.load(text)
    assert folder.warnings(config) == []
    assert Draft202012Validator(config_schema()).is_valid(YAML(typ="safe", pure=True).load(text))


def test_all_of_the_example_loads_with_its_secrets_from_the_environment(folder: Folder) -> None:
    text, secrets = re.subn(r"\S+_file: \S+ .*\n +# or (\S+: \S+) .*", r"\1", _commented())
    assert secrets == text.count("${") == 11
    folder.secret("oncall.ics", "")
    folder.secret("page.j2", "{{ title }}")
    variables = re.findall(r"\$\{(\w+)\}", text)
    config = folder.load(text, {name: f"https://host.example/{name}" for name in variables})
    assert folder.warnings(config) == []
    assert config.heartbeat_url == Secret("https://host.example/HEARTBEAT_URL")


def _keys(schema: dict[str, Any]) -> Iterator[str]:
    for key, below in schema.get("properties", {}).items():
        yield key
        yield from _keys(below)
    for below in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(below, dict):
            yield from _keys(below)


def test_the_example_shows_every_key_with_a_comment() -> None:
    shown = _commented()
    for key in set(_keys(config_schema())):
        assert re.search(rf"(?m)^[ -]*(# or )?{key}:", shown), key
    for line in shown.splitlines():
        is_scalar = re.match(r"\s+(# or )?\w+: [^{]", line) and "chat: ops" not in line and "silent: true" not in line
        assert not is_scalar or "#" in line.replace("# or", "") or re.search("kind: (generic|heartbeat)", line), line


def test_no_key_of_the_example_is_read_past(folder: Folder) -> None:
    lines = _commented().splitlines()
    _secrets_of(folder, "\n".join(lines))
    keys = {}
    for place, line in enumerate(lines):
        if found := re.match(r"( *(?:- )?(\w+):) +[^# ]", line):
            broken = [*lines[:place], f"{found[1]} {{oops: {{}}}}", *lines[place + 1 :]]
            keys[found[2]] = [
                p for p in folder.problems("\n".join(broken)) if p.startswith(f"config.yaml:{place + 1}: ")
            ]
    assert len(keys) > 50
    assert [key for key, problems in keys.items() if not problems] == []


def test_the_schema_is_one_and_describes_every_key() -> None:
    schema = config_schema()
    Draft202012Validator.check_schema(schema)

    def describe_all(below: dict[str, Any]) -> Iterator[bool]:
        for key in below.get("properties", {}).values():
            yield bool(key["description"])
            yield from describe_all(key)

    assert all(describe_all(schema))


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    refuses = Draft202012Validator(config_schema())
    assert not refuses.is_valid({"mobizon": {"base_url": "https://api.mobizon.kz"}, "mobizom": {}})
    assert not refuses.is_valid({"mobizon": {"base_url": "https://api.mobizon.kz"}, "storage": {"keep": "5 minutes"}})


def test_the_sample_webhook_is_the_alert_of_the_documents() -> None:
    body = json.loads((ROOT / "examples/disk_full.json").read_text("utf-8"))
    (alert,) = body["alerts"]
    assert (body["version"], alert["labels"]["alertname"]) == ("4", "HostOutOfDiskSpace")
    assert alert["labels"]["instance"].startswith("db1.")
