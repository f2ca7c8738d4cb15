"""A text before it is sent: how it would be cut and billed, what makes it dear, and what would make it cheaper."""

from dataclasses import dataclass

from bridge.domain.letters import GSM7
from bridge.domain.sms import Culprit, Fitted, Size, culprits, fit, measure, parts, room_left


@dataclass(frozen=True, slots=True)
class Preview:
    """What an SMS with exactly this text would be.

    `parts` are its segments as the network cuts them, `units_left` what the last one still has room for.
    `too_long_by`: so many characters less, and it would be a segment less; 0 where it is only one. `culprits` keep it
    from being GSM-7. `instead` is the text with signs that look alike, where that saves a segment or makes it GSM-7;
    `without` is its size if the culprits were left out, where only that saves a segment. `replaced`: what has been
    written otherwise already, as in `Fitted`; a typed text never is.
    """

    text: str
    size: Size
    parts: tuple[str, ...]
    units_left: int
    too_long_by: int
    culprits: tuple[Culprit, ...]
    instead: Fitted | None
    without: Size | None = None
    replaced: tuple[tuple[str, str], ...] = ()


def preview(text: str, replaced: tuple[tuple[str, str], ...] = ()) -> Preview:
    """Look at a text as it would leave; never raises."""
    size, cut, fitted = measure(text), parts(text), fit(text)
    instead = fitted if fitted.text != text and fitted.text.strip() else None  # signs without a width leave nothing
    bare = "".join(sign for sign in text if sign in GSM7)
    saves = bare.strip() and measure(bare).segments < (instead.size if instead else size).segments
    return Preview(
        text,
        size,
        cut,
        room_left(size, cut[-1]),
        _too_long_by(text, size, cut),
        culprits(text),
        instead,
        measure(bare) if saves else None,
        replaced,
    )


def _too_long_by(text: str, size: Size, cut: tuple[str, ...]) -> int:
    """How many characters at the end are too many for a segment less."""
    if size.segments <= 2:  # one alone has more room than each of several
        fewer = len(text)
        while measure(text[:fewer]).segments == 2:
            fewer -= 1
        return len(text) - fewer
    return len(cut[-1])
