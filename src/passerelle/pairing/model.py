"""An attempt to link a phone, and how it may change."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from passerelle.errors import Conflict, Invalid, NotFound, Text, Unavailable
from passerelle.whatsapp.model import PairingCode

CODES_PER_ATTEMPT = 2  # each code that WhatsApp hands out counts against the number
CLAIMS_PER_ATTEMPT = 2  # an attempt that killed two workers is not given to a third
FIRST_COOL_DOWN, LONGEST_COOL_DOWN = timedelta(minutes=15), timedelta(hours=24)  # reference/whatsapp.md §3.6
INTERRUPTED = "interrupted"


class Status(StrEnum):
    """Where an attempt stands."""

    QUEUED = "queued"  # written down, waits for a worker
    CONNECTING = "connecting"  # a worker asks WhatsApp for a code
    CODE_ISSUED = "code_issued"  # a code can be typed
    CONFIRMING = "confirming"  # the code was typed, WhatsApp is confirming
    LINKED = "linked"  # done
    FAILED = "failed"  # ended, `reason` says why
    EXPIRED = "expired"  # nobody typed a code in time
    CANCELLED = "cancelled"  # given up by its user


ENDED = frozenset({Status.LINKED, Status.FAILED, Status.EXPIRED, Status.CANCELLED})


class PairingInProgress(Conflict):
    """One attempt at a time per user and per number: the members tell of the one that is open."""

    code = "pairing_in_progress"
    text = Text(
        "An operation is already in progress for your account.", "Une opération est déjà en cours pour votre compte."
    )
    hint = Text(
        'Type the code you have, follow attempt_url, or send "force": true to begin anew.',
        "Saisissez le code reçu, suivez attempt_url, ou envoyez « force » : true pour recommencer.",
    )


class UnknownAttempt(NotFound):
    """No attempt of this client has that id."""

    code = "attempt_not_found"
    text = Text("There is no such pairing attempt.", "Cette tentative de liaison n'existe pas.")
    hint = Text("Ask for a code first.", "Demandez d'abord un code.")


class QrNotReady(NotFound):
    """There is no QR code just now."""

    code = "qr_not_ready"
    text = Text("There is no QR code just now.", "Il n'y a pas de code QR pour le moment.")
    hint = Text(
        "Ask again in a second: it comes with the pairing code, and changes every 20 seconds.",
        "Redemandez dans une seconde : il vient avec le code de liaison et change toutes les 20 secondes.",
    )


class AttemptEnded(Conflict):
    """The attempt has ended and cannot change any more."""

    code = "attempt_ended"
    text = Text("This pairing attempt has ended.", "Cette tentative de liaison est terminée.")
    hint = Text("Ask for a new code.", "Demandez un nouveau code.")


class Interrupted(Conflict):
    """Its workers died more often than an attempt may be tried."""

    code = INTERRUPTED
    text = Text("The pairing was interrupted.", "La liaison a été interrompue.")
    hint = Text("Ask for a new code.", "Demandez un nouveau code.")


class Confirming(Conflict):
    """Its code was typed and WhatsApp has linked the phone: too late to give it up."""

    code = "attempt_confirming"
    text = Text("The phone is being linked just now.", "Le téléphone est en cours de liaison.")
    hint = Text("Wait a moment, then end the session.", "Attendez un instant, puis terminez la session.")


class PairingBroke(Unavailable):
    """A fault inside the gateway ended it."""

    code = "internal_error"
    text = Text("The pairing broke inside the gateway.", "La liaison a échoué dans la passerelle.")
    hint = Text("Ask for a new code.", "Demandez un nouveau code.")


class InvalidUser(Invalid):
    """A user id that cannot be one."""

    code = "invalid_user_id"
    text = Text(
        "user_id must be 1 to 200 printable characters.", "user_id doit compter de 1 à 200 caractères imprimables."
    )
    hint = Text("Use your own id of the user.", "Utilisez votre propre identifiant de l'utilisateur.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to link one phone for one user."""

    id: str
    client_id: str
    user_id: str
    phone_number: str
    session_id: str
    created_at: datetime
    expires_at: datetime
    idempotency_key: str | None = None
    request_id: str | None = None  # of the request that asked for it: stands in every log line about it
    status: Status = Status.QUEUED
    code: str | None = None
    code_expires_at: datetime | None = None
    codes_issued: int = 0
    claims: int = 0
    device: str | None = None
    reason: str | None = None
    retry_after: timedelta | None = None

    @property
    def ended(self) -> bool:
        """Nothing can change any more."""
        return self.status in ENDED

    @property
    def answered(self) -> bool:
        """There is something to tell the one who asked for a code."""
        return self.code is not None or self.ended

    def issued(self, code: PairingCode) -> "Attempt":
        """WhatsApp acknowledged `code`."""
        return self._changed(
            status=Status.CODE_ISSUED,
            code=code.code,
            code_expires_at=min(code.expires_at, self.expires_at),
            codes_issued=self.codes_issued + 1,
        )

    def asking_again(self) -> "Attempt":
        """The code is dead; another is asked for."""
        return self._changed(status=Status.CONNECTING, code=None, code_expires_at=None)

    def typed(self) -> "Attempt":
        """Somebody typed the code."""
        return self._changed(status=Status.CONFIRMING)

    def accepted(self, device: str) -> "Attempt":
        """WhatsApp linked `device`; written down before it is believed, so that a crash does not forget it."""
        return self._changed(status=Status.CONFIRMING, device=device)

    def linked(self) -> "Attempt":
        """The link held."""
        return self._changed(status=Status.LINKED, code=None, code_expires_at=None)

    def failed(self, reason: str, *, retry_after: timedelta | None = None) -> "Attempt":
        """It ended without a link; `reason` is the code of a fault."""
        return self._changed(
            status=Status.FAILED, reason=reason, retry_after=retry_after, code=None, code_expires_at=None
        )

    def expired(self) -> "Attempt":
        """Nobody typed a code in time."""
        return self._changed(status=Status.EXPIRED, code=None, code_expires_at=None)

    def cancelled(self) -> "Attempt":
        """Its user gave it up.

        Raises:
            Confirming: WhatsApp has linked the phone already.
        """
        if self.device is not None:
            raise Confirming
        return self._changed(status=Status.CANCELLED, code=None, code_expires_at=None)

    def _changed(self, **changes: object) -> "Attempt":
        if self.ended:
            raise AttemptEnded
        return replace(self, **changes)  # type: ignore[arg-type]
