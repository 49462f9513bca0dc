"""How people, and their numbers, may be written."""

import phonenumbers

from passerelle.whatsapp.faults import InvalidPhone

NAME_LIMIT = 200


def is_name(text: str) -> bool:
    """Whether `text` can be somebody's own name for something: kept in SQL, shown in logs."""
    return 1 <= len(text) <= NAME_LIMIT and text.isprintable()


def read_phone_number(text: str) -> str:
    """`text` in E.164.

    Raises:
        InvalidPhone: not possible as an international number. (Test ranges are possible, though not valid.)
    """
    try:
        number = phonenumbers.parse(text if text.startswith("+") else f"+{text}", None)
    except phonenumbers.NumberParseException:
        raise InvalidPhone from None
    if not phonenumbers.is_possible_number(number):
        raise InvalidPhone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
