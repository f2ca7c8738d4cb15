"""A YAML file as plain text in lists and tables, each knowing its line; nothing is typed here, so `NO` stays a string.

It is built from the parser's events: no anchors, no tags, no guessing of types, a bounded depth.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

_DEEPEST = 12  # the deepest key of ours stands in the seventh level
_LONGEST_NAME = 40
_DIGITS_OF_A_NUMBER = 5
ENVIRONMENT = 1 << 30  # the "line" of what an environment variable says: after all lines of the file


@dataclass(frozen=True, slots=True)
class Where:
    """What a problem points at: a line of the file, or the environment variable that stood in for it."""

    label: str
    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it was written; empty when nothing, `~` or `null` stood there."""

    text: str
    where: Where


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: list["Value"]
    where: Where


@dataclass(frozen=True, slots=True)
class Table:
    """Keys and values; `where` is the line of the table's own key."""

    entries: dict[str, "Value"]
    where: Where


Value = Text | Items | Table


class Findings:
    """What was found wrong, and what is only worth a warning; said in the order of the lines."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._problems: list[tuple[int, str]] = []
        self._warnings: list[tuple[int, str]] = []

    def at(self, line: int) -> Where:
        return Where(f"{self.file}:{line}", line)

    def problem(self, where: Where, path: str, what: str) -> None:
        self._problems.append((where.line, _line(where, path, what)))

    def warn(self, where: Where, path: str, what: str) -> None:
        self._warnings.append((where.line, _line(where, path, what)))

    @property
    def problems(self) -> list[str]:
        return [text for _, text in sorted(self._problems, key=lambda found: found[0])]

    @property
    def warnings(self) -> list[str]:
        return [text for _, text in sorted(self._warnings, key=lambda found: found[0])]


def _line(where: Where, path: str, what: str) -> str:
    return ": ".join(part for part in (where.label, path, what) if part)


def shown(word: str) -> str:
    """A word of the file as a problem may repeat it: never what could be a number or a secret."""
    plain = re.fullmatch(r"[\w./ -]+", word) and len(word) <= _LONGEST_NAME
    digits = sum(sign.isdigit() for sign in word)
    return word if plain and digits < _DIGITS_OF_A_NUMBER else "…"


def shown_path(written: str) -> str:
    """A file's name as a problem may repeat it; without a slash it could be a secret in the wrong key."""
    return written if "/" in written and ":" not in written and written.isprintable() else shown(written)


def below(path: str, key: str) -> str:
    """The path of a key in a table."""
    return f"{path}.{shown(key)}" if path else shown(key)


class _Unreadable(Exception):
    """The rest of the file cannot be made sense of; the problem is noted already."""


def read_document(text: str, findings: Findings) -> Table | None:
    """The file's table, or None when there is none to go on with; what is wrong stands in `findings`."""
    reader = _Reader(YAML(typ="safe", pure=True).parse(text), findings)
    try:
        return reader.document()
    except _Unreadable:
        return None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        findings.problem(findings.at(mark.line + 1 if mark else 1), "", _syntax(error))
    except (YAMLError, ValueError) as error:  # a bad \U escape is a ValueError of chr()
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        findings.problem(findings.at(line), "", "not YAML: a character or an escape that does not exist")
    return None


class _Reader:
    def __init__(self, events: Iterator[Any], findings: Findings) -> None:
        self._events = events
        self._findings = findings

    def document(self) -> Table | None:
        first = self._findings.at(1)
        root: Value | None = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    self._findings.problem(self._at(event), "", "a second document; keep one, without ---")
                    return None
                root = self._value(next(self._events), "", first, 0)
        match root:
            case Table():
                return root
            case Text(text="") | None:
                what = "empty; the shortest config that pages opens config.example.yaml"
            case _:
                what = "not a table; write keys like mobizon: at the start of a line"
        self._findings.problem(first, "", what)
        return None

    def _value(self, event: Any, path: str, where: Where, depth: int) -> Value:
        if depth > _DEEPEST:
            self._findings.problem(self._at(event), path, "nested too deeply; no key of ours stands there")
            raise _Unreadable
        if event.anchor or isinstance(event, AliasEvent):
            self._findings.problem(self._at(event), path, "anchors and aliases (& and *) are not read; write it out")
        elif getattr(event, "ctag", None):
            self._findings.problem(self._at(event), path, "tags (!) are not read; leave it out, or put it in quotes")
        match event:
            case MappingStartEvent():
                return Table(self._entries(path, depth), where)
            case SequenceStartEvent():
                return Items(self._items(path, depth), where)
            case ScalarEvent():
                nothing = not event.style and event.value in ("", "~", "null")
                return Text("" if nothing else event.value, where)
            case _:
                return Text("", where)

    def _entries(self, path: str, depth: int) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            where = self._at(event)
            key = self._value(event, path, where, depth + 1)
            name = key.text if isinstance(key, Text) else ""
            value = self._value(next(self._events), below(path, name), where, depth + 1)
            if not name:
                self._findings.problem(where, path, "a key that is not a word")
            elif name in entries:
                twice = f"stands here twice, first in line {lines[name]}; keep one"
                self._findings.problem(where, below(path, name), twice)
            else:
                entries[name], lines[name] = value, where.line
        return entries

    def _items(self, path: str, depth: int) -> list[Value]:
        items: list[Value] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, f"{path}[{len(items)}]", self._at(event), depth + 1))
        return items

    def _at(self, event: Any) -> Where:
        return self._findings.at(event.start_mark.line + 1)


def _syntax(error: MarkedYAMLError) -> str:
    """The parser's complaint without the file's own words, which could be a secret."""
    said = re.sub(r"(['\"])(?!<)[^'\"\s]{4,}\1", "…", str(error.problem or error.context or "it ends too early"))
    if r"\t" in said:
        return "not YAML: a tab; indent with spaces"
    return f"not YAML: {' '.join(said.split())[:120]}"
