"""Scripted misfortunes: each hits the next operation that it fits, as often as it was told to."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Self

from passerelle.errors import Conflict, PasserelleError, Text
from passerelle.sandbox.storage import WorldFile
from passerelle.whatsapp import faults as whatsapp
from passerelle.whatsapp.sending import Remedy, SendRefused


class FaultKind(StrEnum):
    """What can be made to go wrong; `sentence` says how it shows."""

    sentence: str

    def __new__(cls, word: str, sentence: str = "") -> Self:
        """A kind called `word`."""
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.sentence = sentence
        return kind

    INVALID_PHONE = "invalid_phone", "WhatsApp does not take the number."
    ALREADY_LINKED = "already_linked", "WhatsApp says that the number is linked already."
    PAIRING_IN_PROGRESS = "pairing_in_progress", "WhatsApp says that another linking of the number is under way."
    RATE_OVERLIMIT = "rate_overlimit", "WhatsApp refuses new codes for the number for 15 minutes."
    PASSKEY_REQUIRED = "passkey_required", "The account can only be linked with its passkey."
    BAD_DISPLAY_NAME = "bad_display_name", "WhatsApp refuses the name that the gateway gives itself."
    PROVIDER_UNAVAILABLE = "provider_unavailable", "WhatsApp refuses the connection."
    NO_CODE = "no_code", "WhatsApp never answers the request for a code."
    SLOW_CODE = "slow_code", "Connecting takes 15 seconds and the code another 15, on the sandbox's clock."
    DISCONNECT_WHILE_PAIRING = "disconnect_while_pairing", "The connection is lost 0.2 seconds after its code."
    LOGGED_OUT_AFTER_LINK = "logged_out_after_link", "WhatsApp removes the device 0.5 seconds after it was linked."
    SEND_ERROR = "send_error", "Sending fails; trying again helps."
    SEND_TIMEOUT_BEFORE = "send_timeout_before", "Sending times out, and nothing was handed over."
    SEND_TIMEOUT_AFTER = "send_timeout_after", "The message is accepted, but the answer is lost."
    RESTRICTED_463 = "restricted_463", "WhatsApp restricts the account."
    NOT_ON_WHATSAPP = "not_on_whatsapp", "The recipient has no WhatsApp."
    TEMPORARY_BAN = "temporary_ban", "WhatsApp bans the account for a while."
    HANG = "hang", "Sending never answers."
    DUPLICATE_EVENT = "duplicate_event", "An event arrives twice."
    REORDERED_RECEIPTS = "reordered_receipts", "Receipts arrive in the wrong order."
    MEDIA_UNAVAILABLE = "media_unavailable", "The medium of a message cannot be fetched."


class PairingInProgress(Conflict):
    """WhatsApp says that another linking of this number is under way."""

    code = "pairing_in_progress"
    text = Text("WhatsApp is linking this number already.", "WhatsApp est déjà en train de lier ce numéro.")
    hint = Text("Finish the linking under way, or wait.", "Terminez la liaison en cours, ou patientez.")


REFUSALS: dict[FaultKind, type[PasserelleError]] = {
    FaultKind.INVALID_PHONE: whatsapp.InvalidPhone,
    FaultKind.ALREADY_LINKED: whatsapp.AlreadyLinked,
    FaultKind.PAIRING_IN_PROGRESS: PairingInProgress,
    FaultKind.RATE_OVERLIMIT: whatsapp.ProviderRateLimited,
    FaultKind.PASSKEY_REQUIRED: whatsapp.PasskeyRequired,
    FaultKind.BAD_DISPLAY_NAME: whatsapp.ProviderMisconfigured,
}
# The first cool-down of reference/whatsapp.md §3.6.
_RETRY_AFTER = {
    FaultKind.RATE_OVERLIMIT: timedelta(minutes=15),
    FaultKind.PAIRING_IN_PROGRESS: timedelta(minutes=1),
}

HITS_CONNECTING = frozenset({FaultKind.PROVIDER_UNAVAILABLE, FaultKind.SLOW_CODE})
HITS_A_CODE = frozenset({FaultKind.NO_CODE, FaultKind.DISCONNECT_WHILE_PAIRING, *REFUSALS})
HITS_A_LINK = frozenset({FaultKind.LOGGED_OUT_AFTER_LINK})

# WhatsApp's own word for a refused message is the kind's; what then helps is whatsmeow's and Baileys' experience
# (reference/whatsapp.md §0.6, §4).
SEND_REFUSALS: dict[FaultKind, tuple[Remedy, timedelta | None]] = {
    FaultKind.SEND_ERROR: (Remedy.RETRY, None),
    FaultKind.RESTRICTED_463: (Remedy.PAUSE_ACCOUNT, None),
    FaultKind.NOT_ON_WHATSAPP: (Remedy.PERMANENT, None),
    FaultKind.TEMPORARY_BAN: (Remedy.PAUSE_ACCOUNT, timedelta(hours=1)),
    FaultKind.MEDIA_UNAVAILABLE: (Remedy.RETRY, None),
}
HITS_A_MEDIUM = frozenset({FaultKind.MEDIA_UNAVAILABLE})
HITS_A_SEND = (SEND_REFUSALS.keys() - HITS_A_MEDIUM) | {
    FaultKind.SEND_TIMEOUT_BEFORE,
    FaultKind.SEND_TIMEOUT_AFTER,
    FaultKind.HANG,
}
HITS_AN_ARRIVAL = frozenset({FaultKind.REORDERED_RECEIPTS})
HITS_AN_EVENT = frozenset({FaultKind.DUPLICATE_EVENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A `kind` that will hit `times` more operations; `number` None: of any phone."""

    id: int
    kind: FaultKind
    number: str | None
    times: int


class FaultScript:
    """The faults that still have to happen, oldest first; kept in the world's file."""

    def __init__(self, file: WorldFile) -> None:
        """What `file` remembers."""
        self._file = file
        self._faults = [
            Fault(id=id_, kind=FaultKind(kind), number=number, times=times)
            for id_, kind, number, times in file.faults()
        ]

    def __iter__(self) -> Iterator[Fault]:
        """Oldest first."""
        return iter(tuple(self._faults))

    def add(self, kind: FaultKind, *, number: str | None = None, times: int = 1) -> Fault:
        """Let the next `times` operations that `kind` fits (of `number` only, if given) go wrong."""
        fault = Fault(id=self._file.add_fault(kind, number, times), kind=kind, number=number, times=times)
        self._faults.append(fault)
        return fault

    def take(self, kinds: AbstractSet[FaultKind], number: str) -> FaultKind | None:
        """The kind that hits this operation of `number`, if any; it is used up by that, on disk first."""
        for place, fault in enumerate(self._faults):
            if fault.kind in kinds and fault.number in {None, number}:
                left = replace(fault, times=fault.times - 1)
                self._file.set_fault_times(left.id, left.times)
                self._faults[place : place + 1] = [left] if left.times else []
                return fault.kind
        return None

    def clear(self) -> int:
        """Forget all; how many there were."""
        self._file.remove_faults()
        count = len(self._faults)
        self._faults.clear()
        return count


def refusal(kind: FaultKind) -> PasserelleError:
    """How WhatsApp says no for `kind`, one of `REFUSALS`."""
    return REFUSALS[kind](retry_after=_RETRY_AFTER.get(kind))


def send_refusal(kind: FaultKind) -> SendRefused:
    """How WhatsApp says no to a message for `kind`, one of `SEND_REFUSALS`."""
    remedy, wait = SEND_REFUSALS[kind]
    return SendRefused(kind.value, remedy, wait=wait)
