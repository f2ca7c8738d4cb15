"""What an SMS costs on the air: alphabets, segments, look-alikes and shortening.

Counting follows 3GPP TS 23.038 (GSM 7-bit default alphabet and its extension table) and TS 23.040
(concatenation headers): 160 septets alone or 153 a segment, 70 UCS-2 units alone or 67 a segment. An
extension character is two septets that never part, a surrogate pair two units that never part.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from anyascii import anyascii

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM7 = _BASIC | _EXTENSION

# Typography that an ASCII sign replaces without loss; one such sign would double the price of a text.
_LOOK_ALIKES = str.maketrans(
    {
        "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "`": "'", "´": "'",
        "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "«": '"', "»": '"',
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-",
        "\u00a0": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "\t": " ",
        "\u200b": None, "\u200e": None, "\u200f": None, "\ufeff": None, "\u00ad": None,
        "…": "...", "•": "*", "·": "*", "×": "x", "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "≠": "!=",
    }
)  # fmt: skip


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


_ROOM = {Alphabet.GSM7: (160, 153), Alphabet.UNICODE: (70, 67)}


def measure(text: str) -> Size:
    """How many segments this exact text is billed as; never raises, an empty text is one segment."""
    alphabet = Alphabet.GSM7 if _GSM7.issuperset(text) else Alphabet.UNICODE
    alone, joined = _ROOM[alphabet]
    if alphabet is Alphabet.GSM7:
        units = len(text) + sum(map(text.count, _EXTENSION))
    else:
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    # Only what is cut has to be weighed sign by sign: no pair of units may be torn apart.
    segments = 1 if units <= alone else _segments([_weight(sign, alphabet) for sign in text], joined)
    return Size(alphabet, len(text), units, segments)


def plain(text: str, alphabet: str = "auto") -> str:
    """The text in the wanted alphabet: `gsm7` transliterates, `unicode` keeps, `auto` drops only typography.

    Signs that GSM-7 has (é, ü, ñ, €, Δ) stay as they are.
    """
    if alphabet == "unicode":
        return text
    straight = text.translate(_LOOK_ALIKES)
    if alphabet == "gsm7":
        return "".join(sign if sign in _GSM7 else _latin(sign) for sign in straight)
    return straight if measure(straight).alphabet is Alphabet.GSM7 else text


def shorten(text: str, segments: int, tail: str = "") -> str:
    """The longest beginning of `text` that with `tail` is billed at most so, cut between words where it can be.

    What was left out is marked by "..." before the tail; a text that fits is returned unchanged.
    """
    if measure(text + tail).segments <= segments:
        return text + tail
    low, high = 0, len(text)
    while low < high:  # the longest prefix that still leaves room for the mark
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + "..." + tail).segments <= segments:
            low = middle
        else:
            high = middle - 1
    head = text[:low]
    word_end = head.rfind(" ")
    if text[low : low + 1].strip() and word_end > max(0, low - _LONGEST_CUT_WORD):
        head = head[:word_end]
    return head.rstrip(" ,;:.-") + "..." + tail


_LONGEST_CUT_WORD = 25  # characters; a longer word is cut inside


def _weight(sign: str, alphabet: Alphabet) -> int:
    if alphabet is Alphabet.GSM7:
        return 2 if sign in _EXTENSION else 1
    return 2 if ord(sign) > 0xFFFF else 1


def _segments(weights: Iterable[int], room: int) -> int:
    count, used = 1, 0
    for weight in weights:
        if used + weight > room:
            count, used = count + 1, 0
        used += weight
    return count


@cache
def _latin(sign: str) -> str:
    """The nearest GSM-7 spelling of one sign; `?` where there is none."""
    spelled = "?" if "\ud800" <= sign <= "\udfff" else anyascii(sign)
    return "".join(s if s in _GSM7 else "?" for s in spelled)
