"""``passerelle clients``: who may use the gateway, and by which keys."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from passerelle.cli.prepare import ask
from passerelle.errors import Misconfigured

if TYPE_CHECKING:
    from passerelle.client import Client
    from passerelle.client.admin_answers import Key, NewKey

ClientId = Annotated[str, typer.Argument(metavar="ID", help="The id of the client.")]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id of the key, as `clients keys` shows it.")]
Label = Annotated[str, typer.Option("--label", help="What the key is called, for instance the server it is on.")]
clients = typer.Typer(help="Who may use the gateway.", no_args_is_help=True)


@clients.command("add")
def add_client(name: Annotated[str, typer.Argument(help="What the client is called.")], *, label: Label = "") -> None:
    """Make a client and show its key, this once. Example: passerelle clients add "Back office"."""

    def do(client: "Client") -> int:
        made = client.clients.add(name, label=label)
        typer.echo(f"✅ {made['id']} - {made['name']}")
        return _show_once(made)

    ask(do)


@clients.command("list")
def list_clients() -> None:
    """Every client, and how many keys it has that are not revoked. Example: passerelle clients list."""

    def do(client: "Client") -> int:
        for one in client.clients.list(page_size=1000):
            keys = sum(not key["revoked"] for key in one["keys"])
            typer.echo(f"{one['id']}  {one['created_at']}  {keys} keys  {one['name']}")
        return 0

    ask(do)


@clients.command()
def keys(
    client_id: ClientId,
    *,
    new: Annotated[bool, typer.Option("--new", help="Make one more key and show it, this once.")] = False,
    label: Label = "",
) -> None:
    """The keys of a client, without their secrets. Example: passerelle clients keys client_1a2b3c4d5e6f."""

    def do(client: "Client") -> int:
        if new:
            return _show_once(client.clients.add_key(client_id, label=label))
        for key in client.clients.keys(client_id):
            parts = (key["id"], f"{key['prefix']}_…", key["created_at"], _used(key), key["label"], _state(key))
            typer.echo("  ".join(part for part in parts if part))
        return 0

    ask(do)


@clients.command()
def rotate(
    client_id: ClientId,
    key_id: KeyId,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old key is good: 0, 30m, 24h, 7d.")] = "24h",
) -> None:
    """A new key in place of this one. Example: passerelle clients rotate client_1a2b3c4d5e6f 9f8e7d6c --overlap 7d."""
    overlap_s = _seconds(overlap)

    def do(client: "Client") -> int:
        made = client.clients.rotate_key(client_id, key_id, overlap_s=overlap_s)
        typer.echo(f"The old key {key_id} is good until {made['replaces']['expires_at']}.", err=True)
        return _show_once(made)

    ask(do)


@clients.command()
def revoke(client_id: ClientId, key_id: KeyId) -> None:
    """The key is good no more. Example: passerelle clients revoke client_1a2b3c4d5e6f 9f8e7d6c."""

    def do(client: "Client") -> int:
        client.clients.revoke_key(client_id, key_id)
        typer.echo(f"✅ {key_id} is good no more")
        return 0

    ask(do)


@clients.command()
def remove(client_id: ClientId) -> None:
    """End its keys, unlink its phones, erase its data. Example: passerelle clients remove client_1a2b3c4d5e6f."""

    def do(client: "Client") -> int:
        client.clients.remove(client_id)
        typer.echo(f"✅ {client_id} is removed: its keys are good no more, its data goes within minutes")
        return 0

    ask(do)


def _seconds(text: str) -> int:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 -- 0.1 s

    from passerelle.values import Span  # noqa: PLC0415 -- the same

    try:
        span: timedelta = TypeAdapter(Span).validate_python(text)
    except ValidationError:
        raise Misconfigured("--overlap: write it as 0, 30m, 24h or 7d.") from None
    return int(span / timedelta(seconds=1))


def _show_once(made: "NewKey") -> int:
    typer.echo(made["api_key"])
    typer.echo("Keep the key now: it is not shown again.", err=True)
    return 0


def _used(key: "Key") -> str:
    return f"used {key['last_used_at']}" if key["last_used_at"] else "never used"


def _state(key: "Key") -> str:
    if key["revoked"]:
        return "revoked"
    return f"good until {key['expires_at']}" if key["expires_at"] else "good"
