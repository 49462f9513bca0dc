"""Keep a file from the browser: it goes to the disk as it comes, and is let go where its form is not believed."""

from collections.abc import AsyncIterator

from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request

from passerelle.dashboard.visits import Entry, Visit
from passerelle.errors import Invalid, Text
from passerelle.media.http import NAME_LIMIT, USER_LIMIT
from passerelle.media.model import Category, Media, Spooled
from passerelle.media.service import MediaLibrary
from passerelle.media.upload import NotMultipart, read_form


class UploadIncomplete(Invalid):
    """A form without its file, its category or its user."""

    code = "upload_incomplete"
    text = Text("A field of the form is missing.", "Il manque un champ au formulaire.")
    hint = Text("Choose a file, a category and a user.", "Choisissez un fichier, une catégorie et un utilisateur.")


async def keep(visit: Visit, library: MediaLibrary, entry: Entry) -> Media:
    """Keep the file of this visit's form.

    Raises:
        FormNotBelieved: nothing is kept.
        Invalid, Unavailable, Rejected: as `MediaLibrary.take` and `keep`.
    """

    async def take(chunks: AsyncIterator[bytes], declared_type: str | None, name: str | None) -> Spooled:
        return await library.take(chunks, declared_type=declared_type, name=name)

    entry.believe_place(visit)
    await library.admit(visit.who, size_bytes=1)
    content_type = visit.request.headers.get("content-type", "")
    form = await read_form(_body(visit.request), content_type, take=take, give_back=lambda one: one.file.close())
    visit.form = FormData(form.fields)
    if form.file is None:
        raise UploadIncomplete
    with form.file.file:
        entry.believe(visit)
        category, user = visit.field("category"), visit.field("user")
        if category not in set(Category) or not 1 <= len(user) <= USER_LIMIT:
            raise UploadIncomplete
        name = (form.filename or "").replace("\\", "/").rpartition("/")[2][-NAME_LIMIT:]
        plain = "".join(letter for letter in name if letter.isprintable())
        return await library.keep(visit.who, form.file, user_id=user, category=Category(category), name=plain or None)


async def _body(request: Request) -> AsyncIterator[bytes]:
    """What comes; a sender who vanishes has sent a form that stops short."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise NotMultipart from None
