"""`python -m tests.bench.texts PATH…`: how alert rules read as SMS, and what they cost, measured over all of them.

Each rule of the folder is made to fire once, and in groups of 2, 5 and 20, on four kinds of places; and all of it again
with Russian sentences for its summary and description. Every text comes by the path of a webhook (`explain --rules`),
with the README's routes: `critical` says how bad it is, `rest` does not. What counts as intact is `Yardstick`.
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from bridge.domain.escalation import Policy, Step
from bridge.domain.house import House, Person, SourceRules
from bridge.domain.routing import Route, parse_matcher
from bridge.domain.sms import measure
from bridge.explain_rules import Reading, folded, read_rules
from bridge.rules import MakeUp, Rule, firing, labels_of, plausible, read

NOW = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)
SIZES = (1, 2, 5, 20)
HOUSE = House(
    policies={"critical": Policy("critical", (Step(("aigerim",)),))},
    routes=(
        Route("critical", (parse_matcher('severity="critical"'),), policy="critical", critical=True),
        Route("rest", policy="critical"),
    ),
    sources={"alertmanager": SourceRules("alertmanager", "alertmanager")},
)
LINKED = replace(HOUSE, public_url="https://sms.example.net")


# --- places that people have -----------------------------------------------------------------------

_POD_ENDS = ("x2x8l", "9kq4z", "h7wvd", "b5fgt", "zz2mp", "q8sjn", "4ltxc", "m6vbr", "w9hkd", "t3ngf")


def _address(name: str, number: int) -> str:
    return f"10.0.{3 + number // 10}.{17 + number}:9100" if name == "instance" else plausible(name, number)


def _host(name: str, number: int) -> str:
    return f"db-{3 + number}.prod.eu-central-1.example.net:9100" if name == "instance" else plausible(name, number)


def _long_host(name: str, number: int) -> str:
    if name in ("instance", "host", "hostname", "node", "nodename"):
        port = ":9100" if name == "instance" else ""
        return f"app-server-eu-central-1a-production-{17 + number:04}.internal.example.net{port}"
    return plausible(name, number)


def _pod(name: str, number: int) -> str:
    if name == "instance":  # the exporter that watches them all: it tells nothing apart
        return "10.244.0.12:8080"
    if name in ("pod", "pod_name"):
        return f"checkout-7c9f6d9b5d-{_POD_ENDS[number % 10][:4]}{'lkdtz'[number // 10]}"
    return plausible(name, number)


PLACES: Mapping[str, MakeUp] = {"addresses": _address, "hosts": _host, "long hosts": _long_host, "pods": _pod}


def with_pods(rules: Iterable[Rule]) -> list[Rule]:
    """As they come from a cluster, where every series has namespace and pod as well."""
    return [replace(rule, expr=f"{rule.expr} and on (namespace, pod) kube_pod_info") for rule in rules]


# --- Cyrillic --------------------------------------------------------------------------------------

# In place of the rules' own sentences: summary and description, as Russian teams write them.
RUSSIAN = (
    ("Сервис недоступен на {{ $labels.instance }}", "Нет ответа на проверку больше пяти минут, перезапуск не помог."),
    ("Заканчивается место на диске", 'На разделе /var осталось {{ $value | printf "%.1f" }}% свободного места.'),
    ("Высокая загрузка процессора", 'Загрузка процессора держится выше {{ $value | printf "%.0f" }}% уже 15 минут.'),
    (
        "Почти вся память занята на {{ $labels.instance }}",
        "Свободно меньше десятой части памяти, возможна остановка процессов.",
    ),
    (
        "Растёт очередь сообщений",
        "В очереди {{ $value | humanize }} необработанных сообщений, потребители не справляются.",
    ),
    (
        "Реплика отстаёт от основной базы",
        "Отставание реплики {{ $value | humanizeDuration }}, чтение отдаёт устаревшие данные.",
    ),
    ("Много ошибок в ответах", 'Доля ответов с ошибкой 5xx выше нормы: {{ $value | printf "%.2f" }}%.'),
    ("Истекает сертификат", 'Сертификат истекает через {{ $value | printf "%.0f" }} дней, продлите его заранее.'),
    ("Не выполнена резервная копия", "Последняя удачная резервная копия сделана больше суток назад."),
    ("Медленные запросы к базе", "Среднее время ответа базы данных выросло до {{ $value | humanizeDuration }}."),
    (
        "Узел кластера не отвечает",
        "Узел {{ $labels.instance }} не отвечает на проверки состояния, нагрузка переносится на соседей.",
    ),
    (
        "Перезапуски контейнера",
        'Контейнер перезапускается снова и снова: {{ $value | printf "%.0f" }} раз за десять минут.',
    ),
    (
        "Нет связи с хранилищем",
        "Запись в хранилище не проходит, данные копятся в памяти и будут потеряны при перезапуске.",
    ),
    (
        "Потеря пакетов в сети",
        'Теряется {{ $value | printf "%.1f" }}% пакетов между площадками, пользователи видят задержки.',
    ),
    ("Перегрев оборудования", 'Температура датчика {{ $value | printf "%.0f" }} °C, вентиляторы на полных оборотах.'),
    ("Ошибки при проверке правил", "Правила не вычисляются, часть оповещений сейчас не работает!"),
)


def in_russian(rules: Iterable[Rule]) -> list[Rule]:
    """The same rules, of the same labels, with Russian sentences; which ones is drawn by the rule's name."""
    told = []
    for rule in rules:
        drawn = hashlib.sha256(rule.name.encode()).digest()[0] % len(RUSSIAN)
        summary, description = RUSSIAN[drawn]
        expr = f"{rule.expr} and on ({', '.join(labels_of(rule))}) up"
        told.append(replace(rule, expr=expr, annotations={"summary": summary, "description": description}))
    return told


# --- the yardstick ---------------------------------------------------------------------------------

_SHORT = {"critical": ("crit",), "warning": ("warn",), "information": ("info",)}
_ELLIPSIS = re.compile(r"…|\.\.+")
_ADDRESS = re.compile(r"[\d.]+|[\da-fA-F:]+:[\da-fA-F:]*")


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What somebody woken at night has to be able to read from one page; each is true or false of a text.

    `status`: that it fires, and how many when several do. `name`: the alert's whole name. `severity`: its word (or
    crit, warn), unless the route implies it. `place`: which one it is, in letters that no other one of the group has;
    of a group one at least, the rest being counted.
    """

    status: bool
    name: bool
    severity: bool
    place: bool

    @property
    def intact(self) -> bool:
        return self.status and self.name and self.severity and self.place


def judge(reading: Reading, alerts: Sequence[Mapping[str, str]], house: House) -> Yardstick:
    """Hold a text against the labels of the alerts that it is about."""
    text, several = folded(reading.text), len(alerts)
    severity = alerts[0].get("severity", "")
    words, route = (severity, *_SHORT.get(severity, ())), house.route(reading.route)
    return Yardstick(
        status=not text.startswith("ok ") and (several == 1 or _has_word(text, f"x{several}", str(several))),
        name=_has_word(text, folded(alerts[0]["alertname"])),
        severity=not severity or (route is not None and route.implies(severity)) or _has_word(text, *words),
        place=not (wanted := telling(alerts, house.sms.where))
        or any(recognised(values, text) for values in wanted.values()),
    )


def telling(alerts: Sequence[Mapping[str, str]], where: Sequence[str]) -> dict[str, list[str]]:
    """The labels that say which one it is, each with its values: of a group those in which all its alerts differ; of
    one alert the first of `where`, else any that is not of the rule or the whole house."""
    if len(alerts) > 1:
        values = {name: [alert.get(name, "") for alert in alerts] for name in alerts[0]}
        apart = {name: told for name, told in values.items() if len(set(told)) == len(told)}
        return apart or {name: told for name, told in values.items() if len(set(told)) > 1}
    (alert,) = alerts
    found = next((name for name in where if alert.get(name)), None)
    if found:
        return {found: [alert[found]]}
    return {name: [value] for name, value in alert.items() if name not in _OF_ALL and value}


_OF_ALL = {"alertname", "severity", "job", "cluster", "env", "environment", "region", "team"}


def recognised(values: Sequence[str], text: str) -> bool:
    """Whether one of these values at least is told by the text, in letters that none of the others has."""
    names = [re.sub(r":\d{1,5}$", "", folded(value)) for value in values]
    return any(_tells(name, [other for other in names if other != name], text) for name in names)


def _tells(name: str, others: Sequence[str], text: str) -> bool:
    head = name if _ADDRESS.fullmatch(name) else name.split(".", maxsplit=1)[0]
    if _has_word(text, name) or (
        head not in [other.split(".", maxsplit=1)[0] for other in others] and _has_word(text, head)
    ):
        return True
    if _ADDRESS.fullmatch(name):
        return False  # a part of an address is another address
    for word in re.split(r"[\s,;]+", text):
        written = word.strip(":()").rstrip(".") if not _ELLIPSIS.search(word) else word.strip(":()")
        pieces = _ELLIPSIS.split(written)
        if len("".join(pieces)) < (3 if "".join(pieces).isdigit() else 2):
            continue  # it may be any number
        if not others and (len(pieces) == 1 or not (pieces[0] and pieces[-1])):
            continue  # alone, a word out of its middle is no name, nor is one whose end is cut off
        if _made_of(pieces, head) and not any(_made_of(pieces, other) for other in others):
            return True
    return False


def _made_of(pieces: Sequence[str], name: str) -> bool:
    """Whether the name reads so where what stood between the pieces is left out; what was cut was cut between words
    or at the ellipsis only."""
    pattern = ".*".join(map(re.escape, pieces))
    return re.search(rf"(?<![^\W_]){pattern}(?![^\W_])", name) is not None


def says(reading: Reading) -> bool:
    """Whether the text has two words in a row of what the summary says, or all of a shorter one."""
    words = folded(reading.incident.fact).split()
    pairs = (" ".join(words[at : at + 2]).rstrip(".,:;!") for at in range(max(1, len(words) - 1)))
    return any(pair in folded(reading.text) for pair in pairs)


def _has_word(text: str, *words: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words if word)


# --- the neighbours --------------------------------------------------------------------------------


def sachet(webhook: Mapping[str, Any]) -> list[str]:
    """What messagebird/sachet sends without a text of one's own (cmd/sachet/handlers.go, newAlertText)."""
    alerts = webhook["alerts"]
    if len(alerts) == 1:
        told = sorted(f"{name}= {value}" for name, value in alerts[0]["labels"].items())
        return [f"{webhook['status'].upper()} \n" + "\n".join(told)]
    text = ""
    for title, status in (("Firing", "firing"), ("Resolved", "resolved")):
        some = [alert["labels"] for alert in alerts if alert["status"] == status]
        text += f"{title}: \n" if some else ""
        for labels in some:
            also = f" ({labels['exported_instance']})" if labels.get("exported_instance") else ""
            text += f"{labels['alertname']} @{labels.get('instance', '')}{also}\n"
    return [text]


def promtotwilio(webhook: Mapping[str, Any]) -> list[str]:
    """What Swatto/promtotwilio sends: an SMS per alert, cut at 150 bytes (internal/handler/format.go)."""
    return [_promtotwilio(alert) for alert in webhook["alerts"]]


def _promtotwilio(alert: Mapping[str, Any]) -> str:
    body = alert["annotations"].get("summary", "").strip() or alert["annotations"].get("description", "")
    began = datetime.fromisoformat(alert["startsAt"])
    text = f'[{alert["labels"]["alertname"]}] "{body}" alert starts at {began:%a, %d %b %Y %H:%M:%S} UTC'
    told = text.encode()
    return text if len(told) <= 150 else told[:147].decode("utf-8", "replace") + "..."


# --- measuring -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Cell:
    """Sums over texts. `told`: with words of its summary; `lost` counts what was not intact, `examples` shows some."""

    texts: int = 0
    good: int = 0
    parts: int = 0
    sachet: int = 0
    promtotwilio: int = 0
    told: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, reading: Reading, seen: Yardstick, webhook: Mapping[str, Any]) -> None:
        self.texts += 1
        self.parts += reading.size.segments
        self.good += seen.intact and reading.size.segments == 1
        self.told += says(reading)
        self.sachet += sum(measure(text).segments for text in sachet(webhook))
        self.promtotwilio += sum(measure(text).segments for text in promtotwilio(webhook))
        for what in ("status", "name", "severity", "place"):
            if not getattr(seen, what):
                self.lost[what] = self.lost.get(what, 0) + 1
        if not seen.intact:
            self.examples.append(reading.text)

    def __iadd__(self, other: "Cell") -> "Cell":
        for name in ("texts", "good", "parts", "sachet", "promtotwilio", "told"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for what, times in other.lost.items():
            self.lost[what] = self.lost.get(what, 0) + times
        self.examples += other.examples
        return self

    @property
    def telling(self) -> float:
        """Of texts with words of the summary in them, in percent."""
        return 100 * self.told / self.texts if self.texts else 0.0

    @property
    def share(self) -> float:
        """Of texts that fit one part with everything intact, in percent."""
        return 100 * self.good / self.texts if self.texts else 0.0

    def mean(self, what: str) -> float:
        """Parts per page."""
        return float(getattr(self, what)) / self.texts if self.texts else 0.0


def measured(rules: Sequence[Rule], house: House, place: str, size: int) -> Cell:
    """All of these rules at one kind of places, in groups of one size; a rule that cannot fire so often is left out."""
    cell = Cell()
    make_up = PLACES[place]
    there = with_pods(rules) if place == "pods" else list(rules)
    for rule, reading in zip(there, read_rules(there, house, NOW, count=size, make_up=make_up), strict=True):
        webhook = firing(rule, NOW, count=size, make_up=make_up)
        labels = [alert["labels"] for alert in webhook["alerts"]]
        if len(labels) == size:
            cell.add(reading, judge(reading, labels, house), webhook)
    return cell


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, and its cells by kind of places."""

    letters: str
    size: int
    places: Mapping[str, Cell]

    @property
    def all(self) -> Cell:
        total = Cell()
        for cell in self.places.values():
            total += cell
        return total


def table(rules: Sequence[Rule], house: House = HOUSE) -> Iterator[Row]:
    """Latin, Cyrillic, and Cyrillic for somebody who lets it be spelled in Latin; alone and in groups."""
    russian, reader = in_russian(rules), Person("aigerim", alphabet="auto")
    spoken = {
        "Latin": (list(rules), house),
        "Cyrillic": (russian, house),
        "Cyrillic, `alphabet: auto`": (russian, replace(house, people={reader.name: reader})),
    }
    for letters, size in product(spoken, SIZES):
        told, there = spoken[letters]
        yield Row(letters, size, {place: measured(told, there, place, size) for place in PLACES})


HEAD = """\
| summaries | alerts | in one part, all intact | and words of the summary | parts a page | sachet | promtotwilio |
|---|---|---|---|---|---|---|"""


def line(row: Row) -> str:
    """A row as the README has it."""
    cell = row.all
    means = " | ".join(f"{cell.mean(what):.2f}" for what in ("parts", "sachet", "promtotwilio"))
    return f"| {row.letters} | {row.size} | {cell.share:.1f} % | {cell.telling:.0f} % | {means} |"


def main(paths: Sequence[str]) -> None:
    detail, linked = "--detail" in paths, "--link" in paths
    found = read(Path(path) for path in paths if not path.startswith("--"))
    for problem in found.problems:
        print(problem, file=sys.stderr)
    print(f"{len(found.rules)} alert rules, {len(PLACES)} kinds of places: {', '.join(PLACES)}\n\n{HEAD}")
    rows = []
    for row in table(found.rules, LINKED if linked else HOUSE):
        rows.append(row)
        print(line(row), flush=True)
    if not detail:
        return
    for row in rows:
        for place, cell in row.places.items():
            lost = ", ".join(f"{what} {times}" for what, times in cell.lost.items())
            print(
                f"\n{row.letters}, {row.size}, {place}: {cell.texts} texts, {cell.share:.2f} %; lost: {lost or 'none'}"
            )
            for text in cell.examples[:: max(1, len(cell.examples) // 5)][:6]:
                print(f"    {text}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(
            "python -m tests.bench.texts PATH… [--link] [--detail]: which rules? a file or folder of Prometheus' rules"
        )
    main(sys.argv[1:])
