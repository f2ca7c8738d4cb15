"""Phone numbers: as people write them, as the network wants them, and as strangers may see them."""

from collections.abc import Collection
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType, ValidationResult

_TEXTABLE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
# The number plan of the satellite and shared networks: expensive, and nobody's country.
_NO_COUNTRY = "001"
# Ranges billed at a premium that the metadata counts as ordinary; they lose even in an allowed region.
_DENIED_PREFIXES = ("+7809", "+979", "+8816", "+8817", "+882", "+883", "+870", "+371900")
_LONGEST_INPUT = 40

_KIND_WORDS = {
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "mobile or landline",
    PhoneNumberType.FIXED_LINE: "a landline",
    PhoneNumberType.TOLL_FREE: "a toll-free number",
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.VOIP: "an internet phone",
    PhoneNumberType.PERSONAL_NUMBER: "a personal number, billed at a premium",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.UAN: "a company-wide number",
    PhoneNumberType.VOICEMAIL: "a voice mailbox",
    PhoneNumberType.UNKNOWN: "not in any known range",
}
_LENGTH_WORDS = {
    ValidationResult.TOO_SHORT: "too short",
    ValidationResult.TOO_LONG: "too long",
    ValidationResult.INVALID_LENGTH: "of a wrong length",
    ValidationResult.INVALID_COUNTRY_CODE: "of an unknown country",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "without its area code",
}


class BadNumber(ValueError):
    """What is wrong with a number, in words for whoever typed it; never repeats the number."""


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """A phone number in E.164 (`+77010000001`); printing it never shows the whole of it."""

    e164: str

    @property
    def digits(self) -> str:
        """International format without the plus, as gateways want it."""
        return self.e164.removeprefix("+")

    @property
    def region(self) -> str:
        """ISO 3166 letters of the country, `001` for none, `ZZ` for unknown."""
        return phonenumbers.region_code_for_number(self._parsed()) or "ZZ"

    @property
    def kind(self) -> str:
        """What sort of line it is, in words: "mobile", "a landline" …"""
        return _KIND_WORDS[phonenumbers.number_type(self._parsed())]

    @property
    def whole(self) -> str:
        """As people read it, every digit shown: `+7 701 000 00 01`."""
        return _grouped(self._parsed())

    @property
    def masked(self) -> str:
        """As a group may see it: `+7 701 ••• •• 01`."""
        whole = self.whole
        digits = [place for place, sign in enumerate(whole) if sign.isdigit()]
        shown = set(digits[:4]) | set(digits[-2:])
        return "".join("•" if sign.isdigit() and place not in shown else sign for place, sign in enumerate(whole))

    def _parsed(self) -> phonenumbers.PhoneNumber:
        return phonenumbers.parse(self.e164)

    def __repr__(self) -> str:
        return f"{self.e164[:5]}…{self.e164[-2:]}"

    __str__ = __repr__


def parse_phone(written: str, default_region: str | None = None) -> PhoneNumber:
    """Read a number as people write it: `+49 1511 234-56-78`, `0049…`, `8 701 …` with a default region.

    Raises BadNumber, saying what is wrong and what would be right.
    """
    text = written.strip()
    if not text:
        raise BadNumber("no number was given")
    if len(text) > _LONGEST_INPUT:
        raise BadNumber("too long to be a phone number")
    if not text.isascii() or any(sign.isalpha() for sign in text) or not any(s.isdigit() for s in text):
        raise BadNumber("not a phone number; write digits, like +7 701 000 00 01")
    if text.startswith("00"):
        text = "+" + text[2:]
    try:
        parsed = phonenumbers.parse(text, default_region)
    except phonenumbers.NumberParseException as error:
        if not text.startswith("+") and default_region is None:
            raise BadNumber("no country; write it with + and the country code") from error
        raise BadNumber("not a phone number; write it like +7 701 000 00 01") from error
    if parsed.extension:
        raise BadNumber("an extension cannot receive SMS; leave it out")
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    if possible != ValidationResult.IS_POSSIBLE:
        raise BadNumber(_wrong_length(parsed, possible))
    return PhoneNumber(phonenumbers.format_number(parsed, PhoneNumberFormat.E164))


def why_not_textable(number: PhoneNumber, regions: Collection[str], *, known: bool = False) -> str | None:
    """Why no SMS may go to this number, or None when it may.

    `regions` are the allowed ISO 3166 codes. A `known` number stands in the config: the range tables go
    stale, so an unknown range does not bar it, while a wrong country or a premium range always does.
    """
    region = number.region
    if number.e164.startswith(_DENIED_PREFIXES) or region == _NO_COUNTRY:
        return "satellite, shared and premium ranges are never allowed"
    parsed = phonenumbers.parse(number.e164)
    kind = phonenumbers.number_type(parsed)
    if kind == PhoneNumberType.UNKNOWN and known:
        countries = _possible_regions(parsed)
        if not set(countries) & set(regions):
            return _region_refused(countries[0] if countries else "an unknown country", regions)
        return None
    if kind == PhoneNumberType.UNKNOWN:
        return "not a number in use there; check the digits"
    if region not in regions:
        return _region_refused(region, regions)
    if kind not in _TEXTABLE:
        return f"not a mobile number but {_KIND_WORDS[kind]}"
    return None


def region_name(region: str) -> str:
    """The country's usual English name for the commonest regions, else its ISO letters."""
    return _COUNTRIES.get(region, region)


def _region_refused(region: str, regions: Collection[str]) -> str:
    allowed = ", ".join(sorted(regions)) or "none"
    return f"{region_name(region)} is not allowed here; sms.allowed_regions has {allowed}"


def _wrong_length(parsed: phonenumbers.PhoneNumber, reason: int) -> str:
    region = next(iter(_possible_regions(parsed)), "ZZ")
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is None:
        return f"{_LENGTH_WORDS[reason]}; write it like +7 701 000 00 01"
    missing = len(str(example.national_number)) - len(str(parsed.national_number))
    if missing:
        digits = f"{_COUNT_WORDS.get(abs(missing), str(abs(missing)))} digit{'s' if abs(missing) > 1 else ''}"
        what = f"{digits} {'short' if missing > 0 else 'too many'} for {region_name(region)}"
    else:
        what = _LENGTH_WORDS[reason]
    pattern = "".join(
        "0" if place > _PATTERN_KEEPS and sign.isdigit() else sign for place, sign in enumerate(_grouped(example))
    )
    return f'{what}; write it like "{_LIKE.get(region, pattern)}"'


def _possible_regions(parsed: phonenumbers.PhoneNumber) -> tuple[str, ...]:
    """The countries a number outside every known range may belong to; the two of +7 differ by a digit."""
    if parsed.country_code == _RUSSIA_AND_KAZAKHSTAN:
        return ("KZ",) if str(parsed.national_number)[0] in "67" else ("RU",)
    return tuple(phonenumbers.region_codes_for_country_code(parsed.country_code or 0))


def _grouped(parsed: phonenumbers.PhoneNumber) -> str:
    """International format, no hyphens; +7 in threes and twos, as people there read it."""
    national = str(parsed.national_number)
    if parsed.country_code == _RUSSIA_AND_KAZAKHSTAN and len(national) == 10:
        return f"+7 {national[:3]} {national[3:6]} {national[6:8]} {national[8:]}"
    return phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL).replace("-", " ")


_RUSSIA_AND_KAZAKHSTAN = 7
_PATTERN_KEEPS = 6  # of an example number: the country and area stay, the rest becomes zeros


_LIKE = {"KZ": "+7 701 000 00 01"}  # where the library's own example looks odd to people there
_COUNT_WORDS = {1: "one", 2: "two", 3: "three", 4: "four"}
_COUNTRIES = {
    "KZ": "Kazakhstan",
    "RU": "Russia",
    "UZ": "Uzbekistan",
    "KG": "Kyrgyzstan",
    "UA": "Ukraine",
    "DE": "Germany",
    "AT": "Austria",
    "CH": "Switzerland",
    "BR": "Brazil",
    "GB": "Britain",
    "US": "United States",
    "TR": "Turkey",
    "PL": "Poland",
    "GE": "Georgia",
}
