"""Keeps files at Cloudinary, read by signed links only; its own SDK is not async and holds whole files in memory."""

import asyncio
import mimetypes
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from passerelle.media.adapters.cloudinary_account import Account
from passerelle.media.adapters.cloudinary_api import CloudinaryApi, Part
from passerelle.media.adapters.cloudinary_faults import away
from passerelle.media.keys import check
from passerelle.media.model import (
    GRACE_S,
    PIECE_BYTES,
    SLOWEST,
    Copy,
    FileRefused,
    Spooled,
    StoreAway,
    StoreMisconfigured,
    StoreName,
)
from passerelle.redaction import Redactor

# Above this a file is sent in chunks of it; what the SDK takes. Cloudinary asks for 5 MB at least, 100 MB at most.
CHUNK_BYTES = 20_000_000
# Of its three kinds; what is neither of these is kept as it is ("raw"). PDF would be an image that is not delivered
# on free plans, SVG may carry scripts.
IMAGES = frozenset(
    f"image/{name}" for name in ("jpeg", "png", "webp", "gif", "heic", "heif", "avif", "bmp", "tiff")
)  # fmt: skip
KINDS = ("image", "video", "raw")
# A guessed public id opens nothing of this type.
TYPE = "authenticated"
MD5 = re.compile(r"[0-9a-f]{32}")
PAGE = "500"


class CloudinaryStore:
    """The store that can also resize; `MediaStore` says what it promises."""

    name = StoreName.CLOUDINARY

    def __init__(
        self,
        *,
        cloud_name: str,
        api_key: str,
        api_secret: str,
        redactor: Redactor,
        upload_prefix: str = "https://api.cloudinary.com",
        delivery_prefix: str = "https://res.cloudinary.com",
        chunk_bytes: int = CHUNK_BYTES,
        grace: float = GRACE_S,
    ) -> None:
        """Connects to nothing yet; the prefixes have no slash at their end."""
        self._account = Account(
            cloud_name=cloud_name,
            api_key=api_key,
            api_secret=api_secret,
            upload_prefix=upload_prefix,
            delivery_prefix=delivery_prefix,
        )
        self._api = CloudinaryApi(self._account, redactor)
        self._chunk_bytes = chunk_bytes
        self._grace = grace

    async def put(self, file: Spooled, *, key: str) -> Copy:
        """As the port says; in chunks above 20 MB, one after the other."""
        check(key)
        kind = _kind_of(file.content_type)
        fields = {"public_id": _public_id(key, kind), "type": TYPE, "overwrite": "0", "unique_filename": "0"}
        async with self._api.limited(self._limit_for(file.size_bytes)):
            told = await self._send(kind, fields, file, name=key.rpartition("/")[2])
        same = told.get("public_id") == fields["public_id"] and told.get("bytes") == file.size_bytes
        md5 = _md5(told)
        if same and md5 == file.md5:
            return _copy(told, key=key, kind=kind, content_type=file.content_type)
        if told.get("existing"):
            raise FileRefused(self.name, "another file has this key")
        if same and md5 is None:
            return _copy(told, key=key, kind=kind, content_type=file.content_type)
        with suppress(StoreAway, StoreMisconfigured):
            await self._destroy(kind, str(told.get("public_id") or fields["public_id"]))
        raise away("what it keeps is not what was sent")

    @asynccontextmanager
    async def read(self, copy: Copy) -> AsyncIterator[AsyncIterator[bytes]]:
        """As the port says; the time that the reader takes between two pieces does not count."""
        async with self._api.limited(self._limit_for(0)):
            response = await self._api.open(await self.link(copy, ttl=timedelta(hours=1)))
        try:
            async with aclosing(self._pieces(response, copy.size_bytes)) as pieces:
                yield pieces
        finally:
            response.close()

    async def delete(self, copy: Copy) -> None:
        """As the port says; copies in Cloudinary's delivery network go too."""
        await self._destroy(*_place(copy))

    async def link(self, copy: Copy, *, ttl: timedelta) -> str:
        """As the port says: the original, from Cloudinary's interface, since links of its network never expire."""
        kind, public_id = _place(copy)
        # Real time: it is Cloudinary that looks at it.
        now = int(time.time())
        expires_at = str(now + int(ttl.total_seconds()))
        params = {"timestamp": str(now), "public_id": public_id, "type": TYPE, "expires_at": expires_at}
        return self._account.download_link(kind, params)

    def thumbnail(self, copy: Copy, width_px: int) -> str | None:
        """Where `copy` is at most `width_px` wide and compressed, for as long as it is kept; None: no picture in it."""
        kind, public_id = _place(copy)
        if kind == "raw" or copy.content_type.startswith("audio/"):
            return None
        transformation = f"c_limit,f_auto,q_auto,w_{width_px}"
        version = copy.ref.get("version", "1")
        return self._account.delivery_link(kind, transformation, version=version, public_id=public_id)

    async def list(self, prefix: str) -> AsyncIterator[Copy]:
        """As the port says, from the Admin API, kind by kind; new files may be missing for a moment.

        Keys of images and videos end in the extension that Cloudinary gives the format, which may be another than ours.
        """
        folder, slash, begin = prefix.rpartition("/")
        params = {"prefix": folder + slash + begin.partition(".")[0], "max_results": PAGE}
        for kind in KINDS:
            cursor: dict[str, str] = {}
            while True:
                async with self._api.limited(self._limit_for(0)):
                    page = await self._api.get("resources", kind, TYPE, params={**params, **cursor})
                for copy in _listed(page, kind):
                    if copy.key.startswith(prefix):
                        yield copy
                if not page.get("next_cursor"):
                    break
                cursor = {"next_cursor": str(page["next_cursor"])}

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()

    async def _send(self, kind: str, fields: Mapping[str, str], file: Spooled, *, name: str) -> dict[str, Any]:
        size, step = file.size_bytes, self._chunk_bytes
        if size <= step:
            return await self._api.upload(kind, fields, Part(file=file, name=name, start=0, end=size), {})
        told: dict[str, Any] = {}
        upload_id = secrets.token_hex(8)
        for start in range(0, size, step):
            part = Part(file=file, name=name, start=start, end=min(start + step, size))
            marks = {"X-Unique-Upload-Id": upload_id, "Content-Range": f"bytes {start}-{part.end - 1}/{size}"}
            told = await self._api.upload(kind, fields, part, marks)
            if told.get("existing"):
                break
        return told

    def _limit_for(self, size_bytes: int) -> float:
        """The seconds that a file of this size may take."""
        return self._grace + size_bytes / SLOWEST

    async def _destroy(self, kind: str, public_id: str) -> None:
        fields = {"public_id": public_id, "type": TYPE, "invalidate": "1"}
        async with self._api.limited(self._limit_for(0)):
            told = await self._api.post(kind, "destroy", fields=fields)
        if told.get("result") not in {"ok", "not found"}:
            raise away("it does not say that the file is gone")

    async def _pieces(self, response: aiohttp.ClientResponse, size_bytes: int) -> AsyncGenerator[bytes]:
        if response.content_length not in {None, size_bytes}:
            raise away(f"it sends {response.content_length} bytes of {size_bytes}")
        left, came, loop = self._limit_for(size_bytes), 0, asyncio.get_running_loop()
        while True:
            began = loop.time()
            async with self._api.limited(left):
                piece = await response.content.read(PIECE_BYTES)
            left -= loop.time() - began
            came += len(piece)
            if came > size_bytes or (not piece and came < size_bytes):
                raise away(f"it sent {came} bytes of {size_bytes}")
            if not piece:
                return
            yield piece


def _kind_of(content_type: str) -> str:
    if content_type in IMAGES:
        return "image"
    return "video" if content_type.partition("/")[0] in {"video", "audio"} else "raw"


def _public_id(key: str, kind: str) -> str:
    """Cloudinary adds the extension of images and videos itself."""
    return key if kind == "raw" else key.rpartition(".")[0] or key


def _place(copy: Copy) -> tuple[str, str]:
    """Also of a copy whose answer was lost, of which nothing but the key is known; of others it told us the name."""
    if "public_id" not in copy.ref:
        check(copy.key)
    kind = copy.ref.get("resource_type") or _kind_of(copy.content_type)
    return kind, copy.ref.get("public_id") or _public_id(copy.key, kind)


def _copy(told: Mapping[str, Any], *, key: str, kind: str, content_type: str) -> Copy:
    more = {name: str(told[name]) for name in ("asset_id", "version") if told.get(name)}
    return Copy(
        store=StoreName.CLOUDINARY,
        key=key,
        size_bytes=_size(told["bytes"]),
        content_type=content_type,
        md5=_md5(told),
        ref={"resource_type": kind, "public_id": str(told["public_id"]), **more},
        modified_at=_when(told.get("created_at")),
    )


def _listed(page: Mapping[str, Any], kind: str) -> list[Copy]:
    try:
        return [_listed_copy(asset, kind) for asset in page["resources"]]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise away("HTTP 200: not a list of Cloudinary") from None


def _listed_copy(asset: Mapping[str, Any], kind: str) -> Copy:
    form = "" if kind == "raw" else str(asset.get("format") or "")
    key = f"{asset['public_id']}.{form}" if form else str(asset["public_id"])
    otherwise = f"{kind}/{form}" if form else "application/octet-stream"
    return _copy(asset, key=key, kind=kind, content_type=mimetypes.guess_type(key)[0] or otherwise)


def _size(told: Any) -> int:
    if int(told) < 0:
        raise ValueError("fewer bytes than none")
    return int(told)


def _md5(told: Mapping[str, Any]) -> str | None:
    """Cloudinary's etag, where it is one."""
    etag = str(told.get("etag", ""))
    return etag if MD5.fullmatch(etag) else None


def _when(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
