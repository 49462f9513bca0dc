"""Which stores of media the settings name, without opening one."""

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.media.model import StoreName
from passerelle.settings import Settings

CLOUDINARY = ("cloudinary_cloud_name", "cloudinary_api_key", "cloudinary_api_secret")
SUPABASE = ("supabase_url", "supabase_service_key", "supabase_bucket")
S3 = ("s3_bucket", "s3_access_key_id", "s3_secret_access_key")
# What each needs, in the order of trying (MISSION B1); the local disk needs nothing and comes last.
NEEDED = {StoreName.CLOUDINARY: CLOUDINARY, StoreName.SUPABASE: SUPABASE, StoreName.S3: S3}


def missing(settings: Settings, names: tuple[str, ...]) -> list[str]:
    """Those of `names` that are not set, as an operator writes them."""
    return [name.upper() for name in names if not settings.text(name)]


def store_names(settings: Settings) -> list[StoreName]:
    """The configured stores in the order of trying."""
    return [*(store for store, names in NEEDED.items() if not missing(settings, names)), StoreName.LOCAL]


def media_findings(settings: Settings) -> tuple[Finding, ...]:
    """Settings of a store that are set in part only: the store is then not used (MISSION B5)."""
    return tuple(
        _partial(store.value.capitalize(), lacking)
        for store, names in NEEDED.items()
        if (lacking := missing(settings, names)) and len(lacking) < len(names)
    )


def _partial(store: str, lacking: list[str]) -> Finding:
    names = ", ".join(lacking)
    return Finding(
        id=f"{store.upper()}_PARTIAL",
        level=Level.WARNING,
        what=Text(
            f"{store} is configured in part only and is not used.", f"{store} n'est configuré qu'en partie : inutilisé."
        ),
        cause=Text(f"Not set: {names}.", f"Non défini : {names}."),
        fix=Text(f"Set {names}, or take the others away.", f"Définissez {names}, ou retirez les autres."),
        evidence=names,
    )
