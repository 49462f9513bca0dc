"""Files of every sort, small and made here."""

import io
import random
import struct
import zipfile
import zlib

from PIL import Image

NOISE = random.Random(3).randbytes(4000)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
HTML = b"<!DOCTYPE html><script>alert(document.domain)</script>"


def picture(form: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **more: object) -> bytes:
    """A red one."""
    out = io.BytesIO()
    Image.new(mode, size, 1 if mode in {"1", "L"} else (200, 10, 10, 90)[: len(mode)]).save(out, form, **more)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel that is small for its size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(lines.compress(row) for _ in range(height)) + lines.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def iso(*brands: bytes) -> bytes:
    """The beginning of an MP4 and its like: the major brand, a version, then those it is compatible with."""
    box = b"ftyp" + brands[0] + b"\0\0\2\0" + b"".join(brands)
    return struct.pack(">I", 4 + len(box)) + box + struct.pack(">I", 8 + len(NOISE)) + b"mdat" + NOISE


def zipped(*names: str, first: bytes = b"") -> bytes:
    """An archive with these names; an office's document is one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        if first:
            archive.writestr("mimetype", first)
        for name in names:
            archive.writestr(name, NOISE)
    return out.getvalue()


def ole(inside: bytes) -> bytes:
    """An old office's document, as far as its head goes."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + inside + bytes(4000)


OFFICE = "application/vnd.openxmlformats-officedocument"
OPEN = "application/vnd.oasis.opendocument"
DOCX, XLSX, PPTX = (
    f"{OFFICE}.{name}" for name in ("wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation")
)
RAW, PLAIN = "application/octet-stream", "text/plain"

# What it is called, its bytes, what it is kept as and under which extension.
SAMPLES: list[tuple[str, bytes, str, str]] = [
    ("jpeg", picture("JPEG"), "image/jpeg", "jpg"),
    ("png", picture("PNG"), "image/png", "png"),
    ("animated png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17) + b"\0\0\0\x08acTL" + bytes(100), "image/png", "png"),
    ("webp", picture("WEBP"), "image/webp", "webp"),
    ("gif", picture("GIF"), "image/gif", "gif"),
    ("avif", picture("AVIF"), "image/avif", "avif"),
    ("heic", iso(b"heic", b"mif1"), "image/heic", "heic"),
    ("heic by its second brand", iso(b"mif1", b"heic"), "image/heic", "heic"),
    ("avif by its second brand", iso(b"mif1", b"avif"), "image/avif", "avif"),
    ("mp4", iso(b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4", "mp4"),
    ("mp4 of an iPhone", iso(b"mp42", b"isom"), "video/mp4", "mp4"),
    ("mov", iso(b"qt  "), "video/quicktime", "mov"),
    ("3gp", iso(b"3gp4", b"isom"), "video/3gpp", "3gp"),
    ("m4a", iso(b"M4A ", b"mp42"), "audio/mp4", "m4a"),
    ("raw photo of a Canon", iso(b"crx ", b"isom"), RAW, "bin"),
    ("unknown brand", iso(b"what"), RAW, "bin"),
    (
        "webm",
        b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm" + NOISE,
        "video/webm",
        "webm",
    ),
    ("mkv", b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska" + NOISE, RAW, "bin"),
    ("ogg opus", b"OggS\0\2" + bytes(8) + b"\1\2\3\4" + bytes(8) + b"\1\x13OpusHead" + NOISE, "audio/ogg", "ogg"),
    ("ogg film", b"OggS\0\2" + bytes(8) + b"\1\2\3\4" + bytes(8) + b"\1\x2a\x80theora" + NOISE, RAW, "bin"),
    ("mp3 with ID3", b"ID3\4\0\0\0\0\0\0" + NOISE, "audio/mpeg", "mp3"),
    ("mp3 without", b"\xff\xfb\x90\x64" + NOISE, "audio/mpeg", "mp3"),
    ("aac", b"\xff\xf1\x50\x80" + NOISE, "audio/aac", "aac"),
    ("amr", b"#!AMR\n" + NOISE, "audio/amr", "amr"),
    ("wav", b"RIFF\x24\0\0\0WAVEfmt " + NOISE, RAW, "bin"),
    ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + NOISE, "application/pdf", "pdf"),
    ("pdf that is text", b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj", "application/pdf", "pdf"),
    ("rtf", b"{\\rtf1\\ansi hello}", "application/rtf", "rtf"),
    ("zip", zipped("photo.raw"), "application/zip", "zip"),
    ("docx", zipped("[Content_Types].xml", "word/document.xml"), DOCX, "docx"),
    ("xlsx", zipped("[Content_Types].xml", "xl/workbook.xml"), XLSX, "xlsx"),
    ("pptx", zipped("[Content_Types].xml", "ppt/presentation.xml"), PPTX, "pptx"),
    ("odt", zipped("content.xml", first=f"{OPEN}.text".encode()), f"{OPEN}.text", "odt"),
    ("ods", zipped("content.xml", first=f"{OPEN}.spreadsheet".encode()), f"{OPEN}.spreadsheet", "ods"),
    ("sqlite", b"SQLite format 3\0" + NOISE, RAW, "bin"),
    ("noise", b"\x01\x02" + NOISE, RAW, "bin"),
    ("one byte", b"\0", RAW, "bin"),
    ("text", "déjà vu\n".encode(), PLAIN, "txt"),
    ("text cut within a letter", ("é" * 5000).encode()[:8191], PLAIN, "txt"),
    ("csv", b"name;number\nA;1\n", PLAIN, "txt"),
    ("a comparison", b"1 < 2 and 3 > 2\n", PLAIN, "txt"),
    ("UTF-16", "hello".encode("utf-16"), RAW, "bin"),
    ("svg", SVG, RAW, "bin"),
    ("svg in xml", b'<?xml version="1.0"?>\n<!-- a drawing -->\n' + SVG, RAW, "bin"),
    ("svg after a mark and spaces", b"\xef\xbb\xbf  \n\t " + SVG.replace(b" ", b"/"), RAW, "bin"),
    ("html", HTML, RAW, "bin"),
    ("html after 120 A", b"A" * 120 + HTML, RAW, "bin"),
    ("html in capitals after spaces", b"  \n<  SCRIPT>alert(1)</SCRIPT>", RAW, "bin"),
    ("script", b"#!/bin/sh\nrm -rf /\n", PLAIN, "txt"),
    ("php", b"<?php system($_GET['c']); ?>", RAW, "bin"),
    ("text that begins like a program", b"MZ is a rapper\n", PLAIN, "txt"),
    # A picture that is also something else stays a picture: what it is served with decides (reference 5).
    ("gif and script", b"GIF89a/*" + bytes(10) + b"*/=1;alert(1)", "image/gif", "gif"),
    ("jpeg with a tail", picture("JPEG") + HTML, "image/jpeg", "jpg"),
]
PROGRAMS = [
    ("ELF", b"\x7fELF\2\1\1" + NOISE),
    ("Windows", b"MZ\x90\0\3\0\0\0" + NOISE),
    ("Mach-O", b"\xcf\xfa\xed\xfe\7\0\0\1" + NOISE),
    ("Java class", b"\xca\xfe\xba\xbe\0\0\0\x34" + NOISE),
    ("Android", b"dex\n035\0" + NOISE),
    ("WebAssembly", b"\0asm\1\0\0\0" + NOISE),
]
