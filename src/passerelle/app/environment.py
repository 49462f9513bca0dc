"""Checks of what the process stands on: its settings and its data directory."""

import asyncio
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.media.checks import listed_stores
from passerelle.media.model import StoreName

NEARLY_FULL_BYTES, FULL_BYTES = 200_000_000, 20_000_000
_MB = 1_000_000
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_WRITABLE = Text(
    "The data directory can be written, its disk has room.",
    "Le répertoire de données est accessible en écriture, son disque a de la place.",
)
_NOT_MADE = Text(
    "There is no data directory yet: it is made at the first start.",
    "Le répertoire de données n'existe pas encore : il est créé au premier démarrage.",
)
DISK_NEARLY_FULL = Finding(
    id="DISK_NEARLY_FULL",
    level=Level.WARNING,
    what=Text(
        "The disk of the data directory is nearly full.", "Le disque du répertoire de données est presque plein."
    ),
    cause=Text(
        "Less than 200 MB are free: logs, media or another program have taken the rest.",
        "Moins de 200 Mo sont libres : journaux, médias ou un autre programme ont pris le reste.",
    ),
    fix=Text(
        "Free space, or move PASSERELLE_DATA_DIR to a larger disk.",
        "Libérez de l'espace, ou déplacez PASSERELLE_DATA_DIR vers un disque plus grand.",
    ),
)
DISK_FULL = Finding(
    id="DISK_FULL",
    level=Level.ERROR,
    what=Text("The disk of the data directory is full.", "Le disque du répertoire de données est plein."),
    cause=Text(
        "Less than 20 MB are free, or a small file cannot be written any more.",
        "Moins de 20 Mo sont libres, ou un petit fichier ne peut plus être écrit.",
    ),
    fix=Text(
        "Free space now: until then nothing new is accepted, and nothing accepted is lost.",
        "Libérez de l'espace : d'ici là rien de nouveau n'est accepté, et rien d'accepté n'est perdu.",
    ),
)
DATA_DIR_NOT_WRITABLE = Finding(
    id="DATA_DIR_NOT_WRITABLE",
    level=Level.ERROR,
    what=Text(
        "Nothing can be written into the data directory.", "Rien ne peut être écrit dans le répertoire de données."
    ),
    cause=Text(
        "It belongs to another user, is mounted read-only, or is no directory.",
        "Il appartient à un autre utilisateur, est monté en lecture seule, ou n'est pas un répertoire.",
    ),
    fix=Text(
        "Give it to the user that runs Passerelle (chown), or set PASSERELLE_DATA_DIR to another.",
        "Donnez-le à l'utilisateur qui exécute Passerelle (chown), ou changez PASSERELLE_DATA_DIR.",
    ),
)


class DataDirCheck:
    """See `Check`: a small file is really written; a directory that is not there yet is not made."""

    name = "data_dir"
    group = "environment"
    title = Text("The data directory can be written, its disk has room", "Le répertoire de données est utilisable")
    needs: tuple[str, ...] = ()
    vital = True

    def __init__(self, folder: Path, *, free_bytes: Callable[[Path], int] | None = None) -> None:
        """Look at `folder`; `free_bytes` tells how many bytes its disk has left."""
        self._folder = folder
        self._free_bytes = free_bytes or _free_bytes

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        return [await asyncio.to_thread(self._look)]

    def _look(self) -> Finding:
        try:
            folder = _nearest(self._folder)
            if folder == self._folder:
                _write_and_remove(folder)
            elif not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
                return replace(DATA_DIR_NOT_WRITABLE, evidence=f"{folder}: cannot hold a new folder")
            return self._room(folder)
        except OSError as error:
            finding = DISK_FULL if error.errno in _NO_ROOM else DATA_DIR_NOT_WRITABLE
            return replace(finding, evidence=f"{self._folder}: {error.strerror}")

    def _room(self, folder: Path) -> Finding:
        free = self._free_bytes(folder)
        seen = f"{folder}: {free // _MB} MB free"
        if free < NEARLY_FULL_BYTES:
            return replace(DISK_FULL if free < FULL_BYTES else DISK_NEARLY_FULL, evidence=seen)
        if folder != self._folder:
            return Finding(id="DATA_DIR_NOT_MADE", level=Level.OK, what=_NOT_MADE, evidence=seen)
        return Finding(id="DATA_DIR_OK", level=Level.OK, what=_WRITABLE, evidence=seen)


class MediaOrderCheck:
    """See `Check`: where media are kept; the disk of the data directory takes them in, so it must be well."""

    name = "media"
    group = "media"
    title = Text("Where media are kept", "Où les médias sont conservés")
    needs = (DataDirCheck.name,)

    def __init__(self, stores: Sequence[StoreName]) -> None:
        """In this order; none of them is asked."""
        self._stores = stores

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        listed = listed_stores(self._stores)
        what = Text(f"Media are kept in this order: {listed}.", f"Ordre des stockages de médias : {listed}.")
        return [Finding(id="MEDIA_ORDER", level=Level.OK, what=what, evidence=listed)]


class FoundCheck:
    """See `Check`: what is known already, because it was looked at when it was read."""

    needs: tuple[str, ...] = ()

    def __init__(self, name: str, *, group: str, title: Text, found: Sequence[Finding]) -> None:
        """Tell `found`; where that is nothing, that the `title` is so."""
        self.name = name
        self.group = group
        self.title = title
        self._found = list(found)

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        return self._found or [Finding(id=f"{self.name.upper()}_OK", level=Level.OK, what=self.title)]


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return folder if folder.exists() else next(above for above in folder.parents if above.exists())


def _write_and_remove(folder: Path) -> None:
    path = folder / f".check-{secrets.token_hex(4)}"
    try:
        with path.open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
