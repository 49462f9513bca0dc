"""What only linked devices can go wrong with."""

from passerelle.errors import Invalid, NotFound, Text


class UnknownDevice(NotFound):
    """The device store has no such device."""

    code = "unknown_device"
    text = Text("This gateway has no such linked device.", "Cette passerelle n'a pas cet appareil lié.")
    hint = Text("Link the phone again.", "Liez à nouveau le téléphone.")


class UnreadableKeys(Invalid):
    """Not the keys of a device, or of a device store of another make."""

    code = "unreadable_keys"
    text = Text("These are not the keys of a linked device.", "Ce ne sont pas les clés d'un appareil lié.")
    hint = Text(
        "Use what `passerelle sessions export` wrote, with the same version of neonize.",
        "Utilisez ce qu'a écrit `passerelle sessions export`, avec la même version de neonize.",
    )
