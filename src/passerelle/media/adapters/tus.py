"""Sends a large file to Supabase in pieces, and goes on where the server is after an answer was lost (tus 1.0)."""

import base64

from passerelle.media.adapters.supabase_faults import LostAnswer
from passerelle.media.adapters.supabase_rest import SupabaseRest
from passerelle.media.model import FileRefused, Spooled, StoreAway, StoreName

CHUNK_BYTES = 6 * 1024 * 1024  # the only size that the hosted service takes, but for the last piece
RESUMES = 3  # lost answers for one file; the next one means that the store is away
UPLOADS = ("upload", "resumable")
# Said each time: the server looks each time whether the key may be written.
HEADERS = {"Tus-Resumable": "1.0.0", "x-upsert": "false"}


class UploadGone(StoreAway):
    """The server does not say how far it is: finished, expired, or away."""


async def send(rest: SupabaseRest, file: Spooled, *, bucket: str, key: str, cache_control: str) -> None:
    """The whole file; nothing is seen under `key` before its last byte is there.

    Raises:
        UploadGone: perhaps it is there, perhaps it never will be.
        PasserelleError: as for any upload.
    """
    said = {"bucketName": bucket, "objectName": key, "contentType": file.content_type, "cacheControl": cache_control}
    upload = await _create(rest, size_bytes=file.size_bytes, said=said)
    offset = losses = 0
    while offset < file.size_bytes:
        try:
            offset = await _patch(rest, upload, file, offset)
        except LostAnswer:
            losses += 1
            if losses > RESUMES:
                raise
            offset = await _offset(rest, upload)


async def _create(rest: SupabaseRest, *, size_bytes: int, said: dict[str, str]) -> str:
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())
    headers = {**HEADERS, "Upload-Length": str(size_bytes), "Upload-Metadata": metadata}
    answer = await rest.ask("POST", *UPLOADS, headers=headers, sends=True)
    # Only its last part: behind a proxy the rest may name another host, which must not get our key.
    upload = answer.headers.get("Location", "").rstrip("/").rpartition("/")[2].partition("?")[0]
    if not upload:
        raise StoreAway(StoreName.SUPABASE, "the answer names no upload")
    return upload


async def _patch(rest: SupabaseRest, upload: str, file: Spooled, offset: int) -> int:
    """The server's offset after one more piece."""
    headers = {**HEADERS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    end = min(offset + CHUNK_BYTES, file.size_bytes)
    answer = await rest.ask("PATCH", *UPLOADS, upload, headers=headers, sends=True, file=file, start=offset, end=end)
    there = answer.headers.get("Upload-Offset", "")
    if not there.isdecimal() or not offset < int(there) <= end:
        raise LostAnswer(StoreName.SUPABASE, f"offset {there or 'none'} after {end} bytes")
    return int(there)


async def _offset(rest: SupabaseRest, upload: str) -> int:
    try:
        answer = await rest.ask("HEAD", *UPLOADS, upload, headers=HEADERS)
    except (StoreAway, FileRefused) as error:  # an answer to HEAD says nothing but its status
        raise UploadGone(StoreName.SUPABASE, error.reason) from None
    there = answer.headers.get("Upload-Offset", "")
    if not there.isdecimal():
        raise UploadGone(StoreName.SUPABASE, "the answer names no offset")
    return int(there)
