"""``passerelle media migrate`` and ``promote``: starts it where the data is, shows how it goes, says how it ended."""

import json
import sys
import time
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from passerelle.cli.reach import gateway
from passerelle.client import ApiProblem, Client
from passerelle.client.answers import Migration
from passerelle.client.types import WantedMigration
from passerelle.errors import Misconfigured
from passerelle.media.model import StoreName
from passerelle.redaction import Redactor
from passerelle.settings import Settings
from passerelle.values import Size

Part = Literal["moved", "imported", "already_there", "refused"]
LOOK_EVERY_S, LINE_EVERY_S = 0.25, 2.0
UNDER_WAY = frozenset({"running", "stopping"})
STORES = tuple(StoreName)
INTERRUPTED = 130
SIGNS = {"done": "✅", "stopped": "⚠️", "failed": "❌"}


def migrate(
    settings: Settings, redactor: Redactor, wish: dict[str, Any], *, bandwidth: str | None, as_json: bool
) -> int:
    """Start what is wished and follow it to its end; the exit code: 0 when every file is where it should be.

    Raises:
        Misconfigured: no such store, or no such bandwidth.
    """
    wrong = [str(wish[end]) for end in ("from", "to") if wish.get(end, STORES[0]) not in STORES]
    if wrong:
        raise Misconfigured(f"There is no store {wrong[0]!r}; there are {', '.join(STORES)}.")
    checked = cast("WantedMigration", wish | {"bandwidth": _bytes_per_s(bandwidth)})
    with gateway(settings, redactor) as client:
        try:
            client.media.start_migration(checked)
            return _Watch(client, as_json=as_json).follow()
        except ApiProblem as problem:
            return _refused(problem)


class _Watch:
    """Looks at a migration until it has ended."""

    def __init__(self, client: Client, *, as_json: bool) -> None:
        self._client = client
        self._as_json = as_json
        self._line_at = 0.0

    def follow(self) -> int:
        """The exit code. Ctrl-C lets it finish what is in hand; a second one does not wait for that either."""
        interrupted = False
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[pace]}"))
        with Progress(*columns, console=console, transient=True, disable=not self._on_terminal(console)) as bar:
            task = bar.add_task("moving", total=None, pace="")
            while True:
                try:
                    told = self._client.media.migration()
                    if told["state"] not in UNDER_WAY:
                        break
                    bar.update(task, completed=told["done_bytes"], total=told["bytes"], pace=_pace(told))
                    self._say(told, on_bar=not bar.disable)
                    time.sleep(LOOK_EVERY_S)
                except KeyboardInterrupt:
                    interrupted = True
                    self._client.media.stop_migration()
        self._end(told)
        return INTERRUPTED if interrupted else _exit_code(told)

    def _on_terminal(self, console: Console) -> bool:
        return console.is_terminal and not self._as_json

    def _say(self, told: Migration, *, on_bar: bool) -> None:
        if on_bar or time.monotonic() < self._line_at:
            return
        self._line_at = time.monotonic() + LINE_EVERY_S
        line = f"🔄 {told['done']} of {told['files']} files, {decimal(told['done_bytes'])}, {_pace(told)}"
        print(json.dumps(told) if self._as_json else line, flush=True)  # noqa: T201 -- the command line speaks

    def _end(self, told: Migration) -> None:
        if self._as_json:
            print(json.dumps(told), flush=True)  # noqa: T201 -- the same
            return
        for line in _report(told):
            print(line)  # noqa: T201 -- the same


def _report(told: Migration) -> list[str]:
    if told["dry_run"]:
        lines = [f"{told['files']} files, {decimal(told['bytes'])} to move; nothing was touched."]
    else:
        parts: tuple[Part, ...] = ("moved", "imported", "already_there", "refused")
        counts = ", ".join(f"{told[part]} {part.replace('_', ' ')}" for part in parts)
        gone = f", {told['let_go']} earlier originals leave" if told["let_go"] else ""
        lines = [f"{SIGNS[told['state']]} {told['state']}: {counts}, {told['failed_count']} failed{gone}"]
    lines += [f"⚠️ {one['key']}: refused ({one['reason']})" for one in told["refused_files"]]
    lines += [f"❌ {one['key']}: {one['code']} ({one['reason']})" for one in told["failed"]]
    if told["reason"]:
        lines.append(f"❌ Stopped: {told['reason']}. Mend it and run the command again: it goes on.")
    return lines


def _exit_code(told: Migration) -> int:
    return 0 if told["state"] == "done" and not told["failed_count"] and not told["refused"] else 1


def _pace(told: Migration) -> str:
    left = told["seconds_left"]
    return f"{decimal(told['rate_bytes_s'])}/s" + ("" if left is None else f", {_span(round(left))} left")


def _span(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _bytes_per_s(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return TypeAdapter(Size).validate_python(text)
    except ValidationError:
        raise Misconfigured(f"{text} is no bandwidth; write bytes a second as 500KB or 5MB.") from None


def _refused(problem: ApiProblem) -> int:
    again = " Run the command again once it is there: it goes on." if problem.code == "gateway_unreachable" else ""
    stores = f" Configured: {', '.join(problem.members['stores'])}." if "stores" in problem.members else ""
    print(f"passerelle: {problem} {problem.hint}{stores}{again}", file=sys.stderr)  # noqa: T201 -- the same
    return 1
