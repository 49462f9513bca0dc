"""Who we are for Redis: password, user, database, rights."""

from passerelle.errors import Text
from passerelle.redis_link.catalogue.model import FaultKind, Known

_AWAY = FaultKind.AWAY

LOGIN: dict[str, Known] = {
    "REDIS_NOAUTH": Known(
        _AWAY,
        Text(
            "The server asks for a password and none is set.",
            "Le serveur demande un mot de passe et aucun n'est réglé.",
        ),
        Text(
            "Write redis://default:PASSWORD@host:port or set REDIS_PASSWORD.",
            "Écrivez redis://default:PASSWORD@host:port ou réglez REDIS_PASSWORD.",
        ),
        heals=False,
    ),
    "REDIS_WRONGPASS": Known(
        _AWAY,
        Text(
            "Wrong or changed password, unknown user, or special characters that are not percent-encoded.",
            "Mot de passe faux ou changé, utilisateur inconnu, ou caractères spéciaux non encodés en %XX.",
        ),
        Text(
            "Copy the address again; percent-encode # / ? @ % [ in the password; a password alone is written"
            " :PASSWORD@.",
            "Recopiez l'adresse ; encodez # / ? @ % [ du mot de passe en %XX ; un mot de passe seul s'écrit"
            " :PASSWORD@.",
        ),
        heals=False,
    ),
    "REDIS_OPEN_SERVER": Known(
        _AWAY,
        Text(
            "A password is set here, but the server has none: it is open to anyone who reaches it.",
            "Un mot de passe est réglé ici, mais le serveur n'en a pas : il est ouvert à quiconque l'atteint.",
        ),
        Text(
            "Set a password on the server (requirepass), or take it out of the address.",
            "Mettez un mot de passe au serveur (requirepass), ou retirez-le de l'adresse.",
        ),
        heals=False,
    ),
    "REDIS_PROTECTED": Known(
        _AWAY,
        Text(
            "The server has no password and therefore refuses clients from other machines (protected mode).",
            "Le serveur n'a pas de mot de passe et refuse donc les clients d'autres machines (mode protégé).",
        ),
        Text(
            "Set a password on the server (requirepass) and use it in the address.",
            "Mettez un mot de passe au serveur (requirepass) et utilisez-le dans l'adresse.",
        ),
        heals=False,
    ),
    "REDIS_NOPERM": Known(
        FaultKind.REFUSED,
        Text(
            "The Redis user may not run this command or touch this key.",
            "L'utilisateur Redis n'a pas droit à cette commande ou à cette clé.",
        ),
        Text(
            "Give the user the command and the key pattern (ACL SETUSER … +@all ~*), or use another user.",
            "Donnez à l'utilisateur la commande et le motif de clés (ACL SETUSER … +@all ~*), ou prenez-en un autre.",
        ),
    ),
    "REDIS_BAD_DB": Known(
        _AWAY,
        Text(
            "The database number does not exist on this server (a cluster has only 0).",
            "Ce numéro de base n'existe pas sur ce serveur (un cluster n'a que la base 0).",
        ),
        Text("Write /0 at the end of the address.", "Écrivez /0 à la fin de l'adresse."),
        heals=False,
    ),
}
