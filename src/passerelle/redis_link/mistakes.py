"""Every way to write the setting of Redis wrongly, as findings (reference/redis.md §4.5). No text quotes the value."""

from typing import NamedTuple

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.redis_link.rest_mistakes import REST_MISTAKES

FORM = "redis://default:PASSWORD@host:6379/0"


class _Mistake(NamedTuple):
    level: Level
    what: Text
    cause: Text
    fix: Text


def _error(what: Text, cause: Text, fix: Text) -> _Mistake:
    return _Mistake(Level.ERROR, what, cause, fix)


def _warning(what: Text, cause: Text, fix: Text) -> _Mistake:
    return _Mistake(Level.WARNING, what, cause, fix)


# By finding id and, where one id has several forms, the form.
MISTAKES: dict[tuple[str, str], _Mistake] = {
    ("REDIS_URL_MISSING", ""): _Mistake(
        Level.SKIPPED,
        Text("Redis is not configured.", "Redis n'est pas configuré."),
        Text("REDIS_URL (or REDIS_HOST) is not set.", "REDIS_URL (ou REDIS_HOST) n'est pas réglée."),
        Text(
            f"Set REDIS_URL={FORM} if you want Redis; without it records live in SQL or in files.",
            f"Réglez REDIS_URL={FORM} si vous voulez Redis ; sans elle, les données vont en SQL ou en fichiers.",
        ),
    ),
    ("REDIS_URL_EMPTY", ""): _error(
        Text("The setting of Redis is there but empty.", "Le réglage de Redis existe mais il est vide."),
        Text(
            "REDIS_URL or REDIS_HOST is set to nothing, often because a secret was not filled in.",
            "REDIS_URL ou REDIS_HOST est vide, souvent parce qu'un secret n'a pas été rempli.",
        ),
        Text(
            f"Fill it in (REDIS_URL={FORM}), or take the variable away.",
            f"Remplissez-la (REDIS_URL={FORM}), ou retirez la variable.",
        ),
    ),
    ("REDIS_URL_SPACES", "around"): _warning(
        Text(
            "REDIS_URL has spaces or a line end around it; they were ignored.",
            "REDIS_URL est entourée d'espaces ou d'un saut de ligne ; ils ont été ignorés.",
        ),
        Text("It was copied with a space or a newline.", "Elle a été copiée avec une espace ou un saut de ligne."),
        Text(
            "Take them away: other programs that read the same variable may fail.",
            "Retirez-les : d'autres programmes qui lisent cette variable peuvent échouer.",
        ),
    ),
    ("REDIS_URL_SPACES", "inside"): _error(
        Text("REDIS_URL has a space or a line break inside.", "REDIS_URL contient une espace ou un saut de ligne."),
        Text(
            "It was broken over two lines or mistyped when it was copied.",
            "Elle a été coupée sur deux lignes ou mal recopiée.",
        ),
        Text(
            "Write it in one piece; a space that belongs to the password is written %20.",
            "Écrivez-la d'un seul tenant ; une espace du mot de passe s'écrit %20.",
        ),
    ),
    ("REDIS_URL_QUOTED", ""): _warning(
        Text(
            "REDIS_URL has quotes around it; they were ignored.",
            "REDIS_URL est entre guillemets ; ils ont été ignorés.",
        ),
        Text(
            "Docker's --env-file, systemd and most dashboards keep quotes as part of the value.",
            "Docker (--env-file), systemd et la plupart des tableaux de bord gardent les guillemets dans la valeur.",
        ),
        Text("Write the value without quotes.", "Écrivez la valeur sans guillemets."),
    ),
    ("REDIS_URL_SCHEME", "none"): _error(
        Text(
            "REDIS_URL does not begin with redis:// or rediss://.",
            "REDIS_URL ne commence pas par redis:// ou rediss://.",
        ),
        Text(
            "Only host and port were written, or the beginning was lost when it was copied.",
            "Seuls l'hôte et le port sont écrits, ou le début a été perdu à la copie.",
        ),
        Text(f"Write {FORM} (rediss:// for TLS).", f"Écrivez {FORM} (rediss:// pour TLS)."),
    ),
    ("REDIS_URL_SCHEME", "http"): _error(
        Text("REDIS_URL is a web address.", "REDIS_URL est une adresse web."),
        Text(
            "This is the address of the provider's REST interface, not of Redis itself.",
            "C'est l'adresse de l'interface REST de l'hébergeur, pas celle de Redis.",
        ),
        Text(
            "Set KV_REST_API_URL and KV_REST_API_TOKEN to it, or copy the address that begins with redis:// or rediss://.",
            "Mettez-la dans KV_REST_API_URL avec KV_REST_API_TOKEN, ou copiez celle en redis:// ou rediss://.",
        ),
    ),
    ("REDIS_URL_SCHEME", "tls"): _error(
        Text(
            "REDIS_URL begins with a name for TLS that is not known here.",
            "REDIS_URL commence par un nom de TLS inconnu ici.",
        ),
        Text(
            "Some programs write redis+tls:// or valkeys:// for what is called rediss:// here.",
            "Certains programmes écrivent redis+tls:// ou valkeys:// pour ce qui s'appelle ici rediss://.",
        ),
        Text("Write rediss:// instead.", "Écrivez rediss:// à la place."),
    ),
    ("REDIS_URL_SCHEME", "other"): _error(
        Text(
            "REDIS_URL begins with something else than redis:// or rediss://.",
            "REDIS_URL commence par autre chose que redis:// ou rediss://.",
        ),
        Text(
            "It is the address of another service, or another name for redis:// (valkey:// for instance).",
            "C'est l'adresse d'un autre service, ou un autre nom de redis:// (valkey:// par exemple).",
        ),
        Text("Write redis:// (or rediss:// for TLS).", "Écrivez redis:// (ou rediss:// pour TLS)."),
    ),
    ("REDIS_URL_HOST", ""): _error(
        Text("REDIS_URL names no host.", "REDIS_URL ne nomme aucun hôte."),
        Text(
            "The part between // (or @) and the port is empty, or // is missing; drivers silently take localhost then.",
            "Rien entre // (ou @) et le port, ou // manque ; les pilotes prennent alors localhost sans rien dire.",
        ),
        Text(f"Write the host: {FORM}.", f"Écrivez l'hôte : {FORM}."),
    ),
    ("REDIS_URL_HOST", "chars"): _error(
        Text("The host in REDIS_URL is not a host name.", "L'hôte de REDIS_URL n'est pas un nom d'hôte."),
        Text(
            "It holds a character that no host name has, an empty part, or an IPv6 address without brackets.",
            "Il contient un caractère interdit, une partie vide, ou une adresse IPv6 sans crochets.",
        ),
        Text("Correct the name; write an IPv6 address as [::1].", "Corrigez le nom ; une adresse IPv6 s'écrit [::1]."),
    ),
    ("REDIS_URL_HOST", "parts"): _error(
        Text(
            "REDIS_PORT or REDIS_PASSWORD is set, but REDIS_HOST is not.",
            "REDIS_PORT ou REDIS_PASSWORD est réglée, mais pas REDIS_HOST.",
        ),
        Text(
            "The host was forgotten; localhost is never assumed.",
            "L'hôte a été oublié ; localhost n'est jamais supposé.",
        ),
        Text("Set REDIS_HOST, or REDIS_URL with all of it.", "Réglez REDIS_HOST, ou REDIS_URL avec le tout."),
    ),
    ("REDIS_URL_HOST", "url"): _error(
        Text("REDIS_HOST holds more than a host name.", "REDIS_HOST contient plus qu'un nom d'hôte."),
        Text(
            "A whole address was written where only the name of the host belongs.",
            "Une adresse entière est écrite là où seul le nom de l'hôte a sa place.",
        ),
        Text(
            "Put the address into REDIS_URL, or only the host into REDIS_HOST.",
            "Mettez l'adresse dans REDIS_URL, ou seulement l'hôte dans REDIS_HOST.",
        ),
    ),
    ("REDIS_URL_PORT", ""): _error(
        Text(
            "The port of Redis is not a number from 1 to 65535.", "Le port de Redis n'est pas un nombre de 1 à 65535."
        ),
        Text(
            "It was mistyped, or the password holds a character that must be percent-encoded.",
            "Il est mal écrit, ou le mot de passe contient un caractère à encoder en %XX.",
        ),
        Text("Write the port as a number, usually 6379.", "Écrivez le port en chiffres, en général 6379."),
    ),
    ("REDIS_URL_TEMPLATE", ""): _error(
        Text("REDIS_URL still holds a placeholder.", "REDIS_URL contient encore un champ à remplacer."),
        Text(
            "A reference such as ${REDIS_URL}, ${{REDISHOST}} or <password> was not replaced by its value.",
            "Une référence comme ${REDIS_URL}, ${{REDISHOST}} ou <password> n'a pas été remplacée par sa valeur.",
        ),
        Text(
            "Put the real value in, or correct the reference to the other variable.",
            "Mettez la vraie valeur, ou corrigez la référence à l'autre variable.",
        ),
    ),
    ("REDIS_URL_PASSWORD_CHARS", ""): _error(
        Text(
            "The password in REDIS_URL holds a character that ends it early.",
            "Le mot de passe dans REDIS_URL contient un caractère qui le coupe.",
        ),
        Text(
            "The characters # / ? [ ] mean something else in an address.",
            "Les caractères # / ? [ ] ont un autre sens dans une adresse.",
        ),
        Text(
            "Percent-encode them: # is %23, / is %2F, ? is %3F, [ is %5B, ] is %5D.",
            "Encodez-les : # s'écrit %23, / %2F, ? %3F, [ %5B, ] %5D.",
        ),
    ),
    ("REDIS_URL_MALFORMED", "command"): _error(
        Text("REDIS_URL holds a whole command.", "REDIS_URL contient une commande entière."),
        Text(
            "The line with redis-cli was copied from the provider's page.",
            "La ligne redis-cli a été copiée de la page de l'hébergeur.",
        ),
        Text(
            "Keep only the part that begins with redis:// or rediss://.",
            "Gardez seulement ce qui commence par redis:// ou rediss://.",
        ),
    ),
    ("REDIS_URL_MALFORMED", "name"): _error(
        Text(
            "The value of REDIS_URL begins with the name of a variable.",
            "La valeur de REDIS_URL commence par le nom d'une variable.",
        ),
        Text(
            "A whole line of an .env file was pasted as the value.",
            "Une ligne entière d'un fichier .env a été collée comme valeur.",
        ),
        Text("Keep only what stands after the equals sign.", "Gardez seulement ce qui suit le signe égal."),
    ),
    ("REDIS_URL_MALFORMED", "slashes"): _error(
        Text("REDIS_URL lacks the two slashes after redis:", "Il manque les deux barres après redis: dans REDIS_URL."),
        Text(
            "It was mistyped; drivers silently take localhost:6379 then.",
            "Elle est mal écrite ; les pilotes prennent alors localhost:6379 sans rien dire.",
        ),
        Text(f"Write {FORM}.", f"Écrivez {FORM}."),
    ),
    ("REDIS_URL_MALFORMED", "user"): _warning(
        Text("REDIS_URL has a user but no password.", "REDIS_URL a un utilisateur mais pas de mot de passe."),
        Text(
            "If this is the password, it stands where the user belongs, and the server will refuse it.",
            "Si c'est le mot de passe, il est à la place de l'utilisateur, et le serveur le refusera.",
        ),
        Text(
            "Write :PASSWORD@ or default:PASSWORD@ before the host.",
            "Écrivez :PASSWORD@ ou default:PASSWORD@ devant l'hôte.",
        ),
    ),
    ("REDIS_URL_MALFORMED", "option"): _warning(
        Text(
            "REDIS_URL has an option that is not known here; it was ignored.",
            "REDIS_URL a une option inconnue ici ; elle a été ignorée.",
        ),
        Text(
            "Options after ? differ from one Redis client to the other.",
            "Les options après ? varient d'un client Redis à l'autre.",
        ),
        Text("Take it away; known are db, client_name and ssl_…", "Retirez-la ; sont connues db, client_name et ssl_…"),
    ),
    ("REDIS_URL_MALFORMED", "cert"): _warning(
        Text(
            "REDIS_URL writes ssl_cert_reqs in the manner of Celery; it was understood.",
            "REDIS_URL écrit ssl_cert_reqs à la manière de Celery ; c'est compris.",
        ),
        Text(
            "Celery writes CERT_NONE, CERT_OPTIONAL and CERT_REQUIRED; redis-py none, optional and required.",
            "Celery écrit CERT_NONE, CERT_OPTIONAL et CERT_REQUIRED ; redis-py none, optional et required.",
        ),
        Text("Write ssl_cert_reqs=none, optional or required.", "Écrivez ssl_cert_reqs=none, optional ou required."),
    ),
    ("REDIS_BAD_DB", ""): _error(
        Text("The database in REDIS_URL is not a number.", "La base dans REDIS_URL n'est pas un nombre."),
        Text(
            "Redis databases have numbers, not names; drivers silently take 0 then.",
            "Les bases Redis ont des numéros, pas de noms ; les pilotes prennent alors 0 sans rien dire.",
        ),
        Text("Write /0 at the end of the address.", "Écrivez /0 à la fin de l'adresse."),
    ),
}
MISTAKES |= {place: _Mistake(*words) for place, words in REST_MISTAKES.items()}


def mistake(finding_id: str, form: str = "") -> Finding:
    """The finding of this id and form."""
    level, what, cause, fix = MISTAKES[finding_id, form]
    return Finding(id=finding_id, level=level, what=what, cause=cause, fix=fix)
