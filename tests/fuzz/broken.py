"""Parsers with a bug planted in them, which the harness must find."""

import json
import re
from collections.abc import Mapping

from bridge.sources import PayloadError, parse
from tests.fakes import START
from tests.fuzz.targets import SUBJECTS, Subject


def _trusts_its_sender(data: bytes) -> None:
    """Takes it for granted that an alert says when it began."""
    try:
        parse("alertmanager", data, START)
    except PayloadError:
        return
    for alert in json.loads(data, strict=False)["alerts"]:
        alert["startsAt"].strip()


def _never_ends(data: bytes) -> None:
    """Takes twice as long for each further sign of a name."""
    re.match(r"(?:[a-zA-Z]+)+:$", data.decode(errors="replace"))


_SEEDS = [seed for seed in SUBJECTS["alertmanager"].seeds if seed.count(b'"startsAt": "') == seed.count(b'"labels"')]
PLANTED: Mapping[str, Subject] = {
    "trusts": Subject(_trusts_its_sender, _SEEDS, SUBJECTS["alertmanager"].words),
    "never_ends": Subject(_never_ends, [b"/" + b"a" * 20]),
}
