"""``passerelle audit``: who did what."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from passerelle.cli.prepare import prepare

if TYPE_CHECKING:
    from passerelle.client import Client

COLUMNS = ("at", "who", "address", "what", "target", "outcome", "request_id")


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
    from passerelle.cli.tend import with_gateway  # noqa: PLC0415 -- 0.3 s

    asked = {name: value for name, value in (("what", what), ("who", who), ("since", since), ("until", until)) if value}

    def do(client: "Client") -> int:
        acts = client.acts(**asked, limit=limit)
        for line in [json.dumps(act) for act in acts] if as_json else _table(acts):
            typer.echo(line)
        return 0

    sys.exit(with_gateway(*prepare(quiet=True), do))


def _table(acts: list[dict[str, Any]]) -> list[str]:
    """Columns as wide as what stands in them."""
    rows = [COLUMNS, *(tuple(str(act[name] or "-") for name in COLUMNS) for act in acts)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
