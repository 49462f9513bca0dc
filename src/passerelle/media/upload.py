"""Reads a multipart body while it comes: fields by the handful, one file straight to where it is taken."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Generic, TypeVar

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from passerelle.errors import Invalid, Text

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD_BYTES, FIELDS = 2_000, 20
T = TypeVar("T")


class NotMultipart(Invalid):
    """A body that is no form with a file."""

    code = "not_multipart"
    text = Text("The body is not a form with a file.", "Le corps n'est pas un formulaire avec un fichier.")
    hint = Text(
        "Send multipart/form-data with file, category and user_id.",
        "Envoyez multipart/form-data avec file, category et user_id.",
    )


class TooManyFiles(Invalid):
    """A form with more than one file: none is kept, since nobody could tell which."""

    code = "too_many_files"
    text = Text("The form holds more than one file.", "Le formulaire contient plusieurs fichiers.")
    hint = Text("Send one file in each request.", "Envoyez un seul fichier par requête.")


@dataclass(slots=True)
class _Part:
    """One part as its headers tell; its bytes follow."""

    name: str
    filename: str | None
    content_type: str | None


@dataclass(slots=True)
class Form(Generic[T]):
    """What came: the fields, and what became of the file, with the name it came with."""

    fields: dict[str, str] = field(default_factory=dict)
    file: T | None = None
    filename: str | None = None


Event = _Part | bytes | None  # a part begins, bytes of it, it ends


async def read_form(
    chunks: AsyncIterator[bytes],
    content_type: str,
    *,
    take: Callable[[AsyncIterator[bytes], str | None, str | None], Awaitable[T]],
    give_back: Callable[[T], object],
) -> Form[T]:
    """The form; its first file goes to `take` (bytes, declared type, name) as it comes, to `give_back` when we fail.

    Raises:
        NotMultipart: the body is something else, stops short, or has more than a form may have.
        TooManyFiles: there is a second file.
    """
    form: Form[T] = Form()
    events = _events(chunks, content_type)
    try:
        async for event in events:
            if not isinstance(event, _Part):
                continue
            if event.filename is None:
                await _field(form, event, events)
            else:
                await _file(form, event, events, take)
    except BaseException:
        if form.file is not None:
            give_back(form.file)
        raise
    return form


async def _file(
    form: Form[T],
    part: _Part,
    events: AsyncIterator[Event],
    take: Callable[[AsyncIterator[bytes], str | None, str | None], Awaitable[T]],
) -> None:
    if form.file is not None:
        raise TooManyFiles
    form.filename = part.filename or None
    form.file = await take(_bytes(events), part.content_type, form.filename)


async def _field(form: Form[T], part: _Part, events: AsyncIterator[Event]) -> None:
    value = b""
    async for piece in _bytes(events):
        value += piece
        if len(value) > FIELD_BYTES:
            raise NotMultipart
    if len(form.fields) >= FIELDS:
        raise NotMultipart
    form.fields[part.name] = value.decode("utf-8", "replace")


async def _bytes(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """The bytes of the part that has begun."""
    async for event in events:
        if event is None:
            return
        if isinstance(event, bytes):
            yield event


async def _events(chunks: AsyncIterator[bytes], content_type: str) -> AsyncIterator[Event]:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise NotMultipart
    heard = _Heard()
    parser = MultipartParser(options[b"boundary"], heard.callbacks())
    try:
        async for chunk in chunks:
            parser.write(chunk)
            for event in heard.taken():
                yield event
        parser.finalize()
    except MultipartParseError:
        raise NotMultipart from None
    if not heard.ended:
        raise NotMultipart


class _Heard:
    """What the parser has called out and nobody has taken yet."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self.ended = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_part,
            "on_part_data": self._on_data,
            "on_part_end": lambda: self._events.append(None),
            "on_end": self._on_end,
        }

    def taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._name = self._value = b""

    def _on_part(self) -> None:
        message = Message()
        message["Content-Disposition"] = self._headers.get("content-disposition", "")
        name = str(message.get_param("name", "", "content-disposition") or "")
        filename = message.get_filename()
        self._events.append(_Part(name, filename, self._headers.get("content-type")))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _on_end(self) -> None:
        self.ended = True
