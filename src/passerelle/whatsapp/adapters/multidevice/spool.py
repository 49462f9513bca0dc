"""Events on their way from a host to its parent: on disk first, since WhatsApp never tells them again."""

import fcntl
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

KEPT = 100_000
BATCH_LIMIT, BATCH_BYTES = 200, 1 << 20
# A connection that was lost long ago is no news; that it was logged out, or restricted, is.
_STALE = frozenset({"connected", "disconnected", "replaced"})


class Spool:
    """One file of one host; the files that dead hosts left behind are taken over into it.

    A commit is on its way to the disk, not on it: it survives the host, and what a power failure takes with it is a
    few events (`synchronous=NORMAL`), as it may take those that WhatsApp was just sending.
    """

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        """Begin a file in `folder`; at most `kept` events, beyond them the oldest are dropped."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._kept = kept
        self._name = f"spool-{secrets.token_hex(6)}"
        held = _lock(folder / f"{self._name}.lock")
        if held is None:
            raise RuntimeError("a fresh name is taken")
        self._held = held
        self._guard = threading.Lock()
        self._file = _open(folder / f"{self._name}.sqlite3")
        self._count = 0
        self.set_aside: list[str] = []
        """Files of dead hosts that could not be read."""

    def adopt(self) -> int:
        """Take over what dead hosts left behind; how many events. What nobody can read is `set_aside`."""
        found = 0
        for left in sorted(self._folder.glob("spool-*.sqlite3")):
            if left.stem == self._name:
                continue
            lock = left.with_suffix(".lock")
            held = _lock(lock)
            if held is None:
                continue  # its host lives
            try:
                found += self._take_over(left)
                lock.unlink(missing_ok=True)
            finally:
                os.close(held)
        return found

    def put(self, events: Sequence[dict[str, Any]]) -> int:
        """Keep `events`; how many old ones had to go for it. May be called in any thread."""
        rows = [(json.dumps(event, separators=(",", ":")),) for event in events]
        with self._guard, self._file:
            self._file.executemany("INSERT INTO events (body) VALUES (?)", rows)
            self._count += len(rows)
            over = self._count - self._kept
            if over > 0:
                self._file.execute(
                    "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)", (over,)
                )
                self._count -= over
        return max(over, 0)

    def oldest(self) -> tuple[int, list[Any]]:
        """The oldest events, as many as go in one frame, and the number up to which they are."""
        with self._guard:
            rows = self._file.execute("SELECT seq, body FROM events ORDER BY seq LIMIT ?", (BATCH_LIMIT,)).fetchall()
        size, taken = 0, 0
        for _, body in rows:
            size += len(body)
            if taken and size > BATCH_BYTES:
                break
            taken += 1
        rows = rows[:taken]
        return (rows[-1][0] if rows else 0), [json.loads(body) for _, body in rows]

    def forget(self, up_to: int) -> None:
        """They were kept by whom they were told."""
        with self._guard, self._file:
            self._count -= self._file.execute("DELETE FROM events WHERE seq <= ?", (up_to,)).rowcount

    def close(self) -> None:
        """Let go of the file; it goes too when it is empty."""
        with self._guard:
            self._file.close()
            path = self._folder / f"{self._name}.sqlite3"
            if self._count <= 0:
                _remove(path)
                path.with_suffix(".lock").unlink(missing_ok=True)
            os.close(self._held)

    def _take_over(self, left: Path) -> int:
        try:
            events = _events(left)
        except sqlite3.OperationalError:  # the disk is away or full: it may be read another time
            raise
        except (sqlite3.DatabaseError, ValueError):  # torn: no host would ever start beside it
            left.rename(left.with_name(f"{left.name}.unreadable"))
            self.set_aside.append(left.name)
            return 0
        fresh = [event for event in events if event.get("connection") not in _STALE]
        if fresh:
            self.put(fresh)
        _remove(left)
        return len(fresh)


def leftovers(folder: Path) -> bool:
    """Whether some file of a spool is there, be its host alive or dead."""
    return any(folder.glob("spool-*.sqlite3"))


def _open(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, check_same_thread=False)
    try:
        path.chmod(0o600)
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("PRAGMA synchronous=NORMAL")
        file.execute("CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)")
    except BaseException:
        file.close()
        raise
    return file


def _events(left: Path) -> list[dict[str, Any]]:
    with closing(_open(left)) as file:
        return [json.loads(body) for (body,) in file.execute("SELECT body FROM events ORDER BY seq")]


def _lock(path: Path) -> int | None:
    """A descriptor that holds `path` until it is closed, or with its process; nothing when somebody else has it.

    A file of its own: closing any descriptor of SQLite's own file would drop SQLite's locks.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def _remove(path: Path) -> None:
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(FileNotFoundError):
            name.unlink()
