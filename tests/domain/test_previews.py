"""What people read about an SMS before it leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import previews
from bridge.domain.preview import preview

LONG = "a" * 100
QUOTES = "unicode because of “ (left double quotation mark, U+201C) at 5, ” (right double quotation mark, U+201D) at 11"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello", []),
        ("Ваш заказ 118 готов", []),  # another script: no sign is to blame
        (
            "see “north”",
            [QUOTES, 'with " for “ ”: gsm7, 1 segment'],
        ),
        (
            "at\u00a0noon",
            ["unicode because of no-break space (U+00A0) at 3", "with a space for no-break space: gsm7, 1 segment"],
        ),
        (
            f"{LONG}\u200b",
            [
                "unicode because of zero width space (U+200B) at 101",
                "with nothing for zero width space: gsm7, 1 segment",
            ],
        ),
        ("a\tb", ["unicode because of tab (U+0009) at 2", "with a space for tab: gsm7, 1 segment"]),
        ("\x07", ["unicode because of U+0007 at 1"]),
        (
            "cafe\u0301",
            [
                "unicode because of combining acute accent (U+0301) at 5",
                "with each accent and its letter as one sign: gsm7, 1 segment",
            ],
        ),
        (
            f"{LONG}😀",
            ["unicode because of 😀 (grinning face, U+1F600) at 101", "without it: gsm7, 1 segment"],
        ),
        (
            f"hоtel {LONG}",
            ["unicode because of о (cyrillic small letter o, U+043E) at 2", "without it: gsm7, 1 segment"],
        ),
        (
            "Łódź czeka, więc przyjdź",
            [
                "unicode because of Ł (latin capital letter l with stroke, U+0141) at 1, ó (latin small letter o with "
                "acute, U+00F3) at 2, ź (latin small letter z with acute, U+017A) 2 times, first at 4 and 1 other sign"
            ],
        ),
        ("b" * 161, []),
        (
            "b" * 300 + " tomorrow at the gate",
            [
                'segments begin: 2 at 154 "bbbbbbbbbbbb", 3 at 307 "row at the g"',
                "15 characters too long for 2 segments",
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_said_before_it_is_sent(text: str, told: list[str]) -> None:
    assert previews.before(preview(text)) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello", ""),
        ("Да", ""),  # the signs would be the text
        ("see “north”", QUOTES),
        (f"{LONG}—", "unicode because of — (em dash, U+2014) at 101; with - for —: gsm7, 1 segment"),
        (f"{LONG}я", "unicode because of я (cyrillic small letter ya, U+044F) at 101; without it: gsm7, 1 segment"),
        ("я" * 140, "6 characters too long for 2 segments"),
    ],
)  # fmt: skip
def test_what_is_said_where_others_read_it_is_one_line_without_the_text(text: str, told: str) -> None:
    assert previews.after(preview(text)) == told


@given(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=200))
def test_a_text_of_letters_cannot_be_read_from_that_line(text: str) -> None:
    line = previews.after(preview(text))
    named = {one.sign for one in preview(text).culprits if f" {one.sign} (" in line}
    assert 10 * sum(text.count(sign) for sign in named) <= len(text)


@given(st.text(max_size=300))
def test_any_text_can_be_spoken_of(text: str) -> None:
    seen = preview(text)
    for sentence in [previews.billed(seen.size), previews.after(seen), *previews.before(seen)]:
        assert "\n" not in sentence
    assert previews.as_json(seen)["segments"] == len(seen.parts)


def test_a_text_without_a_visible_sign_is_no_text() -> None:
    assert previews.why_not_typed("\u200b\ufeff \u2060", 6) == "there is no text to send"
    assert previews.why_not_typed("\u200b.", 6) == ""
