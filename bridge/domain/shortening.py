"""Making a text fit by meaning: from the whole of it, step by step, the least important gives way first.

Every step shows a part of what the step before it showed. So more room never shows less of anything.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

from bridge.domain.letters import GSM7, whole_characters
from bridge.domain.sms import ellipsis_for, measure

_Step = TypeVar("_Step")

_LONGEST_WORD = 25  # characters; only a longer word is cut inside, if any
_PIECE = 8  # characters of such a word that go at once
_NUMBER = re.compile(r"\W*\d+([.,:]\d+)?[^\W\d]{0,3}\W*")  # with its unit, as in 10%, 15m, (3.2GB); no address
_LETTER = re.compile(r"\w")
_TRAILING = " ,;:.-…("


def first_that_fits(steps: Sequence[_Step], told: Callable[[_Step], str], segments: int) -> str:
    """The text of the first step that is billed at most so; of the last one where none is.

    Steps are looked at by halving: whatever their lengths, one that fits less room is never before one that fits more.
    """
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if measure(told(steps[middle])).segments <= segments:
            high = middle
        else:
            low = middle + 1
    return told(steps[low])


class Sentence:
    """Words that go one by one, from the end; the numbers among them, as in "(< 10% left)", after the others.

    The first word goes last: what comes after it means little without it.
    """

    def __init__(self, text: str, *, cut_words: bool = False) -> None:
        """`cut_words`: whatever it is made of, some of it is shown; a long word goes by pieces."""
        self._words: list[tuple[str, str]] = []  # what stands before it, and the word
        for word in text.split():
            pieces = _pieces(word) if cut_words or _has_no_spaces(word) else [word]
            self._words += [("" if n else " ", piece) for n, piece in enumerate(pieces)]
        words = [word for _, word in self._words]
        numbers = {n for n, word in enumerate(words) if _NUMBER.fullmatch(word)}
        signs = {n - 1 for n in numbers if n and not _LETTER.search(words[n - 1])}
        kept_longer = numbers | signs | {n + 1 for n in numbers}
        backwards = range(len(words) - 1, 0, -1)
        self._order = [n for n in backwards if n not in kept_longer] + [n for n in backwards if n in kept_longer]
        self._order += [0] if words else []
        self._text = text
        self._plain = GSM7.issuperset(text)

    def __len__(self) -> int:
        return len(self._words)

    def without(self, gone: int, beside: str = "") -> str:
        """The text without so many of its words, the gaps marked; `beside` it stands what has a say in the alphabet."""
        if not gone:
            return self._text
        left_out = set(self._order[:gone])
        kept = [(n, *self._words[n]) for n in range(len(self._words)) if n not in left_out]
        mark = ellipsis_for(beside if self._plain else beside + "".join(word for _, _, word in kept))
        text, before = "", -1
        for n, glue, word in kept:
            if n != before + 1:
                text = text.rstrip(_TRAILING) + mark + " " + word
            else:
                text += glue + word if text else word
            before = n
        return text if before + 1 == len(self._words) else text.rstrip(_TRAILING) + mark

    def down_to(self, length: int) -> int:
        """How many words may go for so many characters to stay."""
        left = len(self._text)
        for gone, n in enumerate(self._order):
            left -= len("".join(self._words[n]))
            if left < length:
                return gone
        return len(self._order)


def squeezed(name: str, length: int, mark: str) -> str:
    """A name in so many characters: its beginning and its end, for either may be what tells it apart."""
    if len(name) <= length:
        return name
    borders = whole_characters(name)
    end = min(length // 3, 8)
    head = max(at for at in borders if at <= length - end - len(mark))
    return name[:head] + mark + name[min(at for at in borders if at >= len(name) - end) :]


def _has_no_spaces(word: str) -> bool:
    """Whether a word this long is of a script that writes none, such as Chinese."""
    return not word.isascii() and len(word) > _LONGEST_WORD and any(unicodedata.category(sign) == "Lo" for sign in word)


def _pieces(word: str) -> list[str]:
    if len(word) <= _LONGEST_WORD:
        return [word]
    pieces, begin, last = [], 0, 0
    for at in whole_characters(word)[1:]:
        if at - begin > _PIECE and last > begin:
            pieces.append(word[begin:last])
            begin = last
        last = at
    return [*pieces, word[begin:]]
