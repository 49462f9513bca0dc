"""How a provider says no. `FAULTS` are those of linking, one leaf per outcome of `reference` and API.md."""

from passerelle.errors import Conflict, Invalid, NotFound, PasserelleError, Rejected, Text, Unavailable


class InvalidPhone(Invalid):
    """Not a phone number that WhatsApp could know."""

    code = "invalid_phone"
    text = Text("This is not a phone number that can be linked.", "Ce numéro de téléphone ne peut pas être lié.")
    hint = Text(
        "Write it in the international form, for instance +33 6 39 98 00 01.",
        "Écrivez-le sous la forme internationale, par exemple +33 6 39 98 00 01.",
    )


class AlreadyLinked(Conflict):
    """The number is linked already."""

    code = "already_linked"
    text = Text("This phone number is already linked.", "Ce numéro de téléphone est déjà lié.")
    hint = Text('Send "force": true to link it again.', "Envoyez « force » : true pour le lier à nouveau.")


class ProviderRateLimited(Rejected):
    """WhatsApp refuses codes for this number for a while."""

    code = "provider_rate_limited"
    text = Text(
        "WhatsApp refuses new codes for this number for now.",
        "WhatsApp refuse de nouveaux codes pour ce numéro pour le moment.",
    )
    hint = Text(
        "Wait as long as Retry-After says; asking sooner makes the wait longer.",
        "Attendez le délai indiqué par Retry-After ; insister allonge l'attente.",
    )


class PasskeyRequired(Conflict):
    """The account can only be linked with its passkey."""

    code = "passkey_required"
    text = Text(
        "WhatsApp asks this account for its passkey; a code cannot link it.",
        "WhatsApp exige la clé d'accès de ce compte ; un code ne suffit pas.",
    )
    hint = Text(
        "Use the Cloud API for this number, or link it where a passkey can be shown.",
        "Utilisez l'API Cloud pour ce numéro, ou liez-le là où une clé d'accès peut être présentée.",
    )


class ProviderMisconfigured(Rejected):
    """WhatsApp refused what we say about ourselves; nothing the user can mend."""

    code = "provider_misconfigured"
    text = Text("The gateway is set up wrongly for WhatsApp.", "La passerelle est mal configurée pour WhatsApp.")
    hint = Text(
        "The operator must set a display name of the form Browser (OS), for instance Chrome (Linux).",
        "L'exploitant doit choisir un nom de la forme Navigateur (OS), par exemple Chrome (Linux).",
    )


class PairingTimedOut(Unavailable):
    """WhatsApp did not give a code in time."""

    code = "pairing_timeout"
    text = Text("WhatsApp did not give a code in time.", "WhatsApp n'a pas donné de code à temps.")
    hint = Text("Ask for a new code.", "Demandez un nouveau code.")


class ProviderUnavailable(Unavailable):
    """WhatsApp, or what we need to reach it, is away."""

    code = "provider_unavailable"
    text = Text("WhatsApp cannot be reached just now.", "WhatsApp est injoignable pour le moment.")
    hint = Text("Try again in a moment.", "Réessayez dans un instant.")


class DeviceRemoved(Rejected):
    """WhatsApp took the device away right after it was linked."""

    code = "logged_out"
    text = Text(
        "WhatsApp removed the device right after it was linked.",
        "WhatsApp a retiré l'appareil juste après la liaison.",
    )
    hint = Text(
        "Look at the linked devices on the phone, then ask for a new code.",
        "Vérifiez les appareils liés sur le téléphone, puis demandez un nouveau code.",
    )


class AnotherPhone(Conflict):
    """The QR code was scanned by a phone with another number."""

    code = "another_phone"
    text = Text(
        "The QR code was scanned by a phone with another number.",
        "Le code QR a été scanné par un téléphone d'un autre numéro.",
    )
    hint = Text(
        "It was unlinked again. Scan with the phone of the number you asked for, or ask for its own.",
        "Il a été délié. Scannez avec le téléphone du numéro demandé, ou demandez un code pour le sien.",
    )


class MediumGone(NotFound):
    """WhatsApp keeps this medium no more."""

    code = "medium_gone"
    text = Text("WhatsApp keeps this medium no more.", "WhatsApp ne conserve plus ce média.")
    hint = Text("Ask its sender to send it again.", "Demandez à son expéditeur de le renvoyer.")


class NotOffered(Invalid):
    """The configured provider cannot do this at all."""

    code = "not_offered"
    text = Text(
        "The provider of this gateway cannot do this.", "Le fournisseur de cette passerelle ne sait pas le faire."
    )
    hint = Text(
        "See docs/providers.md for what each provider can do.",
        "Voyez docs/providers.md pour ce que sait faire chaque fournisseur.",
    )


FAULTS: dict[str, type[PasserelleError]] = {
    fault.code: fault
    for fault in (
        InvalidPhone,
        AlreadyLinked,
        ProviderRateLimited,
        PasskeyRequired,
        ProviderMisconfigured,
        PairingTimedOut,
        ProviderUnavailable,
        DeviceRemoved,
        AnotherPhone,
        NotOffered,
    )
}
