"""``passerelle people``: what is kept of a person, and how it is erased."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from passerelle.cli.prepare import ask

if TYPE_CHECKING:
    from passerelle.client import Client
    from passerelle.client.answers import Erased, Person

Phone = Annotated[str, typer.Argument(help="The number, for instance +33639980001.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
people = typer.Typer(help="What is kept of people.", no_args_is_help=True)


@people.command()
def show(phone: Phone, *, as_json: AsJson = False) -> None:
    """How much is kept of a person. Example: passerelle people show +33639980001."""

    def do(client: "Client") -> int:
        told = client.people.get(phone)
        if as_json:
            typer.echo(json.dumps(told))
            return 0
        _tell(told["kept"], "{kind}: {count}")
        if told["erasing_since"]:
            typer.echo(f"⏳ being erased since {told['erasing_since']}")
        elif not told["kept"]:
            typer.echo("Nothing is kept.")
        _tell_linked(told)
        return 0

    ask(do)


@people.command()
def erase(phone: Phone, *, as_json: AsJson = False) -> None:
    """Erase what is kept of a person; may be repeated. Example: passerelle people erase +33639980001."""

    def do(client: "Client") -> int:
        told = client.people.erase(phone)
        if as_json:
            typer.echo(json.dumps(told))
            return 0
        _tell(told["erased"], "✅ {kind}: {count} erased")
        _tell(told["pending"], "⏳ {kind}: {count} left, erased as soon as possible")
        if not told["pending"]:
            typer.echo("✅ Nothing is left.")
        _tell_linked(told)
        return 0

    ask(do)


def _tell(counts: Mapping[str, int | None], line: str) -> None:
    for kind, count in counts.items():
        typer.echo(line.format(kind=kind, count="?" if count is None else count))


def _tell_linked(told: "Erased | Person") -> None:
    for session_id in told["linked_phones"]:
        typer.echo(f"⚠️ {session_id} is their phone and stays linked: DELETE /api/whatsapp/sessions/{session_id}")
