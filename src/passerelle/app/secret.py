"""The key that signs what strangers bring back."""

import os
import secrets

from passerelle.errors import Misconfigured
from passerelle.settings import Settings

FILE = "secret.key"


def secret_key(settings: Settings) -> str:
    """``PASSERELLE_SECRET_KEY``, else one that is made once and kept in the data directory (0600).

    Raises:
        Misconfigured: it can neither be read nor made.
    """
    return settings.secret("secret_key") or _kept(settings)


def _kept(settings: Settings) -> str:
    path = settings.data_dir / FILE
    try:
        fresh = path.with_name(f"{FILE}.{os.getpid()}")
        fresh.touch(0o600)
        fresh.write_text(secrets.token_urlsafe(32))
        try:
            os.link(fresh, path)  # whole or not at all, and never over one that another process made
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise Misconfigured(f"The key in {FILE} of the data directory cannot be had: {error.strerror}.") from None
