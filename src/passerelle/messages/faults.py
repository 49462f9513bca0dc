"""What a request for a message can have wrong."""

from passerelle.errors import Invalid, NotFound, Text


class NobodySpeaks(Invalid):
    """Neither or both of the two ways to say whose phone says it."""

    code = "invalid_sender"
    text = Text(
        "Exactly one of user_id and session_id is needed.", "Il faut user_id ou session_id, et un seul des deux."
    )
    hint = Text("user_id is your own id of the user.", "user_id est votre propre identifiant de l'utilisateur.")


class InvalidRecipient(Invalid):
    """Not a number that a message could go to."""

    code = "invalid_recipient"
    text = Text("to must be a phone number.", "to doit être un numéro de téléphone.")
    hint = Text(
        "Write it in the international form, for instance +33 6 39 98 00 01.",
        "Écrivez-le sous la forme internationale, par exemple +33 6 39 98 00 01.",
    )


class InvalidContent(Invalid):
    """The parts do not make a message of that type."""

    code = "invalid_content"
    text = Text("This is not a complete message of its type.", "Ce message est incomplet pour son type.")
    hint = Text(
        "text needs text; media types need media_url; template needs template; status needs text or media_url.",
        "text demande text ; les médias demandent media_url ; template demande template ; status, text ou media_url.",
    )


class InvalidSchedule(Invalid):
    """A time that has passed long ago, or is too far away."""

    code = "invalid_send_at"
    text = Text("send_at is too late already, or too far away.", "send_at est déjà trop tard, ou trop loin.")
    hint = Text("Choose a time within the next year.", "Choisissez un moment dans l'année qui vient.")


class UnknownMedia(NotFound):
    """No file of this client has that id."""

    code = "media_not_found"
    text = Text("There is no such media.", "Ce média n'existe pas.")
    hint = Text("Send media_url instead.", "Envoyez plutôt media_url.")
