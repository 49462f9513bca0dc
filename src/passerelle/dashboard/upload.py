"""Keep a file from the browser: it goes to the disk as it comes, and is let go where its form is not believed."""

from starlette.datastructures import FormData

from passerelle.dashboard.visits import Entry, Visit
from passerelle.errors import Text
from passerelle.media.http import USER_LIMIT, UploadIncomplete, form_of, name_of
from passerelle.media.model import Category, Media
from passerelle.media.service import MediaLibrary


class FormIncomplete(UploadIncomplete):
    """See there; on a page other words help."""

    hint = Text("Choose a file, a category and a user.", "Choisissez un fichier, une catégorie et un utilisateur.")


async def keep(visit: Visit, library: MediaLibrary, entry: Entry) -> Media:
    """Keep the file of this visit's form.

    Raises:
        FormNotBelieved: nothing is kept.
        Invalid, Unavailable, Rejected: as `MediaLibrary.take` and `keep`.
    """
    entry.believe_place(visit)
    await library.admit(visit.who, size_bytes=1)
    form = await form_of(visit.request, library)
    visit.form = FormData(form.fields)
    if form.file is None:
        raise FormIncomplete
    with form.file.file:
        entry.believe(visit)
        category, user = visit.field("category"), visit.field("user")
        if category not in set(Category) or not 1 <= len(user) <= USER_LIMIT:
            raise FormIncomplete
        name = name_of(form.filename)
        return await library.keep(visit.who, form.file, user_id=user, category=Category(category), name=name)
