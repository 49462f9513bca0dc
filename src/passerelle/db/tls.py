"""Why PostgreSQL is not trusted, or does not trust us: named from what the driver says."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Misconfigured, Text

DB_TLS_CA = Finding(
    id="DB_TLS_CA",
    level=Level.ERROR,
    what=Text("The certificate of PostgreSQL is not trusted.", "Le certificat de PostgreSQL n'est pas reconnu."),
    cause=Text(
        "It is signed by another authority than the one that sslrootcert in DATABASE_URL names.",
        "Il est signé par une autre autorité que celle que sslrootcert désigne dans DATABASE_URL.",
    ),
    fix=Text(
        "Write sslrootcert=/path/ca.pem with the authority of that server, or sslrootcert=system where it is a public"
        " one; never take the verification away.",
        "Écrivez sslrootcert=/chemin/ca.pem avec l'autorité de ce serveur, ou sslrootcert=system si elle est publique ;"
        " ne désactivez jamais la vérification.",
    ),
)
DB_TLS_NAME = Finding(
    id="DB_TLS_NAME",
    level=Level.ERROR,
    what=Text(
        "The certificate of PostgreSQL is for another host name.",
        "Le certificat de PostgreSQL porte un autre nom d'hôte.",
    ),
    cause=Text(
        "The host in DATABASE_URL does not stand in the certificate (an address or an alias is used), or it is another"
        " server.",
        "L'hôte dans DATABASE_URL ne figure pas dans le certificat (adresse ou alias), ou c'est un autre serveur.",
    ),
    fix=Text(
        "Use the name that stands in the certificate, or have one made for this name.",
        "Utilisez le nom inscrit dans le certificat, ou faites-en établir un pour ce nom.",
    ),
)
DB_TLS_EXPIRED = Finding(
    id="DB_TLS_EXPIRED",
    level=Level.ERROR,
    what=Text("The certificate of PostgreSQL is out of date.", "Le certificat de PostgreSQL n'est plus à jour."),
    cause=Text(
        "It has expired, or is not valid yet by the clock of this machine.",
        "Il a expiré, ou n'est pas encore valable d'après l'horloge de cette machine.",
    ),
    fix=Text(
        "Renew the certificate of the server, and look at the clock of this machine.",
        "Renouvelez le certificat du serveur, et vérifiez l'horloge de cette machine.",
    ),
)
DB_TLS_FILE = Finding(
    id="DB_TLS_FILE",
    level=Level.ERROR,
    what=Text(
        "A file of certificates for PostgreSQL cannot be used.",
        "Un fichier de certificats pour PostgreSQL est inutilisable.",
    ),
    cause=Text(
        "It is missing, cannot be read by this user, is no PEM, or key and certificate do not belong together.",
        "Il manque, est illisible pour cet utilisateur, n'est pas en PEM, ou clé et certificat ne vont pas ensemble.",
    ),
    fix=Text(
        "Correct sslrootcert, sslcert and sslkey in DATABASE_URL; without sslrootcert it is ~/.postgresql/root.crt.",
        "Corrigez sslrootcert, sslcert et sslkey dans DATABASE_URL ; sans sslrootcert c'est ~/.postgresql/root.crt.",
    ),
)
DB_TLS_MISSING = Finding(
    id="DB_TLS_MISSING",
    level=Level.ERROR,
    what=Text("PostgreSQL does not speak TLS here.", "PostgreSQL ne parle pas TLS ici."),
    cause=Text(
        "sslmode in DATABASE_URL wants TLS, and the server (or a pooler before it) has it switched off.",
        "sslmode dans DATABASE_URL exige TLS, et le serveur (ou un pooler devant lui) ne l'a pas activé.",
    ),
    fix=Text(
        "Set ssl=on with a certificate on the server, or use the port that has it.",
        "Mettez ssl=on avec un certificat sur le serveur, ou utilisez le port qui l'offre.",
    ),
)
DB_TLS_CLIENT_CERT = Finding(
    id="DB_TLS_CLIENT_CERT",
    level=Level.ERROR,
    what=Text("PostgreSQL wants another client certificate.", "PostgreSQL demande un autre certificat client."),
    cause=Text(
        "None is named in DATABASE_URL, it is for another user, or its authority is not the server's.",
        "Aucun n'est indiqué dans DATABASE_URL, il est pour un autre utilisateur, ou son autorité n'est pas celle du"
        " serveur.",
    ),
    fix=Text(
        "Add sslcert=/path/client.pem&sslkey=/path/client.key, made for the user that DATABASE_URL names.",
        "Ajoutez sslcert=/chemin/client.pem&sslkey=/chemin/client.key, établis pour l'utilisateur de DATABASE_URL.",
    ),
)
# In this order: a name that does not fit is told as a failed verification too.
_BY_TEXT = tuple(
    (re.compile(text, re.IGNORECASE), finding)
    for text, finding in (
        (r"hostname mismatch|IP address mismatch|not valid for", DB_TLS_NAME),
        (r"certificate (has expired|is not yet valid)", DB_TLS_EXPIRED),
        (r"CERTIFICATE_VERIFY_FAILED", DB_TLS_CA),
        (r"rejected SSL upgrade", DB_TLS_MISSING),
        (r"valid client certificate|certificate authentication failed|certificate[ _]required", DB_TLS_CLIENT_CERT),
        (r"ALERT_UNKNOWN_CA|alert (unknown ca|bad certificate)", DB_TLS_CLIENT_CERT),
        (
            r"root certificate file|No such file or directory|Permission denied|\[X509|KEY_VALUES_MISMATCH|PEM",
            DB_TLS_FILE,
        ),
    )
)


class DatabaseUntrusted(Misconfigured):
    """A connection that TLS does not allow; there is never one without verification instead."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"DATABASE_URL: {finding.what.en} {finding.cause.en} {finding.fix.en}")
        self.finding = finding


def tls_fault(error: BaseException | None, files: Mapping[str, str]) -> DatabaseUntrusted | None:
    """What of TLS is behind `error`, if anything is; `files` are those that the address names."""
    text = str(error)
    found = next((finding for pattern, finding in _BY_TEXT if pattern.search(text)), None)
    if found is None or (found is DB_TLS_FILE and not files and "certificate" not in text):
        return None
    missing = ", ".join(name for name, path in files.items() if name != "sslmode" and not _is_readable(path))
    return DatabaseUntrusted(replace(found, evidence=missing))


def _is_readable(path: str) -> bool:
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return False
