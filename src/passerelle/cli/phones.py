"""``passerelle sessions``: linked phones leave for another machine, sealed, and come from one."""

import getpass
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from passerelle.cli.prepare import ask
from passerelle.errors import Misconfigured

if TYPE_CHECKING:
    from passerelle.client import Client

VARIABLE = "PASSERELLE_PASSPHRASE"
HEAD_AND_END = 2
SIGNS = {"imported": "✅", "there_already": "✅", "number_taken": "⚠️"}
File = Annotated[Path, typer.Argument(help="Where the sealed lines are.")]
sessions = typer.Typer(help="Linked phones.", no_args_is_help=True)


@sessions.command("export")
def export(file: File) -> None:
    """Write every linked phone with its keys, sealed. Example: passerelle sessions export phones.sealed."""
    if file.exists():
        raise Misconfigured(f"{file} is there already; nothing was written.")
    passphrase = _passphrase(twice=True)

    def do(client: "Client") -> int:
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            phones = _write(fresh, client.sessions.export(passphrase))
            fresh.rename(file)
        except OSError as error:
            raise Misconfigured(f"{file} cannot be written: {error.strerror}.") from None
        finally:
            fresh.unlink(missing_ok=True)
        print(f"✅ {phones} linked phone(s) exported to {file}. Stop this gateway before you import them elsewhere.")  # noqa: T201 -- the command line speaks
        return 0

    ask(do)


@sessions.command("import")
def import_(file: File) -> None:
    """Bring what an export wrote; may be repeated. Example: passerelle sessions import phones.sealed."""
    head, lines = _read(file)
    passphrase = _passphrase(twice=False)

    def do(client: "Client") -> int:
        taken = 0
        for line in lines:
            told = client.sessions.restore(passphrase, head=head, line=line)
            print(f"{SIGNS[told['outcome']]} {told['session_id']}: {told['outcome']}")  # noqa: T201 -- the same
            taken += told["outcome"] == "number_taken"
        return 1 if taken else 0

    ask(do)


def _write(fresh: Path, lines: Iterable[str]) -> int:
    """A file for its owner alone; how many phones it holds."""
    written = 0
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        for line in lines:
            out.write(line + "\n")
            written += 1
        out.flush()
        os.fsync(out.fileno())
    return written - HEAD_AND_END


def _read(file: Path) -> tuple[str, list[str]]:
    """The head and the sealed lines of an export."""
    try:
        head, *lines, end = file.read_text("utf-8").splitlines()
        whole = "passerelle_sessions" in json.loads(head) and json.loads(end) == {"end": len(lines)}
    except (OSError, ValueError, TypeError):
        whole = False
    if not whole:
        raise Misconfigured(f"{file} is not a file that `passerelle sessions export` wrote, or not all of it.")
    return head, lines


def _passphrase(*, twice: bool) -> str:
    """From the environment, else typed; never an argument, which everybody on the machine could read."""
    known = os.environ.get(VARIABLE)
    if known:
        return known
    if not sys.stdin.isatty():
        raise Misconfigured(f"Set {VARIABLE}, or type the passphrase at a terminal.")
    typed = getpass.getpass("Passphrase: ")
    if twice and typed != getpass.getpass("Once more: "):
        raise Misconfigured("These were two different passphrases.")
    return typed
