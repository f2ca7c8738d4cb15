"""A team's own words for a page: Jinja2, in a sandbox, bounded; and the data that it may speak of.

The sandbox of Jinja2 keeps a template from other objects, but not from the machine: 30 characters make a string of
300 MB, and loops need not end. So only plain values go in, and only what cannot grow or go round is offered: no
macros, no includes, loops of a thousand turns in all, strings of ten thousand characters; and whatever takes time is
counted, for pages wait while a template is filled. A template comes from the config alone, never from a webhook.
"""

import re
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from jinja2 import ChainableUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

from bridge.domain.alert import AlertStatus
from bridge.domain.incident import AlertRecord, Incident

MOST_ALERTS = 20
"""How many alerts of an incident a template sees; the rest are counted in `truncatedAlerts`."""
LONGEST_SOURCE = 4000
LONGEST_TEXT = 10_000
_MOST_TURNS = 1000
_MOST_STEPS = 300_000
"""A part of a loop's turn, an item or eight characters that a filter reads or makes: a microsecond at most each."""
_PER_STEP = 8  # characters
_LARGEST_NUMBER = 10**15
_MOST_TOLD = 2000  # characters of one alert's labels that are kept, and as many of its annotations
_LONGEST_VALUE = 500
_HALF = re.compile(r"[\ud800-\udfff]")  # of a character: no database keeps it, and no SMS is made of it


class BadTemplate(ValueError):
    """What is wrong with a template, for whoever wrote it; one sentence, with its line."""


class TemplateFailed(Exception):
    """Why a template made no text of these data; a few words."""


class NoText(TemplateFailed):
    """It made nothing at all."""


# --- data ------------------------------------------------------------------------------------------


def kept(
    labels: Mapping[str, str], annotations: Mapping[str, str], group: Mapping[str, Any], url: str
) -> dict[str, Any]:
    """What is remembered of one alert for the template of its route, bounded: the first of it, long values cut."""

    def some(told: Mapping[str, str]) -> dict[str, str]:
        found, left = {}, _MOST_TOLD
        for name, value in told.items():
            left -= len(name) + len(short := value[:_LONGEST_VALUE])
            if left < 0:
                break
            found[name] = short
        return found

    return {"labels": some(labels), "annotations": some(annotations), "generatorURL": url[:_LONGEST_VALUE], **group}


def data(incident: Incident, alerts: Iterable[AlertRecord], *, since: str, call: int, person: str) -> dict[str, Any]:
    """What a template of this incident may name: Alertmanager's names, and ours; text, numbers, lists and tables only.

    Of an alert whose labels were not kept, because its route had no template when it came, the name and severity.
    """
    known = sorted(alerts, key=lambda a: (not a.is_firing, a.starts_at, a.name, a.place))
    shown = [_alert(record) for record in known[:MOST_ALERTS]]
    first: Mapping[str, Any] = next((record.told for record in known if record.told), {})
    return {
        "status": "firing" if incident.firing else "resolved",
        "receiver": first.get("receiver", ""),
        "groupLabels": first.get("groupLabels", {}),
        "commonLabels": _common(shown, "labels"),
        "commonAnnotations": _common(shown, "annotations"),
        "externalURL": first.get("externalURL", ""),
        "alerts": shown,
        "truncatedAlerts": incident.truncated + max(0, len(known) - MOST_ALERTS),
        "number": incident.id,
        "title": incident.title,
        "places": list(incident.places),
        "fact": incident.fact,
        "severity": incident.severity,
        "firing": incident.firing,
        "total": incident.total,
        "since": since,
        "route": incident.route,
        "call": call,
        "person": person,
    }


def _alert(record: AlertRecord) -> dict[str, Any]:
    told = record.told
    return {
        "status": str(record.status),
        "labels": told.get("labels") or {"alertname": record.name, "severity": record.severity},
        "annotations": told.get("annotations") or {"summary": record.fact},
        "startsAt": record.starts_at.isoformat(),
        "endsAt": record.ended_at.isoformat() if record.ended_at else "",
        "generatorURL": told.get("generatorURL", ""),
        "fingerprint": record.fingerprint,
        "place": record.place,
        "fact": record.fact,
    }


def _common(alerts: Sequence[Mapping[str, Any]], key: str) -> dict[str, str]:
    told: list[dict[str, str]] = [alert[key] for alert in alerts if alert["status"] == AlertStatus.FIRING]
    told = told or [alert[key] for alert in alerts]
    first = told[0] if told else {}
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in told)}


def samples() -> dict[str, dict[str, Any]]:
    """What a template is tried on: the usual, many, the least that a source may send, and the most."""
    return {
        _USUAL: data(_TROUBLE, [_sample(1)], since="03:10", call=1, person="Aigerim"),
        "twenty alerts": data(
            replace(_TROUBLE, firing=19, total=20, places=("db-1", "db-2")),
            [_sample(1, ended=True), *map(_sample, range(2, 21))],
            since="03:10",
            call=2,
            person="Jonas",
        ),
        "an alert without labels": data(
            replace(_TROUBLE, title="unnamed alert", places=(), fact="", severity=""),
            [replace(_sample(1), name="unnamed alert", place="", fact="", severity="", told={})],
            since="03:10",
            call=1,
            person="",
        ),
        "the longest labels": hostile(),
    }


def hostile() -> dict[str, Any]:
    """As many alerts as a template sees, with as much in each as is kept: what takes it longest."""
    wide = kept(
        {"alertname": "{{ 7 * 7 }} %s", **{f"label_{n:02}": "Щ☃{%" * 125 for n in range(40)}},
        {"summary": "x" * 5000, "description": "<&\"'\n" * 1000},
        {"receiver": "r" * 1000, "groupLabels": {"alertname": "a" * 1000}, "externalURL": "https://am.example.net"},
        "https://prometheus.example.net",
    )
    alerts = [replace(_sample(n), fact="fact " * 800, told=wide) for n in range(40)]
    trouble = replace(_TROUBLE, title="T" * 1000, fact="fact " * 800, places=("p" * 200,) * 20, firing=40, total=40)
    return data(trouble, alerts, since="21.11 03:10", call=10, person="Aigerim")


def time_on_the_longest(source: str, monotonic: Callable[[], float]) -> float:
    """Seconds that it takes for as much as a webhook may bring: so long nothing else is claimed."""
    about = hostile()
    began = monotonic()
    with suppress(TemplateFailed):
        render(source, about)
    return monotonic() - began


_USUAL = "one alert"
LONG = "twenty alerts with all their labels at the longest"
_BEGAN = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)
_TROUBLE = Incident(
    id=1042,
    source="alertmanager",
    group_key='{}:{alertname="HostOutOfDiskSpace"}',
    route="critical",
    opened_at=_BEGAN,
    started_at=_BEGAN,
    title="HostOutOfDiskSpace",
    places=("db-1",),
    fact="Disk is almost full (< 10% left)",
    severity="critical",
    firing=1,
    total=1,
)


def _sample(number: int, *, ended: bool = False) -> AlertRecord:
    labels = {"alertname": "HostOutOfDiskSpace", "instance": f"db-{number}:9100", "job": "node", "severity": "critical"}
    annotations = {"summary": f"Host out of disk space (instance db-{number}:9100)", "description": _TROUBLE.fact}
    group = {
        "receiver": "sms-bridge",
        "groupLabels": {"alertname": "HostOutOfDiskSpace"},
        "externalURL": "https://am.example.net",
    }
    return AlertRecord(
        incident_id=_TROUBLE.id,
        source=_TROUBLE.source,
        group_key=_TROUBLE.group_key,
        fingerprint=f"{number:016x}",
        starts_at=_BEGAN,
        status=AlertStatus.RESOLVED if ended else AlertStatus.FIRING,
        name="HostOutOfDiskSpace",
        place=f"db-{number}",
        fact=_TROUBLE.fact,
        severity="critical",
        last_seen=_BEGAN,
        ended_at=_BEGAN if ended else None,
        told=kept(labels, annotations, group, "https://prometheus.example.net/graph"),
    )


NAMES = frozenset(
    (
        *("status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "alerts"),
        *("truncatedAlerts", "number", "title", "places", "fact", "severity", "firing", "total", "since", "route"),
        *("call", "person"),
    )
)
"""What `data` has."""


# --- making text -----------------------------------------------------------------------------------


def try_out(source: str) -> str:
    """Compile it, and make a text of every sample. Raises BadTemplate with what is wrong; says what is worth a look.

    What passes may still fail on data that nobody thought of; `render` says so then.
    """
    empty = []
    _compiled(source)
    for name, sample in samples().items():
        try:
            render(source, sample)
        except NoText:  # no reason to refuse it: what it speaks of, a label of the house's own say, may be there
            empty.append(name)
        except TemplateFailed as error:
            raise BadTemplate(f"it fails on {name}: {error}") from error
    return f"it makes no text of {empty[0]}; such a page goes out in the bridge's own words" if _USUAL in empty else ""


def render(source: str, about: Mapping[str, Any]) -> str:
    """The text of this template about these data, on one line, cut at ten thousand characters.

    Raises TemplateFailed, and nothing else.
    """
    try:
        text = ""
        for piece in _compiled(source).generate(**about, _budget=_Budget()):
            text += piece
            if len(text) > LONGEST_TEXT:  # no SMS has room for the rest
                break
    except TemplateFailed:
        raise
    except (TemplateError, BadTemplate) as error:
        raise TemplateFailed(_sentence(error)) from error
    except Exception as error:  # whatever a template of strangers' words does, a page is more important
        raise TemplateFailed(f"{_sentence(error)} ({type(error).__name__})") from error
    text = " ".join(_HALF.sub("\ufffd", text[:LONGEST_TEXT].replace("\0", "")).split())
    if not text:
        raise NoText("it makes no text at all")
    return text


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:120].rstrip(".") or "no reason given"


@lru_cache(maxsize=128)
def _compiled(source: str) -> Template:
    if len(source) > LONGEST_SOURCE:
        raise BadTemplate(f"{len(source)} characters; at most {LONGEST_SOURCE}, an SMS has 160")
    try:
        tree = _ENVIRONMENT.parse(source)
        _look_through(tree)
        if unknown := sorted(meta.find_undeclared_variables(tree) - NAMES):
            raise BadTemplate(f"nothing is called {unknown[0]} here; there are: {', '.join(sorted(NAMES))}")
        _bound(tree)
        code = _ENVIRONMENT.compile(tree)
        return Template.from_code(_ENVIRONMENT, code, {}, None)
    except TemplateSyntaxError as error:
        raise BadTemplate(f"line {error.lineno}: {_sentence(error)}") from error
    except (RecursionError, SyntaxError, MemoryError) as error:  # Python takes 20 loops in each other, and 100 ifs
        raise BadTemplate("nested too deeply; write fewer loops and ifs inside each other") from error
    except BadTemplate:
        raise
    except Exception as error:  # a config is refused with a sentence, whatever a compiler stumbles over
        raise BadTemplate(f"it cannot be compiled: {_sentence(error)} ({type(error).__name__})") from error


_OFFERED: tuple[type[nodes.Node], ...] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem),
    *(nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.Assign, nodes.With, nodes.CondExpr, nodes.Compare),
    *(nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul),
    *(nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Concat, nodes.Call, nodes.Slice, nodes.Keyword, nodes.Pair),
    *(nodes.List, nodes.Tuple, nodes.Dict),
)


def _look_through(tree: nodes.Template) -> None:
    """Raises BadTemplate for what is not offered: whatever could grow, call itself, or read a file."""
    for node in _all(tree):
        line = f"line {node.lineno}: "
        if not isinstance(node, _OFFERED):
            raise BadTemplate(f"{line}{type(node).__name__.lower()} is not offered; if, for, set and filters are")
        if isinstance(node, nodes.For) and node.recursive:
            raise BadTemplate(f"{line}a loop that calls itself is not offered; write a loop inside the loop")
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            raise BadTemplate(f"{line}{node.attr} is not offered; no name begins with _")
        if isinstance(node, nodes.Name) and (node.name.startswith("_") or node.name in ("self", "super")):
            raise BadTemplate(f"{line}nothing is called {node.name} here; there are: {', '.join(sorted(NAMES))}")
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise BadTemplate(f"{line}no filter {node.name}; there are: {', '.join(sorted(_FILTERS))}")
        if isinstance(node, nodes.Test) and node.name not in _TESTS:
            raise BadTemplate(f"{line}no test {node.name}; there are: {', '.join(sorted(_TESTS))}")
        listed = isinstance(node, nodes.List | nodes.Dict) or (isinstance(node, nodes.Tuple) and node.ctx == "load")
        if listed and any(not isinstance(one, nodes.Const | nodes.Pair) for one in node.iter_child_nodes()):
            raise BadTemplate(f"{line}a list of more than plain words; write them out, or take one that is there")


def _all(tree: nodes.Node) -> Iterable[nodes.Node]:
    yield tree
    for node in tree.iter_child_nodes():
        yield from _all(node)


def _bound(tree: nodes.Template) -> None:
    """Count the turns of every loop and how much there is in one, and measure what `~` puts together."""
    loops = list(tree.find_all(nodes.For))
    sizes = [sum(1 for _ in _all(loop)) for loop in loops]
    for loop, size in zip(loops, sizes, strict=True):
        size_of_a_turn = nodes.Const(size, lineno=loop.lineno)
        loop.iter = nodes.Filter(loop.iter, "_turns", [size_of_a_turn], [], None, None, lineno=loop.lineno)
    _joined(tree)


def _joined(node: nodes.Node) -> None:
    for name in node.fields:
        value = getattr(node, name)
        if isinstance(value, list):
            setattr(node, name, [_as_join(item) for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _as_join(value))


def _as_join(node: Any) -> Any:
    if isinstance(node, nodes.Node):
        _joined(node)
    if isinstance(node, nodes.Concat):
        return nodes.Filter(nodes.List(node.nodes, lineno=node.lineno), "join", [], [], None, None, lineno=node.lineno)
    return node


class _Budget:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self.turns = _MOST_TURNS
        self.steps = _MOST_STEPS

    def turn(self, size: int) -> None:
        self.turns -= 1
        if self.turns < 0:
            raise TemplateFailed(f"its loops turn more than {_MOST_TURNS} times")
        self.take(size)

    def take(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TemplateFailed(
                f"it takes more than {_MOST_STEPS:,} steps; write fewer loops, or fewer filters in them"
            )

    def read(self, *values: Any) -> None:
        """Take as many steps as it is to go through them; tables count one, since no filter looks into them."""
        for value in values:
            if isinstance(value, str):
                self.take(1 + len(value) // _PER_STEP)
            elif isinstance(value, list | tuple | KeysView | ValuesView | ItemsView):
                self.take(1)
                self.read(*value)
            else:
                self.take(1)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Tables give their entries, and nothing of their own but to be gone through; texts a few harmless methods."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, str) and attribute not in _OF_TEXTS:  # before it becomes a format of any width
            return self.unsafe_undefined(obj, attribute)
        if not isinstance(obj, dict):
            return super().getattr(obj, attribute)
        if attribute in obj:  # a label may well be called items
            return obj[attribute]
        if attribute in _OF_TABLES:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        if isinstance(obj, list | str) and isinstance(argument, int | slice):
            return super().getitem(obj, argument)
        return self.undefined(obj=obj, name=str(argument)[:50])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str):
            return attr in _OF_TEXTS
        return isinstance(obj, LoopContext) and attr in _OF_LOOPS

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            context.resolve("_budget").read(left, right)
            return _joined_text("", (left, right))
        for one in (left, right):
            if not isinstance(one, int | float) or abs(one) > _LARGEST_NUMBER:
                raise TemplateFailed(f"{operator} is for numbers of a usual size; texts are put together with ~")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - Jinja2's names
        budget = __context.resolve("_budget")
        budget.read(getattr(__obj, "__self__", None), *args, *kwargs.values())
        made = super().call(__context, __obj, *args, **kwargs)
        budget.read(made)
        return made


_OF_TABLES = {"items", "keys", "values", "get"}
_OF_TEXTS = {"upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "startswith", "endswith", "split"}
_OF_TEXTS |= {"removeprefix", "removesuffix", "partition", "rpartition", "find", "count"}
_OF_LOOPS = {"index", "index0", "revindex", "revindex0", "first", "last", "length"}


def _printed(value: Any) -> str:
    """Text and numbers; a list would be printed with Python's brackets, which nobody wants to read."""
    match value:
        case str():
            return value
        case None | ChainableUndefined():
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    raise TemplateFailed(f"a {type(value).__name__} cannot be printed; print one of it, or join it")


def _joined_text(separator: Any, values: Iterable[Any]) -> str:
    told, size = [], 0
    for value in values:
        told.append(_printed(value))
        size += len(told[-1]) + len(separator)
        if size > LONGEST_TEXT:
            break
    return _printed(separator).join(told)[:LONGEST_TEXT]


def _join(value: Iterable[Any], separator: str = "") -> str:
    return _joined_text(separator, value)


def _replace(value: Any, old: str, new: str) -> str:
    text = _printed(value)
    return text.replace(old, new, LONGEST_TEXT // max(1, len(new)) + 1)[:LONGEST_TEXT]


def _round(value: Any, precision: int = 0) -> float | int:
    rounded = round(float(value), max(0, min(int(precision), 9)))
    return int(rounded) if precision == 0 else rounded


def _brief(value: Any) -> str:
    """A host without its port and domain; an address whole but for the port."""
    host = _printed(value)
    host = host.rpartition(":")[0] if host.count(":") == 1 and host.rpartition(":")[2].isdecimal() else host
    return host if host.replace(".", "").isdecimal() or ":" in host else host.partition(".")[0]


@pass_context
def _turns(context: Context, value: Any, size: int) -> list[Any]:
    budget, items = context.resolve("_budget"), []
    for item in value:
        budget.turn(size)
        items.append(item)
    return items


def _counted(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """This filter or test, taking as many steps as it goes through. What it would only make later is made at once."""

    @pass_context
    def counted(context: Context, value: Any = None, *args: Any, **kwargs: Any) -> Any:
        budget = context.resolve("_budget")
        budget.read(value, *args, *kwargs.values())
        if isinstance(value, list | tuple):  # each is asked for every name of a path as long as `labels.instance`
            paths = [told for told in (*args, *kwargs.values()) if isinstance(told, str)]
            budget.take(len(value) * sum(path.count(".") + path.count(",") for path in paths))
        made = call(name, value, args, kwargs, context=context)
        made = list(made) if isinstance(made, Iterator) and not isinstance(made, LoopContext) else made
        budget.read(made)
        return made

    return counted


_HARMLESS = {"abs", "capitalize", "count", "d", "default", "first", "float", "int", "items", "last", "length", "list"}
_HARMLESS |= {"lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "title"}
_HARMLESS |= {"trim", "truncate", "unique", "upper"}
_FILTERS: Mapping[str, Callable[..., Any]] = {
    **{name: FILTERS[name] for name in _HARMLESS},
    "brief": _brief,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "string": _printed,
    "toLower": FILTERS["lower"],
    "toUpper": FILTERS["upper"],
}
_TESTS = {"defined", "undefined", "none", "string", "number", "in", "eq", "ne", "gt", "ge", "lt", "le", "odd", "even"}
_TESTS |= {"equalto", "==", "!=", ">", ">=", "<", "<=", "true", "false", "divisibleby"}


def _sandbox() -> _Sandbox:
    return _Sandbox(autoescape=False, optimized=False, undefined=ChainableUndefined, finalize=_printed)


_UNCOUNTED = _sandbox()
_UNCOUNTED.filters = dict(_FILTERS)
_UNCOUNTED.tests = {name: TESTS[name] for name in _TESTS}

_ENVIRONMENT = _sandbox()
_ENVIRONMENT.filters = {name: _counted(_UNCOUNTED.call_filter, name) for name in _FILTERS} | {"_turns": _turns}
_ENVIRONMENT.tests = {name: _counted(_UNCOUNTED.call_test, name) for name in _TESTS}
_ENVIRONMENT.globals = {}
