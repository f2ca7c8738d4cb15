"""What texts cost: every border where operators start to bill another segment."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.letters import GSM7, whole_characters
from bridge.domain.sms import Alphabet, culprits, fit, measure, plain, shorten

ORACLE = json.loads((Path(__file__).parent / "segments.json").read_text())


def written(runs: str) -> str:
    """152a1€ is 152 times a, then €."""
    return "".join(signs * int(times) for times, signs in re.findall(r"(\d+)(\D+)", runs))


@pytest.mark.parametrize(("segments", "alphabet", "runs"), ORACLE["hard"])
def test_hard_cases_are_counted_as_independent_programs_count_them(segments: int, alphabet: str, runs: str) -> None:
    size = measure(written(runs))
    assert (size.segments, size.alphabet[0]) == (segments, alphabet)


def test_random_texts_are_counted_as_independent_programs_count_them() -> None:
    counted = [measure(written(runs)) for _, _, runs in ORACLE["random"]]
    assert len(ORACLE["hard"]) >= 45 and len(counted) == 3000
    assert [[size.segments, size.alphabet[0]] for size in counted] == [row[:2] for row in ORACLE["random"]]


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
        ("e\u0301te\u0301", "auto", "été"),  # the same letter, written as two signs
        ("Core 82°C, waits 5 μs (max 1\u00a0ms)", "auto", "Core 82degC, waits 5 us (max 1 ms)"),
        ("„Größe“ ẞ", "auto", '"Größe" SS'),
        ("Щука ЩУКА Жар ё", "gsm7", "Shchuka SHCHUKA Zhar yo"),
        ("Қазақстан, Әлия, Шымкент", "gsm7", "Qazaqstan, Aliya, Shymkent"),
        ("Привіт, Гриша, її хата", "gsm7", "Pryvit, Hrysha, ii khata"),
        ("Ο δίσκος γέμισε, 5 μs", "gsm7", "O ΔIΣKOΣ ΓEMIΣE, 5 us"),
        ("São João à ação", "gsm7", "Sao Joao à acao"),
        ("🔥 磁盘", "gsm7", ":fire: CiPan"),
        ("\U0010fffd", "gsm7", "?"),
    ],
)
def test_look_alikes_cost_nothing(text: str, alphabet: str, sent: str) -> None:
    assert plain(text, alphabet) == sent


def test_typography_stays_where_replacing_it_saves_nothing() -> None:
    assert fit("диск — полон…").replaced == ()
    assert fit("я" * 69 + "\u200b\u200b").text == "я" * 69


@pytest.mark.parametrize(
    ("text", "may_spell", "sent"),
    [
        ("Диск заполнен", True, "Диск заполнен"),  # one segment as it is
        ("Диск заполнен " * 6, False, "Диск заполнен " * 6),
        ("Диск заполнен " * 6, True, "Disk zapolnen " * 6),  # two, and one in Latin
        ("щ" * 71, True, "щ" * 71),  # two either way
        ("磁盘已满" * 18, True, "磁盘已满" * 18),  # nobody could read CiPanYiMan
        ("Диск 磁 " * 10, True, "Диск 磁 " * 10),
        ("🔥" + " disk full" * 8, True, ":fire:" + " disk full" * 8),
        ("дом\u0378" * 20, True, "дом\u0378" * 20),  # a sign without a spelling would be lost
        ("db1.сервер_2 {x}\n" * 8, True, "db1.server_2 {x}\n" * 8),
    ],
)
def test_letters_are_spelled_in_latin_where_that_saves_a_segment_and_may_be(
    text: str, may_spell: bool, sent: str
) -> None:
    fitted = fit(text, may_spell=may_spell)
    assert fitted.text == sent
    assert fitted.spelled == (sent != text)
    assert fitted.size == measure(sent)


def test_what_was_replaced_is_told() -> None:
    fitted = fit("“Щука” – ЩУКА…", "gsm7")
    assert fitted.text == '"Shchuka" - SHCHUKA...'
    assert fitted.replaced == (
        ("“", '"'), ("”", '"'), ("–", "-"), ("…", "..."),
        ("Щ", "Shch"), ("у", "u"), ("к", "k"), ("а", "a"), ("У", "U"), ("К", "K"), ("А", "A"),
    )  # fmt: skip
    assert fit("plain").replaced == ()


def test_whatever_makes_a_text_dearer_is_named() -> None:
    found = culprits("Disk ‘full’ at ‘x’")
    assert [(one.sign, one.name, one.at, one.times) for one in found] == [
        ("‘", "left single quotation mark", 6, 2),
        ("’", "right single quotation mark", 11, 2),
    ]
    assert culprits("{}[]€ é\n") == ()
    assert culprits("a\0")[0].name == "U+0000"


@given(st.text(max_size=200), st.sampled_from(["auto", "gsm7", "unicode"]), st.booleans())
def test_fitting_never_costs_more_and_is_done_once(text: str, alphabet: str, may_spell: bool) -> None:
    fitted = fit(text, alphabet, may_spell=may_spell)
    assert fitted.size == measure(fitted.text)
    assert fit(fitted.text, alphabet, may_spell=may_spell).text == fitted.text
    if alphabet == "auto":
        assert fitted.size.segments <= measure(text).segments
    assert all(sign not in GSM7 for sign, _ in fitted.replaced)


@pytest.mark.parametrize(
    "character",
    [
        "e\u0301", "\r\n", "👩‍💻", "👨‍👩‍👧‍👦", "👍🏽", "🇰🇿", "☎️", "1️⃣", "🏴\U000e0067\U000e0062\U000e007f",
        "क्षि", "กำ", "\u1112\u1161\u11ab", "각", "𝒳", "ё",
    ],
)  # fmt: skip
def test_no_visible_character_is_torn(character: str) -> None:
    borders = whole_characters(f"{character}" * 3 + "a")
    assert borders == [0, len(character), 2 * len(character), 3 * len(character), 3 * len(character) + 1]
    for before in range(60, 75):
        short = shorten("я" * before + character + "я" * 80, 1)
        kept = short.removesuffix("…").strip("я")
        assert kept in ("", character)


@given(st.text(st.sampled_from("ab .я😀€{\u0301\u200d🇰é,1"), max_size=400), st.text("abc #12€я", max_size=20))
def test_more_room_never_shows_less_and_nothing_is_shortened_twice(text: str, tail: str) -> None:
    shown = [shorten(text, segments, tail).removesuffix(tail) for segments in (1, 2, 3)]
    for less, more in pairwise(shown):
        assert more.startswith(less.removesuffix("...").removesuffix("…"))
    for segments, short in enumerate(shown, start=1):
        assert shorten(short, segments, tail).removesuffix(tail) == short
    if text:
        assert all(shown)


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
