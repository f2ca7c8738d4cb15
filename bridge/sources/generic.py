"""Our own plain format, for scripts: `{"message", "status"?, "key"?, "severity"?, "labels"?}`.

A `to`, `phone` or `recipient` in it is never looked at: whoever holds this source's token may tell of a
trouble, not choose whose phone rings. `timestamp` is not looked at either: a script that repeats itself
would make every repetition a new outbreak.
"""

import re
from datetime import datetime
from typing import Any

from bridge.domain.alert import NO_START, Alert, AlertStatus, Report
from bridge.sources import reading
from bridge.sources.reading import PayloadError

_LONGEST_NAME = 100
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")


def understand(value: Any, now: datetime) -> Report:
    """One alert. Without a `key`, each distinct message is a trouble of its own."""
    body = reading.an_object(value, "the body")
    message = reading.words(body.get("message"), "message").strip()
    if not message:
        raise PayloadError("message: missing or empty; a sentence saying what is wrong would be right")
    status = reading.status(body.get("status"), "status")
    severity = reading.line(body.get("severity"), "severity")
    labels = reading.labels(body.get("labels"), "labels") | ({"severity": severity} if severity else {})
    title = reading.line(body.get("title"), "title").strip()
    name, rest = (title, message) if title else _headline(message)
    key = reading.key(reading.line(body.get("key"), "key", reading.LONGEST_TEXT).strip() or reading.digest(message))
    alert = Alert(
        fingerprint=reading.digest(key),
        status=status,
        starts_at=NO_START,
        name=name,
        labels=labels,
        description=rest,
        ends_at=now if status is AlertStatus.RESOLVED else None,
        source_url=reading.url(body.get("url")) or _first_link(body.get("links")),
        annotations={"summary": name, "description": rest},
    )
    return Report(group_key=key, alerts=(alert,), whole_group_over=status is AlertStatus.RESOLVED)


def _headline(message: str) -> tuple[str, str]:
    """The first sentence, which names the trouble, and what is left to say."""
    head, *rest = _SENTENCE_END.split(message, maxsplit=1)
    if len(head) > _LONGEST_NAME:
        cut = head.rfind(" ", 0, _LONGEST_NAME) + 1 or _LONGEST_NAME
        return message[:cut].rstrip(), message[cut:]
    return head.strip().rstrip("."), "".join(rest).strip()


def _first_link(links: Any) -> str:
    match links:
        case [{"url": address}, *_] | [str(address), *_]:
            return reading.url(address)
    return ""
