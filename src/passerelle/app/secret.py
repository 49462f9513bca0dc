"""The keys that sign what strangers bring back, and seal what is kept: one of today, others of before."""

import os
import secrets

from passerelle.errors import Misconfigured
from passerelle.settings import Settings

FILE = "secret.key"


def secret_keys(settings: Settings) -> tuple[str, ...]:
    """The key that seals and signs, then those that only open and verify what is older.

    The first is ``PASSERELLE_SECRET_KEY``, else one that is made once and kept in the data directory (0600). A kept one
    goes on opening what it sealed after a key was set.

    Raises:
        Misconfigured: none is set, and none can be read or made.
    """
    set_now = settings.secret("secret_key")
    kept = (_left(settings) if set_now else None,)
    keys = (set_now or _kept(settings), *settings.earlier_keys, *kept)
    return tuple(dict.fromkeys(key for key in keys if key))


def _left(settings: Settings) -> str | None:
    """The key that was made before one was set."""
    try:
        return (settings.data_dir / FILE).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"The key in {FILE} of the data directory cannot be read: {error.strerror}.") from None


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
