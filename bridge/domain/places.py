"""Which one it is: the labels that tell one alert from another, and names short enough for an SMS."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

LONGEST_PLACE = 200
"""Characters of a place that are kept; no reader needs more, and no SMS has the room."""
_MOST_LABELS = 8

# Prometheus' own labels, and those that say what the alert is about or who cares: they name no place.
_NO_PLACE = frozenset(
    (
        *(
            "alertname",
            "alertgroup",
            "rule",
            "rule_group",
            "severity",
            "priority",
            "tier",
            "le",
            "quantile",
            "__name__",
        ),
        *("prometheus", "prometheus_replica", "replica", "monitor", "receiver", "team", "owner", "squad"),
        *("env", "environment", "stage"),
    )
)
# The first of these that is there says more than the others, where nothing of `sms.where` does.
_TELLING = (
    *("pod", "node", "nodename", "hostname", "host", "exported_instance", "device", "mountpoint", "service"),
    *("deployment", "statefulset", "daemonset", "container", "name", "url", "target", "domain", "database", "datname"),
)
_GENERAL = ("namespace", "cluster", "region", "zone", "datacenter", "dc", "job", "endpoint")  # these say least
# Of what all alerts come from: an exporter of a cluster tells of these, and names no place by being the same. What is
# not among them, a disk or a service say, is told together with the machine that it is in.
_STANDS_ALONE = frozenset(
    (
        *("instance", "exported_instance", "host", "hostname", "node", "nodename", "pod", "namespace", "url", "target"),
        *("deployment", "statefulset", "daemonset", "replicaset", "job_name", "cronjob", "ingress", "domain"),
        "persistentvolumeclaim",
    )
)
# What differs in a container, a namespace or a cluster only, is one of these, whoever tells of it.
_OBJECTS = ("pod", "deployment", "statefulset", "daemonset", "cronjob", "job_name", "persistentvolumeclaim")
_OF_AN_OBJECT = frozenset(("container", *_GENERAL))

_PORT = re.compile(r":\d{1,5}$")
_BRACKETED = re.compile(r"\[([0-9a-fA-F:.%]+)\](?::\d{1,5})?")
_ADDRESS = re.compile(r"\[?[0-9a-fA-F.:]*[.:][0-9a-fA-F.:]*[0-9][0-9a-fA-F.:]*\]?(?::\d+)?")
_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\.?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,9}://", re.IGNORECASE)
_SHARED = re.compile(r"(?:[^-_]*[-_])*")  # the beginning of a name, up to its last separator
_SAYS_NOTHING = frozenset(("www", "localhost"))
_MOST_PARTS = 12  # of a host name; the rest counts as one
_LEAST_SHARED = 3  # characters; to leave out fewer saves nothing


def telling(labels: Mapping[str, str], where: Sequence[str]) -> dict[str, str]:
    """The labels that may say which one, the most telling first: those of `where`, then what is known to be a place.

    At most eight, and at most so much of each as an SMS could ever show.
    """
    first = [*where, *_TELLING]
    others = sorted(label for label in labels if label not in first and label not in _GENERAL)
    order = dict.fromkeys((*first, *others, *_GENERAL))
    found = [label for label in order if labels.get(label) and (label in where or label not in _NO_PLACE)]
    return {label: labels[label][:LONGEST_PLACE] for label in found[:_MOST_LABELS]}


def place(labels: Mapping[str, str], where: Sequence[str]) -> str:
    """Which one: the first of the `where` labels that is there, else the most telling one, without its port."""
    return without_port(next(iter(telling(labels, where).values()), ""))


def without_port(place: str) -> str:
    """A host without the port behind it; an IPv6 address, which has colons of its own, also without its brackets."""
    if bracketed := _BRACKETED.fullmatch(place):
        return bracketed[1]
    return _PORT.sub("", place) if place.count(":") == 1 else place


def apart(alerts: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], str]:
    """What tells these alerts apart, each by its `telling` labels, and what all of it is within; each as a place.

    What differs says which one, not what all of them share: of each alert the first label that others lack or have
    otherwise, or one that tells all apart where those hardly do. With nothing that differs, all are at one place.
    """
    order = dict.fromkeys(label for labels in alerts[:_MOST_LOOKED_AT] for label in labels)
    values = {label: dict.fromkeys(labels[label] for labels in alerts if label in labels) for label in order}
    shared = {
        label: next(iter(values[label]))
        for label in order
        if len(values[label]) == 1 and all(label in labels for labels in alerts)
    }
    differing = [label for label in order if label not in shared]
    if not differing:
        one = without_port(next(iter(shared.values()), ""))
        return ((one,) if one else ()), ""
    chosen = [next((label for label in differing if label in labels), "") for labels in alerts]
    named = dict.fromkeys(labels[label] for labels, label in zip(alerts, chosen, strict=True) if label)
    if len(named) * 3 <= len(alerts):
        label = next((label for label in differing if len(values[label]) == len(alerts)), "")
        chosen, named = ([label], values[label]) if label else (chosen, named)
    return _without_ports(named), without_port(_within(set(chosen), shared, next(iter(order))))


def _within(chosen: Set[str], shared: Mapping[str, str], first: str) -> str:
    """What all that is told by these labels is in; `first` is the most telling label of all alerts."""
    if chosen <= _OF_AN_OBJECT and (held := next((shared[label] for label in _OBJECTS if label in shared), "")):
        return held
    return "" if chosen <= _STANDS_ALONE else shared.get(first, "")


_MOST_LOOKED_AT = 50  # alerts, for the labels that there are


def _without_ports(places: Iterable[str]) -> tuple[str, ...]:
    """Without ports, unless only these tell them apart."""
    whole = tuple(places)
    bare = tuple(map(without_port, whole))
    return bare if len(set(bare)) == len(whole) else whole


def heads(names: Sequence[str]) -> list[str]:
    """Host names by as much of their head as tells them apart: `db1 db2`, and `db1.prod db1.dev`.

    An address stays whole, and so does the host of a URL, which loses only its scheme.
    """
    parts = [_labels(name) for name in names]
    sizes = [1 if known[0] not in _SAYS_NOTHING and not known[0].isdigit() else len(known) for known in parts]
    while True:  # ends: with all of each name, no two are alike that were not
        cut = [".".join(known[:size]) for known, size in zip(parts, sizes, strict=True)]
        counted = Counter(cut)
        alike = [n for n, one in enumerate(cut) if counted[one] > 1 and sizes[n] < len(parts[n])]
        if not alike:
            return cut
        for n in alike:
            sizes[n] += 1


def tails(names: Sequence[str]) -> list[str]:
    """The first name whole, and of the others only what differs from it: `web-7c9f-x2x8l -z9k2p`.

    Addresses and paths stay whole: their tails would read like others.
    """
    if len(names) < 2:
        return list(names)
    shared = names[0]
    for name in names[1:]:
        while not name.startswith(shared):
            shared = shared[:-1]
    begin = _SHARED.match(shared)
    length = len(begin[0]) - 1 if begin else 0  # the separator stays, and says that there is something before
    if length < _LEAST_SHARED:
        return list(names)
    return [names[0], *(name[length:] for name in names[1:])]


def is_address(name: str) -> bool:
    """Whether it is an IP address, of which a part is another address."""
    return _ADDRESS.fullmatch(name) is not None


def _labels(name: str) -> list[str]:
    """The parts of a host name; anything else is one part."""
    bare = _SCHEME.sub("", name, count=1)
    if bare != name:
        return [bare.rstrip("/")]
    if _HOST.fullmatch(name) and not is_address(name):
        return name.rstrip(".").split(".", _MOST_PARTS)
    return [name]
