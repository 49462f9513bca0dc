"""How a provider says no to a message, and what then helps."""

from datetime import timedelta
from enum import StrEnum

from passerelle.errors import Rejected, Text, Unavailable
from passerelle.whatsapp.faults import ProviderUnavailable


class Remedy(StrEnum):
    """What helps against a refusal; each provider has a table from its own codes to these."""

    RETRY = "retry"  # the same again, later
    THROTTLE_RECIPIENT = "throttle_recipient"  # too much for this recipient: wait, with all that is for them
    THROTTLE_NUMBER = "throttle_number"  # too much from this phone: wait, with all that it says
    PAUSE_ACCOUNT = "pause_account"  # WhatsApp restricts the account: trying again makes it worse
    PERMANENT = "permanent"  # nothing helps this message


class SendRefused(Rejected):
    """WhatsApp refused the message."""

    code = "send_refused"
    text = Text("WhatsApp refused the message.", "WhatsApp a refusé le message.")
    hint = Text("last_error holds WhatsApp's own word for it.", "last_error contient le motif donné par WhatsApp.")

    def __init__(self, reason: str, remedy: Remedy, *, wait: timedelta | None = None) -> None:
        """`reason` is the provider's code; `wait` how long to wait, where the provider says so."""
        super().__init__(retry_after=wait)
        self.reason = reason
        self.remedy = remedy
        self.wait = wait


class NotHandedOver(Unavailable):
    """The message itself could not be handed over in time, and certainly was not."""

    code = "not_handed_over"
    text = Text("WhatsApp did not take the message in time.", "WhatsApp n'a pas pris le message à temps.")
    hint = Text("It is tried again.", "Il sera réessayé.")


class AnswerLost(Unavailable):
    """The message was handed over and the answer got lost: perhaps it was sent."""

    code = "answer_lost"
    text = Text("WhatsApp's answer got lost.", "La réponse de WhatsApp s'est perdue.")
    hint = Text("A receipt will tell whether it was sent.", "Un accusé dira s'il a été envoyé.")


class PhoneOffline(ProviderUnavailable):
    """The linked phone that should say it cannot be reached."""

    code = "phone_offline"
    text = Text("The linked phone is offline.", "Le téléphone lié est hors ligne.")
    hint = Text("The message waits for it.", "Le message l'attend.")


class DeviceGone(Rejected):
    """The phone has removed our device: nothing can be said for it until it is linked again."""

    code = "logged_out"
    text = Text("The phone has unlinked this gateway.", "Le téléphone a retiré cette passerelle.")
    hint = Text("Link the phone again.", "Liez à nouveau le téléphone.")
