"""Why there is no backup, or why one is not put back."""

from passerelle.errors import Conflict, Invalid, NotFound, PasserelleError, Text, Unavailable


class _Detailed(PasserelleError):
    """Says what it is about."""

    def __init__(self, detail: str = "") -> None:
        """`detail` is shown behind the sentence."""
        super().__init__(detail=detail)
        self.detail = detail


class NothingHere(_Detailed, NotFound):
    """There is no database yet."""

    code = "nothing_to_copy"
    text = Text("There is nothing to copy here.", "Il n'y a rien à copier ici.")
    hint = Text(
        "Look at PASSERELLE_DATA_DIR and DATABASE_URL: no gateway has worked there.",
        "Vérifiez PASSERELLE_DATA_DIR et DATABASE_URL : aucune passerelle n'y a travaillé.",
    )


class SourceDamaged(_Detailed, Unavailable):
    """The database that was to be copied cannot be read to its end."""

    code = "source_damaged"
    text = Text("The database is damaged; nothing was written.", "La base est endommagée ; rien n'a été écrit.")
    hint = Text("Run: passerelle doctor. Keep your last backup.", "Lancez : passerelle doctor. Gardez la sauvegarde.")


class CannotRead(_Detailed, Unavailable):
    """The disk, or a lock, does not let us read."""

    code = "cannot_read"
    text = Text("The database cannot be read just now.", "La base est illisible pour le moment.")
    hint = Text("Look at the disk and the rights of the file.", "Vérifiez le disque et les droits du fichier.")


class NotWhole(_Detailed, Invalid):
    """No backup or export, or not all of one, or one that was changed."""

    code = "copy_damaged"
    text = Text(
        "The file is not whole, or not what it should be; nothing was changed.",
        "Le fichier est incomplet ou altéré ; rien n'a été modifié.",
    )
    hint = Text("Copy it again from where it came, or use another one.", "Recopiez-le, ou utilisez-en un autre.")


class MadeByNewer(_Detailed, Invalid):
    """A later version of Passerelle made it."""

    code = "copy_newer"
    text = Text("The file was made by a newer version of Passerelle.", "Le fichier vient d'une version plus récente.")
    hint = Text("Install that version, or a later one.", "Installez cette version, ou une plus récente.")


class OtherDatabase(_Detailed, Invalid):
    """A backup of SQLite for PostgreSQL, or the other way round."""

    code = "other_database"
    text = Text("The backup is of another sort of database.", "La sauvegarde vient d'un autre type de base.")
    hint = Text(
        "Set DATABASE_URL as it was. From one sort to the other: passerelle export and import.",
        "Remettez DATABASE_URL comme avant. D'un type à l'autre : passerelle export et import.",
    )


class OtherKey(_Detailed, Invalid):
    """None of the keys that are configured sealed it."""

    code = "other_key"
    text = Text(
        "What is inside is sealed with another PASSERELLE_SECRET_KEY.",
        "Le contenu est scellé avec une autre PASSERELLE_SECRET_KEY.",
    )
    hint = Text(
        "Set that key, or put its secret.key into the data directory, and try again.",
        "Définissez cette clé, ou remettez son secret.key dans le répertoire de données, puis recommencez.",
    )


class NotEmpty(_Detailed, Conflict):
    """There are data already; they are never overwritten."""

    code = "not_empty"
    text = Text("There are data already; nothing was changed.", "Il y a déjà des données ; rien n'a été modifié.")
    hint = Text(
        "Move the data directory aside, or let DATABASE_URL name an empty database.",
        "Déplacez le répertoire de données, ou donnez une base vide à DATABASE_URL.",
    )


class GatewayRuns(_Detailed, Conflict):
    """A gateway works there."""

    code = "gateway_runs"
    text = Text("A gateway is running there; nothing was changed.", "Une passerelle y tourne ; rien n'a été modifié.")
    hint = Text("Stop it first.", "Arrêtez-la d'abord.")


class ToolMissing(_Detailed, Unavailable):
    """A program of PostgreSQL is not installed."""

    code = "tool_missing"
    text = Text("A program of PostgreSQL is missing here.", "Un programme de PostgreSQL manque ici.")
    hint = Text(
        "Install postgresql-client, at least as new as the server.",
        "Installez postgresql-client, au moins aussi récent que le serveur.",
    )


class ToolTooOld(_Detailed, Unavailable):
    """pg_dump reads no server that is newer than itself."""

    code = "tool_too_old"
    text = Text(
        "The programs of PostgreSQL here are too old for that.", "Les programmes PostgreSQL d'ici sont trop anciens."
    )
    hint = ToolMissing.hint


class ToolFailed(_Detailed, Unavailable):
    """pg_dump or pg_restore said no."""

    code = "tool_failed"
    text = Text("A program of PostgreSQL failed.", "Un programme de PostgreSQL a échoué.")
    hint = Text("Its own words say why.", "Ses propres mots disent pourquoi.")


class CannotWrite(_Detailed, Unavailable):
    """The disk says no."""

    code = "cannot_write"
    text = Text("A file cannot be written, or put in its place.", "Un fichier ne peut être écrit ou mis en place.")
    hint = Text("Make room there, or choose another place.", "Libérez de la place, ou choisissez un autre endroit.")
