"""``passerelle records``: what an operator does with records, as commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from passerelle.cli.prepare import prepare

records = typer.Typer(help="Records: clients, linked phones, logins.", no_args_is_help=True)


@records.command()
def reload() -> None:
    """Forget what the gateway remembers and read everything from Redis. Example: passerelle records reload."""
    _tend("reload")


@records.command()
def restore() -> None:
    """Bring back to Redis what it lost, as it was seen last. Example: passerelle records restore."""
    _tend("restore")


@records.command()
def accept() -> None:
    """Believe Redis: give up what it lost. Example: passerelle records accept."""
    _tend("accept")


@records.command("import")
def import_(folder: Annotated[Path, typer.Argument(help="The folder records/ of a data directory.")]) -> None:
    """Bring records from JSON files; nothing is overwritten. Example: passerelle records import data/records."""
    from passerelle.cli.tend import import_folder  # noqa: PLC0415 -- 0.3 s

    sys.exit(import_folder(*prepare(quiet=True), folder))


def _tend(verb: str) -> None:
    from passerelle.cli.tend import tend  # noqa: PLC0415 -- 0.3 s

    sys.exit(tend(*prepare(quiet=True), verb))
