"""The keys that sign what strangers bring back, and seal what is kept: one of today, others of before."""

import os
import secrets
from pathlib import Path

from passerelle.errors import Misconfigured
from passerelle.settings import Settings
from passerelle.values import why_unreadable

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


def known_keys(settings: Settings) -> tuple[str, ...]:
    """The same, where there are any: none is made."""
    left = _left(settings)
    set_now = settings.secret("secret_key")
    keys = (set_now or left, *settings.earlier_keys, left)
    return tuple(dict.fromkeys(key for key in keys if key))


def _left(settings: Settings) -> str | None:
    """The key that was made before one was set; empty where a power cut, say, has left nothing of it."""
    try:
        return (settings.data_dir / FILE).read_text("utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = why_unreadable(error)
        raise Misconfigured(f"The key in {FILE} of the data directory cannot be read: {why}.") from None


def _kept(settings: Settings) -> str:
    left = _left(settings)
    if left is None:
        _make(settings.data_dir / FILE)
        left = _left(settings)
    if not left:  # a new one would lose what the right one sealed: a person decides
        raise Misconfigured(f"{FILE} of the data directory is empty: bring it back, or remove it for a new key.")
    return left


def _make(path: Path) -> None:
    fresh = path.with_name(f"{FILE}.{os.getpid()}")
    try:
        fresh.touch(0o600)
        with fresh.open("w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # whole or not at all, and never over one that another process made
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    except OSError as error:
        raise Misconfigured(f"The key in {FILE} of the data directory cannot be had: {error.strerror}.") from None
