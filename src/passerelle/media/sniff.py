"""Says what a file is, by its content alone, and under which type and extension it may be kept.

A type outside the lists below is kept as `RAW`: bytes that no browser shows. So is what a browser would run (HTML, SVG,
XML), whatever it calls itself. Which types may be shown is decided here and nowhere else.
"""

import codecs
import mimetypes
import re
from dataclasses import dataclass

import filetype

from passerelle.errors import Invalid, Text

HEAD_BYTES = 8192


class TypeRefused(Invalid):
    """A program, which nobody may keep."""

    code = "media_type_refused"
    text = Text("Files of this type are not kept.", "Les fichiers de ce type ne sont pas conservés.")
    hint = Text("Send it in an archive (zip).", "Envoyez-le dans une archive (zip).")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A type that may be kept; `shown`: a browser may display it in place, else it is only offered to be saved."""

    content_type: str
    extension: str
    shown: bool = False


RAW = Kind(content_type="application/octet-stream", extension="bin")
PLAIN = Kind(content_type="text/plain", extension="txt")
_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
_SHOWN = (
    *(("image/jpeg", "jpg"), ("image/png", "png"), ("image/webp", "webp"), ("image/gif", "gif")),
    *(("image/avif", "avif"), ("image/heic", "heic")),
    *(("video/mp4", "mp4"), ("video/3gpp", "3gp"), ("video/quicktime", "mov"), ("video/webm", "webm")),
    *(("audio/ogg", "ogg"), ("audio/mpeg", "mp3"), ("audio/mp4", "m4a"), ("audio/aac", "aac"), ("audio/amr", "amr")),
    *(("audio/webm", "weba"), ("audio/3gpp", "3ga")),
)
_SAVED = (
    *(("application/pdf", "pdf"), ("application/rtf", "rtf"), ("application/zip", "zip")),
    *((f"{_OFFICE}.wordprocessingml.document", "docx"), (f"{_OFFICE}.spreadsheetml.sheet", "xlsx")),
    *((f"{_OFFICE}.presentationml.presentation", "pptx"), (f"{_OPEN}.text", "odt")),
    *((f"{_OPEN}.spreadsheet", "ods"), (f"{_OPEN}.presentation", "odp")),
    *(("application/msword", "doc"), ("application/vnd.ms-excel", "xls"), ("application/vnd.ms-powerpoint", "ppt")),
)
_KINDS = {
    kind.content_type: kind
    for kind in (
        *(Kind(content_type=name, extension=extension, shown=True) for name, extension in _SHOWN),
        *(Kind(content_type=name, extension=extension) for name, extension in _SAVED),
        *(PLAIN, RAW),
    )
}
_BY_EXTENSION = {kind.extension: kind for kind in _KINDS.values()}
# Where a container says nothing of what is in it, the sender's word may choose between two harmless readings.
_SOUND_OF = {"video/mp4": "audio/mp4", "video/webm": "audio/webm", "video/3gpp": "audio/3gpp"}
_OTHER_NAMES = {"text/rtf": "application/rtf", "image/apng": "image/png"}

# The first words of programs: ELF, Windows, Mach-O (and Java classes, which share one), Android, WebAssembly.
_PROGRAMS = (
    *(b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf"),
    *(b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"dex\n", b"\x00asm"),
)
# Brands of ISO media (ISO/IEC 14496-12), the major one first; `filetype` takes 3gp for mp4.
_BRANDS = (
    (re.compile(rb"avi[fs]"), "image/avif"),
    (re.compile(rb"hei[cxms]|hev[cxms]"), "image/heic"),
    (re.compile(rb"crx "), RAW.content_type),  # a raw photo, which calls itself a film too
    (re.compile(rb"qt  "), "video/quicktime"),
    (re.compile(rb"M4[ABP] "), "audio/mp4"),
    (re.compile(rb"3g[p2erst].|kddi"), "video/3gpp"),
    (re.compile(rb"iso[m2-9]|mp4[12]|avc1|dash|M4V |MSNV|mmp4|XAVC|F4V "), "video/mp4"),
)
_IN_ZIP = (
    (b"word/", f"{_OFFICE}.wordprocessingml.document"),
    (b"xl/", f"{_OFFICE}.spreadsheetml.sheet"),
    (b"ppt/", f"{_OFFICE}.presentationml.presentation"),
    *((f"mimetype{name}".encode(), name) for name in _KINDS if name.startswith(_OPEN)),
)
# A tag, a comment, a declaration or an instruction: no browser needs more to run what follows.
_MARKUP = re.compile(rb"<\s*[A-Za-z!?/]")
_NOT_IN_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def sniff(head: bytes, *, declared_type: str | None = None, name: str | None = None) -> Kind:
    """What a file that begins with `head` (its first `HEAD_BYTES`) is kept as.

    What its sender says decides nothing but whether a film may be a sound without a picture.

    Raises:
        TypeRefused: nobody may keep this.
    """
    found = _KINDS.get(_name_of(head), RAW)
    claim = declared_type or mimetypes.guess_type(name or "")[0] or ""
    sound = _SOUND_OF.get(found.content_type)
    return _KINDS[sound] if sound is not None and claim.startswith("audio/") else found


def kind_of_extension(extension: str) -> Kind:
    """What a kept file with this extension was found to be; `RAW` for those we never give."""
    return _BY_EXTENSION.get(extension, RAW)


def sort_of(content_type: str) -> str:
    """What people call it: an image, a video, an audio, or else a document."""
    sort = content_type.partition("/")[0]
    return sort if sort in {"image", "video", "audio"} else "document"


def may_be_shown(content_type: str) -> bool:
    """Whether a browser may display it in place; everything else is only offered to be saved."""
    kind = _KINDS.get(content_type)
    return kind is not None and kind.shown


def _name_of(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return _brand(head)
    found = filetype.guess(head)
    told = "" if found is None else str(found.mime)
    if _is_text(head) and told not in {"application/pdf", "application/rtf", "text/rtf", "audio/amr"}:
        return RAW.content_type if _MARKUP.search(head) else PLAIN.content_type
    if head.startswith(_PROGRAMS):
        raise TypeRefused
    if head.startswith(b"PK\x03\x04"):
        return next((inside for sign, inside in _IN_ZIP if sign in head), "application/zip")
    if told == "audio/ogg" and b"\x80theora" in head:
        return RAW.content_type
    return _OTHER_NAMES.get(told, told)


def _brand(head: bytes) -> str:
    """The first brand that we know: the major one, then (after a version) those it says it is compatible with."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    known = (name for brand in brands for pattern, name in _BRANDS if pattern.fullmatch(brand))
    return next(known, RAW.content_type)


def _is_text(head: bytes) -> bool:
    """UTF-8 without what no text holds; its last letter may be cut. UTF-16 is not seen through, and stays raw."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return _NOT_IN_TEXT.search(head) is None
