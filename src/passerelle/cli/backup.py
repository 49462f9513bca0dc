"""``passerelle backup``, ``restore``, ``export`` and ``import``: all of a gateway, copied and put back."""

import asyncio
import io
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from passerelle.cli.prepare import prepare
from passerelle.errors import Misconfigured, PasserelleError

if TYPE_CHECKING:
    from passerelle.backup.held import Waiting
    from passerelle.backup.model import Places

T = TypeVar("T")
STDIN_OUT = Path("-")
Out = Annotated[Path, typer.Argument(help="A new file; - for standard output.", show_default=False)]
In = Annotated[Path, typer.Argument(help="The file; - for standard input.", show_default=False)]
SendWaiting = Annotated[
    bool, typer.Option("--send-waiting", help="Send what waited in it; perhaps that was sent since.")
]


def add_to(app: typer.Typer) -> None:
    """Let `app` have these commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("export")(export)
    app.command("import")(import_)


def backup(
    file: Out,
    *,
    without_media: Annotated[bool, typer.Option("--without-media", help="Leave out the media of this disk.")] = False,
) -> None:
    """Write all that the gateway keeps into one archive, also while it runs. Example: passerelle backup today.tar."""

    async def do(places: "Places") -> str:
        from passerelle.backup.take import take  # noqa: PLC0415 -- 0.3 s

        with _new(file) as (out, beside), tempfile.TemporaryDirectory(prefix=".backup-", dir=beside) as scratch:
            made = await take(places, out, scratch=Path(scratch), with_media=not without_media)
        return f"{made.kind}, tables {made.revision}, sealed with the key {made.keys[0]}. Keep that key elsewhere."

    told = _run(do)
    typer.echo(f"✅ Backed up to {file}: {told}", err=file == STDIN_OUT)


def restore(
    file: In,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only look whether it is whole; touch nothing.")] = False,
    send_waiting: SendWaiting = False,
) -> None:
    """Put a backup back where nothing is, with the gateway stopped. Example: passerelle restore today.tar."""

    async def do(places: "Places") -> str:
        from passerelle.backup import restore as room  # noqa: PLC0415 -- as above
        from passerelle.backup.model import Home  # noqa: PLC0415 -- the same

        with _opened(file) as source:
            if check:
                made = await room.verify(source)
                return f"{file} is whole: {made.kind}, tables {made.revision}, key {made.keys[0]}, of {made.made_at}."
            made, messages = await room.restore(places, source, send_waiting=send_waiting)
        notes = [f"The backup of {made.made_at} is back.", *_notes(messages)]
        missing = [key for key in made.keys[1:] if key not in places.keys]
        if missing:
            notes.append(f"⚠️ Earlier keys are missing here: {', '.join(missing)}; passerelle doctor tells of the loss.")
        if places.home is Home.REDIS and made.home == Home.REDIS.value:
            notes.append("Records are in Redis. Where that is empty: start, then passerelle records restore")
        elif places.home.value != made.home:
            notes.append(f"⚠️ Records were in {made.home}, here they are in {places.home.value}: bring them yourself.")
        return "\n".join(notes)

    typer.echo(f"✅ {_run(do)}")


def export(file: Out) -> None:
    """Write every row as JSON lines, for another sort of database. Example: passerelle export all.jsonl."""

    async def do(places: "Places") -> dict[str, int]:
        from passerelle.backup.export import export as write  # noqa: PLC0415 -- as above

        with _new(file) as (out, _):
            text = io.TextIOWrapper(out, encoding="utf-8")
            rows = await write(places, text)
            text.detach()  # flushed, and `out` stays open
        return rows

    rows = _run(do)
    typer.echo(f"✅ {sum(rows.values())} rows of {len(rows)} tables exported to {file}", err=file == STDIN_OUT)


def import_(file: In, *, send_waiting: SendWaiting = False) -> None:
    """Bring an export into an empty database. Example: passerelle import all.jsonl --send-waiting."""

    async def do(places: "Places") -> str:
        from passerelle.backup.load import load  # noqa: PLC0415 -- as above

        with _opened(file) as source:
            loaded = await load(places, io.TextIOWrapper(source, encoding="utf-8"), send_waiting=send_waiting)
        notes = [f"{sum(loaded.rows.values())} rows of {len(loaded.rows)} tables are here.", *_notes(loaded.messages)]
        if places.home.value == "redis":
            notes.append("Records wait for Redis: start, then passerelle records restore")
        return "\n".join(notes)

    typer.echo(f"✅ {_run(do)}")


def _notes(messages: "Waiting") -> Iterator[str]:
    if messages.held:
        yield (
            f"⚠️ {messages.held} message(s) that waited in it may have been sent since: they become unknown (restored)"
            " and are not sent again by themselves. POST /api/messages/{id}/retry sends one."
        )
    if messages.waiting:
        yield f"{messages.waiting} message(s) will be sent when they are due."


def _run(do: "Callable[[Places], Coroutine[Any, Any, T]]") -> T:
    """Do it with the places of the settings; a refusal is one line, and exit code 1."""
    from passerelle.app.backup import compose_places  # noqa: PLC0415 -- 0.3 s
    from passerelle.app.open import make_data_dir  # noqa: PLC0415 -- the same
    from passerelle.server import CONTROL_SOCKET  # noqa: PLC0415 -- the same

    settings, _ = prepare(quiet=True)
    make_data_dir(settings)
    try:
        control = (settings.data_dir / CONTROL_SOCKET).with_suffix(".lock")
        return asyncio.run(do(compose_places(settings, control=control)))
    except PasserelleError as fault:
        detail = str(fault.members.get("detail", ""))
        told = f"{fault.text.en} ({detail})" if detail else fault.text.en
        print(f"❌ {told} {fault.hint.en}", file=sys.stderr)  # noqa: T201 -- the command line speaks
    except OSError as error:
        place = f"{Path(str(error.filename)).name}: " if error.filename else ""
        print(f"❌ {place}{error.strerror}. Nothing was written.", file=sys.stderr)  # noqa: T201 -- the same
    sys.exit(1)


@contextmanager
def _new(file: Path) -> Iterator[tuple[BinaryIO, Path | None]]:
    """A file for its owner alone that has its name once it is whole, and the folder it is in."""
    if file == STDIN_OUT:
        if sys.stdout.isatty():
            raise Misconfigured("A terminal is no place for it: name a file, or pipe it on.")
        yield sys.stdout.buffer, None
        sys.stdout.buffer.flush()
        return
    if file.exists():
        raise Misconfigured(f"{file} is there already; nothing was written.")
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out, file.parent
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(file)
        _flush(file.parent)
    finally:
        fresh.unlink(missing_ok=True)


def _flush(folder: Path) -> None:
    """The name is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if file == STDIN_OUT:
        yield sys.stdin.buffer
        return
    with file.open("rb") as source:
        yield source
