"""Gives kept files out to whoever has a signed link, whole or in part, so that a film can be sought in."""

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from passerelle.media.model import PIECE_BYTES, Media
from passerelle.media.service import MediaLibrary
from passerelle.media.sniff import may_be_shown

THUMBNAIL = "thumbnail"
PATH = "/media/{media_id}"
# Nothing that is served here may run, frame or be sniffed into something else.
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "private, max-age=3600",
}
# One part of a file; a wish for several at once is answered with all of it, as RFC 9110 14.2 lets us.
_RANGE = re.compile(r"bytes=\s*(\d{0,20})-(\d{0,20})\s*", re.ASCII | re.IGNORECASE)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All of it"},
    206: {"description": "The part that Range names"},
    302: {"description": "Where its store gives it out"},
    304: {"description": "The reader has it"},
}


def serving(library: MediaLibrary) -> APIRouter:
    """``/media/{id}``: public, the signature is the right."""
    router = APIRouter(tags=["media"])

    @router.get(PATH, response_class=Response, responses=_ANSWERS)
    @router.head(PATH, include_in_schema=False)
    async def serve(
        request: Request, media_id: str, expires: str = "", signature: str = "", variant: str = ""
    ) -> Response:
        """The file itself, or a part of it, or the way to it."""
        media = await library.linked(media_id, expires=expires, signature=signature, variant=variant)
        if variant == THUMBNAIL:
            return await _thumbnail(library, media)
        address = await library.address(media)
        if address:
            return _redirect(address)
        return await _given_out(library, media, request)

    return router


async def _given_out(library: MediaLibrary, media: Media, request: Request) -> Response:
    """The bytes, with headers that let nothing run; what is no picture, sound or film is saved, never shown."""
    etag = f'"{media.sha256}"'
    headers = {**SAFE, "ETag": etag, "Accept-Ranges": "bytes"}
    if _is_known(request.headers, etag):
        return Response(status_code=304, headers=headers)
    part = read_range(request.headers, etag, media.size_bytes) if request.method == "GET" else None
    start, end = part or (0, media.size_bytes)
    body = _opened(library, media, start, end)
    await anext(body)  # so that a lost file is an answer of its own, not a broken body
    headers |= {"Content-Disposition": _disposition(media), "Content-Length": str(end - start)}
    if request.method == "HEAD":
        await body.aclose()
        return Response(media_type=media.content_type, headers=headers)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{media.size_bytes}"
    status = 200 if part is None else 206
    if end - start <= PIECE_BYTES:  # a stream would take two tasks and a piece of memory of the same size
        return Response(b"".join([piece async for piece in body]), status, headers, media.content_type)
    return StreamingResponse(body, status, headers, media.content_type)


async def _opened(library: MediaLibrary, media: Media, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Nothing once it is open, then the bytes."""
    async with library.read_part(media, start=start, end=end) as pieces:
        yield b""
        async for piece in pieces:
            yield piece


def _is_known(asked: Mapping[str, str], etag: str) -> bool:
    """Whether the reader says that it has these very bytes."""
    known = [one.strip().removeprefix("W/") for one in asked.get("if-none-match", "").split(",")]
    return etag in known or known == ["*"]


def read_range(asked: Mapping[str, str], etag: str, size_bytes: int) -> tuple[int, int] | None:
    """From where to before where; nothing where all of it is wanted, or what is wanted is no one part of these bytes.

    Raises:
        HTTPException: 416, it begins behind the end.
    """
    wanted = _RANGE.fullmatch(asked.get("range", ""))
    if wanted is None or asked.get("if-range", etag) != etag:
        return None
    first, last = wanted.groups()
    if not first and not last:
        return None
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(size_bytes - int(last), 0)
    end = min(int(last) + 1, size_bytes) if first and last else size_bytes
    if start >= size_bytes:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size_bytes}"})
    return start, end


def _disposition(media: Media) -> str:
    shown = "inline" if may_be_shown(media.content_type) else "attachment"
    name = re.split(r"[/\\]", media.name or media.key)[-1]
    return f"{shown}; filename*=UTF-8''{quote(name, safe='')}"


def _redirect(address: str) -> Response:
    return RedirectResponse(address, 302, headers={"Cache-Control": "private, max-age=60"})


async def _thumbnail(library: MediaLibrary, media: Media) -> Response:
    address, picture = await library.thumbnail(media)
    return _redirect(address) if address else Response(picture, media_type="image/webp", headers=SAFE)
