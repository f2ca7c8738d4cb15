"""What the senders of webhooks mean: one format per file, each turning bytes into a domain Report."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bridge.domain.alert import Report
from bridge.sources import alertmanager, generic, heartbeat
from bridge.sources.reading import NotJson, PayloadError, check_json, clean, read_json

__all__ = ["HEARTBEAT", "PARSERS", "NotJson", "PayloadError", "check_json", "clean", "parse", "read_json"]

PARSERS: Mapping[str, Callable[[Any, datetime], Report]] = {
    "alertmanager": alertmanager.understand,
    "generic": generic.understand,
}
"""The formats of JSON that are understood, by the `kind` of a source."""
HEARTBEAT = "heartbeat"
"""The kind of a source that only has to be heard: its bodies need be no JSON."""


def parse(kind: str, body: bytes, now: datetime) -> Report:
    """What this body of a source of this kind reports. Raises PayloadError, and nothing else, for any bytes.

    `now` is when it was received. Numbers to call are never looked for: whom a page goes to is the config's word.
    """
    return heartbeat.understand(body) if kind == HEARTBEAT else PARSERS[kind](read_json(body), now)
