"""Prometheus' alert rules, read from their files, and the alerts that they would send, with values that are made up.

Plain rule files (`groups:`) and manifests that hold one (PrometheusRule, `spec.groups:`; also in a List), several
documents in a file. Recording rules send nothing and are passed over. Nothing is asked of a Prometheus.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bridge.gotemplates import Fields, fill, labels_named

ENDINGS = frozenset({".yml", ".yaml", ".rules"})
"""What a file in a folder has to be called to be read."""

_HELM = re.compile(r"^\s*\{\{|:\s*\{\{", re.MULTILINE)
_COMPARED = re.compile(
    r"(==|!=|>=|<=|>|<)\s*(?:bool\s+)?(-?[\d.]+(?:[eE][-+]?\d+)?(?:\s*[*/]\s*\d[\d.]*(?![\d.]*[a-z(]))*)"
)
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_MATCHER = re.compile(r"([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`)")
_KEPT = re.compile(r"\b(?:by|on|group_left|group_right)\s*\(([^()]*)\)", re.IGNORECASE)
_AGGREGATES = re.compile(
    r"\b(?:sum|min|max|avg|count|group|stddev|stdvar|quantile|count_values)\s*(?:(?:by|without)\s*\([^()]*\)\s*)?\(",
    re.IGNORECASE,
)
_NEVER_THERE = {"le", "quantile", "__name__"}
_A_WORD = re.compile(r"[\w.:/ -]+")
_USUAL_VALUE = 7.0


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert rule as it stands in its file; `line` is where."""

    name: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Found:
    """What was read. `problems`: one sentence each, `FILE:LINE: what is wrong; what would be right`."""

    rules: tuple[Rule, ...]
    problems: tuple[str, ...]


class _Wrong(Exception):
    """What is wrong, and in which line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


# --- reading ---------------------------------------------------------------------------------------


def read(paths: Iterable[Path]) -> Found:
    """The rules of these files, and of those in these folders, however deep; what can be read is, whatever else not."""
    rules: list[Rule] = []
    problems: list[str] = []
    for path in paths:
        files = sorted(_inside(path)) if path.is_dir() else [path]
        before = len(rules), len(problems)
        for file in files:
            _read_file(file, rules, problems)
        if (len(rules), len(problems)) == before:
            what = (
                f"no file with alert rules in it ({', '.join(sorted(ENDINGS))})" if path.is_dir() else "no alert rules"
            )
            problems.append(f"{path}: {what}; a rule file begins with groups:, or is a PrometheusRule manifest")
    return Found(tuple(rules), tuple(problems))


def _inside(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def _read_file(file: Path, rules: list[Rule], problems: list[str]) -> None:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.append(f"{file}: cannot be read ({error.strerror})")
        return
    except UnicodeDecodeError as error:
        problems.append(f"{file}: not UTF-8 at byte {error.start}; rule files are UTF-8")
        return
    try:
        for document in YAML(typ="safe", pure=True).compose_all(text):
            for group in _groups(document):
                _read_group(file, group, rules, problems)
    except _Wrong as error:
        problems.append(f"{file}:{error.line}: {error}")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        helm = "; a Helm chart is rendered first (helm template)" if _HELM.search(text) else ""
        what = " ".join(str(error.problem or error.context or "it ends too early").split())[:120]
        problems.append(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {what}{helm}")
    except (YAMLError, ValueError, RecursionError) as error:
        problems.append(f"{file}:1: not YAML: {type(error).__name__}")


def _groups(document: Node | None) -> Iterator[Node]:
    """The groups of a rule file, of a manifest, or of each manifest of a List; nothing in what is something else."""
    top = _table(document) if isinstance(document, MappingNode) else {}
    for item in _items(top["items"], "items") if isinstance(top.get("items"), SequenceNode) else ():
        yield from _groups(item)
    if isinstance(top.get("spec"), MappingNode):
        top = top | _table(top["spec"])
    if isinstance(groups := top.get("groups"), SequenceNode):
        yield from groups.value


def _read_group(file: Path, group: Node, rules: list[Rule], problems: list[str]) -> None:
    there = _table(group) if isinstance(group, MappingNode) else {}
    for node in _items(there.get("rules"), "rules"):
        try:
            rule = _rule(file, node)
        except _Wrong as error:
            problems.append(f"{file}:{error.line}: {error}")
        else:
            rules += [rule] if rule else []


def _rule(file: Path, node: Node) -> Rule | None:
    line = _line(node)
    if not isinstance(node, MappingNode):
        raise _Wrong(line, "a rule that is not a table; it has alert: and expr:")
    told = _table(node)
    if "record" in told:
        return None
    name = _text(told.get("alert"))
    if not name:
        raise _Wrong(line, "a rule without a name; write alert: NameOfTheAlert (or record: for a recording rule)")
    expr = _text(told.get("expr"))
    if not expr:
        raise _Wrong(line, f"{name}: no expr; write when it fires, expr: up == 0")
    return Rule(name, expr, _texts(told.get("labels")), _texts(told.get("annotations")), str(file), line)


def _table(node: Node) -> dict[str, Node]:
    """Keys and values, with what `<<` merges in."""
    merged: dict[str, Node] = {}
    told: dict[str, Node] = {}
    for key, value in node.value:
        if key.value != "<<":
            told[str(key.value)] = value
            continue
        for other in value.value if isinstance(value, SequenceNode) else [value]:
            if isinstance(other, MappingNode) and other is not node:
                merged = _table(other) | merged
    return merged | told


def _items(node: Node | None, name: str) -> list[Node]:
    if node is None or (isinstance(node, ScalarNode) and node.value in ("", "~", "null")):
        return []
    if not isinstance(node, SequenceNode):
        raise _Wrong(_line(node), f"{name}: not a list; write each with a leading dash")
    return list(node.value)


def _texts(node: Node | None) -> dict[str, str]:
    if not isinstance(node, MappingNode):
        return {}
    return {name: _text(value) for name, value in _table(node).items()}


def _text(node: Node | None) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


# --- what they would send --------------------------------------------------------------------------

MakeUp = Callable[[str, int], str]
"""A label's name and a number → a value such as one meets, another one for another number."""


def firing(rule: Rule, starts_at: datetime, *, count: int = 1, make_up: MakeUp | None = None) -> dict[str, Any]:
    """The webhook that Alertmanager would post when `count` alerts of this rule begin to fire, as one group.

    Fewer where its series have no label to tell so many apart.
    """
    several = [_labels(rule, number, make_up or plausible) for number in range(count)]
    apart = {tuple(labels.items()): number for number, labels in reversed(list(enumerate(several)))}
    alerts = [
        _alert(rule, several[number], starts_at, number, make_up or plausible) for number in sorted(apart.values())
    ]
    common = {
        key: dict.items(alerts[0][key]) & set.intersection(*(set(alert[key].items()) for alert in alerts))
        for key in ("labels", "annotations")
    }
    return {
        "version": "4",
        "status": "firing",
        "receiver": "sms-bridge",
        "groupKey": f'{{}}:{{alertname="{rule.name}"}}',
        "groupLabels": {"alertname": rule.name},
        "commonLabels": dict(sorted(common["labels"])),
        "commonAnnotations": dict(sorted(common["annotations"])),
        "alerts": alerts,
    }


def _labels(rule: Rule, number: int, make_up: MakeUp) -> dict[str, str]:
    """The labels of the series; one of them at least is another for another number, if the rule does not fix it."""
    known = labels_of(rule)
    labels = {name: given or make_up(name, number) for name, given in known.items()}
    free = [name for name, given in known.items() if not given]
    if number and free and all(labels[name] == make_up(name, 0) for name in free):
        name = next((name for name in free if name not in _SHARED), free[0])
        labels[name] = f"{labels[name]}-{number + 1}"
    return labels


def _alert(rule: Rule, labels: Mapping[str, str], starts_at: datetime, number: int, make_up: MakeUp) -> dict[str, Any]:
    fields = Fields(labels, value_of(rule.expr), lambda name: make_up(name, number))
    # Prometheus fills a rule's labels with those of the series, and the annotations too.
    own = {name: fill(value, fields) for name, value in rule.labels.items()}
    told = {"alertname": rule.name, **labels, **{name: value for name, value in own.items() if value}}
    return {
        "status": "firing",
        "labels": told,
        "annotations": {name: fill(value, fields) for name, value in rule.annotations.items()},
        "startsAt": starts_at.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example.net/graph",
    }


def labels_of(rule: Rule) -> dict[str, str]:
    """The labels that its series have as far as the rule tells: with the value it asks for, or empty.

    Those its templates name; those its expression keeps (`by`, `on`); and where nothing is aggregated those it selects
    by, with the instance and job that every series has.
    """
    named = [name for text in (*rule.annotations.values(), *rule.labels.values()) for name in labels_named(text)]
    told = dict.fromkeys(named, "")
    bare = _QUOTED.sub('""', rule.expr)
    told |= {name: "" for kept in _KEPT.findall(bare) for name in re.findall(r"\w+", kept)}
    selected: dict[str, str] = {}
    for name, operator, quoted in _MATCHER.findall(rule.expr):
        value = quoted[1:-1].split("|")[0] if operator == "=~" else quoted[1:-1]
        selected.setdefault(name, value if operator in ("=", "=~") and _A_WORD.fullmatch(value) else "")
    if not _AGGREGATES.search(bare):
        told = {"instance": "", "job": ""} | told | selected
    told |= {name: value for name, value in selected.items() if name in told and value}
    return {name: value for name, value in told.items() if name not in _NEVER_THERE and name not in rule.labels}


def value_of(expr: str) -> float:
    """A value for which it would fire: a little beyond what it is compared with first."""
    bare = _QUOTED.sub('""', expr)
    found = _COMPARED.search(bare)
    if found is None:
        return _USUAL_VALUE
    try:
        first, *others = re.split(r"\s*([*/])\s*", found[2])
        limit = float(first)
        for operator, number in zip(others[::2], others[1::2], strict=True):
            limit = limit * float(number) if operator == "*" else limit / float(number)
    except (ValueError, ArithmeticError):
        return _USUAL_VALUE
    if not math.isfinite(limit):
        return _USUAL_VALUE
    # A ratio or a rate is seldom a round number.
    divided = "/" in bare or "rate(" in bare
    match found[1]:
        case "==":
            return limit
        case "!=":
            return limit + 1 if limit == 0 else 0.0
        case ">" | ">=":
            return limit / 0.97 if divided and limit > 0 else limit + max(1, round(abs(limit) / 20))
        case _:
            return limit * 0.97 if divided and limit > 0 else limit - max(1, round(abs(limit) / 20))


_USUAL = {
    "address": "10.0.3.{n}",
    "az": "eu-central-1a",
    "cluster": "prod",
    "code": "503",
    "consumergroup": "billing",
    "container": "app",
    "container_name": "app",
    "controller": "checkout",
    "cronjob": "nightly-backup",
    "daemonset": "node-exporter",
    "database": "orders",
    "datname": "orders",
    "deployment": "checkout",
    "device": "/dev/sd{letter}1",
    "disk": "sd{letter}",
    "domain": "shop{n}.example.net",
    "endpoint": "/api/v1/orders",
    "env": "prod",
    "environment": "prod",
    "host": "db-{n}.example.net",
    "hostname": "db-{n}.example.net",
    "ifDescr": "GigabitEthernet0/{n}",
    "ifName": "Gi0/{n}",
    "instance": "db-{n}.example.net:9100",
    "interface": "eth{n}",
    "ip": "10.0.3.{n}",
    "job": "node",
    "job_name": "nightly-backup-28391{n}",
    "method": "POST",
    "mode": "user",
    "mountpoint": "/var/lib/data{n}",
    "name": "checkout",
    "namespace": "shop",
    "node": "worker-{n}",
    "nodename": "worker-{n}",
    "partition": "{n}",
    "persistentvolume": "pvc-{n}8f3a1c2",
    "persistentvolumeclaim": "data-orders-{n}",
    "pod": "checkout-7c9f6d9b5d-x2x{n}l",
    "pod_name": "checkout-7c9f6d9b5d-x2x{n}l",
    "port": "443",
    "queue": "orders",
    "queue_name": "orders",
    "region": "eu-central-1",
    "replicaset": "checkout-7c9f6d9b5d",
    "resource": "memory",
    "server": "db-{n}.example.net",
    "service": "checkout",
    "service_name": "checkout",
    "severity": "warning",
    "shard": "{n}",
    "state": "failed",
    "statefulset": "orders-db",
    "status": "503",
    "target": "https://shop{n}.example.net",
    "tenant": "acme",
    "topic": "orders",
    "type": "disk",
    "url": "https://shop{n}.example.net",
    "user": "app",
    "version": "2.14.{n}",
    "zone": "eu-central-1a",
}
_SHARED = {"job", "cluster", "env", "environment", "region", "severity"}
_THE_SAME = re.compile(r"(?:exported_|source_|target_|label_|kubernetes_)+|(?:_name|_id)$")


def plausible(name: str, number: int = 0) -> str:
    """A value such as one meets in a label of this name; an unknown name stands for itself: `shelf-1`."""
    usual = _USUAL.get(name) or _USUAL.get(_THE_SAME.sub("", name))
    if usual is None:
        return f"{_THE_SAME.sub('', name).replace('_', '-') or name}-{number + 1}"
    return usual.format(n=number + 1, letter="abcdefghijklmnopqrstuvwxyz"[number % 26])
