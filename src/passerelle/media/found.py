"""A file in a store that no row of ours knows: which media it is, or becomes."""

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from passerelle.media.model import Category, Copy, Media, Spooled, new_media

OWNER = "default"
NOBODY = "unknown"  # whose file it is where no second folder says so
# ``{category}/{user}/{timestamp}-{id}.{ext}``; Cloudinary calls some extensions otherwise, or leaves them out.
_OURS = re.compile(r"([a-z-]+)/([A-Za-z0-9_-]{1,64})/(\d{13})-([0-9a-f]{25})(\.[a-z0-9]{1,5})?", re.ASCII)
_USER_LIMIT = 200


class Whose(NamedTuple):
    """Whose file it is and why it is kept; what is not said follows from its folders."""

    client_id: str = OWNER
    user_id: str | None = None
    category: Category | None = None


UNTOLD = Whose()


def media_id_of(found: Copy) -> str:
    """The id of the media that this file is; the same one for ever, so that nothing is brought in twice.

    A key of ours holds it. Of any other it is a sum, which sorts before every id that we give: of the name that its
    store goes by. Cloudinary's keys are no such name: two files may have one, and its end follows the format.
    """
    ours = _OURS.fullmatch(found.key)
    if ours is not None:
        return f"media_{ours[4]}"
    public_id = found.ref.get("public_id")
    name = found.key if public_id is None else f"{found.ref['resource_type']}:{public_id}"
    return f"media_{0:011x}{hashlib.sha256(name.encode()).hexdigest()[:14]}"


def media_of(file: Spooled, found: Copy, *, media_id: str, now: datetime, whose: Whose = UNTOLD) -> tuple[Media, Copy]:
    """The media that `file`, read from `found`, becomes, and its copy where it lies.

    A key that is not ours is kept beside the copy, and the media gets one of ours.
    """
    ours = _OURS.fullmatch(found.key)
    made = datetime.fromtimestamp(int(ours[3]) / 1000, UTC) if ours is not None else found.modified_at or now
    folders = found.key.split("/")[:-1]
    media = new_media(
        file,
        media_id=media_id,
        client_id=whose.client_id,
        user_id=whose.user_id or (folders[1:2] or [NOBODY])[0][:_USER_LIMIT] or NOBODY,
        category=whose.category or _category(folders),
        name=None if ours is not None else found.key.rpartition("/")[2],
        now=made,
    )
    if ours is not None and ours[5]:
        media = replace(media, key=found.key)
    copy = replace(found, ref={**found.ref, "key": found.key})
    return replace(media, copy=copy), copy


def _category(folders: list[str]) -> Category:
    try:
        return Category(folders[0])
    except (IndexError, ValueError):
        return Category.DELETED_MESSAGES
