"""``passerelle secrets``: bring what is sealed under the key of today."""

from typing import TYPE_CHECKING, Annotated

import typer

from passerelle.cli.prepare import prepare

if TYPE_CHECKING:
    from passerelle.client import Client
    from passerelle.client.admin_answers import Sealed

NAMES = {"proxies": "Proxies of phones", "webhook_secrets": "Secrets of webhooks"}
OTHER_KEY = "❌ The gateway runs with another PASSERELLE_SECRET_KEY than the one set here: restart it, then again."
LOST = "⚠️ {lost} cannot be opened with any key: add the old key to PASSERELLE_SECRET_KEY_FALLBACKS and restart."
DONE = (
    "✅ Nothing is sealed with an earlier key. Links sent before the change need it until PASSERELLE_LINK_TTL is over."
)
LEFT = "⚠️ {earlier} are sealed with an earlier key."
secrets = typer.Typer(help="The gateway's own key, and what is sealed with it.", no_args_is_help=True)


@secrets.command()
def rotate(*, dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False) -> None:
    """Seal with PASSERELLE_SECRET_KEY what its fallbacks sealed. Example: passerelle secrets rotate."""
    from passerelle.cli.reach import with_gateway  # noqa: PLC0415 -- 0.3 s
    from passerelle.keyring.model import key_id  # noqa: PLC0415 -- the same

    settings, redactor = prepare(quiet=True)
    ours = settings.secret("secret_key")

    def do(client: "Client") -> int:
        told = client.secrets.sealed()
        if ours and told["key"] != key_id(ours):
            typer.echo(OTHER_KEY, err=True)
            return 1
        return _show(told if dry_run else client.secrets.rotate())

    raise typer.Exit(with_gateway(settings, redactor, do))


def _show(told: "Sealed") -> int:
    """One line per sort, and what is to be done; 1 where something is not under the key of today."""
    tallies = told["sealed"]
    for name, tally in tallies.items():
        counts = ", ".join(f"{number} {word}" for word, number in tally.items())
        typer.echo(f"{NAMES.get(name, name)}: {counts}")
    earlier, lost = (sum(tally[word] for tally in tallies.values()) for word in ("earlier", "lost"))
    for number, line in ((lost, LOST), (earlier, LEFT)):
        if number:
            typer.echo(line.format(lost=lost, earlier=earlier))
    if not earlier:
        typer.echo(DONE)
    return 1 if earlier or lost else 0
