"""What a template may do, and what none can do to us."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import templates
from bridge.config import ConfigError, load_config
from bridge.templates import BadTemplate, TemplateFailed, hostile, render, samples, try_out
from tests.edges.cli_scene import a_config, typed
from tests.edges.test_rules import LOCAL
from tests.test_documents import README

ONE = samples()["one alert"]
MANY = samples()["twenty alerts"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ status | toUpper }} {{ title }} x{{ firing }}/{{ total }}", "FIRING HostOutOfDiskSpace x19/20"),
        ("{{ commonLabels.alertname }}, {{ groupLabels.alertname }}", "HostOutOfDiskSpace, HostOutOfDiskSpace"),
        ("{{ commonLabels.instance }}{{ commonAnnotations.description }}", "Disk is almost full (< 10% left)"),
        ("{{ alerts[0].labels.instance | brief }} {{ alerts[0].startsAt[:10] }}", "db-10 2026-11-22"),
        ("{{ alerts | length }} {{ truncatedAlerts }} {{ externalURL }}", "20 0 https://am.example.net"),
        ("{{ number }} {{ route }} {{ severity }} {{ since }} {{ call }} {{ person }}",
         "1042 critical critical 03:10 2 Jonas"),
        ('{{ places | join(", ") }}: {{ fact | truncate(12) }}', "db-1, db-2: Disk is..."),
        ('{% for a in alerts[:2] %}{{ a.place }}{% if not loop.last %}; {% endif %}{% endfor %}', "db-10; db-11"),
        ('{{ alerts | selectattr("status", "equalto", "resolved") | map(attribute="place") | join }}', "db-1"),
        ("{% for name, value in commonLabels.items() %}{{ name }}={{ value }} {% endfor %}",
         "alertname=HostOutOfDiskSpace job=node severity=critical"),
        ("{{ commonLabels.nope }}{{ commonLabels.nope.deeper }}{{ alerts[99].labels.x }}|", "|"),
        ('{{ commonLabels.team | default("nobody", true) }}', "nobody"),
        ('{% set where = places[0] ~ "!" %}{{ where }} {{ firing + 1 }} {{ 7 // 2 }}', "db-1! 20 3"),
        ("  one\n\n  line\t only ", "one line only"),
        ('{{ "Диск" if severity == "critical" else "…" }} {{ title | replace("Host", "") }}', "Диск OutOfDiskSpace"),
    ],
)  # fmt: skip
def test_a_template_speaks_of_the_data(template: str, text: str) -> None:
    try_out(template)
    assert render(template, MANY) == text


def test_a_label_may_be_called_like_a_method() -> None:
    about = ONE | {"commonLabels": {"items": "milk", "keys": "lost"}}
    assert render("{{ commonLabels.items }} {{ commonLabels.keys }}", about) == "milk lost"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ title", "line 1: unexpected end of template"),
        ("one\n{% if %}", "line 2: Expected an expression"),
        ("{{ commonLables.x }}", "nothing is called commonLables here; there are: alerts, call, commonAnnotations"),
        ("{{ title | shout }}", "line 1: no filter shout; there are: abs, brief"),
        ("{% if title is callable %}x{% endif %}", "line 1: no test callable; there are: "),
        ("{{ title.__class__.__mro__ }}", "line 1: __mro__ is not offered; no name begins with _"),
        ("{{ _budget }}", "line 1: nothing is called _budget here"),
        ("{{ self }}", "line 1: nothing is called self here"),
        ("{{ range(9) }}", "nothing is called range here"),
        ("{% include 'x' %}", "line 1: include is not offered"),
        ("{% macro f() %}{% endmacro %}x", "line 1: macro is not offered"),
        ("{% set x %}y{% endset %}{{ x }}", "line 1: assignblock is not offered"),
        ("{% for a in alerts recursive %}x{% endfor %}", "line 1: a loop that calls itself"),
        ("{{ 9 ** 9 ** 9 }}", "line 1: pow is not offered"),
        ("{{ [alerts, alerts] | length }}", "line 1: a list of more than plain words"),
        ("x" * 4001, "4001 characters; at most 4000, an SMS has 160"),
        ("{{ 'x' * 100000000 }}", "it fails on one alert: * is for numbers of a usual size"),
        ("{{ '%0999999999d' % 1 }}", "it fails on one alert: % is for numbers"),
        ("{{ '{:999999999}'.format(1) }}", "it fails on one alert: access to attribute 'format'"),
        ("{{ title.ljust(99999999) }}", "it fails on one alert: access to attribute 'ljust'"),
        ("{{ alerts }}", "it fails on one alert: a list cannot be printed"),
        ("{{ commonLabels }}", "it fails on one alert: a dict cannot be printed"),
        ("{{ 1 / 0 }}", "it fails on one alert: division by zero"),
        ("{% for a in alerts %}{% for b in alerts %}{% for c in alerts %}.{% endfor %}{% endfor %}{% endfor %}",
         "it fails on twenty alerts: its loops turn more than 1000 times"),
        ("{{ " + "(" * 900 + "1" + ")" * 900 + " }}", "nested too deeply"),
        ("{% for a in alerts %}" * 21 + "x" + "{% endfor %}" * 21, "nested too deeply; write fewer loops"),
        ("{% if title %}" * 110 + "x" + "{% endif %}" * 110, "nested too deeply; write fewer loops"),
        ("{{ 99999999999 * 99999999999 * 9 * 9 }}", "it fails on one alert: * is for numbers of a usual size"),
    ],
)  # fmt: skip
def test_what_no_template_may_do_is_named(template: str, problem: str) -> None:
    with pytest.raises(BadTemplate) as found:
        try_out(template)
    assert str(found.value).startswith(problem)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{ "\\ud800" }} {{ title }}', "\ufffd HostOutOfDiskSpace"),
        ('{{ "\\0" }}{{ title }}', "HostOutOfDiskSpace"),
        ("\ud800{{ title }}\0", "\ufffdHostOutOfDiskSpace"),
        ("{{ '🔥'[:1] }}", "🔥"),
    ],
)
def test_half_a_character_leaves_no_template(template: str, text: str) -> None:
    assert render(template, ONE) == text


@pytest.mark.parametrize(
    "template",
    [
        "{% set a = title %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
        "{% set a = title %}" + "{% set a = a + a %}" * 60 + "{{ a }}",
        "{% set a = title %}" + '{% set a = a | replace("a", title) %}' * 60 + "{{ a }}",
        "{% set a = title %}" + '{% set a = alerts | map(attribute="place") | join(a) %}' * 50 + "{{ a }}",
        "{% for a in alerts %}{% for b in alerts %}{{ a.annotations.description }}{% endfor %}{% endfor %}",
    ],
)  # fmt: skip
def test_no_text_grows_beyond_all_bounds(template: str) -> None:
    assert 0 < len(render(template, hostile())) <= templates.LONGEST_TEXT


def each(body: str) -> str:
    return "{% for a in alerts %}" + body + "{% endfor %}"


def every(body: str) -> str:
    return each(each("{% if " + body + " %}.{% endif %}"))


@pytest.mark.parametrize(
    "template",
    [
        each("{{ " + " and ".join(["(alerts | map(attribute='fact') | join | list | sort | length)"] * 20) + " }}"),
        every("alerts | map(attribute='fact') | join | list | sort | length"),
        every("a.fact" + " | title | lower" * 60),
        every("1 + 1 + 1 + 1 + 1" + " and 1 + 1 + 1 + 1 + 1" * 90),
        every("a.fact.split()" + " and a.fact.upper()" * 20),
        every("a.fact is ne(a.fact) or " * 40 + "0"),
        "{{ alerts | map(attribute='fact')" + " | map('title')" * 100 + " | join }}",
        each("{{ alerts | map(attribute='" + "a." * 1500 + "') | list | length }}"),
        each("{{ alerts | sort(attribute='" + "a," * 1500 + "') | length }}"),
        "{% set t = title %}" + "{% set t = t ~ t %}" * 20 + every("t + t"),
    ],
)
def test_no_template_makes_others_wait_for_long(template: str) -> None:
    """Each of these would take from a second to minutes; what is counted are the steps, whatever they take."""
    with pytest.raises(BadTemplate, match=r"it fails on .+: it takes more than 300,000 steps"):
        try_out(template)


def test_what_people_write_is_far_from_the_end_of_the_steps() -> None:
    """Ten times all of it, of the longest that may come."""
    told = "{% for name, value in a.labels.items() | sort %}{{ name }}={{ value | lower }} {% endfor %}"
    told = each(told + "{{ a.fact | truncate(80) }}") + "{{ alerts | map(attribute='fact') | unique | join('; ') }}"
    assert len(render("{% if 1 %}" + told * 10 + "{% endif %}", hostile())) > 9000


_PIECES = ["{{ ", " }}", "{% for a in alerts %}", "{% endfor %}", "{% if title %}", "{% else %}", "{% endif %}"]
_PIECES += ["a.labels", "title", "alerts", "[0]", ".items()", " | join", " | map", "(attribute='x')", " ~ ", " * ", "9"]
_PIECES += ["'x'", ".x", "(", ")", "{% set a = ", " %}", "text ", "loop.index", "\n", ".__class__", " | first", " in "]


@given(st.lists(st.sampled_from(_PIECES), max_size=25).map("".join))
def test_whatever_is_written_comes_to_a_text_or_to_one_sentence(template: str) -> None:
    for about in (ONE, MANY, hostile()):
        try:
            text = render(template, about)
        except TemplateFailed as error:
            assert str(error)
        else:
            assert text and "\n" not in text and len(text) <= templates.LONGEST_TEXT


def test_what_is_kept_of_an_alert_is_bounded() -> None:
    told = templates.kept({f"l{n}": "x" * 9000 for n in range(99)}, {"a": "y" * 9000}, {"receiver": "r"}, "z" * 9000)
    assert len(str(told)) < 5000
    assert told["labels"]["l0"] == "x" * 500


# --- in the config ---------------------------------------------------------------------------------

ROUTE = "policy: critical, chat: ops, "


def config(route: str, sms: str = "") -> str:
    text = LOCAL.replace(ROUTE, f"{ROUTE}{route}, " if route else ROUTE)
    return text.replace("sms: {", f"sms: {{{sms}, " if sms else "sms: {")


def test_a_template_stands_in_the_config_or_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "page.j2").write_text("{{ title }}\n{{ since }}\n", encoding="utf-8")
    path = a_config(tmp_path, config("template: '{{ fact }}'", "template_file: page.j2"))
    house = load_config(path).house
    assert house.template_of("critical") == "{{ fact }}"
    assert house.template_of("rest") == house.sms.template == "{{ title }}\n{{ since }}\n"


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("template: '{{ titel }}'", "routes[0].template: nothing is called titel here; there are: "),
        ("template: '{{ alerts }}'", "routes[0].template: it fails on one alert: a list cannot be printed"),
        ("template_file: none.j2", "routes[0].template_file: none.j2 is not there; paths are seen from"),
        ("template_file: bad.j2", "routes[0].template_file: bad.j2 is not text; templates are UTF-8"),
        ("template_file: open.j2", "routes[0].template_file: line 2: unexpected end of template"),
        ("template: x, template_file: open.j2", "routes[0].template_file: template and template_file are both there"),
    ],
)
def test_check_config_names_a_template_that_does_not_work(tmp_path: Path, route: str, problem: str) -> None:
    (tmp_path / "bad.j2").write_bytes(b"\xff\xfe")
    (tmp_path / "open.j2").write_text("x\n{{ title")
    with pytest.raises(ConfigError) as found:
        load_config(a_config(tmp_path, config(route)))
    (told,) = found.value.problems
    assert told.split(": ", 1)[1].startswith(problem)


def test_check_config_times_a_template_on_the_longest_that_may_come(tmp_path: Path) -> None:
    slow = '{% for a in alerts %}{{ alerts | map(attribute="' + "a." * 600 + '") | list | length }}{% endfor %}'
    said = typed("check-config", "--config", a_config(tmp_path, config(f"template: '{slow}'")))
    assert said.code == 0
    assert re.search(r"warning: .+: routes\.critical\.template: takes \d+\.\d\d s for twenty alerts", said.err)
    quick = typed("check-config", "--config", a_config(tmp_path, config("template: '{{ title }}'")), "-o", "json")
    assert quick.json["warnings"] == []


def test_a_template_of_the_houses_own_labels_is_good_and_worth_a_look(tmp_path: Path) -> None:
    loaded = load_config(a_config(tmp_path, config("template: '{{ commonAnnotations.sms }}'")))
    (warning,) = loaded.warnings
    assert warning.endswith("it makes no text of one alert; such a page goes out in the bridge's own words")


def test_rules_read_in_the_words_of_their_route(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{rules: [{alert: Down, expr: up == 0, labels: {severity: critical}}]}]")
    words = "template: 'Alarm {{ title }} {{ alerts[0].labels.job }}'"
    said = typed("explain", "--config", a_config(tmp_path, config(words)), "--rules", rules, "-o", "json")
    (told,) = said.json["texts"]
    assert (told["text"], told["dropped"]) == ("Alarm Down node #1042", [])


# --- the README ------------------------------------------------------------------------------------


def _table() -> list[tuple[str, str]]:
    """Go templates beside ours, from the README."""
    _, rest = README.split("| Alertmanager's Go template | here |\n", 1)
    rows = re.findall(r"^\| ``? ?(.+?) ?``? \| ``? ?(.+?) ?``? \|$", rest.split("\n\n", 1)[0], re.MULTILINE)
    return [(go.replace("\\|", "|"), ours.replace("\\|", "|")) for go, ours in rows]


WHAT_GO_MAKES: dict[str, Any] = {
    "{{ .Status | toUpper }}": "FIRING",
    "{{ .CommonLabels.alertname }}": "HostOutOfDiskSpace",
    '{{ index .CommonLabels "alertname" }}': "HostOutOfDiskSpace",
    "{{ .GroupLabels.SortedPairs.Values | join \" \" }}": "HostOutOfDiskSpace",
    "{{ .CommonAnnotations.description }}": "Disk is almost full (< 10% left)",
    "{{ len .Alerts.Firing }}": "1",
    "{{ range .Alerts }}{{ .Labels.instance }} {{ end }}": "db-1:9100",
    "{{ range .Alerts.Firing }}{{ .Annotations.summary }}{{ end }}": "Host out of disk space (instance db-1:9100)",
    "{{ (index .Alerts 0).Labels.instance }}": "db-1:9100",
    "{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }} {{ end }}": (
        "alertname=HostOutOfDiskSpace instance=db-1:9100 job=node severity=critical"
    ),
    "{{ if eq .Status \"firing\" }}!{{ else }}ok{{ end }}": "!",
    "{{ with .CommonLabels.team }}for {{ . }}{{ end }}.": ".",
    "{{ if gt (len .Alerts) 1 }}many{{ else }}one{{ end }}": "one",
    "{{ .CommonLabels.job | title }}": "Node",
    "{{ .Receiver }} {{ .ExternalURL }} {{ .TruncatedAlerts }}": "sms-bridge https://am.example.net 0",
    "{{ (index .Alerts 0).StartsAt.Format \"15:04\" }}": "03:10",
}  # fmt: skip
"""The left column, and what Alertmanager makes of it for the alert that is our first sample."""


def test_the_readme_shows_ours_beside_gos() -> None:
    assert [go for go, _ in _table()] == list(WHAT_GO_MAKES)


@pytest.mark.parametrize(("go", "ours"), _table())
def test_ours_says_what_go_says(go: str, ours: str) -> None:
    try_out(f"{ours}.")
    assert render(ours, ONE) == WHAT_GO_MAKES[go]
