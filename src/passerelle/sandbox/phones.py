"""Virtual phones, the devices they accepted, and what a phone refuses."""

import re
from dataclasses import dataclass
from datetime import datetime

from passerelle.errors import Conflict, Text
from passerelle.whatsapp.faults import InvalidPhone

# faq.whatsapp.com/378279804439436, reference/whatsapp.md §3.2
MAX_LINKS = 4

_WRITTEN = re.compile(r"\+?[\d\s().\-/]{1,40}", re.ASCII)
# whatsmeow `PairPhone`: more than 6 digits, no leading 0 (reference/whatsapp.md §3.1)
_ACCEPTED_BY_WHATSAPP = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A virtual phone; `number` is E.164 with ``+``."""

    number: str
    name: str | None = None
    online: bool = True
    read_receipts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A device that the phone `number` accepted; `device` is WhatsApp's name of it."""

    device: str
    number: str
    session_id: str
    linked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneState:
    """A phone, its links, and until when a code waits to be typed on it (not the code: a phone cannot know it)."""

    phone: Phone
    links: tuple[Link, ...]
    code_expires_at: datetime | None


class CodeNotValid(Conflict):
    """The phone says that the code is wrong; the gateway hears nothing of it (reference/whatsapp.md §3.1)."""

    code = "code_not_valid"
    text = Text("This code is wrong, or dead by now.", "Ce code est faux, ou n'est plus valable.")
    hint = Text(
        "Type the newest code; if its time is over, ask for another one.",
        "Saisissez le code le plus récent ; si son délai est passé, demandez-en un autre.",
    )


class TooManyDevices(Conflict):
    """The phone has as many linked devices as WhatsApp allows."""

    code = "too_many_devices"
    text = Text("This phone has 4 linked devices already.", "Ce téléphone a déjà 4 appareils liés.")
    hint = Text("Reset the sandbox, or use another number.", "Réinitialisez le bac à sable, ou prenez un autre numéro.")


def e164(written: str) -> str:
    """The number as ``+33639980001``, from any international spelling, the ``+`` optional.

    Raises:
        InvalidPhone: no number of any country could be written so.
    """
    text = written.strip()
    if not _WRITTEN.fullmatch(text):
        raise InvalidPhone
    import phonenumbers  # noqa: PLC0415 -- 30 ms of every start

    try:
        number = phonenumbers.parse(text if text.startswith("+") else f"+{text}")
    except phonenumbers.NumberParseException as refused:
        raise InvalidPhone from refused
    if not phonenumbers.is_possible_number(number):
        raise InvalidPhone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def accepted_by_whatsapp(number: str) -> bool:
    """Whether WhatsApp would try to make a code for `number`."""
    return _ACCEPTED_BY_WHATSAPP.fullmatch(number) is not None
