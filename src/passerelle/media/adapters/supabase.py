"""Keeps files in a bucket of Supabase Storage, over its REST interface."""

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import aiohttp

from passerelle.media.adapters import tus
from passerelle.media.adapters.supabase_addresses import key_of
from passerelle.media.adapters.supabase_faults import AlreadyThere, Answer, strange
from passerelle.media.adapters.supabase_lists import every_copy
from passerelle.media.adapters.supabase_rest import SupabaseRest
from passerelle.media.adapters.supabase_rows import Row, copy_of_info, is_same
from passerelle.media.model import GRACE_S, SLOWEST, Copy, FileRefused, NoSuchCopy, Spooled, StoreAway, StoreName
from passerelle.redaction import Redactor

STRAIGHT_BYTES = 6 * 1024 * 1024  # up to here in one request, above it in pieces, as Supabase advises
CACHE_SECONDS = "3600"  # as the official clients say; a key never gets other bytes


class SupabaseStore:
    """One bucket, public or private: links are signed."""

    name = StoreName.SUPABASE

    def __init__(
        self,
        *,
        url: str,
        service_key: str,
        bucket: str,
        redactor: Redactor,
        grace: float = GRACE_S,
        pace: int = SLOWEST,
    ) -> None:
        """Connects to nothing yet; an answer may take `grace` seconds, and the bytes what they take at `pace`."""
        self._rest = SupabaseRest(url=url, service_key=service_key, redactor=redactor, grace=grace, pace=pace)
        self._bucket = bucket
        self._url = url

    async def put(self, file: Spooled, *, key: str) -> Copy:
        """Keep it, then look at what is there: the answer to an upload says neither size nor sum."""
        async with self._rest.patience(self._rest.limit_for(file.size_bytes)):
            sent = await self._send(file, key)
            copy = await self._there(key)
            if is_same(copy, file):
                return copy
            if not sent:
                raise FileRefused(StoreName.SUPABASE, "another file lies under this key")
            await self.delete(copy)
            raise _away(f"{copy.size_bytes} bytes arrived, not the {file.size_bytes} that were sent")

    @asynccontextmanager
    async def read(self, copy: Copy) -> AsyncIterator[AsyncIterator[bytes]]:
        """Its bytes; only the waiting for them counts, not what is done with them."""
        async with self._rest.stream("object", self._bucket, copy.key) as response:
            if response.content_length not in {None, copy.size_bytes}:
                raise _away(f"a file of {response.content_length} bytes, not {copy.size_bytes}")
            yield self._pieces(response, copy.size_bytes)

    async def delete(self, copy: Copy) -> None:
        """Remove it. `prefixes` is Supabase's word for whole names."""
        with suppress(NoSuchCopy):
            await self._rest.ask("DELETE", "object", self._bucket, json={"prefixes": [copy.key]})

    async def link(self, copy: Copy, *, ttl: timedelta) -> str:
        """An address that Supabase signs, for whole seconds; as secure as the address of the project."""
        path = ("object", "sign", self._bucket, copy.key)
        answer = await self._rest.ask("POST", *path, json={"expiresIn": max(math.ceil(ttl.total_seconds()), 1)})
        # Its own address holds the key as it is, spaces and all.
        token = str(_row(answer).get("signedURL") or "").rpartition("?token=")[2]
        if not token:
            raise _away("the answer names no link")
        return str(self._rest.address(*path).with_query(token=token))

    def list(self, prefix: str) -> AsyncIterator[Copy]:
        """Every file whose key begins with `prefix`."""
        return every_copy(self._rest, bucket=self._bucket, prefix=prefix)

    def key_of(self, address: str) -> str | None:
        """See `Addressed.key_of`."""
        return key_of(address, url=self._url, bucket=self._bucket)

    async def close(self) -> None:
        """Close every connection."""
        await self._rest.close()

    async def _send(self, file: Spooled, key: str) -> bool:
        """Whether this put it there; else it lies there already, or nobody knows."""
        try:
            await (
                self._send_in_pieces(file, key) if file.size_bytes > STRAIGHT_BYTES else self._send_at_once(file, key)
            )
        except (AlreadyThere, tus.UploadGone):
            return False
        return True

    async def _send_in_pieces(self, file: Spooled, key: str) -> None:
        await tus.send(self._rest, file, bucket=self._bucket, key=key, cache_control=CACHE_SECONDS)

    async def _send_at_once(self, file: Spooled, key: str) -> None:
        cached = f"max-age={CACHE_SECONDS}"
        headers = {"Content-Type": file.content_type, "Cache-Control": cached, "x-upsert": "false"}
        path = ("object", self._bucket, key)
        await self._rest.ask("POST", *path, headers=headers, sends=True, file=file, end=file.size_bytes)

    async def _there(self, key: str) -> Copy:
        path = ("object", "info", self._bucket, key)
        try:
            return copy_of_info(_row(await self._rest.ask("GET", *path)), key=key)
        except NoSuchCopy:
            raise _away("the file is not there after its upload") from None

    async def _pieces(self, response: aiohttp.ClientResponse, size_bytes: int) -> AsyncIterator[bytes]:
        arrived, left = 0, self._rest.limit_for(size_bytes)
        while True:
            began = time.monotonic()
            async with self._rest.patience(min(left, self._rest.limit_for(0))):
                piece = await response.content.readany()
            left -= time.monotonic() - began
            arrived += len(piece)
            if not piece:
                break
            yield piece
        if arrived != size_bytes:
            raise _away(f"{arrived} bytes came, of {size_bytes}")


def _row(answer: Answer) -> Row:
    if not isinstance(answer.value, dict):
        raise strange()
    return answer.value


def _away(reason: str) -> StoreAway:
    return StoreAway(StoreName.SUPABASE, reason)
