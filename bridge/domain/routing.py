"""Which rule an alert falls under: Alertmanager's matchers, tried in order."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from bridge.domain.hours import RouteHours

_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^"\s,]*))\s*', re.DOTALL)
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


class BadMatcher(ValueError):
    """What is wrong with a matcher, for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label; a missing label counts as empty, regexes match the whole value."""

    label: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.label, "")
        match self.operator:
            case "=":
                return found == self.value
            case "!=":
                return found != self.value
            case "=~":
                return re.fullmatch(self.value, found) is not None
            case _:
                return re.fullmatch(self.value, found) is None


def parse_matcher(written: str) -> Matcher:
    """Read `severity="critical"`, `team=~"db|web"`; quotes may be left out. Raises BadMatcher."""
    found = _MATCHER.fullmatch(written)
    if found is None:
        raise BadMatcher(f'not a matcher: {written!r}; write it like severity="critical", with = != =~ or !~')
    label, operator, quoted, bare = found.groups()
    value = bare if quoted is None else re.sub(r'\\[n"\\]', lambda m: _ESCAPES[m.group()], quoted)
    if operator in ("=~", "!~"):
        try:
            re.compile(value)
        except re.error as error:
            raise BadMatcher(f"not a regular expression: {value!r} ({error})") from error
    return Matcher(label, operator, value)


@dataclass(frozen=True, slots=True)
class Route:
    """Where alerts go: a policy to page by, a chat to show them in.

    Without a policy it posts to the chat only. `critical` goes out before everything else and may use
    the whole budget. `ttl` bounds how late after the receipt a page may still leave. `silent` cards do
    not buzz. `alphabet` and `max_segments` of its texts are those of the house where it has none.
    """

    name: str
    matchers: tuple[Matcher, ...] = ()
    policy: str | None = None
    chat: str | None = None
    critical: bool = False
    continues: bool = False
    silent: bool = False
    ttl: timedelta | None = None
    hours: RouteHours = RouteHours()
    alphabet: str | None = None
    max_segments: int | None = None

    @property
    def catches_all(self) -> bool:
        return not self.matchers

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(matcher.matches(labels) for matcher in self.matchers)

    def implies(self, severity: str) -> bool:
        """Whether whoever is paged by it knows this severity without being told."""
        wanted = {one.value for one in self.matchers if (one.label, one.operator) == ("severity", "=")}
        return severity in wanted or (self.critical and severity == "critical")


def matching(routes: Iterable[Route], labels: Mapping[str, str]) -> list[Route]:
    """The routes an alert takes, in order: the first match, and on while they say `continue`."""
    taken = []
    for route in routes:
        if route.matches(labels):
            taken.append(route)
            if not route.continues:
                break
    return taken
