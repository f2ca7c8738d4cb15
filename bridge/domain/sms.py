"""What an SMS costs on the air: alphabets, segments, what is written otherwise to save some, and shortening.

Counting follows 3GPP TS 23.038 (GSM 7-bit default alphabet and its extension table) and TS 23.040
(concatenation headers): 160 septets alone or 153 a segment, 70 UCS-2 units alone or 67 a segment. An
extension character is two septets that never part, a surrogate pair two units that never part.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from bridge.domain.letters import EXTENSION, GSM7, reads_in_latin, spellings, straight, whole_characters


class Alphabet(StrEnum):
    """What a text is billed as."""

    GSM7 = "gsm7"
    UNICODE = "unicode"


@dataclass(frozen=True, slots=True)
class Size:
    """How a text is billed. `units` are septets or UTF-16 units; `characters` what a reader counts."""

    alphabet: Alphabet
    characters: int
    units: int
    segments: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """A text as it is sent, and what became of it on the way.

    `replaced` has each sign that was written otherwise once, with what stands for it (nothing: it had no width), in
    the order of the text. `spelled`: letters were spelled in Latin ones; without it only typography was.
    """

    text: str
    size: Size
    replaced: tuple[tuple[str, str], ...] = ()
    spelled: bool = False


@dataclass(frozen=True, slots=True)
class Culprit:
    """A sign that GSM-7 lacks, so that the whole text is billed by 70 instead of 160.

    `name` is Unicode's, in small letters; `at` counts the characters from 1 to the first one, `times` all of them.
    """

    sign: str
    name: str
    at: int
    times: int


_ROOM = {Alphabet.GSM7: (160, 153), Alphabet.UNICODE: (70, 67)}


def measure(text: str) -> Size:
    """How many segments this exact text is billed as; never raises, an empty text is one segment."""
    alphabet = Alphabet.GSM7 if GSM7.issuperset(text) else Alphabet.UNICODE
    alone, joined = _ROOM[alphabet]
    if alphabet is Alphabet.GSM7:
        units = len(text) + sum(map(text.count, EXTENSION))
    else:
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if units <= alone:
        segments = 1
    elif units == len(text):
        segments = -(-units // joined)
    else:  # weighed sign by sign: no pair of units may be torn apart
        segments = 1 + sum(1 for _ in _breaks(text, alphabet, joined))
    return Size(alphabet, len(text), units, segments)


def parts(text: str) -> tuple[str, ...]:
    """The text as the network cuts it, a segment each; joined they are the text.

    A network knows nothing of what a reader sees as one character: it may part an accent from its letter.
    """
    size = measure(text)
    if size.segments == 1:
        return (text,)
    borders = [0, *_breaks(text, size.alphabet, _ROOM[size.alphabet][1]), len(text)]
    return tuple(text[start:end] for start, end in pairwise(borders))


def room_left(size: Size, last: str) -> int:
    """How many units more would fit into the last segment of a text of this size, which is `last`."""
    alone, joined = _ROOM[size.alphabet]
    return (alone if size.segments == 1 else joined) - sum(_weight(sign, size.alphabet) for sign in last)


def fit(text: str, alphabet: str = "auto", *, may_spell: bool = False) -> Fitted:
    """The text in the wanted alphabet, as cheap as it gets without losing meaning.

    `unicode` keeps every sign. `gsm7` spells in Latin whatever GSM-7 lacks, `?` for what has no spelling. `auto`
    keeps the text as it is; where that helps (all of it becomes GSM-7, or a segment is saved) it replaces typography
    by signs that look alike; and with `may_spell` it spells other letters in Latin ones, if that saves a segment and
    people read the script so: Cyrillic, Greek, accents, Georgian and Armenian, but not Chinese or Arabic. What GSM-7
    has (é, ü, ñ, €, Δ) always stays.
    """
    typed, letters = _rewritten(text, alphabet, may_spell=may_spell)
    if letters is not None:
        spelled = "".join(letters)
        return Fitted(spelled, measure(spelled), _retyped(text, typed) + _respelled(typed, letters), spelled=True)
    return Fitted(typed, measure(typed), _retyped(text, typed) if typed != text else ())


def plain(text: str, alphabet: str = "auto") -> str:
    """The text in the wanted alphabet, see `fit`, where nobody asks what was replaced."""
    typed, letters = _rewritten(text, alphabet, may_spell=False)
    return typed if letters is None else "".join(letters)


def is_worth_spelling(text: str) -> bool:
    """Whether `fit` would spell it, were it allowed to: its letters read well in Latin, and that saves a segment."""
    return _rewritten(text, "auto", may_spell=True)[1] is not None


def _rewritten(text: str, alphabet: str, *, may_spell: bool) -> tuple[str, list[str] | None]:
    """The text with its typography as it is to be, and where its letters are spelled, each of its signs so."""
    if alphabet == Alphabet.UNICODE or GSM7.issuperset(text):
        return text, None
    typed = straight(text)
    if GSM7.issuperset(typed):
        return typed, None
    if alphabet == Alphabet.GSM7:
        return typed, spellings(typed)
    before, after = measure(text).segments, measure(typed).segments
    least = min(before, after)
    if may_spell and least > 1 and reads_in_latin(typed):
        letters = spellings(typed)
        if measure("".join(letters)).segments < least:
            return typed, letters
    return (typed if after < before else text), None


def culprits(text: str) -> tuple[Culprit, ...]:
    """Which signs keep a text from being GSM-7, in its order; nothing of a text that is."""
    if GSM7.issuperset(text):
        return ()
    counted = Counter(sign for sign in text if sign not in GSM7)
    return tuple(Culprit(sign, _name(sign), text.index(sign) + 1, times) for sign, times in counted.items())


def shorten(text: str, segments: int, tail: str = "") -> str:
    """The longest beginning of `text` that with `tail` is billed at most so, cut between words where it can be.

    What was left out is marked before the tail, with "..." or where the alphabet has it with "…"; a text that fits is
    returned unchanged. The cut is never inside of a visible character. The tail has to leave room for the mark.
    """
    text = text[: segments * _ROOM[Alphabet.GSM7][0] + 1]
    if measure(text + tail).segments <= segments:
        return text + tail
    borders = whole_characters(text)
    low, high = 0, len(borders) - 1
    while low < high:  # the longest prefix that still leaves room for the mark
        middle = (low + high + 1) // 2
        if measure(_marked(text[: borders[middle]].rstrip(), tail)).segments <= segments:
            low = middle
        else:
            high = middle - 1
    cut = borders[low]
    head = text[:cut]
    word_end = head.rfind(" ")
    if text[cut : cut + 1].strip() and word_end > max(0, cut - _LONGEST_CUT_WORD):
        head = head[:word_end]
    return _marked(head.rstrip(" ,;:.-…"), tail)


def ellipsis_for(text: str) -> str:
    """The mark for what was left out of such a text: one sign where the alphabet has it, else three dots."""
    return "..." if GSM7.issuperset(text) else "…"


_LONGEST_CUT_WORD = 25  # characters; a longer word is cut inside


def _marked(head: str, tail: str) -> str:
    return head + ellipsis_for(head + tail) + tail


def _weight(sign: str, alphabet: Alphabet) -> int:
    if alphabet is Alphabet.GSM7:
        return 2 if sign in EXTENSION else 1
    return 2 if ord(sign) > 0xFFFF else 1


def _breaks(text: str, alphabet: Alphabet, room: int) -> Iterator[int]:
    """Where the next segments begin."""
    used = 0
    for at, sign in enumerate(text):
        weight = _weight(sign, alphabet)
        if used + weight > room:
            yield at
            used = 0
        used += weight


def _retyped(text: str, typed: str) -> tuple[tuple[str, str], ...]:
    """The typography of a text and what stands for it; a letter that was only composed is the same letter."""
    borders = whole_characters(text)
    signs = dict.fromkeys(text[start:end] for start, end in pairwise(borders))
    changed = ((sign, straight(sign)) for sign in signs if sign not in typed)
    return tuple((sign, by) for sign, by in changed if by != unicodedata.normalize("NFC", sign))


def _respelled(typed: str, spelled: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for sign, by in zip(typed, spelled, strict=True):
        if sign != by:
            found.setdefault(sign, by)
    return tuple(found.items())


def _name(sign: str) -> str:
    return unicodedata.name(sign, "").lower() or f"U+{ord(sign):04X}"
