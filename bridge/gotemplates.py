"""Go templates as Prometheus writes them into labels and annotations, filled with values that are made up.

The language is that of text/template with Prometheus' own functions (prometheus.io/docs, "Template reference"). Nothing
is asked of a Prometheus: a query answers with one sample. What cannot be understood reads as a plausible word, for
whoever looks at the text wants to see a text.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_ACTION = re.compile(
    r"\{\{(-\s)?((?:\"(?:\\.|[^\"\\])*+\"|`[^`]*+`|[^\"`}]|\}(?!\}))*+)\}\}", re.DOTALL
)  # possessive: it never goes back
_TOKEN = re.compile(
    r"\"(?:\\.|[^\"\\])*\"|`[^`]*`|\$\w*(?:\.\w+)*|(?:\.\w+)+|\.|[A-Za-z_]\w*|[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    r"|:=|[=|(),]"
)
_ASSIGNED = re.compile(r"\s*(\$\w+)(?:\s*,\s*(\$\w+))?\s*:?=")
_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")
_NAME = re.compile(r"[A-Za-z_]\w*")
_MOST_TURNS = 1000  # of all the loops in one template
_DEEPEST = 50
_LONGEST = 4000
"""Characters that are read of a template, and that any part of it may come to: no SMS has room for the rest."""
_MOST_WORK = 10_000_000
"""Ways to match that all the patterns of one template may have together: tenths of a second."""
_A_COMMAND = 500  # of that work
_WIDEST = 100
_THE_DAY = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)
"""What a timestamp is read as; any day does."""


class CannotFill(Exception):
    """This part of a template is not understood."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a query answers with: labels and a value."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Fields:
    """What the templates of one alert are filled with. `made_up` gives a label that is asked for and not there."""

    labels: Mapping[str, str]
    value: float
    made_up: Callable[[str], str]


def fill(template: str, fields: Fields) -> str:
    """The text, without a brace of the template left in it; never raises."""
    if "{{" not in template:
        return template
    template = template[:_LONGEST]
    try:
        text = _Filling(fields).text(_Reader(template).body())
    except (CannotFill, RecursionError):
        text = _ACTION.sub(lambda found: _word(found[2], fields), template)
    return text[:_LONGEST].replace("{{", "").replace("}}", "")


def labels_named(template: str) -> list[str]:
    """The labels of the alert itself that this template asks for."""
    named = []
    for found in _ACTION.finditer(template[:_LONGEST]):
        action = found[2]
        named += re.findall(r"\$labels\.(\w+)", action)
        named += re.findall(r"\$labels\s+\"(\w+)\"", action)
        if "query" not in template:  # the labels of a query's answer are its own
            named += re.findall(r"(?<!\w)\.Labels\.(\w+)", action)
    return list(dict.fromkeys(named))


# --- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Do:
    """`{{ words }}`; `kind` is if, with, range, or nothing. Its bodies are what stands inside, and after `else`."""

    kind: str
    words: str
    body: "tuple[str | _Do, ...]" = ()
    otherwise: "tuple[str | _Do, ...]" = ()


class _Reader:
    """Texts and actions in order; CannotFill when an `end` is missing, or too many."""

    def __init__(self, template: str) -> None:
        self._pieces = list(_pieces(template))
        self._at = 0

    def body(self) -> tuple[str | _Do, ...]:
        read, ended = self._until_end(0)
        if ended:
            raise CannotFill(ended)
        return read

    def _until_end(self, depth: int) -> tuple[tuple[str | _Do, ...], str]:
        if depth > _DEEPEST:
            raise CannotFill("nested too deeply")
        read: list[str | _Do] = []
        while self._at < len(self._pieces):
            is_text, piece = self._pieces[self._at]
            self._at += 1
            first = "" if is_text else piece.split(maxsplit=1)[0] if piece else ""
            if is_text:
                read.append(piece)
            elif first in ("end", "else"):
                return tuple(read), piece
            elif first in ("if", "with", "range"):
                read.append(self._block(first, piece.removeprefix(first), depth))
            elif first in ("define", "block"):
                self._until_end(depth + 1)
            elif first and not piece.startswith("/*"):
                read.append(_Do("", piece))
        return tuple(read), ""

    def _block(self, kind: str, words: str, depth: int) -> _Do:
        body, ended = self._until_end(depth + 1)
        otherwise: tuple[str | _Do, ...] = ()
        if ended.startswith("else"):
            again = ended.removeprefix("else").strip()
            if again:
                nested = again.split(maxsplit=1)[0]
                return _Do(kind, words, body, (self._block(nested, again.removeprefix(nested), depth + 1),))
            otherwise, ended = self._until_end(depth + 1)
        if ended != "end":
            raise CannotFill(f"{kind} without an end")
        return _Do(kind, words, body, otherwise)


def _pieces(template: str) -> Iterator[tuple[bool, str]]:
    """Whether it is text, and the piece."""
    at, trims = 0, False
    for found in _ACTION.finditer(template):
        text = template[at : found.start()]
        text = text.lstrip() if trims else text
        yield True, text.rstrip() if found[1] else text
        words = found[2].strip()
        trims = found[2].endswith("-")
        yield False, words.removesuffix("-").rstrip() if trims else words
        at = found.end()
    yield True, template[at:].lstrip() if trims else template[at:]


# --- filling ---------------------------------------------------------------------------------------


class _Filling:
    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._turns = 0
        self._work = 0
        self._variables: dict[str, Any] = {
            "$labels": fields.labels,
            "$value": fields.value,
            "$externalLabels": {"cluster": "prod", "replica": "0"},
            "$externalURL": "https://prometheus.example.net",
        }
        top = {"Labels": fields.labels, "Value": fields.value, "ExternalURL": self._variables["$externalURL"]}
        self._dot: Any = top | {"ExternalLabels": self._variables["$externalLabels"]}
        self._variables["$"] = self._dot

    def text(self, body: Iterable[str | _Do]) -> str:
        told, size = [], 0
        for piece in body:
            told.append(piece if isinstance(piece, str) else self._done(piece))
            size += len(told[-1])
            if size > _LONGEST:
                break
        return "".join(told)[:_LONGEST]

    def _done(self, action: _Do) -> str:
        name, words = _assigned(action.words)
        try:
            value = self._pipeline(_tokens(words))
        except (CannotFill, ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, re.error):
            return _word(action.words, self._fields) if not action.kind else self.text(action.body)
        if name:
            self._variables[name] = value
        match action.kind:
            case "if":
                return self.text(action.body if _true(value) else action.otherwise)
            case "with":
                return self._inside(value, action.body) if _true(value) else self.text(action.otherwise)
            case "range":
                turns = list(value.items() if isinstance(value, Mapping) else value) if _true(value) else []
                return self._each(action, turns) if turns else self.text(action.otherwise)
        return "" if name else printed(value)

    def _each(self, action: _Do, turns: list[Any]) -> str:
        names = _ASSIGNED.match(action.words)
        told = []
        for number, turn in enumerate(turns):
            self._turns += 1
            if self._turns > _MOST_TURNS:
                break
            key, item = turn if isinstance(turn, tuple) else (number, turn)
            if names:
                self._variables[names[1]] = key if names[2] else item
                self._variables |= {names[2]: item} if names[2] else {}
            told.append(self._inside(item, action.body))
        return "".join(told)[:_LONGEST]

    def _inside(self, value: Any, body: Iterable[str | _Do]) -> str:
        before, self._dot = self._dot, value
        try:
            return self.text(body)
        finally:
            self._dot = before

    def _pipeline(self, tokens: list[str]) -> Any:
        """`a | b 1 | c`: each command gets what the one before it said as its last argument."""
        value: list[Any] = []
        for command in _split(tokens):
            value = [self._command(command, value)]
        return value[0]

    def _command(self, tokens: list[str], piped: list[Any]) -> Any:
        first, *rest = _grouped(tokens)
        self._takes(_A_COMMAND)
        if isinstance(first, str) and first in _FUNCTIONS:
            operands = [*(self._operand(token) for token in rest), *piped]
            self._takes(sum(len(operand) for operand in operands if isinstance(operand, str)))
            if first in ("match", "reReplaceAll"):
                self._takes(_ways(*map(str, (operands[0], operands[-1]))))
            value = _FUNCTIONS[first](*operands)
            return value[:_LONGEST] if isinstance(value, str) else value
        if isinstance(first, str) and first == "query":
            return [Sample(_Made(self._fields.labels, self._fields.made_up), self._fields.value)]
        if rest or piped:
            raise CannotFill(f"not a function: {first}")
        return self._operand(first)

    def _takes(self, work: int) -> None:
        self._work += work
        if self._work > _MOST_WORK:
            raise CannotFill("too much to do")

    def _operand(self, word: str | list[str]) -> Any:
        if isinstance(word, list):
            return self._pipeline(word)
        if word[0] in '"`':
            return word[1:-1] if word[0] == "`" else re.sub(r"\\(.)", _escaped, word[1:-1])
        if word[0] == "$":
            name, *path = word.split(".")
            return self._path(self._variables[name], path)
        if word == ".":
            return self._dot
        if word[0] == ".":
            return self._path(self._dot, word[1:].split("."))
        if word in ("true", "false"):
            return word == "true"
        if _NAME.fullmatch(word):
            return self._command([word], [])
        return float(word) if re.search(r"[.eE]", word) else int(word)

    def _path(self, value: Any, path: Iterable[str]) -> Any:
        for name in path:
            if isinstance(value, Sample):
                value = {"Labels": value.labels, "Value": value.value}[name]
            elif isinstance(value, Mapping):
                value = value[name] if name in value or isinstance(value, _Made) else self._fields.made_up(name)
            else:
                raise CannotFill(f"no field {name}")
        return value


class _Made(dict[str, str]):
    """Labels of which none is missing."""

    def __init__(self, labels: Mapping[str, str], made_up: Callable[[str], str]) -> None:
        super().__init__(labels)
        self._made_up = made_up

    def __missing__(self, name: str) -> str:
        return self._made_up(name)


def _ways(pattern: str, text: str) -> int:
    """How many ways there are at most to match this pattern with this text. Raises CannotFill when nobody can tell.

    Go's expressions take linear time; Python's try one way after another. Where nothing repeats a group, a repetition
    can end at each place of the text, an alternative is one of two, and a match can begin anywhere: so many ways, and
    no more. A repeated group has exponentially many, `(a+)+`; extensions may hide one from us, `(a+)(?#)+`.
    """
    bare = _CLASS.sub("x", _ESCAPED.sub("x", pattern)) if len(pattern) <= _LONGEST_PATTERN else "(?"
    if re.search(r"\)[*+{]|\(\?(?!:|P<|i\))", bare):
        raise CannotFill(f"cannot be matched in a time that is known: {pattern[:50]}")
    choices = len(re.findall(r"[*+?{]\??|\|", bare.replace("(?", "(")))
    return int((len(text) + 2) ** (choices + 1)) if choices < _LONGEST_PATTERN else _MOST_WORK + 1


_ESCAPED = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_LONGEST_PATTERN = 200


def _assigned(words: str) -> tuple[str, str]:
    """The variable that is set, if one is, and to what."""
    found = _ASSIGNED.match(words)
    return (found[1], words[found.end() :]) if found else ("", words)


def _tokens(words: str) -> list[str]:
    tokens, at = [], 0
    for found in _TOKEN.finditer(words):
        if words[at : found.start()].strip():
            break
        tokens.append(found[0])
        at = found.end()
    if words[at:].strip() or not tokens:
        raise CannotFill(f"cannot be read: {words}")
    return tokens


def _split(words: list[str]) -> list[list[str]]:
    """At the pipes outside brackets."""
    commands: list[list[str]] = [[]]
    depth = 0
    for word in words:
        depth += (word == "(") - (word == ")")
        if word == "|" and depth == 0:
            commands.append([])
        else:
            commands[-1].append(word)
    if depth or not all(commands):
        raise CannotFill("a bracket or a pipe leads nowhere")
    return commands


def _grouped(words: list[str]) -> list[str | list[str]]:
    """Words, and what stands in brackets as one."""
    groups: list[str | list[str]] = []
    depth, inner = 0, list[str]()
    for word in words:
        if word == "(":
            depth += 1
            if depth == 1:
                inner = []
                continue
        elif word == ")":
            depth -= 1
            if depth == 0:
                groups.append(inner)
                continue
        (inner if depth else groups).append(word)
    return groups


def _word(action: str, fields: Fields) -> str:
    """A plausible word in place of an action that is not understood: what its last name could stand for."""
    names = [name for name in _NAME.findall(re.sub(r"\"[^\"]*\"|`[^`]*`", "", action)) if name not in _FUNCTIONS]
    if not names or names[0] in ("end", "else", "if", "with", "range", "define", "template", "block"):
        return ""
    if names[-1] in ("value", "Value"):
        return printed(fields.value)
    return fields.labels.get(names[-1]) or fields.made_up(names[-1])


def _escaped(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1])


# --- what Go and Prometheus print ------------------------------------------------------------------


def printed(value: Any) -> str:
    """As Go prints it."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return _number(value)
        case Mapping():
            return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
        case list() | tuple():
            return f"[{' '.join(map(printed, value))}]"
        case Sample():
            return f"{{{printed(value.labels)} {printed(value.value)}}}"
        case None:
            return ""
    return str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def _printf(form: str, *values: Any) -> str:
    left = list(values)

    def put(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        value = left.pop(0) if left else ""
        match verb:
            case "d" | "x" | "X" | "c" | "b" | "o":
                told = f"{int(float(value)):{'d' if verb == 'c' else verb}}"
            case "e" | "f" | "g" | "E" | "F" | "G":
                told = (
                    f"{float(value):.{min(int(precision or 6), _WIDEST)}{verb}}"
                    if precision or verb not in "gG"
                    else _number(float(value))
                )
            case "q":
                told = f'"{printed(value)}"'
            case _:
                told = printed(value)[: int(precision) if precision else None]
        pad = min(int(width or 0), _WIDEST)
        return told.ljust(pad) if "-" in flags else told.rjust(pad, "0" if "0" in flags else " ")

    return _VERB.sub(put, form)


def _four(value: float) -> str:
    """Go's %.4g."""
    return f"{value:.4g}"


def _humanize(value: Any) -> str:
    number = float(value)
    if number == 0:
        return "0"
    return _scaled(number, 1000, "kMGTPEZY") if abs(number) >= 1 else _scaled(number, 1 / 1000, "munpfazy")


def _humanize1024(value: Any) -> str:
    return _scaled(float(value), 1024, [f"{prefix}i" for prefix in "kMGTPEZY"])


def _scaled(number: float, by: float, prefixes: Iterable[str]) -> str:
    """With the first prefix that leaves a number from 1 up to `by`; divided by less than one, it grows."""
    said = ""
    for prefix in prefixes:
        if abs(number) < by if by > 1 else abs(number) >= 1:
            break
        number, said = number / by, prefix
    return f"{_four(number)}{said}"


def _humanize_duration(value: Any) -> str:
    number = float(value)
    if abs(number) < 1:
        return "0s" if number == 0 else f"{_humanize(number)}s"
    sign, number = "-" if number < 0 else "", abs(number)
    whole = int(number)
    days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_four(number)}s"


def _true(value: Any) -> bool:
    return bool(value)


def _compared(how: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compare(first: Any, *others: Any) -> bool:
        return any(how(first, other) for other in others)

    return compare


def _go_reference(written: str) -> str:
    """`$1` and `${name}` of Go's regular expressions, for Python's."""
    return re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", written.replace("\\", r"\\"))


def _args(*values: Any) -> dict[str, Any]:
    if any(isinstance(value, Mapping) for value in values):  # of each other they would grow without end
        raise CannotFill("args of args")
    return {f"arg{number}": value for number, value in enumerate(values)}


def _and(*values: Any) -> Any:
    return next((value for value in values if not _true(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if _true(value)), values[-1])


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) and not isinstance(value, _Made) else value[key]
    return value


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "and": _and,
    "args": _args,
    "eq": _compared(lambda a, b: a == b),
    "externalURL": lambda: "https://prometheus.example.net",
    "first": lambda samples: samples[0],
    "ge": _compared(lambda a, b: float(a) >= float(b)),
    "graphLink": lambda expr: "/graph?g0.expr=",
    "gt": _compared(lambda a, b: float(a) > float(b)),
    "html": str,
    "humanize": _humanize,
    "humanize1024": _humanize1024,
    "humanizeDuration": _humanize_duration,
    "humanizePercentage": lambda value: f"{_four(float(value) * 100)}%",
    "humanizeTimestamp": lambda value: f"{_THE_DAY:%Y-%m-%d %H:%M:%S} +0000 UTC",
    "index": _index,
    "join": lambda separator, values: str(separator).join(map(printed, values)),
    "label": lambda name, sample: sample.labels[name],
    "le": _compared(lambda a, b: float(a) <= float(b)),
    "len": len,
    "lt": _compared(lambda a, b: float(a) < float(b)),
    "match": lambda pattern, text: re.search(pattern, text) is not None,
    "ne": _compared(lambda a, b: a != b),
    "not": lambda value: not _true(value),
    "now": _THE_DAY.timestamp,
    "or": _or,
    "parseDuration": lambda text: float(_seconds(text)),
    "pathPrefix": lambda: "",
    "print": lambda *values: "".join(map(printed, values)),
    "printf": _printf,
    "println": lambda *values: " ".join(map(printed, values)) + "\n",
    "reReplaceAll": lambda pattern, by, text: re.sub(pattern, _go_reference(by[:_WIDEST]), text),
    "safeHtml": str,
    "sortByLabel": lambda label, samples: samples,
    "stripDomain": lambda host: re.sub(r"^([^.:]+)\.[^:]*", r"\1", host) if not host[:1].isdigit() else host,
    "stripPort": lambda host: re.sub(r":\d+$", "", host),
    "strvalue": lambda sample: sample.labels["__value__"],
    "tableLink": lambda expr: "/graph?g0.expr=",
    "title": lambda text: re.sub(r"\b[a-z]", lambda found: found[0].upper(), text),
    "toLower": str.lower,
    "toTime": lambda value: f"{_THE_DAY:%Y-%m-%d %H:%M:%S} +0000 UTC",
    "toUpper": str.upper,
    "urlquery": str,
    "urlQueryEscape": str,
    "value": lambda sample: sample.value,
}


def _seconds(written: str) -> int:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
    return int(sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", written)))
