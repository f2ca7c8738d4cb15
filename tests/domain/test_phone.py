"""Numbers as people write them, and numbers no SMS may go to."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.phone import BadNumber, PhoneNumber, parse_phone, why_not_textable

HOME = {"KZ", "DE"}


@pytest.mark.parametrize(
    ("written", "e164"),
    [
        ("+77010000001", "+77010000001"),
        ("8 701 000-00-01", "+77010000001"),
        ("8(701)0000001", "+77010000001"),
        ("+7 701 000 00 01", "+77010000001"),
        ("+49 1511 234-56-78", "+4915112345678"),
        ("004915112345678", "+4915112345678"),
        (" +77010000001 ", "+77010000001"),
    ],
)
def test_a_number_is_read_as_people_write_it(written: str, e164: str) -> None:
    assert parse_phone(written, "KZ").e164 == e164


@pytest.mark.parametrize(
    ("written", "region", "told"),
    [
        ("", "KZ", "no number was given"),
        ("aigerim", "KZ", "not a phone number"),
        ("1-800-FLOWERS", "KZ", "not a phone number"),
        ("+7701000000", "KZ", "one digit short for Kazakhstan"),
        ("+770100000011", "KZ", "too many for Kazakhstan"),
        ("8 701 000 00 01", None, "write it with + and the country code"),
        ("+7 701 000 00 01 ext. 5", "KZ", "not a phone number"),
        ("+7 701 000 00 01;ext=5", "KZ", "not a phone number"),
        ("٧٧٠١٠٠٠٠٠٠١", "KZ", "not a phone number"),
        ("+" + "1" * 60, "KZ", "too long"),
        ("+999123456789", None, "not a phone number"),
    ],
)
def test_what_is_not_a_number_is_told_why(written: str, region: str | None, told: str) -> None:
    with pytest.raises(BadNumber, match=told.replace("+", r"\+")):
        parse_phone(written, region)


@pytest.mark.parametrize(
    ("e164", "told"),
    [
        ("+77010000001", None),
        ("+4915112345678", None),
        ("+12025550100", "United States is not allowed"),
        ("+447700900123", "not a number in use"),
        ("+493023125000", "a landline"),
        ("+78091234567", "never allowed"),
        ("+8816123456789", "never allowed"),
        ("+979123456789", "never allowed"),
    ],
)
def test_where_no_sms_may_go(e164: str, told: str | None) -> None:
    why = why_not_textable(PhoneNumber(e164), HOME)
    assert why is None if told is None else why is not None and told in why


DENIED = [
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.SHARED_COST,
    phonenumbers.PhoneNumberType.UAN,
    phonenumbers.PhoneNumberType.PAGER,
    phonenumbers.PhoneNumberType.PERSONAL_NUMBER,
    phonenumbers.PhoneNumberType.VOIP,
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.FIXED_LINE,
]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", DENIED)
def test_no_dear_kind_of_number_is_allowed_in_any_country(kind: int, known: bool) -> None:
    everywhere = set(phonenumbers.SUPPORTED_REGIONS)
    for region in everywhere:
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None or phonenumbers.number_type(example) != kind:
            continue
        number = PhoneNumber(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))
        assert why_not_textable(number, everywhere, known=known), (region, kind)


def test_a_number_of_the_config_outlives_a_stale_range_table() -> None:
    fiction = PhoneNumber("+447700900123")  # Ofcom's range for drama: in no table of numbers in use
    assert why_not_textable(fiction, {"GB"}) is not None
    assert why_not_textable(fiction, {"GB"}, known=True) is None
    assert why_not_textable(fiction, {"KZ"}, known=True) is not None


def test_a_number_is_never_shown_whole_by_accident() -> None:
    number = PhoneNumber("+77010000001")
    assert [repr(number), str(number), f"{number}", number.masked] == [
        "+7701…01",
        "+7701…01",
        "+7701…01",
        "+7 701 ••• •• 01",
    ]


@given(st.text(max_size=60))
def test_reading_a_number_fails_in_one_way_only(written: str) -> None:
    try:
        number = parse_phone(written, "KZ")
    except BadNumber as error:
        digits = "".join(sign for sign in written if sign.isdigit())
        assert len(digits) < 8 or digits not in str(error)
    else:
        assert number.e164.startswith("+")
