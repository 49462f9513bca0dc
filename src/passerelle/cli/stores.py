"""``passerelle media``: kept files, and the stores they lie in, as commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from passerelle.cli.prepare import prepare

Limit = Annotated[int | None, typer.Option(min=1, help="At most so many files in this run.")]
AtOnce = Annotated[int, typer.Option("--jobs", min=1, max=32, help="So many files at once.")]
Bandwidth = Annotated[str | None, typer.Option(help="At most so many bytes a second, for instance 5MB.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count, and touch nothing.")]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON line per look at it.")]
media = typer.Typer(help="Kept files, and the stores they lie in.", no_args_is_help=True)


@media.command("add")
def add_media(
    files: Annotated[list[Path], typer.Argument(help="Pictures, films, sounds, documents.")],
    user: Annotated[str, typer.Option("--user", help="Whose they are: any text.")],
    category: Annotated[str, typer.Option("--category", help="deleted-messages, view-once or scheduled-status.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per file.")] = False,
) -> None:
    """Keep files and get a link to each. Example: passerelle media add photo.jpg --user anna --category view-once."""
    from passerelle.cli.upload import add  # noqa: PLC0415 -- 0.3 s

    sys.exit(add(*prepare(quiet=True), files, user=user, category=category, as_json=as_json))


@media.command("import")
def import_media(
    file: Annotated[Path, typer.Argument(help="CSV: key or url, and perhaps user and category.")],
    source: Annotated[str, typer.Option("--from", help="Where they lie: cloudinary, supabase, s3 or local.")],
    *,
    user: Annotated[str | None, typer.Option("--user", help="Whose they are where the file does not say.")] = None,
    category: Annotated[str | None, typer.Option("--category", help="The same.")] = None,
    client: Annotated[str | None, typer.Option("--client", help="The client that gets them; else `default`.")] = None,
    dry_run: DryRun = False,
    at_once: AtOnce = 4,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per file.")] = False,
) -> None:
    """Files of a store become media where they lie. Example: passerelle media import files.csv --from supabase."""
    from passerelle.cli.media_import import Wanted, import_files  # noqa: PLC0415 -- 0.3 s

    wanted = Wanted(source=source, client_id=client, user=user, category=category, dry_run=dry_run, jobs=at_once)
    sys.exit(import_files(*prepare(quiet=True), file, wanted, as_json=as_json))


@media.command()
def migrate(
    source: Annotated[str, typer.Option("--from", help="cloudinary, supabase, s3 or local.")],
    to: Annotated[str, typer.Option("--to", help="The same.")],
    *,
    dry_run: DryRun = False,
    limit: Limit = None,
    at_once: AtOnce = 4,
    bandwidth: Bandwidth = None,
    delete_source: Annotated[bool, typer.Option("--delete-source", help="Verified originals leave.")] = False,
    as_json: JsonLines = False,
) -> None:
    """Move every file to another store. Example: passerelle media migrate --from supabase --to cloudinary --dry-run."""
    from passerelle.cli.media import migrate as move  # noqa: PLC0415 -- 0.3 s

    stores = {"from": source, "to": to, "delete_source": delete_source}
    how = {"dry_run": dry_run, "limit": limit, "jobs": at_once}
    sys.exit(move(*prepare(quiet=True), stores | how, bandwidth=bandwidth, as_json=as_json))


@media.command()
def promote(
    *,
    dry_run: DryRun = False,
    limit: Limit = None,
    at_once: AtOnce = 4,
    bandwidth: Bandwidth = None,
    as_json: JsonLines = False,
) -> None:
    """Bring files that landed elsewhere to the first store, as the sweep does. Example: passerelle media promote."""
    from passerelle.cli.media import migrate as move  # noqa: PLC0415 -- 0.3 s

    wish = {"delete_source": True, "dry_run": dry_run, "limit": limit, "jobs": at_once}
    sys.exit(move(*prepare(quiet=True), wish, bandwidth=bandwidth, as_json=as_json))
