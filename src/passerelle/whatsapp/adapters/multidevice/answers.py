"""WhatsApp's errors as neonize tells them, plain strings, and what each means to us.

The strings are whatsmeow's (errors.go, send.go, upload.go, download.go of 2026-08 and the embedded 2026-09-21), read
there and, where it can be done without WhatsApp, provoked.
"""

import re
from collections.abc import Callable
from datetime import timedelta

from passerelle.errors import PasserelleError
from passerelle.whatsapp.faults import (
    InvalidPhone,
    MediumGone,
    PasskeyRequired,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderUnavailable,
)
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, NotHandedOver, PhoneOffline, Remedy, SendRefused

RATE_LIMIT_WAIT = timedelta(minutes=15)  # reference §3.6: start at 15 minutes; the cool-down upstairs doubles it
RESTRICTED_WAIT = timedelta(hours=24)  # WhatsApp does not say how long; people report a day and more
CLIENT_OUTDATED = "client_outdated"
PASSKEY_SIGN = "missing <link_code_pairing_wrapped_primary_ephemeral_pub>"
_IQ_STATUS = re.compile(r"status (\d{1,9}): ([a-z-]+)")
_NACK = re.compile(r"server returned error (\d{1,9})")
_HTTP_STATUS = re.compile(r"failed with status code (\d{1,9})")
_DIGITS = re.compile(r"\d{5,}")
_SERVER_ERRORS = 500

Made = Callable[[], PasserelleError]

PAIRING_STATUS: dict[int, Made] = {
    400: ProviderMisconfigured,  # the display name
    404: InvalidPhone,  # our inference: nobody has reported one
    405: lambda: ProviderUnavailable(reason=CLIENT_OUTDATED),
    419: lambda: ProviderRateLimited(retry_after=RATE_LIMIT_WAIT),
    429: lambda: ProviderRateLimited(retry_after=RATE_LIMIT_WAIT),
}
PAIRING_WORDS: tuple[tuple[str, Made], ...] = (
    ("phone number too short", InvalidPhone),
    ("international phone number required", InvalidPhone),
    ("passkey", PasskeyRequired),
    (PASSKEY_SIGN, PasskeyRequired),
    ("client outdated", lambda: ProviderUnavailable(reason=CLIENT_OUTDATED)),
)

# Numbers of <ack error="…">. 463: reach-out time-lock (reference §0.6). 479 came up with LIDs that had gone stale
# (Baileys), and passes. The 4xx without a line here are about this message alone.
NACKS: dict[int, tuple[Remedy, timedelta | None]] = {
    421: (Remedy.RETRY, None),
    429: (Remedy.THROTTLE_NUMBER, None),
    463: (Remedy.PAUSE_ACCOUNT, RESTRICTED_WAIT),
    475: (Remedy.RETRY, None),
    479: (Remedy.RETRY, None),
}
NOT_ON_WHATSAPP = "not_on_whatsapp"
# First what was certainly not handed over, then what perhaps was.
SENDING_WORDS: tuple[tuple[str, Made], ...] = (
    ("doesn't contain a device JID", DeviceGone),
    ("client is nil", PhoneOffline),
    ("no LID found for", lambda: SendRefused(NOT_ON_WHATSAPP, Remedy.PERMANENT)),
    ("message recipient must be a user JID", lambda: SendRefused("bad_recipient", Remedy.PERMANENT)),
    ("can't send message to unknown server", lambda: SendRefused("bad_recipient", Remedy.PERMANENT)),
    ("broadcast lists is not yet supported", lambda: SendRefused("bad_recipient", Remedy.PERMANENT)),
    ("websocket disconnected before info query", NotHandedOver),
    ("info query timed out", NotHandedOver),
    ("timed out waiting for message send response", AnswerLost),
    ("websocket disconnected before message send", AnswerLost),
    ("websocket not connected", PhoneOffline),
)
MEDIA_REFUSED = frozenset({400, 401, 403, 404, 405, 410, 413, 415})
MEDIA_LAPSED = frozenset({403, 404, 410})
_MEDIA_BROKEN = (
    "hash of media",
    "invalid media hmac",
    "no url present",
    "file too short",
    "didn't find any attachments",
)


def pairing_fault(error: str) -> PasserelleError:
    """What `error` means to somebody who waits for a code."""
    for words, made in PAIRING_WORDS:
        if words in error:
            return made()
    status = _IQ_STATUS.search(error)
    made_of = PAIRING_STATUS.get(int(status[1])) if status else None
    return made_of() if made_of is not None else ProviderUnavailable(reason=masked(error))


def sending_fault(error: str) -> PasserelleError:
    """What `error` means to somebody who says something."""
    nack = _NACK.search(error)
    if nack is not None:
        return _nacked(int(nack[1]))
    for words, made in SENDING_WORDS:
        if words in error:
            return made()
    status = _IQ_STATUS.search(error)  # a question of whatsmeow's own before the message: nothing was handed over
    if status is not None:
        return _asked_too_early(int(status[1]))
    return SendRefused(masked(error), Remedy.RETRY)


def upload_fault(error: str) -> PasserelleError:
    """What `error` means to somebody who brings a medium."""
    status = _HTTP_STATUS.search(error)
    if status is not None and int(status[1]) in MEDIA_REFUSED:
        return SendRefused(f"upload_{status[1]}", Remedy.PERMANENT if status[1] in {"413", "415"} else Remedy.RETRY)
    return PhoneOffline() if "websocket" in error or "client is nil" in error else NotHandedOver()


def download_fault(error: str) -> PasserelleError:
    """What `error` means to somebody who fetches a medium that came in."""
    status = _HTTP_STATUS.search(error)
    if (status is not None and int(status[1]) in MEDIA_LAPSED) or any(words in error for words in _MEDIA_BROKEN):
        return MediumGone()
    return PhoneOffline() if "websocket not connected" in error else ProviderUnavailable(reason=masked(error))


def masked(text: str) -> str:
    """`text` without numbers long enough to be somebody's, and not longer than a line."""
    return _DIGITS.sub("…", text)[:200]


def _nacked(number: int) -> SendRefused:
    remedy, wait = NACKS.get(number, (Remedy.RETRY if number >= _SERVER_ERRORS else Remedy.PERMANENT, None))
    return SendRefused(str(number), remedy, wait=wait)


def _asked_too_early(status: int) -> PasserelleError:
    if status in NACKS:
        remedy, wait = NACKS[status]
        return SendRefused(str(status), remedy, wait=wait)
    return NotHandedOver()
