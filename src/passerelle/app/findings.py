"""What is said at the start about settings that are wrong."""

import structlog

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
log = structlog.get_logger()


def findings_of(settings: Settings, setting: RedisSetting) -> tuple[Finding, ...]:
    """What these settings have wrong, for where they are used."""
    if settings.env == "local":
        return tuple(finding for finding in setting.findings if finding.id != "REDIS_URL_MISSING")
    pretended = (SANDBOX_IN_PRODUCTION,) if settings.provider_name == "sandbox" else ()
    return setting.findings + pretended


def report(findings: tuple[Finding, ...]) -> None:
    """Say each in one line."""
    for finding in findings:
        say = log.error if finding.level is Level.ERROR else log.warning
        sign = "❌" if finding.level is Level.ERROR else "⚠️"
        say(f"{sign} {finding.what.en}", finding=finding.id, cause=finding.cause.en, fix=finding.fix.en)
