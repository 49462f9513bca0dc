"""Settings, secrets and logs, as every command needs them first."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from passerelle.redaction import Redactor
    from passerelle.settings import Settings


def prepare(*, quiet: bool = False, **given: Any) -> "tuple[Settings, Redactor]":
    """The settings, `given` ones first, and what keeps their secrets out of the logs; `quiet`: logs go to a file."""
    from passerelle.logs import set_up_logs  # noqa: PLC0415 -- 0.1 s
    from passerelle.settings import read_settings  # noqa: PLC0415 -- 0.3 s

    settings = read_settings(**given)
    redactor = redactor_of(settings)
    set_up_logs(redactor, as_json=settings.json_logs, to=settings.data_dir / "passerelle.log" if quiet else None)
    return settings, redactor


def redactor_of(settings: "Settings") -> "Redactor":
    """What knows every secret of the settings."""
    from passerelle.db.url import password_of  # noqa: PLC0415 -- 0.1 s
    from passerelle.redaction import Redactor  # noqa: PLC0415 -- the same

    secrets = (
        settings.secret("admin_key"),
        settings.secret("secret_key"),
        settings.secret("redis_password"),
        settings.secret("kv_rest_api_token"),
        settings.secret("proxy"),
        password_of(settings.secret("database_url")),
    )
    return Redactor(secret for secret in secrets if secret)
