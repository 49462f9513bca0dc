"""A kept file, its copies, and what may be wrong with one."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import BinaryIO

from passerelle.errors import Invalid, NotFound, Rejected, Text, Unavailable

PIECE_BYTES = 1 << 20  # what is read at once; the memory of an upload does not grow with its file
# How long a store may take: seconds for an answer, and for the bytes themselves what they take at so many a second.
GRACE_S, SLOWEST = 10.0, 256 * 1024


class Category(StrEnum):
    """Why a file is kept; also its folder in every store."""

    DELETED_MESSAGES = "deleted-messages"
    VIEW_ONCE = "view-once"
    SCHEDULED_STATUS = "scheduled-status"


class StoreName(StrEnum):
    """Where files may lie, in the order in which stores are tried."""

    CLOUDINARY = "cloudinary"
    SUPABASE = "supabase"
    S3 = "s3"
    LOCAL = "local"


class UnknownMedia(NotFound):
    """No media of this client has that id."""

    code = "media_not_found"
    text = Text("There is no such media.", "Ce média n'existe pas.")
    hint = Text("List them with GET /api/media.", "Listez-les avec GET /api/media.")


class StoreAway(Unavailable):
    """A store does not answer, or asks to wait: the next one is tried, and this one again later."""

    code = "store_unavailable"
    text = Text("A media store cannot be reached just now.", "Un stockage de médias est injoignable pour le moment.")
    hint = Text("Try again in a moment.", "Réessayez dans un instant.")

    def __init__(self, store: StoreName, reason: str, *, retry_after: timedelta | None = None) -> None:
        """`reason` is the store's own word, redacted; `retry_after` how long it asks to wait."""
        super().__init__(retry_after=retry_after)
        self.store = store
        self.reason = reason


class StoreRejection(Rejected):
    """A store said no."""

    def __init__(self, store: StoreName, reason: str) -> None:
        """`reason` is the store's own word, redacted."""
        super().__init__()
        self.store = store
        self.reason = reason


class FileRefused(StoreRejection):
    """A store does not take this file (too large for its plan, of a type it does not want): the next one may."""

    code = "store_refused_file"
    text = Text("A media store does not take this file.", "Un stockage de médias refuse ce fichier.")
    hint = Text("Another store is tried.", "Un autre stockage est essayé.")


class StoreMisconfigured(StoreRejection):
    """A store refuses us (wrong key, no such bucket, account locked): nothing goes there until somebody mends it."""

    code = "store_misconfigured"
    text = Text("A media store refuses the gateway.", "Un stockage de médias refuse la passerelle.")
    hint = Text("The operator must look: passerelle doctor.", "L'exploitant doit regarder : passerelle doctor.")


class NoSuchCopy(NotFound):
    """The store has no file of this key."""

    code = "media_copy_missing"
    text = Text("The file is not in its store any more.", "Le fichier n'est plus dans son stockage.")
    hint = Text("Somebody has removed it there.", "Quelqu'un l'y a supprimé.")


class CopyChanged(NoSuchCopy):
    """The store has a file of this key, with other bytes."""

    code = "media_copy_changed"
    text = Text("The file in its store is not the one that was kept.", "Le fichier du stockage n'est plus l'original.")
    hint = Text("Somebody has changed it there.", "Quelqu'un l'y a modifié.")


class BadKey(Invalid):
    """A key that could leave its folder."""

    code = "invalid_media_key"
    text = Text("This is no name of a kept file.", "Ce n'est pas le nom d'un fichier conservé.")
    hint = Text("Use the id of the media.", "Utilisez l'identifiant du média.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A whole file on the local disk, measured and looked at; `file` is open for reading, and may be read many times.

    Readers use `os.pread`-like access through `pieces`, so that several may read at once.
    """

    file: BinaryIO = field(repr=False)
    size_bytes: int
    sha256: str
    md5: str  # empty where there is no cloud that could tell one
    content_type: str
    extension: str  # without the dot, of the content, not of the name it came with

    def pieces(self, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` to `end`, piece by piece. Blocks: to be run in a thread where it matters."""
        at, stop = start, self.size_bytes if end is None else min(end, self.size_bytes)
        while at < stop:
            piece = os.pread(self.file.fileno(), min(PIECE_BYTES, stop - at), at)
            if not piece:
                return
            at += len(piece)
            yield piece

    async def chunks(self, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """As `pieces`, each read in a thread."""
        pieces = self.pieces(start=start, end=end)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One file in one store; `ref` is what that store wants to be told to find it again (text values only)."""

    store: StoreName
    key: str
    size_bytes: int
    content_type: str
    md5: str | None = None  # as the store tells it, where it does
    ref: dict[str, str] = field(default_factory=dict)
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One kept file, whatever store it lies in; `copy` is where it is read from, nothing while it is being stored."""

    id: str
    client_id: str
    user_id: str
    category: Category
    key: str
    name: str | None
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    copy: Copy | None = None


_PLAIN_USER = re.compile(r"[A-Za-z0-9_-]{1,64}")


def new_media(
    file: Spooled, *, media_id: str, client_id: str, user_id: str, category: Category, name: str | None, now: datetime
) -> Media:
    """A media of `file`; its key holds no text of strangers: a user's name that is not plain goes as its hash."""
    folder = user_id if _PLAIN_USER.fullmatch(user_id) else hashlib.sha256(user_id.encode()).hexdigest()[:32]
    stamp = int(now.timestamp() * 1000)
    return Media(
        id=media_id,
        client_id=client_id,
        user_id=user_id,
        category=category,
        key=f"{category}/{folder}/{stamp}-{media_id.rpartition('_')[2]}.{file.extension}",
        name=name,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        created_at=now,
    )
