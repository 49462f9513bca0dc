"""The real command line as processes of ours, and the people who use it: on free ports, ended by pid."""

import contextlib
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

import httpx
import pytest

from servers import HOST, START_LIMIT, dying_with_us, free_port, wait_for

CODE = re.compile(r"^[1-9A-HJ-NP-TV-Z]{4}-[1-9A-HJ-NP-TV-Z]{4}$")
PAIRING = "/api/whatsapp/pairing-code"
ENDED = frozenset({"linked", "failed", "expired", "cancelled"})
STOP_LIMIT_S = 25.0
NOTHING: Mapping[str, str] = MappingProxyType({})
Json = dict[str, Any]
T = TypeVar("T")
_people = itertools.count(1)


def somebody() -> tuple[str, str]:
    """A user and a phone number that no other test has."""
    number = next(_people)
    return f"user_{number}", f"+3363998{number:04d}"


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment with the settings of ours in `env` and no other ones."""
    ours = ("PASSERELLE_", "REDIS_", "KV_REST_", "DATABASE_URL", "PORT", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | dict(env)


def command_line(
    *words: str, cwd: Path, env: Mapping[str, str] = NOTHING, limit: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Run one command of ours to its end, without a terminal."""
    return subprocess.run(
        [*dying_with_us(), sys.executable, "-m", "passerelle", *words],
        env=clean_environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


class Command:
    """A command of ours that is running, without a terminal."""

    def __init__(self, process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
        """`lines` brings what it prints, then an empty text."""
        self._process = process
        self._lines = lines

    def line(self, limit: float = 5.0) -> str:
        """The next line that it prints."""
        try:
            return self._lines.get(timeout=limit)
        except queue.Empty:
            pytest.fail(f"no line within {limit:g} s")

    def rest(self, limit: float = 10.0) -> str:
        """All that it still prints, once it has ended."""
        return "".join(iter(lambda: self.line(limit), ""))

    def interrupt(self) -> None:
        """As Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def exit_code(self, limit: float = START_LIMIT) -> int:
        return self._process.wait(limit)


@contextlib.contextmanager
def launched(*words: str, cwd: Path, env: Mapping[str, str] = NOTHING) -> Iterator[Command]:
    """One command of ours in the background; gone at the end. What it prints on stderr comes with its lines."""
    with subprocess.Popen(
        [*dying_with_us(), sys.executable, "-m", "passerelle", *words],
        env=clean_environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield Command(process, lines)
        finally:
            process.kill()
            reader.join()


def at_once(count: int, call: Callable[[int], T]) -> list[T]:
    """`call` of 0 to `count` - 1 in as many threads, let go at the same moment."""
    gate = threading.Barrier(count)

    def one(number: int) -> T:
        gate.wait(30)
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


class Gateway:
    """One process of ours: ``passerelle serve``, unless other words are given.

    It is started from the thread that tests run in: it is killed when that thread ends.
    """

    def __init__(
        self,
        data_dir: Path,
        *words: str,
        env: Mapping[str, str] = NOTHING,
        port: int | None = None,
        stdin: int = subprocess.PIPE,
    ) -> None:
        """Start nothing yet; `env` holds settings.

        Its standard input is a pipe that stays open for as long as we live, as a supervisor's would, unless given.
        """
        self.data_dir = data_dir
        self.port = port or free_port()
        self.settings = {
            "PASSERELLE_DATA_DIR": str(data_dir),
            "PASSERELLE_PORT": str(self.port),
            "PASSERELLE_SANDBOX_LATENCY": "50ms",
            "PASSERELLE_PROBATION": "200ms",
        } | dict(env)
        self._words = list(words) or ["serve"]
        self._stdin = stdin
        self._process: subprocess.Popen[bytes] | None = None
        name = f"{self._words[0]}-{self.port}"
        self._log = data_dir.parent / f"{name}.log"
        self._began = 0
        self.http = httpx.Client(
            base_url=f"http://{HOST}:{self.port}",
            timeout=40,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=1),
        )

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What this life of it has said."""
        with self._log.open("rb") as lines:
            lines.seek(self._began)
            return lines.read().decode(errors="replace")

    @property
    def whole_log(self) -> str:
        """What it has said in all its lives."""
        return self._log.read_text("utf-8", errors="replace")

    def launch(self) -> Self:
        """Start it and go on."""
        self._let_go()
        with self._log.open("ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(
                [*dying_with_us(), sys.executable, "-m", "passerelle", *self._words],
                env=clean_environment(self.settings),
                cwd=self.data_dir.parent,
                stdin=self._stdin,
                stdout=log,
                stderr=log,
            )
        return self

    def start(self) -> Self:
        """Start it and wait until it is ready."""
        return self.launch().until_ready()

    def until_ready(self) -> Self:
        """Return once it serves, or works."""
        wait_for(self._is_ready, f"passerelle {' '.join(self._words)}", START_LIMIT)
        return self

    def kill(self) -> None:
        """As a crash: SIGKILL."""
        self.signal(signal.SIGKILL)
        self._ended(5)

    def terminate(self, *, within: float = STOP_LIMIT_S) -> None:
        """SIGTERM; it ends in time, with code 0."""
        self.signal(signal.SIGTERM)
        code = self._ended(within)
        assert code == 0, f"exit code {code}\n{self.log[-3000:]}"

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def exit_code(self, limit: float = START_LIMIT) -> int:
        """Its exit code, once it has ended by itself."""
        return self._ended(limit)

    def stop(self) -> None:
        """However it stands: gone."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait(10)
        self._let_go()
        self.http.close()

    def hang_up(self) -> None:
        """Close the pipe that is its standard input, as the death of a supervisor does."""
        self._let_go()

    # what people do with it

    def ask(
        self, user: str, phone: str, *, force: bool = False, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Ask for a code."""
        body = {"user_id": user, "phone_number": phone, "force": force}
        return self.http.post(PAIRING, json=body, headers=headers)

    def code_for(self, user: str, phone: str, *, force: bool = False) -> Json:
        """Ask for a code, and get it."""
        answer = self.ask(user, phone, force=force)
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        assert CODE.match(body["code"]), body
        return body

    def attempt(self, attempt_id: str) -> Json:
        answer = self.http.get(f"{PAIRING}/{attempt_id}")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def until_attempt(self, attempt_id: str, wanted: Callable[[Json], bool] | str, limit: float = 5.0) -> Json:
        """The attempt, once it is as `wanted` (a status, or a look at it)."""
        until = time.monotonic() + limit
        while True:
            found = self.attempt(attempt_id)
            if found["status"] == wanted if isinstance(wanted, str) else wanted(found):
                return found
            if time.monotonic() > until:
                pytest.fail(f"not within {limit:g} s: {found}\n{self.log[-3000:]}")
            time.sleep(0.01)

    def type_code(self, phone: str, code: str) -> httpx.Response:
        """Type a code on the virtual phone."""
        return self.http.post(f"/sandbox/phones/{phone}/enter-code", json={"code": code})

    def link(self, user: str, phone: str, *, force: bool = False) -> Json:
        """Ask, type, linked: the attempt."""
        code = self.code_for(user, phone, force=force)
        typed = self.type_code(phone, code["code"])
        assert typed.status_code == 200, typed.text
        return self.until_attempt(code["attempt_id"], "linked")

    def sessions(self) -> Json:
        answer = self.http.get("/api/whatsapp/sessions?limit=1000")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def session(self, session_id: str) -> Json:
        (found,) = (one for one in self.sessions()["items"] if one["id"] == session_id)
        return dict(found)

    def until_connected(self, session_id: str) -> Json:
        """The linked phone once it has its connection, as after each start."""
        wait_for(lambda: self.session(session_id)["state"] == "connected", "the connection of a linked phone")
        return self.session(session_id)

    def fault(self, kind: str, phone: str, times: int = 1) -> None:
        """Let something go wrong for this phone."""
        answer = self.http.post("/sandbox/faults", json={"kind": kind, "number": phone, "times": times})
        assert answer.status_code == 201, answer.text

    def advance(self, seconds: float) -> None:
        """Move the simulated WhatsApp's clock."""
        answer = self.http.post("/sandbox/clock/advance", json={"seconds": seconds})
        assert answer.status_code == 200, answer.text

    def until_log(self, text: str, limit: float = 5.0, *, times: int = 1) -> None:
        """Return once this life of it has said `text` so often."""
        wait_for(lambda: self.log.count(text) >= times, f"{text!r} in the log", limit)

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _is_ready(self) -> bool:
        assert self.running, f"ended at once with {self._process and self._process.returncode}\n{self.log[-3000:]}"
        if self._words[0] == "worker":
            return "Worker started" in self.log
        probe = "/sandbox/clock" if self._words[0] == "sandbox" else "/readyz"
        with contextlib.suppress(httpx.TransportError):
            return self.http.get(probe).status_code == 200
        return False

    def _ended(self, limit: float) -> int:
        assert self._process is not None, "not started"
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {limit:g} s\n{self.log[-3000:]}")

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextlib.contextmanager
def all_started(gateways: Iterable[Gateway]) -> Iterator[list[Gateway]]:
    """Start them side by side; all are gone at the end."""
    with contextlib.ExitStack() as stack:
        started = []
        for gateway in gateways:
            stack.callback(gateway.stop)
            started.append(gateway.launch())
        for gateway in started:
            gateway.until_ready()
        yield started


@contextlib.contextmanager
def with_workers(data_dir: Path, count: int, *, env: Mapping[str, str]) -> Iterator[list[Gateway]]:
    """A process that serves the API and holds the simulated WhatsApp, then `count` that work."""
    with (
        Gateway(data_dir, "serve", "--no-worker", env=env) as api,
        # with nothing as their standard input, as under systemd or in a container
        all_started(Gateway(data_dir, "worker", env=env, stdin=subprocess.DEVNULL) for _ in range(count)) as workers,
    ):
        yield [api, *workers]


def events_of(lines: Iterable[str]) -> Iterator[tuple[str, Json]]:
    """The server-sent events in `lines`: name and data."""
    name = ""
    for line in lines:
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            yield name, json.loads(line.removeprefix("data:"))


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What `call` gives, and the seconds it took."""
    began = time.monotonic()
    return call(), time.monotonic() - began
