"""A text before it is sent: where it is cut, what makes it dear, what would help."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.letters import EXTENSION
from bridge.domain.preview import preview
from bridge.domain.sms import Alphabet, measure, parts

TEXTS = st.text(st.sampled_from("ab{€é“”—\u00a0я😀\u200d\u0301\ud800 \n"), max_size=500) | st.text(max_size=300)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("", [""]),
        ("a" * 160, ["a"]),
        ("a" * 153 + "bc" + "d" * 6, ["a", "b"]),
        ("a" * 152 + "€" + "b" * 160, ["a", "€", "b"]),  # an extension character never parts
        ("я" * 66 + "😀" + "ю" * 10, ["я", "😀"]),  # nor a surrogate pair
        ("я" * 67 + "ю" * 67 + "э", ["я", "ю", "э"]),
    ],
)
def test_a_text_is_cut_where_the_network_cuts_it(text: str, begins: list[str]) -> None:
    assert [part[:1] for part in parts(text)] == begins
    assert "".join(parts(text)) == text


@pytest.mark.parametrize(
    ("text", "left", "too_long_by"),
    [
        ("", 160, 0),
        ("a" * 160, 0, 0),
        ("a" * 161, 145, 1),
        ("a" * 306, 0, 146),
        ("a" * 307, 152, 1),
        ("€" * 81, 153 - 10, 1),
        ("я" * 70, 0, 0),
        ("я" * 71, 63, 1),
        ("я" * 135, 66, 1),
        ("a" * 100 + "😀", 32, 1),  # without its end it is GSM-7
    ],
)
def test_the_room_that_is_left_and_what_is_too_much(text: str, left: int, too_long_by: int) -> None:
    seen = preview(text)
    assert (seen.units_left, seen.too_long_by) == (left, too_long_by)


@pytest.mark.parametrize(
    ("text", "instead", "without"),
    [
        ("the “north” desk", 'the "north" desk', None),
        ("a" * 100 + "“", "a" * 100 + '"', None),
        ("the north desk", None, None),
        ("Ваш заказ — готов", None, None),  # a dash less saves nothing
        ("a" * 100 + "😀", None, 1),
        ("a" * 170 + "— 😀", None, 2),
        ("cafe\u0301", "café", None),
        ("\u200b\ufeff" * 90, None, None),  # nothing to be seen, so nothing is left to send
    ],
)
def test_what_would_make_it_cheaper(text: str, instead: str | None, without: int | None) -> None:
    seen = preview(text)
    assert (seen.instead and seen.instead.text) == instead
    assert (seen.without and seen.without.segments) == without
    assert not seen.replaced


@given(TEXTS)
def test_the_parts_are_the_text_and_each_fits_its_segment(text: str) -> None:
    seen = preview(text)
    size = measure(text)
    assert "".join(seen.parts) == text
    assert len(seen.parts) == size.segments == seen.size.segments
    alone, joined = (160, 153) if size.alphabet is Alphabet.GSM7 else (70, 67)
    room = alone if size.segments == 1 else joined
    used = [units(part, size.alphabet) for part in seen.parts]
    assert sum(used) == size.units
    assert max(used) <= room
    assert seen.units_left == room - used[-1]
    assert all(seen.parts) or not text


@given(TEXTS)
def test_what_is_said_to_help_helps(text: str) -> None:
    seen = preview(text)
    if seen.size.segments > 1:
        assert measure(text[: len(text) - seen.too_long_by]).segments < seen.size.segments
    else:
        assert not seen.too_long_by
    assert seen.instead is None or seen.instead.size.segments <= seen.size.segments
    assert seen.without is None or seen.without.segments < seen.size.segments
    assert bool(seen.culprits) == (seen.size.alphabet is Alphabet.UNICODE)
    assert all(text[one.at - 1] == one.sign and text.count(one.sign) == one.times for one in seen.culprits)


def units(part: str, alphabet: Alphabet) -> int:
    if alphabet is Alphabet.GSM7:
        return sum(2 if sign in EXTENSION else 1 for sign in part)
    return len(part.encode("utf-16-le", "surrogatepass")) // 2
