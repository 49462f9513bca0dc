"""The routes of media."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from passerelle.clients.model import Caller
from passerelle.clients.service import Clients
from passerelle.clock import rfc3339
from passerelle.errors import Invalid, PasserelleError, Text
from passerelle.media.found import OWNER, Whose
from passerelle.media.imports import Imports
from passerelle.media.migrations import Migrations
from passerelle.media.model import Category, Media, Spooled, StoreName
from passerelle.media.ports import MediaFilter
from passerelle.media.progress import MOST_TOLD, Progress, Wish
from passerelle.media.service import MediaLibrary
from passerelle.media.serving import THUMBNAIL
from passerelle.media.upload import Form, NotMultipart, read_form

UPLOAD_PATH = "/api/media"
USER_LIMIT = 200
NAME_LIMIT = 255  # as file systems have it; nine times as much in a header, where 8 KB is what proxies let pass
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "category", "user_id"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "category": {"type": "string", "enum": [one.value for one in Category]},
                    "user_id": {"type": "string", "maxLength": USER_LIMIT},
                },
            }
        }
    },
}


class UploadIncomplete(Invalid):
    """A form without its file, category or user."""

    code = "upload_incomplete"
    text = Text("The form lacks a field, or one is wrong.", "Il manque un champ au formulaire, ou il est faux.")
    hint = Text(
        "Send file, category (deleted-messages, view-once, scheduled-status) and user_id.",
        "Envoyez file, category (deleted-messages, view-once, scheduled-status) et user_id.",
    )


class WantedMigration(BaseModel):
    """From where to where, and how."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[StoreName | None, Field(alias="from")] = None
    to: StoreName | None = None
    dry_run: bool = False
    limit: Annotated[int | None, Field(ge=1)] = None
    jobs: Annotated[int, Field(ge=1, le=32)] = 4
    bandwidth: Annotated[int | None, Field(ge=1)] = None  # bytes a second
    delete_source: bool = False


class WantedImport(BaseModel):
    """A file in a store, and whose it is; what is not said follows from its folders."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[StoreName, Field(alias="from")]
    key: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]+$")]  # or its address
    user_id: Annotated[str | None, Field(min_length=1, max_length=USER_LIMIT, pattern=r"^[^\x00]+$")] = None
    category: Category | None = None
    client_id: str = OWNER
    dry_run: bool = False


def routes(library: MediaLibrary, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    """``/api/media``; `caller` tells who asks."""
    router = APIRouter(prefix=UPLOAD_PATH, tags=["media"])
    asking = Annotated[Caller, Depends(caller)]

    @router.post("", status_code=201, openapi_extra={"requestBody": _BODY})
    async def keep(request: Request, who: asking) -> dict[str, Any]:
        """Keep a file; its body is never in memory as a whole."""
        await library.admit(who, size_bytes=1)  # who has no room left need not send anything
        form = await form_of(request, library)
        if form.file is None:
            raise UploadIncomplete(field="file")
        with form.file.file:
            category, user_id = _category(form.fields), _user(form.fields)
            media = await library.keep(who, form.file, user_id=user_id, category=category, name=name_of(form.filename))
        return await _shown(library, media)

    @router.get("")
    async def list_media(
        who: asking,
        user_id: str | None = None,
        category: Category | None = None,
        store: StoreName | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str = "",
    ) -> dict[str, Any]:
        """Kept files, the newest first."""
        found = await library.page(who, MediaFilter(user_id, category, store), after=cursor, limit=limit + 1)
        items = [await _shown(library, media) for media in found[:limit]]
        return {"items": items, "next_cursor": found[limit - 1].id if len(found) > limit else None}

    @router.get("/{media_id}")
    async def get_media(media_id: str, who: asking) -> dict[str, Any]:
        """One kept file, with a fresh link."""
        return await _shown(library, await library.get(who, media_id))

    @router.delete("/{media_id}", status_code=204)
    async def remove_media(media_id: str, who: asking) -> None:
        """Give a kept file up."""
        await library.remove(who, media_id)

    return router


def operator_routes(migrations: Migrations, imports: Imports, clients: Clients) -> APIRouter:
    """``/api/media/migrations`` and ``/imports``, for the operator; who may call is the caller's business."""
    router = APIRouter()
    router.include_router(_migration_routes(migrations))
    router.include_router(_import_routes(imports, clients))
    return router


def _migration_routes(migrations: Migrations) -> APIRouter:
    router = APIRouter(prefix=f"{UPLOAD_PATH}/migrations", tags=["media"])

    @router.post("", status_code=202)
    async def start(wanted: WantedMigration) -> dict[str, Any]:
        """Begin to move what lies in one store to another; without stores what is not in the first one, to it."""
        wish = Wish(
            source=wanted.source,
            target=wanted.to or migrations.first,
            dry_run=wanted.dry_run,
            limit=wanted.limit,
            jobs=wanted.jobs,
            bytes_per_s=wanted.bandwidth,
            delete_source=wanted.delete_source,
        )
        return _progress(migrations.start(wish))

    @router.get("/current")
    async def progress() -> dict[str, Any]:
        """How far it is, or how the last one ended."""
        return _progress(migrations.current())

    @router.delete("/current", status_code=202)
    async def stop() -> dict[str, Any]:
        """Finish the files in hand and take no more; asked twice: leave those, too."""
        return _progress(migrations.stop())

    return router


def _import_routes(imports: Imports, clients: Clients) -> APIRouter:
    router = APIRouter(prefix=f"{UPLOAD_PATH}/imports", tags=["media"])

    @router.post("", status_code=201)
    async def bring(wanted: WantedImport, response: Response) -> dict[str, Any]:
        """A file that lies in a store already becomes a media there: 201; 200 where it is one, or is but found."""
        if wanted.client_id != OWNER:
            await clients.get(wanted.client_id)
        found = await imports.find(wanted.source, wanted.key)
        media, is_new = found.media, False
        if media is None and not wanted.dry_run:
            whose = Whose(wanted.client_id, wanted.user_id, wanted.category)
            media, is_new = await imports.bring(found.copy, whose=whose)
        response.status_code = 201 if is_new else 200
        state = "imported" if is_new else "found" if media is None else "already_there"
        media_id = media and media.id
        return {"state": state, "key": found.copy.key, "size_bytes": found.copy.size_bytes, "media_id": media_id}

    return router


def _progress(progress: Progress) -> dict[str, Any]:
    wish, left = progress.wish, progress.seconds_left
    counts = ("state", "reason", "files", "done", "moved", "imported", "already_there", "let_go")
    return {
        "from": wish.source,
        "to": wish.target,
        "dry_run": wish.dry_run,
        **{name: getattr(progress, name) for name in counts},
        "bytes": progress.size_bytes,
        "done_bytes": progress.done_bytes,
        "refused": len(progress.refused),
        "refused_files": [asdict(fault) for fault in progress.refused[:MOST_TOLD]],
        "failed_count": len(progress.failed),
        "failed": [asdict(fault) for fault in progress.failed[:MOST_TOLD]],
        "rate_bytes_s": round(progress.rate_bytes_s),
        "seconds_left": None if left is None else round(left, 1),
    }


async def _shown(library: MediaLibrary, media: Media) -> dict[str, Any]:
    shown = {
        "id": media.id,
        "user_id": media.user_id,
        "category": media.category,
        "name": media.name,
        "url": library.url(media),
        "store": media.copy and media.copy.store,
        "key": media.key,
        "content_type": media.content_type,
        "size_bytes": media.size_bytes,
        "sha256": media.sha256,
        "created_at": rfc3339(media.created_at),
    }
    if library.has_thumbnail(media):
        shown["thumbnail_url"] = library.url(media, variant=THUMBNAIL)
    address = await _address(library, media)
    return shown | ({"cloud_url": address} if address else {})


async def _address(library: MediaLibrary, media: Media) -> str:
    """Where its store gives it out; nothing for local ones, and while the store is away."""
    try:
        return await library.address(media)
    except PasserelleError:
        return ""


async def form_of(request: Request, library: MediaLibrary) -> Form[Spooled]:
    """A form whose file goes to the local disk as it comes. Raises as `read_form` and `MediaLibrary.take`."""

    async def take(chunks: AsyncIterator[bytes], declared_type: str | None, name: str | None) -> Spooled:
        return await library.take(chunks, declared_type=declared_type, name=name)

    content_type = request.headers.get("content-type", "")
    return await read_form(_body(request), content_type, take=take, give_back=lambda one: one.file.close())


async def _body(request: Request) -> AsyncIterator[bytes]:
    """What comes; a sender who vanishes has sent a form that stops short."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise NotMultipart from None


def name_of(filename: str | None) -> str | None:
    """The last part of a path, without what no name of a file holds; of a long one the end, which tells its kind."""
    plain = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "", re.split(r"[/\\]", filename or "")[-1]).strip()
    return plain[-NAME_LIMIT:] or None


def _category(fields: dict[str, str]) -> Category:
    try:
        return Category(fields.get("category", ""))
    except ValueError:
        raise UploadIncomplete(field="category") from None


def _user(fields: dict[str, str]) -> str:
    user_id = fields.get("user_id", fields.get("userId", "")).strip()
    if not 1 <= len(user_id) <= USER_LIMIT or "\x00" in user_id:
        raise UploadIncomplete(field="user_id")
    return user_id
