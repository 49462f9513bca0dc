"""What may be said of an address that somebody gave us."""

from passerelle.errors import Invalid, Text, Unavailable


class UrlRefused(Invalid):
    """An address that we do not ask; the member `reason` says why."""

    code = "url_refused"
    text = Text("The gateway does not ask this address.", "La passerelle n'interroge pas cette adresse.")
    hint = Text(
        "Use an http or https address on the public internet, without a user name; see reason.",
        "Utilisez une adresse http ou https de l'internet public, sans nom d'utilisateur ; voir reason.",
    )

    def __init__(self, reason: str) -> None:
        """`reason` is one word of ours, such as ``private_address``."""
        super().__init__(reason=reason)
        self.reason = reason


class UrlUnreachable(Unavailable):
    """Nothing of use came from there in time; the member `reason` says what happened."""

    code = "url_unreachable"
    text = Text("Nothing could be had from this address.", "Rien n'a pu être obtenu de cette adresse.")
    hint = Text("See reason; try again later.", "Voir reason ; réessayez plus tard.")

    def __init__(self, reason: str) -> None:
        """`reason` is one word of ours, such as ``timeout`` or ``status_404``."""
        super().__init__(reason=reason)
        self.reason = reason


class UrlTooLarge(Invalid):
    """More bytes than were wanted; told at the first byte too many."""

    code = "url_too_large"
    text = Text("What is at this address is too large.", "Le contenu de cette adresse est trop volumineux.")
    hint = Text("Give the address of something smaller.", "Donnez l'adresse d'un contenu plus petit.")
