"""``passerelle media import``: files that lie in a store already become media, as a CSV file says."""

import csv
import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from passerelle.cli.bar import bar
from passerelle.cli.reach import gateway
from passerelle.client import ApiProblem, Client
from passerelle.client.types import WantedImport
from passerelle.errors import Misconfigured
from passerelle.media.model import Category, StoreName
from passerelle.redaction import Redactor
from passerelle.settings import Settings

Json = dict[str, Any]
NAMES = ("key", "url")
TRIES, FIRST_WAIT_S, LONGEST_WAIT_S = 8, 0.5, 30.0  # as `media migrate`: about a minute for each file
AWAY = 503
GIVE_UP_AFTER = 10  # files in a row that no try could bring: the store is away
# These would meet every file alike.
HOPELESS = frozenset(
    {"gateway_unreachable", "key_missing", "admin_only", "no_such_store", "store_misconfigured", "client_not_found"}
)
NOT_TRIED = {"code": "not_tried", "detail": "The command had ended before it was its turn.", "hint": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What all files of a run share."""

    source: str
    client_id: str | None
    user: str | None
    category: str | None
    dry_run: bool
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a line; `told` by the gateway, or the members of a problem."""

    line: int
    key: str
    told: Json

    @property
    def state(self) -> str:
        """As the gateway says it; a problem: ``failed``."""
        return str(self.told.get("state", "failed"))


def import_files(settings: Settings, redactor: Redactor, path: Path, wanted: Wanted, *, as_json: bool) -> int:
    """Import every file that `path` names; the exit code: 0 when each of them is a media now.

    Raises:
        Misconfigured: the file is not as it should be; nothing was done.
    """
    if wanted.source not in [*StoreName]:
        raise Misconfigured(f"There is no store {wanted.source!r}; there are {', '.join(StoreName)}.")
    wishes = read_file(path, wanted)
    counts = Counter[str]()
    with gateway(settings, redactor) as client, bar("importing", len(wishes)) as advance:
        for outcome in _Run(client, wishes, jobs=wanted.jobs).outcomes():
            advance(1)
            counts[outcome.state] += 1
            _say(outcome, as_json=as_json)
    if not as_json:
        told = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(counts.items()))
        untouched = "; nothing was touched" if wanted.dry_run else ""
        sign = "❌" if counts["failed"] else "✅"
        print(f"{sign} {len(wishes)} files: {told or 'none'}{untouched}")  # noqa: T201 -- the command line speaks
    return 1 if counts["failed"] else 0


class _Run:
    """Several at once, until one meets what would meet them all."""

    def __init__(self, client: Client, wishes: dict[int, Json], *, jobs: int) -> None:
        self._client = client
        self._wishes = wishes
        self._jobs = jobs
        self._over = threading.Event()
        self._away_in_a_row = 0

    def outcomes(self) -> Iterator[Outcome]:
        """In the order of the file."""
        hands = ThreadPoolExecutor(self._jobs)
        try:
            yield from hands.map(self._one, self._wishes.items())
        finally:  # Ctrl-C: what is in hand is finished, the rest is left
            self._over.set()
            hands.shutdown(cancel_futures=True)

    def _one(self, item: tuple[int, Json]) -> Outcome:
        line, wish = item
        return Outcome(line=line, key=wish["key"], told=self._told(wish))

    def _told(self, wish: Json) -> Json:
        try:
            told = self._patiently(wish)
        except ApiProblem as problem:
            self._away_in_a_row += problem.status == AWAY
            if problem.code in HOPELESS or self._away_in_a_row >= GIVE_UP_AFTER:
                self._over.set()
            return problem.members
        self._away_in_a_row = 0
        return told

    def _patiently(self, wish: Json) -> Json:
        for tries in range(1, TRIES + 1):
            if self._over.is_set():
                break
            try:
                return dict(self._client.media.bring(cast("WantedImport", wish)))
            except ApiProblem as problem:
                if problem.status != AWAY or tries == TRIES:
                    raise
                wait = max(FIRST_WAIT_S * 2 ** (tries - 1), problem.retry_after or 0)
                self._over.wait(min(wait, LONGEST_WAIT_S))
        raise ApiProblem(0, NOT_TRIED)


def read_file(path: Path, wanted: Wanted) -> dict[int, Json]:
    """The wish of every line. Raises `Misconfigured`, which names the line."""
    wishes, lines = dict[int, Json](), dict[str, int]()
    for line, row in _rows(path):
        wish = _wish(path, line, row, wanted)
        former = lines.setdefault(wish["key"], line)
        if former == line:
            wishes[line] = wish
        elif wishes[former] != wish:
            raise Misconfigured(f"{path}, line {line}: the file of line {former} again, as somebody else's.")
    return wishes


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if len({*NAMES} & {*(rows.fieldnames or ())}) != 1:
                raise Misconfigured(f"{path} needs a first line with the column key, or the column url.")
            for row in rows:
                yield rows.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured(f"{path} cannot be read: {error}.") from None


def _wish(path: Path, line: int, row: dict[str, str | None], wanted: Wanted) -> Json:
    key = row.get("key") or row.get("url")
    category = row.get("category") or wanted.category
    if not key:
        raise Misconfigured(f"{path}, line {line}: it names no file.")
    if category is not None and category not in [*Category]:
        raise Misconfigured(f"{path}, line {line}: no category {category!r}; there are {', '.join(Category)}.")
    told = {"user_id": row.get("user") or wanted.user, "category": category, "client_id": wanted.client_id}
    wish: Json = {"from": wanted.source, "key": key, "dry_run": wanted.dry_run}
    return wish | {name: value for name, value in told.items() if value is not None}


def _say(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        shown = {"line": outcome.line, "state": outcome.state, "key": outcome.key} | outcome.told
        print(json.dumps(shown), flush=True)  # noqa: T201 -- the same
    elif outcome.state == "failed":
        problem = ApiProblem(0, outcome.told)
        print(f"❌ line {outcome.line}, {outcome.key}: {problem} {problem.hint}".rstrip(), file=sys.stderr)  # noqa: T201
