"""What `explain --rules` promises: rule files as people keep them, values one meets, the text that would be sent."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import load_config
from bridge.demo.telegram import BOT_TOKEN
from bridge.domain.house import House, SmsRules
from bridge.domain.routing import Route, parse_matcher
from bridge.explain_rules import NO_CONFIG, Reading, read_rules
from bridge.gotemplates import Fields, fill, labels_named
from bridge.rules import Rule, firing, labels_of, plausible, read, value_of
from tests.edges.cli_scene import a_config, typed
from tests.fakes import START
from tests.test_documents import README, ROOT
from tests.world import CONFIG, a_world

EXAMPLES = ROOT / "examples" / "rules.yml"
MANIFESTS = Path(__file__).parent / "rules" / "manifests.yaml"
NOBODY = "http://127.0.0.1:9"
LOCAL = CONFIG.replace("MOBIZON", NOBODY).replace("TELEGRAM", NOBODY).replace("TOKEN", BOT_TOKEN)
FIELDS = Fields({"instance": "db1:9100", "job": "node"}, 84.25, plausible)


# --- templates -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("as it is", "as it is"),
        ("{{ $labels.instance }} {{$labels.job}} {{ .Labels.job }}", "db1:9100 node node"),
        ("{{ $value }} {{ .Value }}", "84.25 84.25"),
        ("{{ $labels }}", "map[instance:db1:9100 job:node]"),
        ("{{ $labels.pod }}", "checkout-7c9f6d9b5d-x2x1l"),
        ('{{ printf "%.1f%%" $value }} {{ $value | printf "%.0f" }}', "84.2% 84"),
        ('{{ printf "%d of %5s, %-4s|%q" 3 "ab" "c" "d" }}', '3 of    ab, c   |"d"'),
        ("{{ $value | humanize }} {{ humanize 12345678 }} {{ humanize 0.0042 }}", "84.25 12.35M 4.2m"),
        ("{{ 2048 | humanize1024 }} {{ 0.0525 | humanizePercentage }}", "2ki 5.25%"),
        ("{{ 93784 | humanizeDuration }} {{ humanizeDuration 0.5 }}", "1d 2h 3m 4s 500ms"),
        ("{{ if gt $value 90.0 }}high{{ else if gt $value 80.0 }}risen{{ else }}fine{{ end }}", "risen"),
        ('{{ if eq $labels.job "node" "db" }}ours{{ end }}{{ if not .Labels.job }}nobody\'s{{ end }}', "ours"),
        ('{{ if and (gt $value 1.0) (lt $value 9.0) }}few{{ else }}{{ or "" "many" }}{{ end }}', "many"),
        ('{{ with $labels.job }}of {{ . }}{{ end }}{{ with "" }}x{{ else }}!{{ end }}', "of node!"),
        ('{{ with query "up" }}{{ . | first | value | humanize }}{{ end }}', "84.25"),
        ('{{ range query "up" }}{{ .Labels.instance }}={{ .Value }};{{ end }}', "db1:9100=84.25;"),
        ('{{ range $n, $one := query "up" }}{{ $n }}{{ $one.Value }}{{ end }}', "084.25"),
        ('{{ query (printf "up{job=%q}" $labels.job) | first | label "job" }}', "node"),
        ("{{ $host := .Labels.instance }}on {{ $host | toUpper }}", "on DB1:9100"),
        ('{{ reReplaceAll "(.*):(.*)" "$1 port $2" $labels.instance }}', "db1 port 9100"),
        ("a {{- 1 -}} b{{/* never mind */}}", "a1b"),
        ("{{ index $labels \"job\" }} {{ title \"so it is\" }} {{ `raw` }}", "node So It Is raw"),
        ("{{ $externalLabels.cluster }} {{ $externalURL }}", "prod https://prometheus.example.net"),
        # What is not understood reads as what it could stand for.
        ("{{ shout .Labels.zone }} on {{ .Labels.instance }}", "eu-central-1a on db1:9100"),
        ("{{ if }}{{ $labels.job }} is down", "node is down"),
        ("{{ $labels.job }} {{ end }}stays", "node stays"),
        ("{{ unclosed", " unclosed"),
    ],
)  # fmt: skip
def test_a_template_reads_as_prometheus_would_fill_it(template: str, text: str) -> None:
    assert fill(template, FIELDS) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{ reReplaceAll "^(.*?)-(?:[a-z0-9]+-)?([^)+]*)$" "$2" "checkout-7c9f-x2x1l" }}', "x2x1l"),
        ('{{ reReplaceAll "(?i)NODE|db" "host" $labels.instance }}', "host1:9100"),
        # These would never end in Python, which tries one way after another.
        ('{{ reReplaceAll "(a+)+$" "x" "' + "a" * 60 + '!" }} on {{ $labels.job }}', " on node"),
        ('{{ reReplaceAll "(a|a)*$" "x" $labels.pod }}', "checkout-7c9f6d9b5d-x2x1l"),
        ('{{ reReplaceAll "([)]a+)+$" "x" $labels.job }}', "node"),
        ('{{ reReplaceAll "(a+)(?#)+$" "x" $labels.job }}', "node"),
        ('{{ reReplaceAll "(?x)(a+) +$" "x" $labels.job }}', "node"),
        ('{{ reReplaceAll "' + "a?" * 60 + '$" "x" "' + "a" * 60 + '!" }}.', "."),
        ('{{ reReplaceAll "' + "(a|a)" * 60 + '$" "x" "' + "a" * 60 + '!" }}.', "."),
        ('{{ reReplaceAll "' + "a*" * 9 + '$" "x" "' + "a" * 900 + '!" }}.', "."),
        ('{{ if match "(a+)+$" "' + "a" * 60 + '!" }}yes{{ end }}', "yes"),
        # These would fill the memory.
        ('{{ printf "%.300000000f" 1.5 }}', "1.5" + "0" * 99),
        ('{{ printf "%999999999d" 1 }}', "1".rjust(100)),
        ('{{ $a := "ab" }}' + '{{ $a = printf "%s%s" $a $a }}' * 90 + "{{ $a }}", "ab" * 2000),
        ("{{ $a := args 1 }}" + "{{ $a = args $a $a }}" * 90 + "{{ $a }}", "a-1" * 90 + "map[arg0:1]"),
        ('{{ $a := "a" }}' + '{{ $a = reReplaceAll "" $a $a }}' * 30 + "{{ len $a }}", "4000"),
    ],
)  # fmt: skip
def test_a_strangers_template_ends_and_is_no_longer_than_it_is_read(template: str, text: str) -> None:
    assert fill(template, FIELDS) == text


@pytest.mark.parametrize("rounds", [1, 30])
def test_what_all_the_patterns_of_a_template_cost_is_counted_together(rounds: int) -> None:
    """One such pattern is worth its time; thirty read as words, and so does a loop round one."""
    one = '{{ reReplaceAll "^(.*)(.*)(.*)$" "" "' + "a" * 52 + '" }}{{ $labels.job }}'
    assert fill(one * rounds, FIELDS) == "node" * rounds
    assert fill("{{ range args 1 2 3 }}" * 6 + one + "{{ end }}" * 6, FIELDS).replace("node", "") == ""


def test_no_template_is_read_for_long_before_it_is_filled() -> None:
    for piece in (" ", "{{ ", '{{"', "{{ a", "{{ ( "):
        fill("{{" + piece * 50_000, FIELDS)
        labels_named("{{" + piece * 50_000)


_PIECES = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    " if ",
    " else ",
    " end ",
    " range ",
    " with ",
    "$value",
    "$labels",
    ".Labels.x",
    "|",
]
_PIECES += [
    "(",
    ")",
    '"',
    "`",
    "printf",
    '"%d"',
    "humanize",
    "query",
    "first",
    ":=",
    "$x",
    ".",
    "1e9",
    "text",
    "\n",
    "not",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_no_template_breaks_and_none_leaves_braces(template: str) -> None:
    assert "{{" not in fill(template, FIELDS)
    labels_named(template)


# --- rules -----------------------------------------------------------------------------------------


def rule(expr: str, *, labels: dict[str, str] | None = None, **annotations: str) -> Rule:
    return Rule("Trouble", expr, labels or {}, annotations, "rules.yml", 1)


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        ("up == 0", 0),
        ("up != 1", 0),
        ("changes(x[1h]) != 0", 1),
        ("node_load1 > 8", 9),
        ("a / b * 100 > 80", pytest.approx(82.47, abs=0.01)),
        ("a / b < 0.1", pytest.approx(0.097)),
        ("free_bytes < 5 * 1024 * 1024", 4980736),
        ('time() - x{le="> 3"} > 3600 * 24', 90720),
        ("a > b", 7),
        ("absent(up)", 7),
        ("x > 1e400 or y", 7),
    ],
)
def test_the_value_is_one_it_would_fire_for(expr: str, value: float) -> None:
    assert value_of(expr) == value


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        (rule("up == 0"), {"instance", "job"}),
        (rule("sum(x) > 1"), set()),
        (rule("sum(x) > 1", summary="{{ $labels.pod }}"), {"pod"}),
        (rule("sum by (namespace, pod, le) (rate(x[5m])) > 1"), {"namespace", "pod"}),
        (rule("a > on (device) group_left (model) b"), {"instance", "job", "device", "model"}),
        (rule('x{job="api", mode!="idle", zone=~"a|b"} > 1'), {"instance", "job", "mode", "zone"}),
        (rule("up == 0", labels={"job": "ours"}), {"instance"}),
    ],
)
def test_labels_are_those_that_the_rule_speaks_of(asked: Rule, labels: set[str]) -> None:
    assert set(labels_of(asked)) == labels


def test_a_label_that_the_rule_fixes_has_that_value() -> None:
    labels = labels_of(rule('x{job="api", zone=~"north|south", path=~"/a.*"} > 1'))
    assert (labels["job"], labels["zone"], labels["path"]) == ("api", "north", "")


def test_alerts_of_one_group_differ_where_series_do() -> None:
    group = firing(rule("up == 0", summary="{{ $labels.instance }} is down"), START, count=3)
    assert [alert["annotations"]["summary"] for alert in group["alerts"]] == [
        f"db-{n}.example.net:9100 is down" for n in (1, 2, 3)
    ]
    assert group["commonLabels"] == {"alertname": "Trouble", "job": "node"}
    (alone,) = firing(rule("sum(x) > 1"), START, count=3)["alerts"]  # without labels there is one series only
    assert alone["labels"] == {"alertname": "Trouble"}
    assert len(firing(rule("sum by (cluster) (x) > 1"), START, count=3)["alerts"]) == 3


# --- files -----------------------------------------------------------------------------------------


def test_a_file_and_a_folder_of_manifests_are_read() -> None:
    found = read([EXAMPLES, MANIFESTS.parent])
    assert found.problems == ()
    assert len(found.rules) == 13
    assert [(one.name, one.line) for one in found.rules[-3:]] == [
        ("PodNotReady", 16),
        ("NoOrders", 25),
        ("HostDown", 43),
    ]
    assert found.rules[-2].labels == {"severity": "critical", "team": "sales"}  # merged by <<


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("groups:\n- name: a\n  rules:\n  - alert: [\n", r":5: not YAML: .+"),
        (
            "groups:\n{{ if .Values.on }}\n- name: a\n",
            r":\d: not YAML: .+; a Helm chart is rendered first \(helm template\)",
        ),
        ("groups:\n- rules:\n  - expr: up == 0\n", r":3: a rule without a name; write alert: .+"),
        ("groups:\n- rules:\n  - alert: A\n", r":3: A: no expr; .+"),
        ("groups:\n- rules:\n  - just words\n", r":3: a rule that is not a table; .+"),
        ("groups:\n- rules: {alert: A}\n", r":2: rules: not a list; .+"),
        ("hello: world\n", r": no alert rules; a rule file begins with groups:, .+"),
        ("a: &x [*x]\n", r": no alert rules; .+"),
        ("", r": no alert rules; .+"),
        ("[" * 3000, r":1: not YAML: .+"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(text)
    found = read([path])
    assert found.rules == ()
    assert len(found.problems) == 1
    assert re.fullmatch(re.escape(str(path)) + problem, found.problems[0])


def test_what_can_be_read_is_read_whatever_stands_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("groups:\n- rules:\n  - {alert: A, expr: up == 0}\n  - {alert: B}\n---\n}\n")
    (tmp_path / "b.yml").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "c.txt").write_text("not looked at }")
    found = read([tmp_path, tmp_path / "none.yml"])
    assert [one.name for one in found.rules] == ["A"]
    assert [problem.removeprefix(f"{tmp_path}/").split(";")[0] for problem in found.problems] == [
        "a.yml:4: B: no expr",
        "a.yml:6: not YAML: expected the node content, but found '}'",
        "b.yml: not UTF-8 at byte 0",
        "none.yml: cannot be read (No such file or directory)",
    ]


# --- texts -----------------------------------------------------------------------------------------


def reading(asked: Rule, house: House = NO_CONFIG) -> Reading:
    (one,) = read_rules([asked], house, START)
    return one


async def test_what_is_shown_is_what_would_be_sent(tmp_path: Path) -> None:
    """The webhook that a rule's alert would make, through the real bridge, comes to the very text."""
    told = [one for one in read([EXAMPLES]).rules if one.labels.get("severity") == "critical"]
    house = load_config(a_config(tmp_path, LOCAL)).house
    foretold = [one.text for one in read_rules(told, house, START)]
    assert len(foretold) == 5
    (tmp_path / "town").mkdir()
    for asked, text in zip(told, foretold, strict=True):
        folder = tmp_path / "town" / str(asked.line)
        folder.mkdir()
        async with a_world(folder) as world:
            await world.bridge.store.write(lambda tx: tx.numbers(1041))  # a longer number leaves less room
            await world.post("alertmanager", firing(asked, START))
            await world.advance(seconds=10)
            assert world.phone("aigerim").texts == [text]


def test_what_is_left_out_is_named() -> None:
    long = "The quick brown fox jumps over the lazy dog, " * 5 + "and there it ends"
    lost = reading(rule("up == 0", labels={"severity": "warning"}, description=long))
    assert (lost.size.segments, lost.size.alphabet) == (1, "gsm7")
    assert any(what.endswith('and there it ends"') for what in lost.dropped)
    short = reading(rule("up == 0", description="The target does not answer"))
    assert not short.dropped


def test_what_is_written_otherwise_is_named_and_what_stays_is_not() -> None:
    typed_well = reading(rule("up == 0", description="Load → 97 — it is “hot”"))
    assert dict(typed_well.seen.replaced) == {"→": "->", "—": "-", "“": '"', "”": '"'}
    kept = reading(rule("up == 0", description="Диск — почти полон"))
    assert (kept.seen.replaced, "—" in kept.text) == ((), True)
    cut = reading(rule("up == 0", description="word " * 60 + "— the end"))
    assert (cut.seen.replaced, cut.size.alphabet) == ((), "gsm7")
    plain = House(policies=NO_CONFIG.policies, routes=NO_CONFIG.routes, sources=NO_CONFIG.sources,
                  sms=SmsRules(alphabet="unicode"))  # fmt: skip
    assert reading(rule("up == 0", description="Load → 97"), plain).seen.culprits[0].sign == "→"


def test_the_route_of_the_config_is_taken_and_implies_the_severity() -> None:
    critical = Route("pages", (parse_matcher('severity="critical"'),), policy="default")
    house = House(policies=NO_CONFIG.policies, routes=(critical, Route("rest")), sources=NO_CONFIG.sources)
    loud = reading(rule("up == 0", labels={"severity": "critical"}, description="The target does not answer"), house)
    assert (loud.route, loud.pages, loud.dropped) == ("pages", True, ())
    quiet = reading(rule("up == 0", labels={"severity": "warning"}), house)
    assert (quiet.route, quiet.pages) == ("rest", False)
    assert quiet.text.startswith("Trouble db-1.example.net")


def test_a_link_takes_the_room_that_it_will_take() -> None:
    house = House(routes=NO_CONFIG.routes, policies=NO_CONFIG.policies, public_url="https://sms.example.net")
    told = reading(rule("up == 0", description="The target does not answer"), house)
    assert told.text.endswith("/a/7fKq2MZp9Wd")
    wordy = House(routes=NO_CONFIG.routes, policies=NO_CONFIG.policies, sms=SmsRules(max_segments=2))
    assert reading(rule("up == 0", description="word " * 50), wordy).size.segments == 2


# --- typed -----------------------------------------------------------------------------------------


def test_people_read_what_was_replaced_in_a_rule(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: a, rules: [{alert: Hot, expr: up == 0, annotations: {description: Load → 97}}]}]\n"
    )
    said = typed("explain", "--rules", tmp_path)
    assert "characters, 1 part; replaced: -> for →\n" in said.out
    told = typed("explain", "--rules", tmp_path, "-o", "json").json
    assert told["texts"][0]["replaced"] == [{"sign": "→", "by": "->"}]


def test_people_read_each_rule_and_a_summary(tmp_path: Path) -> None:
    said = typed("explain", "--rules", EXAMPLES, MANIFESTS)
    assert (said.code, said.err) == (0, "")
    assert f"PostgresqlDown · {EXAMPLES}:29 · route default\n    PostgresqlDown db-1.example.net" in said.out
    assert "13 alert rules. In one part: 13 of 13 (100.0 %); 1.00 parts each." in said.out
    assert "Without --config: one route for all" in said.out

    said = typed("explain", "--config", a_config(tmp_path, LOCAL), "--rules", MANIFESTS)
    assert "HostDown" in said.out and "route rest: only a card" in said.out
    assert "1 page nobody" in said.out and "Without --config" not in said.out


def test_scripts_read_json_and_a_bad_file_is_no_reason_to_keep_the_rest(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text("groups: }\n")
    said = typed("explain", "--rules", EXAMPLES, bad, "-o", "json")
    assert said.code == 1
    assert said.err.startswith(f"{bad}:1: not YAML")
    texts = said.json["texts"]
    assert len(texts) == 10
    keys = {"alert", "file", "line", "labels", "route", "pages", "text", "alphabet", "segments", "dropped", "replaced"}
    assert all(one.keys() == keys for one in texts)
    assert texts[0]["labels"]["alertname"] == texts[0]["alert"] == "HostOutOfDiskSpace"
    assert said.json["summary"]["texts"] == 10
    assert sum(said.json["summary"]["alphabets"].values()) == 10
    assert said.json["problems"] == said.err.splitlines()
    assert "{{" not in json.dumps([one["text"] for one in texts])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["payload.json"], "a webhook is explained by a config: --config FILE"),
        (["--config", "FILE", "payload.json"], "--source NAME: which source it comes from; there are: alertmanager"),
        (["--config", "FILE", "--source", "generic"], "one PAYLOAD.json, or - for stdin"),
        (["--config", "FILE", "--source", "generic", "a.json", "b.json"], "one PAYLOAD.json, or - for stdin"),
        (["--rules", str(EXAMPLES), "--source", "nagios"], "no source is called nagios; there are: alertmanager"),
    ],
)
def test_what_is_missing_is_asked_for(tmp_path: Path, words: list[str], sentence: str) -> None:
    config = a_config(tmp_path, LOCAL)
    said = typed("explain", *(str(config) if word == "FILE" else word for word in words))
    assert said.code in (1, 2)
    assert sentence in " ".join(said.err.split()).replace("│ ", "")


def test_another_hour_is_the_hour_they_tell() -> None:
    said = typed("explain", "--rules", EXAMPLES, "--at", "2026-12-24T03:00")
    assert " 03:00 #1042" in said.out


def test_the_readme_shows_ten_texts_as_they_are() -> None:
    told = typed("explain", "--rules", EXAMPLES, "--at", "2026-12-24T03:10", "-o", "json").json["texts"]
    assert len(told) == 10 and {one["segments"] for one in told} == {1}
    assert "```\n" + "".join(f"{one['text']}\n" for one in told) + "```\n" in README
