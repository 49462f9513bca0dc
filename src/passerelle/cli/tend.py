"""``passerelle records``: what an operator does with records."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from passerelle.cli.reach import with_gateway
from passerelle.client import Client
from passerelle.client.types import BroughtRecord
from passerelle.errors import Misconfigured
from passerelle.redaction import Redactor
from passerelle.settings import Settings

BODY_BYTES, RECORDS = 500_000, 1000  # of one request; the gateway takes 1 MB and 1,000 records
DONE = {
    "reload": "✅ {key} reloaded from {source}: {count}",
    "restore": "✅ {key} brought back to {source}: {count}",
    "accept": "✅ {key} given up: {count}",
}
MANY_DIFFERENCES = 20  # more are counted, not listed


def tend(settings: Settings, redactor: Redactor, verb: str) -> int:
    """Reload, restore or accept; the exit code."""

    def do(client: Client) -> int:
        verbs = {"reload": client.records.reload, "restore": client.records.restore, "accept": client.records.accept}
        done = verbs[verb]()
        for one in done["keys"]:
            print(DONE[verb].format(**one, source=done["source"]))  # noqa: T201 -- the command line speaks
        return 0

    return with_gateway(settings, redactor, do)


def import_folder(settings: Settings, redactor: Redactor, folder: Path) -> int:
    """Bring the JSON records below `folder`; 1 when some are there already with other data."""
    from passerelle.cli.bar import bar  # noqa: PLC0415 -- others of this module draw nothing

    collections = list(_read(folder))

    def do(client: Client) -> int:
        different = 0
        for client_id, collection, records in collections:
            with bar(collection, len(records)) as advance:
                saved, same, others = _import(client, client_id, collection, records, advance)
            print(f"✅ {client_id} {collection}: {saved} saved, {same} there already, {len(others)} different")  # noqa: T201 -- the same
            for record_id in others[:MANY_DIFFERENCES]:
                print(f"⚠️ {client_id} {collection} {record_id}: there with other data, left as it is")  # noqa: T201 -- the same
            different += len(others)
        return 1 if different else 0

    return with_gateway(settings, redactor, do)


def _import(
    client: Client, client_id: str, collection: str, records: list[BroughtRecord], advance: Callable[[int], None]
) -> tuple[int, int, list[str]]:
    saved, same, different = 0, 0, list[str]()
    for part in _parts(records):
        told = client.records.bring(client_id, collection, part)
        saved, same, different = saved + told["saved"], same + told["same"], different + told["different"]
        advance(len(part))
    return saved, same, different


def _parts(records: list[BroughtRecord]) -> Iterator[list[BroughtRecord]]:
    part, size = list[BroughtRecord](), 0
    for record in records:
        length = len(json.dumps(record))
        if part and (size + length > BODY_BYTES or len(part) == RECORDS):
            yield part
            part, size = [], 0
        part.append(record)
        size += length
    if part:
        yield part


def _read(folder: Path) -> Iterator[tuple[str, str, list[BroughtRecord]]]:
    """Client, collection and records of each file; what was removed is left out."""
    files = sorted(folder.glob("*/*.json"))
    if not files:
        raise Misconfigured(f"There are no records (CLIENT/COLLECTION.json) in {folder}.")
    for path in files:
        try:
            stored = json.loads(path.read_text("utf-8"))
            records = [
                BroughtRecord(id=i, version=one["v"], data=one["data"]) for i, one in stored.items() if one["data"]
            ]
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            raise Misconfigured(f"{path} is not a file of records.") from None
        yield path.parent.name, path.stem, records
