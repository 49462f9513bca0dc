"""Settings, secrets and logs, as every command needs them first; and the gateway, as most need it next."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from passerelle.errors import Misconfigured

if TYPE_CHECKING:
    from passerelle.client import Client
    from passerelle.redaction import Redactor
    from passerelle.settings import Settings


def prepare(*, quiet: bool = False, **given: Any) -> "tuple[Settings, Redactor]":
    """The settings, `given` ones first, and what keeps their secrets out of the logs; `quiet`: logs go to a file.

    Raises:
        Misconfigured: a setting is wrong, or that file cannot be written.
    """
    from passerelle.logs import set_up_logs  # noqa: PLC0415 -- 0.1 s
    from passerelle.settings import read_settings  # noqa: PLC0415 -- 0.3 s

    hand_on_standard()
    settings = read_settings(**given)
    redactor = redactor_of(settings)
    try:
        set_up_logs(redactor, as_json=settings.json_logs, to=settings.data_dir / "passerelle.log" if quiet else None)
    except OSError as error:
        raise Misconfigured(f"PASSERELLE_DATA_DIR cannot be used as a folder: {error.strerror}.") from None
    return settings, redactor


def ask(do: "Callable[[Client], int]") -> NoReturn:
    """Do it with the running gateway, or one of our own, and end with its exit code."""
    from passerelle.cli.reach import with_gateway  # noqa: PLC0415 -- 0.3 s

    sys.exit(with_gateway(*prepare(quiet=True), do))


def hand_on_standard() -> None:
    """What ``.env`` says of OpenTelemetry goes into the environment, the only place where its library reads."""
    if not Path(".env").is_file():
        return
    from dotenv import dotenv_values  # noqa: PLC0415 -- the settings need it too

    try:
        told = dotenv_values(".env")
    except (OSError, UnicodeDecodeError):  # the settings say what is wrong with it
        return
    for name, value in told.items():
        if name.startswith("OTEL_") and value:
            os.environ.setdefault(name, value)


def on_known_port(settings: "Settings") -> "Settings":
    """Port 0 means any that is free: chosen before the start, so that links and what is printed name it."""
    from passerelle.listening import tcp_socket  # noqa: PLC0415 -- only those who listen need it

    if settings.port:
        return settings
    with tcp_socket(settings.host, 0) as probe:
        return settings.model_copy(update={"port": probe.getsockname()[1]})


def redactor_of(settings: "Settings") -> "Redactor":
    """What knows every secret of the settings."""
    from passerelle.db.url import password_of  # noqa: PLC0415 -- 0.1 s
    from passerelle.redaction import Redactor  # noqa: PLC0415 -- the same

    given = [settings.text(name) for name in type(settings).model_fields if _is_secret(settings, name)]
    secrets = (password_of(value) if "://" in value else value for value in [*given, *settings.earlier_keys])
    return Redactor(secret for secret in secrets if secret)


def _is_secret(settings: "Settings", name: str) -> bool:
    from pydantic import SecretStr  # noqa: PLC0415 -- as above

    return isinstance(getattr(settings, name), SecretStr)
