"""What texts cost: every border where operators start to bill another segment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.sms import Alphabet, measure, plain, shorten


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("A" * 160, 1),
        ("A" * 161, 2),
        ("A" * 306, 2),
        ("A" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 153, 3),  # an extension character never parts: 76 fit a segment, not 76½
        ("a" * 152 + "€" + "a" * 152, 3),
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("я" * 66 + "😀" + "я" * 66, 3),
        ("\ud800", 1),
    ],
)
def test_segments_are_counted_as_operators_bill_them(text: str, segments: int) -> None:
    assert measure(text).segments == segments


@pytest.mark.parametrize(
    ("text", "alphabet"),
    [
        ("Ç", Alphabet.GSM7),
        ("ç", Alphabet.UNICODE),
        ("`", Alphabet.UNICODE),
        ("\t", Alphabet.UNICODE),
        ("\f\n\r", Alphabet.GSM7),
        ("ΓΔΘΛΞΠΣΦΨΩ", Alphabet.GSM7),
        ("Α", Alphabet.UNICODE),  # the Greek Alpha that looks Latin
        ("\0", Alphabet.UNICODE),
        ("\x1b", Alphabet.UNICODE),
        ("Қазақстан", Alphabet.UNICODE),
        ("{}[]~|^\\€", Alphabet.GSM7),
    ],
)
def test_the_alphabet_is_gsm_7_only_where_every_sign_is(text: str, alphabet: Alphabet) -> None:
    assert measure(text).alphabet is alphabet


@pytest.mark.parametrize(
    ("text", "alphabet", "sent"),
    [
        ("“disk” – full…", "auto", '"disk" - full...'),
        ("диск — полон", "auto", "диск — полон"),
        ("диск полон", "gsm7", "disk polon"),
        ("“диск”", "unicode", "“диск”"),
        ("é ü ñ €", "gsm7", "é ü ñ €"),
        ("\ud800", "gsm7", "?"),
    ],
)
def test_look_alikes_cost_nothing(text: str, alphabet: str, sent: str) -> None:
    assert plain(text, alphabet) == sent


@given(st.text(max_size=400), st.integers(1, 3), st.text("abc #12€я", max_size=20))
def test_shortening_keeps_the_budget_and_the_tail(text: str, segments: int, tail: str) -> None:
    short = shorten(text, segments, tail)
    assert measure(short).segments <= segments
    assert short.endswith(tail)
    assert short == text + tail or len(short) <= len(text + tail) + 3


@given(st.text(max_size=300))
def test_transliteration_always_ends_in_gsm_7(text: str) -> None:
    assert measure(plain(text, "gsm7")).alphabet is Alphabet.GSM7


def test_words_are_not_broken() -> None:
    text = "Disk is almost full " * 12
    assert shorten(text, 1, " 03:10 #1").rsplit("...", 1)[0].split()[-1] in {"Disk", "is", "almost", "full"}
