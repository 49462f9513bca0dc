"""What a gateway keeps where, for who copies it."""

from pathlib import Path

from passerelle.app.base import redis_setting
from passerelle.app.secret import known_keys
from passerelle.backup.model import Home, Places
from passerelle.db.url import SqliteTarget, read_url
from passerelle.keyring.model import key_id
from passerelle.settings import Settings
from passerelle.whatsapp.adapters.multidevice.store import FILE as DEVICES


def compose_places(settings: Settings, *, control: Path) -> Places:
    """By the settings alone, nothing is opened; `control` is the lock of a gateway that runs.

    Raises:
        Misconfigured: ``DATABASE_URL`` cannot be read, or ``secret.key``.
    """
    target = read_url(settings.secret("database_url"), data_dir=settings.data_dir)
    alone = Home.FILES if isinstance(target, SqliteTarget) else Home.SQL
    return Places(
        data_dir=settings.data_dir,
        database=target,
        devices=settings.data_dir / DEVICES,
        home=Home.REDIS if redis_setting(settings).configured else alone,
        keys=tuple(map(key_id, known_keys(settings))),
        control=control,
    )
