"""Small real files, one of each sort, made of a name: the same name gives the same bytes."""

import hashlib
import mimetypes
import struct
import zlib
from base64 import b64decode
from binascii import Error as BadBase64
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

INLINE = "data:"
_SIDE_PX = 16
_FRAME = b"\xff\xfb\x90\x64" + bytes(413)  # 26 ms of silence: MPEG 1, layer III, 128 kbit/s, 44.1 kHz
_FRAMES = 8
_PDF = """%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R/ID[<{mark}><{mark}>]>>
%%EOF
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A whole medium."""

    data: bytes
    content_type: str
    name: str | None = None


def major_type(media: str) -> str:
    """``image``, ``video``, ``audio`` or another one: what `media` (a ``data:`` URI, an address, a name) stands for."""
    told = media[len(INLINE) :].partition(",")[0] if media.startswith(INLINE) else _guessed(media)
    return told.partition("/")[0].lower()


def sample_of(media: str) -> Sample:
    """The medium: what a ``data:`` URI holds, else a sample of that sort. Nothing is fetched.

    Raises:
        ValueError: a ``data:`` URI that cannot be read.
    """
    if media.startswith(INLINE):
        return _inline(media)
    name = _last(media)
    mark = hashlib.sha256(media.encode("utf-8", "replace")).digest()
    match major_type(media):
        case "image":
            return Sample(data=_picture(mark), content_type="image/png", name=name)
        case "video":
            return Sample(data=_film(mark), content_type="video/mp4", name=name)
        case "audio":
            return Sample(data=_sound(mark), content_type="audio/mpeg", name=name)
        case _:
            data = _PDF.format(mark=mark.hex()).encode()
            return Sample(data=data, content_type="application/pdf", name=name)


def _inline(media: str) -> Sample:
    """RFC 2397."""
    head, comma, body = media[len(INLINE) :].partition(",")
    if not comma:
        raise ValueError("a data: URI without a comma")
    content_type = head.removesuffix(";base64").partition(";")[0].strip() or "text/plain"
    if not head.endswith(";base64"):
        return Sample(data=unquote_to_bytes(body), content_type=content_type)
    try:
        return Sample(data=b64decode(unquote_to_bytes(body), validate=True), content_type=content_type)
    except BadBase64 as error:
        raise ValueError("a data: URI whose base64 cannot be read") from error


def _guessed(media: str) -> str:
    return mimetypes.guess_type(_last(media))[0] or ""


def _last(media: str) -> str:
    """The name in an address; no parsing: any text may stand for a medium here."""
    return media.partition("?")[0].rpartition("/")[2]


def _picture(mark: bytes) -> bytes:
    """A PNG of one colour."""
    lines = (b"\0" + mark[:3] * _SIDE_PX) * _SIDE_PX
    head = struct.pack(">IIBBBBB", _SIDE_PX, _SIDE_PX, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _film(mark: bytes) -> bytes:
    """An MP4 without a track."""
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    plain = struct.pack(">IIIIIIH", 0, 0, 0, 1000, 0, 0x10000, 0x100)  # never changed, 1000 ticks a second, no length
    header = plain + bytes(10) + matrix + bytes(24) + struct.pack(">I", 1)
    movie = _box(b"moov", _box(b"mvhd", header))
    return _box(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + movie + _box(b"free", mark)


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def _sound(mark: bytes) -> bytes:
    """Silence, with an ID3 tag that nobody need read."""
    private = b"sandbox\0" + mark
    frame = b"PRIV" + struct.pack(">IH", len(private), 0) + private
    return b"ID3\x03\0\0\0\0\0" + bytes([len(frame)]) + frame + _FRAME * _FRAMES
