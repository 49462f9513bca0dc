"""What a file is, whatever it calls itself."""

import pytest

from passerelle.media.sniff import HEAD_BYTES, Kind, TypeRefused, kind_of_extension, may_be_shown, sniff

from .samples import HTML, PROGRAMS, SAMPLES, SVG, iso

pytestmark = pytest.mark.mission("B2")
SHOWN = {extension for _, _, content_type, extension in SAMPLES if may_be_shown(content_type)}


@pytest.mark.parametrize(
    ("data", "content_type", "extension"), [one[1:] for one in SAMPLES], ids=[one[0] for one in SAMPLES]
)
def test_each_sample_is_kept_as_what_it_is(data: bytes, content_type: str, extension: str) -> None:
    kind = sniff(data[:HEAD_BYTES])
    assert (kind.content_type, kind.extension) == (content_type, extension)
    assert kind_of_extension(extension) == kind


@pytest.mark.parametrize("data", [one[1] for one in PROGRAMS], ids=[one[0] for one in PROGRAMS])
def test_programs_are_refused(data: bytes) -> None:
    with pytest.raises(TypeRefused) as refused:
        sniff(data[:HEAD_BYTES], declared_type="image/png", name="holiday.png")
    assert refused.value.code == "media_type_refused"


@pytest.mark.parametrize("data", [SVG, HTML, b"#!/bin/sh\nrm -rf /\n", b"<?php system('id'); ?>"])
@pytest.mark.parametrize("said", ["image/png", "image/svg+xml", "text/html", None])
def test_what_a_browser_would_run_is_never_shown(data: bytes, said: str | None) -> None:
    kind = sniff(data, declared_type=said, name="holiday.png")
    assert not kind.shown
    assert kind.extension in {"bin", "txt"}


def test_only_pictures_sounds_and_films_are_shown() -> None:
    assert {
        "jpg",
        "png",
        "webp",
        "gif",
        "heic",
        "mp4",
        "3gp",
        "mov",
        "webm",
        "ogg",
        "mp3",
        "m4a",
        "aac",
        "amr",
    } <= SHOWN
    assert SHOWN.isdisjoint({"pdf", "txt", "bin", "zip", "docx", "rtf", "odt"})
    assert not any(may_be_shown(name) for name in ("image/svg+xml", "text/html", "text/xml", "", "application/pdf"))


@pytest.mark.parametrize(
    ("brand", "said", "name", "found"),
    [
        (b"isom", "audio/mp4", None, ("audio/mp4", "m4a")),
        (b"isom", None, "voice.m4a", ("audio/mp4", "m4a")),
        (b"isom", "video/mp4", "voice.m4a", ("video/mp4", "mp4")),
        (b"3gp4", "audio/3gpp", None, ("audio/3gpp", "3ga")),
        (b"qt  ", "audio/mp4", None, ("video/quicktime", "mov")),
        (b"isom", "text/html", "x.html", ("video/mp4", "mp4")),
    ],
)
def test_the_sender_may_say_that_a_film_is_only_a_sound(
    brand: bytes, said: str | None, name: str | None, found: tuple[str, str]
) -> None:
    kind = sniff(iso(brand), declared_type=said, name=name)
    assert (kind.content_type, kind.extension) == found


def test_an_extension_that_we_never_give_means_raw_bytes() -> None:
    raw = Kind(content_type="application/octet-stream", extension="bin")
    assert [kind_of_extension(name) for name in ("html", "svg", "", "exe")] == [raw] * 4


@pytest.mark.parametrize("length", range(20))
def test_a_head_of_any_length_is_no_trouble(length: int) -> None:
    for _, data, _, _ in SAMPLES:
        assert sniff(data[:length]).extension
