"""``passerelle media add``: keeps files, each sent as a stream, and says where they can be had."""

import json
import sys
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from passerelle.cli.reach import gateway
from passerelle.client import ApiProblem, Client
from passerelle.client.answers import Medium
from passerelle.errors import Misconfigured
from passerelle.media.model import Category
from passerelle.redaction import Redactor
from passerelle.settings import Settings

# These would meet every file alike.
HOPELESS = frozenset({"gateway_unreachable", "key_missing", "media_quota"})


def add(
    settings: Settings, redactor: Redactor, paths: Sequence[Path], *, user: str, category: str, as_json: bool
) -> int:
    """Keep these files for `user`; the exit code: 0 when every one is kept.

    Raises:
        Misconfigured: no such category, or no such file; nothing was sent.
    """
    if category not in [*Category]:
        raise Misconfigured(f"There is no category {category!r}; there are {', '.join(Category)}.")
    sizes = [_size(path) for path in paths]
    failed = 0
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    hidden = as_json or not console.is_terminal
    with (
        gateway(settings, redactor) as client,
        Progress(*columns, console=console, transient=True, disable=hidden) as bar,
    ):
        task = bar.add_task("", total=sum(sizes))
        for path in paths:
            bar.update(task, description=path.name)
            try:
                told = _sent(client, path, user, category, lambda size: bar.advance(task, size))
            except ApiProblem as problem:
                failed += 1
                _say_refused(path, problem, as_json=as_json)
                if problem.code in HOPELESS:
                    break
            else:
                print(json.dumps(told) if as_json else _line(path, told), flush=True)  # noqa: T201 -- the command line
    return 1 if failed else 0


class _Watched(FileIO):
    """A file that tells how much of it was read."""

    def __init__(self, path: Path, read: Callable[[int], object]) -> None:
        super().__init__(path)
        self._heard = read

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._heard(len(data))
        return data


def _sent(client: Client, path: Path, user: str, category: str, read: Callable[[int], object]) -> Medium:
    try:
        with _Watched(path, read) as file:
            return client.media.keep(file, name=path.name, user_id=user, category=Category(category).value)
    except OSError as error:
        problem = {"code": "file_unreadable", "detail": f"It cannot be read: {error.strerror}.", "hint": ""}
        raise ApiProblem(0, problem) from error


def _size(path: Path) -> int:
    if not path.is_file():
        raise Misconfigured(f"There is no file {path}.")
    return path.stat().st_size


def _line(path: Path, told: Medium) -> str:
    return f"✅ {path.name}: {told['store']}, {told['content_type']}, {told['url']}"


def _say_refused(path: Path, problem: ApiProblem, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"file": str(path), **problem.members}), flush=True)  # noqa: T201 -- the command line speaks
    else:
        print(f"❌ {path.name}: {problem} {problem.hint}", file=sys.stderr)  # noqa: T201 -- the same
