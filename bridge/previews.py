"""What people and scripts read about an SMS before it leaves; every place that shows one says it in these words."""

import unicodedata
from collections.abc import Iterator
from typing import Any

from bridge.domain.letters import straight
from bridge.domain.preview import Preview, preview
from bridge.domain.sms import Culprit, Size

_NAMED = 3  # signs that a sentence names; the rest is counted
_SWAPS = 6  # kinds of replacement that a sentence names
_BEGINNING = 12  # characters of a segment, to find it by
_NAMELESS = {"\t": "tab", "\x1b": "escape", "\x85": "next line"}  # control characters have no name in Unicode
_UNSEEN = {" ": "a space", "\n": "a line break", "": "nothing"}


def billed(size: Size) -> str:
    """`unicode, 49 characters, 1 segment`."""
    return f"{size.alphabet}, {counted(size.characters, 'character')}, {counted(size.segments, 'segment')}"


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def before(seen: Preview) -> list[str]:
    """What to know before it is sent, a sentence each: what makes it dear, what would help, where it is cut."""
    told = [because(seen), helps(seen)]
    if seen.size.segments > 2:
        begins = [f'{number} at {at} "{start}"' for number, at, start in _segments(seen)]
        told += [f"segments begin: {', '.join(begins)}", too_long(seen)]
    return [sentence for sentence in told if sentence]


def after(seen: Preview) -> str:
    """The same in one line where others read it too: neither the text nor enough of its letters to guess it by."""
    saves = seen.without is not None or (seen.instead and seen.instead.size.segments < seen.size.segments)
    told = [
        because(seen) if _tells_nothing(seen) else "",
        helps(seen) if saves and _tells_nothing(seen) else "",
        too_long(seen) if seen.size.segments > 2 else "",
    ]
    return "; ".join(filter(None, told))


def why_not_typed(text: str, most: int) -> str:
    """Why /sms and the API refuse this text, in a sentence; empty when they take it. `most` is in segments."""
    if not straight(text).strip():  # signs without a width are no text either
        return "there is no text to send"
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
        return "the text has a character that no phone can show (NUL or half an emoji)"
    seen = preview(text)
    if seen.size.segments <= most:
        return ""
    size, help_ = seen.size, after(seen)
    return (
        f"the text takes {size.segments} segments ({size.characters} characters in {size.alphabet}); at most {most} go "
        f"out (sms.typed_max_segments){f'; {help_}' if help_ else ''}"
    )


def because(seen: Preview) -> str:
    """Which signs make it unicode; empty where so many do that it is a text of another script."""
    culprits = seen.culprits
    if not culprits or (len(culprits) > _NAMED and 4 * _times(culprits) > seen.size.characters):
        return ""
    named = ", ".join(_where(one) for one in culprits[:_NAMED])
    more = f" and {counted(len(culprits) - _NAMED, 'other sign')}" if len(culprits) > _NAMED else ""
    return f"unicode because of {named}{more}"


def helps(seen: Preview) -> str:
    """What it would be with signs that look alike, else without what has none: `with " for “ ”: gsm7, 1 segment`."""
    instead, without = seen.instead, seen.without
    told = []
    if instead is not None:
        how = f"with {swapped(instead.replaced)}" if instead.replaced else "with each accent and its letter as one sign"
        told.append(f"{how}: {instead.size.alphabet}, {counted(instead.size.segments, 'segment')}")
    if without is not None and because(seen):
        them = "it" if _times(seen.culprits) == 1 else "them"
        told.append(f"without {them}: {without.alphabet}, {counted(without.segments, 'segment')}")
    return "; ".join(told)


def swapped(replaced: tuple[tuple[str, str], ...]) -> str:
    """Which signs stand for which: `" for “ ”, - for –`."""
    by: dict[str, list[str]] = {}
    for sign, other in replaced:
        by.setdefault(other, []).append(_shown(sign) or name_of(sign))
    told = [f"{_UNSEEN.get(other, other)} for {' '.join(signs)}" for other, signs in by.items()]
    more = f" and {len(told) - _SWAPS} more" if len(told) > _SWAPS else ""
    return ", ".join(told[:_SWAPS]) + more


def too_long(seen: Preview) -> str:
    """How much shorter it would have to be to cost a segment less."""
    if not seen.too_long_by:
        return ""
    return f"{counted(seen.too_long_by, 'character')} too long for {counted(seen.size.segments - 1, 'segment')}"


def as_json(seen: Preview) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "text": seen.text,
        **_size(seen.size),
        "units": seen.size.units,
        "units_left": seen.units_left,
        "parts": list(seen.parts),
        "too_long_by": seen.too_long_by,
        "culprits": [
            {"sign": one.sign, "code": _code(one.sign), "name": name_of(one.sign), "at": one.at, "times": one.times}
            for one in seen.culprits
        ],
        "replaced": replaced_json(seen.replaced),
        "instead": seen.instead
        and {
            "text": seen.instead.text,
            **_size(seen.instead.size),
            "replaced": replaced_json(seen.instead.replaced),
        },
        "without_culprits": seen.without and _size(seen.without),
    }


def replaced_json(replaced: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"sign": sign, "by": by} for sign, by in replaced]


def name_of(sign: str) -> str:
    """What Unicode calls it."""
    return _NAMELESS.get(sign) or " + ".join(unicodedata.name(one, _code(one)).lower() for one in sign)


def _where(one: Culprit) -> str:
    """`“ (left double quotation mark, U+201C) at 17`; what cannot be seen by its name alone."""
    shown, name, code = _shown(one.sign), name_of(one.sign), _code(one.sign)
    known = "" if name == code.lower() else name
    what = f"{shown} ({', '.join(filter(None, (known, code)))})" if shown else f"{known} ({code})" if known else code
    return f"{what} at {one.at}" if one.times == 1 else f"{what} {one.times} times, first at {one.at}"


def _shown(sign: str) -> str:
    """A sign as it is where one can see it; a mark that sits on another is not one's own."""
    alone = unicodedata.category(sign[0])[0] not in "MZC"
    return sign if alone and all(one.isprintable() or one == "\u200d" for one in sign) else ""


def _code(sign: str) -> str:
    return f"U+{ord(sign):04X}"


def _size(size: Size) -> dict[str, Any]:
    return {"alphabet": str(size.alphabet), "characters": size.characters, "segments": size.segments}


def _segments(seen: Preview) -> Iterator[tuple[int, int, str]]:
    """Number, place and beginning of each segment but the first."""
    at = 1
    for number, part in enumerate(seen.parts, start=1):
        if number > 1:
            yield number, at, " ".join(part[:_BEGINNING].split())
        at += len(part)


def _times(culprits: tuple[Culprit, ...]) -> int:
    return sum(one.times for one in culprits)


def _tells_nothing(seen: Preview) -> bool:
    """Punctuation says nothing of what was written; letters only where they are few among many."""
    letters = [one for one in seen.culprits if one.sign.isalnum()]
    return 10 * _times(tuple(letters)) <= seen.size.characters
