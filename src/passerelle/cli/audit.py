"""``passerelle audit``: who did what."""

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from passerelle.cli.prepare import ask

Column = Literal["at", "who", "address", "what", "target", "outcome", "request_id"]
if TYPE_CHECKING:
    from passerelle.client import Client
    from passerelle.client.admin_answers import Act

COLUMNS: tuple[Column, ...] = ("at", "who", "address", "what", "target", "outcome", "request_id")


def audit(
    *,
    what: Annotated[str, typer.Option(help="Only this, for instance key.revoked.")] = "",
    who: Annotated[str, typer.Option(help="Only by: admin, dashboard, 'command line', or how a key begins.")] = "",
    since: Annotated[str, typer.Option(help="Not before, for instance 2026-12-24T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per act.")] = False,
) -> None:
    """Who did what, newest first. Example: passerelle audit --what key.revoked."""

    def do(client: "Client") -> int:
        asked = client.audit.list(
            what=what or None, who=who or None, since=since or None, until=until or None, page_size=limit
        )
        acts = asked.page()["items"]
        for line in [json.dumps(act) for act in acts] if as_json else _table(acts):
            typer.echo(line)
        return 0

    ask(do)


def _table(acts: list["Act"]) -> list[str]:
    """Columns as wide as what stands in them."""
    rows = [COLUMNS, *(tuple(str(act[name] or "-") for name in COLUMNS) for act in acts)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
