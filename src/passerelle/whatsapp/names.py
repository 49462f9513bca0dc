"""How people, and their numbers, may be written."""

import re

from passerelle.whatsapp.faults import InvalidPhone

NAME_LIMIT = 200
COUNTRY_DIGITS, OWN_DIGITS = 2, 8
# The same mobile, with the digit that its owner writes or WhatsApp leaves out. Brazil's 8 digits from 2 to 5 on are a
# fixed line, which nobody else's mobile may be taken for.
_WITH_AND_WITHOUT = (
    (re.compile(r"(\+55\d\d)9?([6-9]\d{7})"), "9"),
    (re.compile(r"(\+52)1?([2-9]\d{9})"), "1"),
)
_MEXICAN = re.compile(r"^\+52\s?1\s?((?:\d[\s-]?){9}\d)$", re.ASCII)  # so until 2019, and in WhatsApp's own ids still
_NUMBER = re.compile(r"\+?[\d\s().\-/]*", re.ASCII)
# Country, a dot, Meta's id of somebody for one business; ENT where several share it (reference/whatsapp.md §4).
_BUSINESS_SCOPED = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")


def is_name(text: str) -> bool:
    """Whether `text` can be somebody's own name for something: kept in SQL, shown in logs."""
    return 1 <= len(text) <= NAME_LIMIT and text.isprintable()


def is_business_scoped(text: str) -> bool:
    """Whether `text` is Meta's own id of somebody, which stands for a phone number that is not shown."""
    return _BUSINESS_SCOPED.fullmatch(text) is not None


def read_phone_number(text: str) -> str:
    """`text` in E.164.

    Raises:
        InvalidPhone: not possible as an international number. (Test ranges are possible, though not valid.)
    """
    import phonenumbers  # noqa: PLC0415 -- 30 ms of every start

    try:
        number = phonenumbers.parse(_MEXICAN.sub(r"+52\1", text if text.startswith("+") else f"+{text}"), None)
    except phonenumbers.NumberParseException:
        raise InvalidPhone from None
    if not phonenumbers.is_possible_number(number):
        raise InvalidPhone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def read_person(text: str) -> str:
    """A number in E.164, however it was written (the ``+`` of a query is a space); else a provider's own id.

    Raises:
        InvalidPhone: nearly a number, but not possible as one.
    """
    text = text.strip()
    return read_phone_number(text) if _NUMBER.fullmatch(text) else text


def same_phone(one: str, other: str) -> bool:
    """Whether two numbers in E.164 can be the same phone's.

    WhatsApp writes some otherwise than their owners do: Brazil's without the 9, Mexico's without the 1.
    """
    return one[: COUNTRY_DIGITS + 1] == other[: COUNTRY_DIGITS + 1] and one[-OWN_DIGITS:] == other[-OWN_DIGITS:]


def spellings_of(phone: str) -> tuple[str, ...]:
    """`phone`, a number in E.164, and how else WhatsApp or its owner may write the very same mobile."""
    for pattern, digit in _WITH_AND_WITHOUT:
        if found := pattern.fullmatch(phone):
            country, own = found.groups()
            written = (f"{country}{digit}{own}", f"{country}{own}")
            return phone, *(one for one in written if one != phone)
    return (phone,)
