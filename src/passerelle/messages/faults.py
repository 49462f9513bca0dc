"""What a request for a message can have wrong."""

from passerelle.errors import Invalid, NotFound, Text, Unavailable


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
        "text needs text; media types media_id or media_url (one of them); template template; status text or a medium.",
        "text demande text ; les médias media_id ou media_url (un seul) ; template template ; status text ou un média.",
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
    hint = Text("Upload it first: POST /api/media.", "Téléversez-le d'abord : POST /api/media.")


class MediaWrongType(Invalid):
    """A film as an image, a picture as a sound, a medium in a text."""

    code = "media_wrong_type"
    text = Text("A medium of this kind does not fit the message.", "Un média de ce genre ne convient pas au message.")
    hint = Text(
        "image, video and audio take their own kind, document any, status an image or a video.",
        "image, video et audio prennent leur propre genre, document tous, status une image ou une vidéo.",
    )


class MediaUrlUnsupported(Unavailable):
    """Nothing here fetches what lies elsewhere."""

    code = "media_url_unsupported"
    text = Text(
        "This gateway fetches no media from addresses.", "Cette passerelle ne récupère aucun média par adresse."
    )
    hint = Text("Upload it, and send its media_id.", "Téléversez-le, et envoyez son media_id.")
