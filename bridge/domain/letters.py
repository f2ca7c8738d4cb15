"""Letters: which ones GSM-7 has, what stands for the others, and which signs make one visible character.

Three ways to write a sign that GSM-7 lacks, from the one that loses nothing to the one that loses most: the same
letter in composed form, a typographic look-alike, and a spelling in Latin letters.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from anyascii import anyascii

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")
GSM7 = BASIC | EXTENSION

# Typography that a GSM-7 sign replaces without loss; one such sign would more than halve the room of a text.
_LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´ʹʼˈ‹›", "'"),
        **dict.fromkeys("“”„‟″«»❝❞〝〞", '"'),
        **dict.fromkeys("‐‑‒–—―−⁃﹘﹣－", "-"),
        **dict.fromkeys("\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", " "),
        **dict.fromkeys("\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u2028\u2029\x85\v", "\n"),
        # What has no width: soft hyphens, word joiners, and the marks that turn the direction of writing.
        **dict.fromkeys("\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff", None),
        **dict.fromkeys("\u2066\u2067\u2068\u2069", None),
        **dict.fromkeys("•·●▪◦‣∙⋅", "*"),
        **dict.fromkeys("→➔➜➡", "->"), "←": "<-", "↔": "<->", "⇒": "=>",
        "…": "...", "‥": "..", "×": "x", "✕": "x", "÷": "/", "⁄": "/", "∕": "/",
        "≥": ">=", "⩾": ">=", "≤": "<=", "⩽": "<=", "≠": "!=", "≈": "~", "±": "+-",
        "µ": "u", "\u2126": "Ω", "\u212b": "Å", "°": "deg", "№": "No", "™": "TM", "®": "(R)", "©": "(C)",
        "¼": "1/4", "½": "1/2", "¾": "3/4", "²": "2", "³": "3", "‰": "o/oo", "∞": "inf", "ʺ": '"', "ẞ": "SS",
    }
)  # fmt: skip

_MICRO = re.compile(r"(?<![\u0370-\u03ff])\u03bc(?![\u0370-\u03ff])")  # 5 μs must never become 5 ms

# Russian as BGN/PCGN 1947 has it, which signposts, maps and the press of the region write, without the hard and the
# soft sign, and ё as people type it. Kazakh as its Latin alphabet spells it (decree 637 of 2018: қ is q, as in
# Qazaqstan), without accents.
_CYRILLIC = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "yo", "ж": "zh", "з": "z", "и": "i", "й": "y",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f",
    "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "yu", "я": "ya",
    "ә": "a", "ғ": "g", "қ": "q", "ң": "n", "ө": "o", "ұ": "u", "ү": "u", "һ": "h", "і": "i", "ў": "u",
    "є": "e", "ї": "i", "ґ": "g",
}  # fmt: skip
# Ukrainian as resolution 55 of its Cabinet of 2010 has it, where it differs: one such letter marks the language.
_UKRAINIAN = _CYRILLIC | {"г": "h", "и": "y", "й": "i", "є": "ie", "ю": "iu", "я": "ia"}
_MARKS_UKRAINIAN = frozenset("їєґЇЄҐ")
# Greek keeps its own letters: an SMS in capitals is how Greeks fit theirs into GSM-7, whose missing capitals all look
# like Latin ones.
_GREEK_CAPITALS = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX")

# Scripts that people read in Latin letters, if need be. What Chinese, Arabic or Thai become there, nobody can.
_READABLE = (
    "LATIN",
    "CYRILLIC",
    "GREEK",
    "GEORGIAN",
    "ARMENIAN",
    "KELVIN",
    "ANGSTROM",
    "MICRO",
    "FEMININE",
    "MASCULINE",
)


def straight(text: str) -> str:
    """The text with every letter composed and its typography replaced by GSM-7 signs that look like it."""
    return _MICRO.sub("u", unicodedata.normalize("NFC", text).translate(_LOOK_ALIKES))


def spellings(text: str) -> list[str]:
    """Each sign of a text as GSM-7 spells it, in the order of the text; `?` where there is no spelling."""
    letters = _UKRAINIAN if not _MARKS_UKRAINIAN.isdisjoint(text) else _CYRILLIC
    spelled = list(text)
    for at, sign in enumerate(text):
        if sign in GSM7:
            continue
        low = sign.lower()
        if low in letters:
            spelled[at] = _cased(letters[low], sign, text, at)
        elif _is_greek(sign) and any(map(_is_greek, text[max(0, at - 1) : at] + text[at + 1 : at + 2])):
            spelled[at] = _capital(sign)
        else:
            spelled[at] = _spelling(sign)
    return spelled


def reads_in_latin(text: str) -> bool:
    """Whether a Latin spelling loses nothing: every sign has one, of a script that people read so."""
    return all(sign in GSM7 or _reads_in_latin(sign) for sign in set(text))


def whole_characters(text: str) -> list[int]:
    """Where a text may be cut without tearing a visible character apart: its beginning, its end, and between.

    Combining marks, joined and flagged emoji and syllables of several signs stay whole (Unicode's UAX 29, extended
    grapheme clusters, with Indian conjuncts).
    """
    if not text:
        return [0]
    borders, flags, linked = [0], 0, False
    for at, (before, sign) in enumerate(pairwise(text), start=1):
        flags = flags + 1 if _is_flag(before) else 0
        linked = unicodedata.combining(before) == _VIRAMA or (linked and _extends(before))
        if not (_joins(before, sign) or (_is_flag(sign) and flags % 2) or (linked and sign.isalpha())):
            borders.append(at)
    return [*borders, len(text)]


def _joins(before: str, sign: str) -> bool:
    if before in "\r\n" or sign in "\r\n":
        return before + sign == "\r\n"
    if before in _PREPENDED:
        return True
    if sign.isascii():
        return False
    if _extends(sign) or before == _ZERO_WIDTH_JOINER:
        return True
    return _is_hangul(before) and _is_hangul(sign) and (_leads(before) or not _begins_syllable(sign))


def _extends(sign: str) -> bool:
    """Whether it is part of the character before it."""
    return (
        sign in _EXTENDS
        or "\U0001f3fb" <= sign <= "\U0001f3ff"
        or "\U000e0020" <= sign <= "\U000e007f"
        or unicodedata.category(sign).startswith("M")
    )


_INVISIBLE = frozenset(("Mn", "Me", "Mc", "Cf"))  # marks, and signs that only steer how others look
_ZERO_WIDTH_JOINER = "\u200d"
_EXTENDS = frozenset("\u200c\u200d\u0e33\u0eb3\uff9e\uff9f")
_PREPENDED = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_VIRAMA = 9  # the canonical combining class of the sign that joins two Indian consonants


def _is_flag(sign: str) -> bool:
    return "\U0001f1e6" <= sign <= "\U0001f1ff"


def _is_hangul(sign: str) -> bool:
    return "\u1100" <= sign <= "\u11ff" or "\ua960" <= sign <= "\ua97c" or "\uac00" <= sign <= "\ud7fb"


def _leads(sign: str) -> bool:
    """Whether it begins a Korean syllable."""
    return "\u1100" <= sign <= "\u115f" or "\ua960" <= sign <= "\ua97c"


def _begins_syllable(sign: str) -> bool:
    return _leads(sign) or "\uac00" <= sign <= "\ud7a3"


def _cased(spelled: str, sign: str, text: str, at: int) -> str:
    """Щука is Shchuka, ЩУКА is SHCHUKA."""
    if not sign.isupper():
        return spelled
    beside = text[at + 1 : at + 2] if text[at + 1 : at + 2].isalpha() else text[max(0, at - 1) : at]
    return spelled.upper() if beside.isupper() else spelled.capitalize()


def _is_greek(sign: str) -> bool:
    return "\u0386" <= sign <= "\u03ce" or "\u1f00" <= sign <= "\u1ffc"


@lru_cache(maxsize=1024)
def _capital(sign: str) -> str:
    bare = unicodedata.normalize("NFD", sign)[0].upper().translate(_GREEK_CAPITALS)
    return bare if GSM7.issuperset(bare) else _spelling(sign)


@lru_cache(maxsize=4096)
def _spelling(sign: str) -> str:
    """The nearest GSM-7 spelling of one sign; nothing for a mark upon another, `?` where there is none."""
    if "\ud800" <= sign <= "\udfff":
        return "?"
    spelled = anyascii(sign)
    if not spelled and unicodedata.category(sign) not in _INVISIBLE:
        return "?"
    return "".join(s if s in GSM7 else "?" for s in spelled)


@lru_cache(maxsize=4096)
def _reads_in_latin(sign: str) -> bool:
    if "?" in _spelling(sign):
        return False
    return not sign.isalpha() or unicodedata.name(sign, "").startswith(_READABLE)
