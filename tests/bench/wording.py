"""How long the words of an SMS take: `python -m tests.bench.wording`, and a row of `make bench`.

The middle one of many tries for a group of ten alerts, and the slowest of texts that somebody made slow on purpose:
pages, a team's own words, digests of all that waited, who has it and that it is over. A
script that is spelled in Latin for the first time has its table read, once: that is not in the figures.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from zoneinfo import ZoneInfo

from bridge import texts
from bridge.domain.alert import Alert, AlertStatus
from bridge.domain.house import SmsRules
from bridge.domain.incident import Incident

ZONE = ZoneInfo("Asia/Almaty")
BEGAN = datetime(2026, 11, 19, 22, 10, tzinfo=UTC)
LINK = "https://sms.example.net/a/7fKq2MZp9Wd"
TEN = Incident(
    1042,
    "alertmanager",
    "g",
    "rest",
    BEGAN,
    BEGAN,
    title="KubePodCrashLooping",
    places=tuple(f"checkout-7c9f6d9b5d-{number:05x}" for number in range(10)),
    fact="The pod has been restarting for more than 15 minutes at the pace of 0.3 a second, look at its logs first",
    severity="warning",
    firing=10,
    total=10,
)
HOSTILE = {
    "a name of a megabyte": replace(TEN, title="A" * 10**6),
    "half a million words": replace(TEN, title="я " * 500_000, fact="1 " * 500_000),
    "a million accents": replace(TEN, title="e" + "\u0301" * 10**6, fact="e" + "\u0301" * 10**6),
    "families": replace(
        TEN, places=tuple("👨‍👩‍👧‍👦" * 28 + str(number) for number in range(20)), fact="👨‍👩‍👧‍👦" * 100
    ),
    "flags": replace(TEN, title="🇰" * 10**5, fact="🇰🇿" * 10**5),
    "dots": replace(TEN, places=tuple("a." * 99 + str(number) for number in range(20)), fact="я. " * 200),
    "dashes": replace(TEN, places=tuple("-" * 190 + str(number) for number in range(20))),
    "Greek": replace(TEN, title="ΑΒ " * 130, fact="ΑΒ " * 130, places=tuple("ΑΒ" * 95 + str(n) for n in range(20))),
    "Cyrillic": replace(
        TEN, title="Щука " * 80, fact="Щука " * 80, places=tuple("щ" * 190 + str(n) for n in range(20))
    ),
    "every letter": replace(TEN, title="".join(map(chr, range(0xA0, 0x3000, 9))), fact="€ж" * 400),
}
RULES = [
    SmsRules(max_segments=segments, alphabet=alphabet, may_spell=may_spell)
    for segments in (1, 10)
    for alphabet, may_spell in (("auto", False), ("auto", True), ("gsm7", False))
]
TEXTS: dict[str, Callable[[Incident, SmsRules], str]] = {
    "a page": lambda incident, rules: texts.page(incident, rules, ZONE, link=LINK),
    "its own words": lambda incident, rules: texts.own(f"{incident.title[:400]} " * 10, incident, rules, link=LINK),
    "30 in one": lambda incident, rules: texts.digest([incident] * 30, rules),
    "200 in one": lambda incident, rules: texts.digest([incident] * 200, rules),
    "somebody has it": lambda incident, rules: texts.taken(incident, rules, "Jonas"),
    "it is over": lambda incident, rules: texts.over(incident, rules, ZONE, "Jonas"),
}
_TRIES = 1000
_TRIES_EACH = 9


def usual() -> float:
    """Seconds for the text of a group of ten, the middle one of many."""
    return _middle(lambda: texts.page(TEN, SmsRules(), ZONE, link=LINK), _TRIES)


def slowest() -> tuple[float, str]:
    """Seconds for the slowest of the hostile texts, each the middle one of some, and which one that was."""
    took = [
        (_middle(lambda: make(incident, rules), _TRIES_EACH), f"{kind}: {what}")  # noqa: B023 - run at once
        for kind, make in TEXTS.items()
        for what, incident in HOSTILE.items()
        for rules in RULES
    ]
    return max([*took, (_middle(_fact, _TRIES_EACH), "the first sentence of a megabyte")])


def _fact() -> None:
    labels = {f"label{number}": "(on " * 5000 for number in range(100)}
    texts.fact(Alert("f", AlertStatus.FIRING, BEGAN, "A" * 10**6, labels, " " * 10**6, "(on " * 250_000), "db1")


def _middle(make: Callable[[], object], tries: int) -> float:
    took = []
    for _ in range(tries):
        began = time.thread_time()  # what else runs here is not its fault
        make()
        took.append(time.thread_time() - began)
    return median(took)


if __name__ == "__main__":
    worst, what = slowest()
    print(f"a group of ten: {usual() * 1e6:.0f} µs; slowest: {worst * 1e3:.1f} ms, {what}")
