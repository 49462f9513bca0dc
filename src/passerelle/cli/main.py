"""The commands. Nothing heavy is imported before a command needs it: ``--help`` answers in a blink."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
import typer

from passerelle import __version__
from passerelle.cli import backup as copies
from passerelle.cli.audit import audit
from passerelle.cli.clients import clients
from passerelle.cli.people import people
from passerelle.cli.phones import sessions
from passerelle.cli.prepare import hand_on_standard, on_known_port, prepare, redactor_of
from passerelle.cli.records import records
from passerelle.cli.secrets import secrets
from passerelle.cli.stores import media
from passerelle.errors import Misconfigured, PasserelleError

FAILED, WRONG = 1, 2
Port = Annotated[int | None, typer.Option(help="Port to listen on; PASSERELLE_PORT otherwise.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on; PASSERELLE_HOST otherwise.")]

app = typer.Typer(
    name="passerelle",
    help="A self-hosted WhatsApp gateway. Try it: passerelle demo",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)
db = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(records, name="records")
app.add_typer(clients, name="clients")
app.add_typer(media, name="media")
app.add_typer(sessions, name="sessions")
app.add_typer(people, name="people")
app.command()(audit)
copies.add_to(app)
app.add_typer(secrets, name="secrets")


def _tell_version(asked: bool) -> None:  # noqa: FBT001 -- Typer calls it
    if asked:
        version()
        raise typer.Exit


@app.callback()
def _before(
    *,
    _asked: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run a command: 0 done, 1 failed, 2 wrong settings or usage; never a traceback."""
    try:
        app()
    except Misconfigured as wrong:
        print(f"passerelle: {wrong}", file=sys.stderr)  # noqa: T201 -- the command line speaks
        sys.exit(WRONG)
    except PasserelleError as error:
        print(f"passerelle: {error.text.en} {error.hint.en}", file=sys.stderr)  # noqa: T201 -- the same
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # the last net: a person gets a line, the log the rest, where there is one already
        if structlog.is_configured():
            structlog.get_logger().exception("❌ The command broke")
        print(f"passerelle: something went wrong inside ({type(error).__name__}).", file=sys.stderr)  # noqa: T201
        sys.exit(FAILED)


@app.command()
def version() -> None:
    """Print the version. Example: passerelle version."""
    typer.echo(f"passerelle {__version__}")


@app.command()
def serve(
    *,
    host: Host = None,
    port: Port = None,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes beside the API (PostgreSQL).")] = 0,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="API only; workers run elsewhere.")] = False,
) -> None:
    """Serve the API, with a worker in the same process. Example: passerelle serve --port 8000."""
    from passerelle import server  # noqa: PLC0415 -- 0.5 s

    settings, redactor = prepare(host=host, port=port)
    settings = on_known_port(settings)
    worker_here = not no_worker and workers == 0
    _run(
        lambda stop: server.serve(settings, redactor, stop=stop, workers=workers, worker_here=worker_here),
        child=False,
    )


@app.command()
def worker(*, child: Annotated[bool, typer.Option("--child", hidden=True)] = False) -> None:
    """Work beside other processes that serve the API (PostgreSQL). Example: passerelle worker."""
    from passerelle import server  # noqa: PLC0415 -- 0.5 s

    settings, redactor = prepare()
    _run(lambda stop: server.work(settings, redactor, stop=stop), child=child)


@app.command()
def sandbox(*, host: Host = None, port: Port = None) -> None:
    """Serve one simulated WhatsApp to gateways on several machines. Example: passerelle sandbox --port 8100."""
    from passerelle import server  # noqa: PLC0415 -- 0.5 s

    settings, _ = prepare(host=host, port=port)
    settings = on_known_port(settings)
    _run(lambda stop: server.serve_world(settings, stop=stop), child=False)


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the story.")] = False,
    port: Port = None,
) -> None:
    """Play a short story on a simulated WhatsApp, then go on serving. Example: passerelle demo --once."""
    from passerelle.cli.demo import play  # noqa: PLC0415 -- 0.5 s

    settings, redactor = prepare(port=port, quiet=True)
    sys.exit(play(settings, redactor, once=once))


@app.command()
def pair(
    user: Annotated[str, typer.Argument(help="Your own id of the user.")],
    phone: Annotated[str, typer.Argument(help="The phone number, for instance +33639980001.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Give up an open attempt; link a linked phone again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per change of state.")] = False,
) -> None:
    """Link a phone: shows the code with its countdown, ends when linked. Example: passerelle pair anna +33639980001."""
    from passerelle.cli.pair import follow  # noqa: PLC0415 -- 0.3 s

    settings, redactor = prepare(quiet=True)
    sys.exit(follow(settings, redactor, user, phone, force=force, as_json=as_json))


@app.command()
def send(
    user: Annotated[str, typer.Argument(help="Your own id of the user whose phone says it.")],
    to: Annotated[str, typer.Argument(help="The recipient's number, for instance +33639980002.")] = "",
    text: Annotated[str, typer.Argument(help="What to say.")] = "",
    *,
    at: Annotated[str | None, typer.Option(help="When, for instance 2026-12-24T18:00:00+01:00.")] = None,
    csv: Annotated[Path | None, typer.Option(help="A file with the columns to, text and perhaps at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per message.")] = False,
) -> None:
    """Send a message, or one per line of a CSV file. Example: passerelle send anna +33639980002 "Good morning"."""
    from passerelle.cli.send import send_file, send_one  # noqa: PLC0415 -- 0.3 s

    if (csv is None) == (not (to and text)):
        raise Misconfigured("send needs either TO and TEXT, or --csv FILE.")
    settings, redactor = prepare(quiet=True)
    if csv is not None:
        sys.exit(send_file(settings, redactor, user, csv, at=at, as_json=as_json))
    sys.exit(send_one(settings, redactor, user, to, text, at=at, as_json=as_json))


@app.command()
def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="Only name the checks.")] = False,
    only: Annotated[str | None, typer.Option(help="Run this check, and what it needs.")] = None,
    lang: Annotated[Literal["en", "fr"] | None, typer.Option(help="Language; PASSERELLE_LANG otherwise.")] = None,
) -> None:
    """Say what is wrong, why, and what helps: 0 nothing, 1 warnings, 2 errors. Example: passerelle doctor --lang fr."""
    from passerelle.cli.doctor import Doctor  # noqa: PLC0415 -- 0.5 s
    from passerelle.settings import examine_settings  # noqa: PLC0415 -- 0.3 s

    hand_on_standard()
    settings, wrong = examine_settings()
    visit = Doctor(settings, wrong, redactor_of(settings), lang=lang or settings.lang)
    if as_list:
        typer.echo(visit.names())
    else:
        sys.exit(visit.examine(only=only, as_json=as_json))


@db.command()
def upgrade() -> None:
    """Bring the tables to the newest version. Example: passerelle db upgrade."""
    from passerelle.cli.database import upgrade_database  # noqa: PLC0415 -- 0.5 s

    settings, _ = prepare()
    typer.echo(asyncio.run(upgrade_database(settings)))


def _run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, child: bool) -> None:
    """Run `main` until a signal, or until our parent is gone."""
    import uvloop  # noqa: PLC0415 -- needed by the long-running commands only

    from passerelle.processes import on_signals, stop_when_parent_ends  # noqa: PLC0415 -- the same

    async def until_stopped() -> None:
        stop = asyncio.Event()
        on_signals(stop.set)
        if child:
            stop_when_parent_ends(stop.set)
        await main(stop)

    uvloop.run(until_stopped())
