"""Keeps files in a bucket of any service that speaks S3."""

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from passerelle.errors import Misconfigured
from passerelle.media import keys
from passerelle.media.adapters.s3_faults import Fault, fault_of, is_code
from passerelle.media.model import GRACE_S, SLOWEST, Copy, FileRefused, NoSuchCopy, Spooled, StoreAway, StoreName
from passerelle.media.sniff import kind_of_extension, may_be_shown
from passerelle.redaction import Redactor

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import S3Credential
    from obstore.store import S3Store as Bucket

CONNECT_LIMIT_S = 3.0
PART_BYTES = 5 * 1024 * 1024  # the least that S3 takes as a part
PARTS_AT_ONCE = 2  # with obstore's 12 an upload would hold 60 MB
RANGE_BYTES = 4 * 1024 * 1024  # obstore's stream reads 8 KB at a time
LONGEST_LINK = timedelta(days=7)  # of signatures of version 4
MD5 = re.compile(r'"?([0-9a-f]{32})"?')  # an etag with a dash is one of parts, no sum of the file


class S3Store:
    """One bucket, private: links are signed. The sums of a file travel with it as metadata."""

    name = StoreName.S3

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        bucket: str,
        access_key_id: str,
        secret_access_key: str,
        region: str,
        redactor: Redactor,
        grace_s: float = GRACE_S,
        slowest: int = SLOWEST,
    ) -> None:
        """Connects to nothing yet; without `endpoint_url` it is Amazon's.

        Anything may take `grace_s` seconds, and a file a second more for each `slowest` bytes.

        Raises:
            Misconfigured: the optional package is missing, or `endpoint_url` is no address.
        """
        redactor.add(secret_access_key)
        self._redactor = redactor
        self._grace_s, self._slowest = grace_s, slowest
        self._creates = True
        self._bucket = _bucket(
            endpoint=(endpoint_url or f"https://s3.{region}.amazonaws.com").rstrip("/"),
            name=bucket,
            region=region,
            credential={
                "access_key_id": access_key_id,
                "secret_access_key": secret_access_key,
                "token": None,
                "expires_at": None,
            },
            request_limit=timedelta(seconds=grace_s + PART_BYTES / slowest),
        )

    async def put(self, file: Spooled, *, key: str) -> Copy:
        """See `MediaStore.put`. Looks first: there are services that take "create only" and overwrite (measured)."""
        keys.check(key)
        async with self._asking(file.size_bytes, of_file=True):
            there = await self._there(key)
            if there is None:
                try:
                    return self._kept(file, key, await self._send(file, key))
                except _already_exists():
                    there = await self._there(key)
            if there is None:  # two at once: the other one may yet fail
                raise StoreAway(self.name, "the key is being written to just now")
            if not await self._is_same(there, file):
                raise FileRefused(self.name, "another file has this name")
            return self._kept(file, key, there.meta["e_tag"])
        raise AssertionError  # for the type checker: `_asking` swallows nothing

    @asynccontextmanager
    async def read(self, copy: Copy) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `MediaStore.read`; only the waiting for bytes counts, not what is done with them."""
        _check(copy)
        yield self._pieces(copy, await self._first(copy))

    async def delete(self, copy: Copy) -> None:
        """See `MediaStore.delete`."""
        _check(copy)
        try:
            async with self._asking():
                await self._bucket.delete_async(copy.key)
        except NoSuchCopy:
            return

    async def link(self, copy: Copy, *, ttl: timedelta) -> str:
        """See `MediaStore.link`; for seven days at most, and as secure as the service's own address. Asks nobody."""
        _check(copy)
        whole = timedelta(seconds=max(math.ceil(ttl.total_seconds()), 1))
        async with self._asking():
            import obstore  # noqa: PLC0415 -- an extra

            return await obstore.sign_async(self._bucket, "GET", copy.key, min(whole, LONGEST_LINK))
        raise AssertionError

    async def list(self, prefix: str) -> AsyncIterator[Copy]:
        """See `MediaStore.list`."""
        # The library takes whole folders only.
        pages = self._bucket.list(prefix.rpartition("/")[0] or None, chunk_size=1000)
        while True:
            async with self._asking():
                page = await anext(pages, None)
            if page is None:
                return
            for found in page:
                if found["path"].startswith(prefix):
                    yield _copy(found)

    async def _send(self, file: Spooled, key: str) -> str | None:
        """The etag of what is kept; above one part no service can be told to create only."""
        attributes = {
            "Content-Type": file.content_type,
            "Content-Disposition": "inline" if may_be_shown(file.content_type) else "attachment",
            "sha256": file.sha256,
        }
        if file.size_bytes > PART_BYTES:
            put = await self._bucket.put_async(
                key, file.pieces(), attributes=attributes, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
            return put["e_tag"]
        return await self._create(key, b"".join(await asyncio.to_thread(list, file.pieces())), attributes)

    async def _create(self, key: str, data: bytes, attributes: dict[str, str]) -> str | None:
        mode: Literal["create", "overwrite"] = "create" if self._creates else "overwrite"
        try:
            put = await self._bucket.put_async(key, data, attributes=attributes, mode=mode, use_multipart=False)
        except _errors() as error:
            if not (self._creates and is_code(error, "NotImplemented")):
                raise
            self._creates = False  # it knows no conditions: then our look before must do
            return await self._create(key, data, attributes)
        return put["e_tag"]

    async def _there(self, key: str) -> "GetResult | None":
        try:
            return await self._bucket.get_async(key, options={"head": True})
        except FileNotFoundError as error:
            if is_code(error, "NoSuchBucket"):
                raise
            return None

    async def _is_same(self, there: "GetResult", file: Spooled) -> bool:
        if there.meta["size"] != file.size_bytes:
            return False
        told = there.attributes.get("sha256")
        if told is not None:
            return told == file.sha256
        md5 = MD5.fullmatch(there.meta["e_tag"] or "")
        return (md5 is not None and md5[1] == file.md5) or await self._sha256(there) == file.sha256

    async def _sha256(self, there: "GetResult") -> str:
        """Where the service keeps neither our metadata nor a sum of its own, only the bytes can tell."""
        seen, copy = hashlib.sha256(), _copy(there.meta)
        async for piece in self._pieces(copy, await self._first(copy)):
            await asyncio.to_thread(seen.update, piece)
        return seen.hexdigest()

    async def _first(self, copy: Copy) -> bytes:
        """The first piece, and with it the size that the whole has now."""
        async with self._asking(RANGE_BYTES):
            got = await self._bucket.get_async(copy.key, options={"range": (0, min(RANGE_BYTES, copy.size_bytes))})
            if got.meta["size"] != copy.size_bytes:
                raise StoreAway(self.name, f"a file of {got.meta['size']} bytes, not {copy.size_bytes}")
            return bytes(await got.bytes_async())
        raise AssertionError

    async def _pieces(self, copy: Copy, piece: bytes) -> AsyncIterator[bytes]:
        at = len(piece)
        yield piece
        while at < copy.size_bytes:
            end = min(at + RANGE_BYTES, copy.size_bytes)
            async with self._asking(RANGE_BYTES):
                piece = bytes(await self._bucket.get_range_async(copy.key, start=at, end=end))
            if len(piece) != end - at:
                raise StoreAway(self.name, f"the file ends after {at + len(piece)} bytes of {copy.size_bytes}")
            at = end
            yield piece

    def _kept(self, file: Spooled, key: str, etag: str | None) -> Copy:
        # Where the bucket is encrypted with a key of its own, the etag looks like a sum and is none.
        md5 = file.md5 if file.md5 in (etag or "") else None
        return Copy(store=self.name, key=key, size_bytes=file.size_bytes, content_type=file.content_type, md5=md5)

    @asynccontextmanager
    async def _asking(self, size_bytes: int = 0, *, of_file: bool = False) -> AsyncIterator[None]:
        limit_s = self._grace_s + size_bytes / self._slowest
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            raise StoreAway(self.name, f"no answer within {limit_s:.0f} s") from None
        except _errors() as error:
            raise self._fault(error, of_file=of_file) from None

    def _fault(self, error: Exception, *, of_file: bool) -> Fault:
        return fault_of(error, self._redactor, of_file=of_file)


def _bucket(*, endpoint: str, name: str, region: str, credential: "S3Credential", request_limit: timedelta) -> "Bucket":
    try:
        from obstore.store import S3Store as Bucket  # noqa: PLC0415 -- an extra, 15 MB: only where S3 is used
    except ImportError:
        raise Misconfigured("S3 needs a package that is not installed: pip install 'passerelle[s3]'") from None
    address = urlsplit(endpoint)
    if address.scheme not in {"http", "https"} or not address.hostname or " " in endpoint:
        raise Misconfigured("S3_ENDPOINT_URL is no address: write https://host")
    try:
        return Bucket(
            name,
            endpoint=endpoint,
            region=region,
            virtual_hosted_style_request=False,
            disable_bulk_delete=True,  # not every service has it
            # Not as settings: a session token in the environment would be sent along with them (measured).
            credential_provider=lambda: credential,
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=CONNECT_LIMIT_S),
                "timeout": request_limit,
            },
            retry_config={"max_retries": 0},
        )
    except _errors(ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise Misconfigured(f"S3_ENDPOINT_URL or S3_BUCKET cannot be used: {first_line}") from None


def _errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError  # noqa: PLC0415 -- an extra

    return (BaseError, FileNotFoundError, *more)


def _already_exists() -> tuple[type[Exception], ...]:
    from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415 -- an extra

    return (AlreadyExistsError,)


def _check(copy: Copy) -> None:
    """What somebody else put there has the name that the service told us."""
    if "key" not in copy.ref:
        keys.check(copy.key)


def _copy(found: "ObjectMeta") -> Copy:
    md5 = MD5.fullmatch(found["e_tag"] or "")
    return Copy(
        store=StoreName.S3,
        key=found["path"],
        size_bytes=found["size"],
        content_type=kind_of_extension(found["path"].rpartition(".")[2]).content_type,
        md5=md5[1] if md5 else None,
        ref={} if keys.is_key(found["path"]) else {"key": found["path"]},
        modified_at=found["last_modified"],
    )
