"""Media: a gallery of what is kept, in which store, and the way home for what had to lie elsewhere."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.addresses import address
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.media_words import WORDS
from passerelle.dashboard.upload import keep
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.errors import NotFound, PasserelleError
from passerelle.media.model import Category, Media, StoreName
from passerelle.media.ports import MediaFilter
from passerelle.media.progress import Wish
from passerelle.media.service import MediaLibrary

HERE = f"{BASE}/media"
EVERY_S = 5
SHOWN, ID_LIMIT = 48, 64
FILTERS = ("user", "category", "store")
PICTURE = {
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/media``."""
    return [*_many(desk, app), *_one(desk, app.media)]


def _many(desk: Desk, app: App) -> list[Route]:
    """The gallery, a new file, and the way home."""
    library = app.media

    async def show(visit: Visit) -> Sheet:
        kept, after = {name: visit.asked(name) for name in FILTERS}, visit.asked("after")[:ID_LIMIT]
        found = await library.page(visit.who, _filter(kept), after=after, limit=SHOWN + 1)
        facts = {
            "items": [(media, library.has_thumbnail(media)) for media in found[:SHOWN] if media.copy is not None],
            "kept": kept,
            "categories": list(Category),
            "stores": list(StoreName),
            "older": address(HERE, **kept, after=found[SHOWN - 1].id) if len(found) > SHOWN else None,
            "newest": address(HERE, **kept) if after else None,
            "first": app.migrations.first,
            "progress": app.migrations.last,
        }
        here = address(HERE, **kept, after=after)
        return Sheet(template="media", here=here, words=WORDS, facts=facts, every_s=EVERY_S)

    async def keep_file(visit: Visit) -> str:
        return f"{HERE}/{(await keep(visit, library, desk.entry)).id}?done=kept"

    async def promote(visit: Visit) -> str:  # noqa: ARG001 -- every form is answered by a visit
        app.migrations.start(Wish(source=None, target=app.migrations.first))
        return HERE

    return [
        desk.page("/media", show),
        desk.action("/media", keep_file, back=show, streams=True),
        desk.action("/media/promote", promote, back=show),
    ]


def _one(desk: Desk, library: MediaLibrary) -> list[Route]:
    """One file."""

    async def show(visit: Visit) -> Sheet:
        media = await library.get(visit.who, visit.part("id"))
        facts = {"media": media, "has_thumbnail": library.has_thumbnail(media), "url": library.url(media)}
        return Sheet(template="medium", here=f"{HERE}/{media.id}", words=WORDS, facts=facts)

    async def thumbnail(request: Request) -> Response:
        try:
            visit = await desk.entry.visit(request)
            return await _picture(library, await library.get(visit.who, visit.part("id")))
        except PasserelleError as problem:
            return Response(status_code=404 if isinstance(problem, NotFound) else 503)

    async def remove(visit: Visit) -> str:
        await library.remove(visit.who, visit.part("id"))
        return f"{HERE}?done=removed"

    return [
        desk.page("/media/{id}", show),
        Route(f"{HERE}/{{id}}/thumbnail", thumbnail, methods=["GET"], include_in_schema=False),
        desk.action("/media/{id}/remove", remove, back=show),
    ]


async def _picture(library: MediaLibrary, media: Media) -> Response:
    """A small picture, by ourselves where it lies with us; one that its store makes is behind a link of that store."""
    address, data = await library.thumbnail(media)
    if address:
        return Response(status_code=404)
    return Response(data, media_type="image/webp", headers=PICTURE)


def _filter(kept: dict[str, str]) -> MediaFilter:
    category, store = kept["category"], kept["store"]
    return MediaFilter(
        user_id=kept["user"] or None,
        category=Category(category) if category in set(Category) else None,
        store=StoreName(store) if store in set(StoreName) else None,
    )
