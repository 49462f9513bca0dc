"""What is said at the start about settings that are wrong."""

import structlog

from passerelle.db.url import is_postgres
from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.redis_link import RedisSetting
from passerelle.settings import Settings

SANDBOX_IN_PRODUCTION = Finding(
    id="SANDBOX_IN_PRODUCTION",
    level=Level.WARNING,
    what=Text(
        "The provider is the SANDBOX: nothing reaches WhatsApp.",
        "Le fournisseur est le bac à sable (SANDBOX) : rien n'atteint WhatsApp.",
    ),
    cause=Text(
        "PASSERELLE_ENV is production and PASSERELLE_PROVIDER is sandbox.",
        "PASSERELLE_ENV vaut production et PASSERELLE_PROVIDER vaut sandbox.",
    ),
    fix=Text(
        "Name a real provider, or set PASSERELLE_ENV=local.", "Choisissez un vrai fournisseur, ou PASSERELLE_ENV=local."
    ),
)
REDIS_MISSING_IN_PRODUCTION = Finding(
    id="REDIS_MISSING_IN_PRODUCTION",
    level=Level.WARNING,
    what=Text(
        "Production runs without Redis: records live in SQL or in files, and nothing is announced between processes.",
        "La production tourne sans Redis : tout vit en SQL ou en fichiers, rien n'est annoncé entre processus.",
    ),
    cause=Text(
        "PASSERELLE_ENV is production, and REDIS_URL (or REDIS_HOST, KV_REST_API_URL) is not set.",
        "PASSERELLE_ENV vaut production, et REDIS_URL (ou REDIS_HOST, KV_REST_API_URL) n'est pas défini.",
    ),
    fix=Text(
        "Set REDIS_URL; or PASSERELLE_ENV=local where Redis is not wanted.",
        "Définissez REDIS_URL ; ou PASSERELLE_ENV=local si Redis n'est pas voulu.",
    ),
)
SETTING_WRONG = Finding(
    id="SETTING_WRONG",
    level=Level.ERROR,
    what=Text("A setting is wrong.", "Un réglage est faux."),
    cause=Text(
        "Its value is none that it can have; the gateway does not start with it.",
        "Sa valeur n'est pas admise ; la passerelle ne démarre pas ainsi.",
    ),
    fix=Text(
        "Correct it in the environment or in .env; docs/settings.md lists what each may be.",
        "Corrigez-le dans l'environnement ou dans .env ; docs/settings.md liste les valeurs admises.",
    ),
)
SECRET_KEY_WEAK = Finding(
    id="SECRET_KEY_WEAK",
    level=Level.WARNING,
    what=Text("PASSERELLE_SECRET_KEY can be guessed.", "PASSERELLE_SECRET_KEY peut être devinée."),
    cause=Text(
        "It, or a fallback, has fewer than 24 characters or fewer than 8 different ones; links show who guesses right.",
        "Elle, ou une clé de secours, a moins de 24 caractères, ou moins de 8 différents ; un lien confirme un essai.",
    ),
    fix=Text(
        "Make a new one (openssl rand -base64 32), make the weak one a fallback, run: passerelle secrets rotate, and"
        " take it away when PASSERELLE_LINK_TTL is over.",
        "Créez-en une (openssl rand -base64 32), mettez la faible en secours, lancez : passerelle secrets rotate, et"
        " retirez-la une fois PASSERELLE_LINK_TTL écoulé.",
    ),
)
SECRET_KEY_MADE = Finding(
    id="SECRET_KEY_MADE",
    level=Level.WARNING,
    what=Text(
        "The database can be shared by several machines, the secret key cannot.",
        "La base peut être partagée entre machines, la clé secrète non.",
    ),
    cause=Text(
        "PASSERELLE_SECRET_KEY is not set: each data directory makes a key of its own, that no other machine knows.",
        "PASSERELLE_SECRET_KEY n'est pas définie : chaque répertoire de données crée sa clé, inconnue des autres.",
    ),
    fix=Text(
        "Set PASSERELLE_SECRET_KEY to what is in secret.key of the first machine, the same on all of them.",
        "Mettez dans PASSERELLE_SECRET_KEY le contenu de secret.key de la première machine, partout la même.",
    ),
)
LEAST_KEY, LEAST_DIFFERENT = 24, 8  # 16 random bytes in base64; "aaaa…" is long enough and no key
SANDBOX = Finding(
    id="PROVIDER_SANDBOX",
    level=Level.OK,
    what=Text(
        "The provider is the SANDBOX: nothing reaches WhatsApp.",
        "Le fournisseur est le bac à sable (SANDBOX) : rien n'atteint WhatsApp.",
    ),
)
CRITICAL = frozenset({REDIS_MISSING_IN_PRODUCTION.id})
log = structlog.get_logger()


def findings_of(settings: Settings, setting: RedisSetting) -> tuple[Finding, ...]:
    """What these settings have wrong, for where they are used."""
    found = tuple(finding for finding in setting.findings if finding.id != "REDIS_URL_MISSING")
    found += _of_keys(settings)
    if settings.env == "local":
        return found
    missing = () if setting.configured else (REDIS_MISSING_IN_PRODUCTION,)
    pretended = (SANDBOX_IN_PRODUCTION,) if settings.provider_name == "sandbox" else ()
    return found + missing + pretended


def _of_keys(settings: Settings) -> tuple[Finding, ...]:
    """What is wrong with the gateway's own keys, as far as they are set."""
    ours = settings.secret("secret_key")
    keys = (*([ours] if ours else ()), *settings.earlier_keys)
    weak = any(len(key) < LEAST_KEY or len(set(key)) < LEAST_DIFFERENT for key in keys)
    apart = ours is None and settings.env == "production" and is_postgres(settings.secret("database_url"))
    return (*((SECRET_KEY_WEAK,) if weak else ()), *((SECRET_KEY_MADE,) if apart else ()))


def report(findings: tuple[Finding, ...]) -> None:
    """Say each in one line."""
    for finding in findings:
        say = log.error if finding.level is Level.ERROR else log.warning
        sign = "❌" if finding.level is Level.ERROR else "⚠️"
        if finding.level is Level.OK:
            say, sign = log.info, "ℹ️"
        if finding.id in CRITICAL:
            say, sign = log.critical, "⚠️ CRITICAL:"
        say(f"{sign} {finding.what.en}", finding=finding.id, cause=finding.cause.en, fix=finding.fix.en)
