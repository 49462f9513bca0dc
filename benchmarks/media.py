"""Uploads and downloads of media through a real server, against a bare one that keeps the same bytes on the same disk.

`python benchmarks/media.py [--large 256] [--small 200] [--rounds 5]`: megabytes of the large file, how many of 1 MB,
rounds of each. The bare server is aiohttp: the body goes to a file as it comes, with its SHA-256 and one fsync; no
form, no rows, no links. A round runs one after the other what is compared; the client is the same plain socket. Both
keep all files till the end, since a page of memory that was just freed is quicker than a fresh one: with 1 GB and three
rounds that is 10 GB of disk.
"""

import argparse
import asyncio
import hashlib
import http.client
import json
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

MB = 1_000_000
PIECE = b"\1\2" * (MB // 2)  # nothing that anybody would look into
AT_ONCE = 4
BOUNDARY = "the-boundary"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="category"\r\n\r\nview-once\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="user_id"\r\n\r\nanna\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
READY_S = 30.0


class Line(http.client.HTTPConnection):
    """One connection to a server; bodies are streamed, what comes is counted."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, timeout=600)
        self.connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hole = bytearray(MB)

    def send_file(self, method: str, path: str, megabytes: int, *, form: bool) -> bytes:
        """The answer to a file of so many megabytes."""
        around = len(HEAD) + len(TAIL) if form else 0
        headers = {"Content-Length": str(megabytes * MB + around)}
        if form:
            headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
        self.request(method, path, body=_body(megabytes, form=form), headers=headers)
        answer = self.getresponse()
        told = answer.read()
        if answer.status not in {200, 201}:
            raise SystemExit(f"HTTP {answer.status}: {told[:200]!r}")
        return told

    def fetch(self, path: str, megabytes: int) -> None:
        """All of a file, thrown away."""
        self.request("GET", path)
        answer, came = self.getresponse(), 0
        while size := answer.readinto(self._hole):
            came += size
        if (answer.status, came) != (200, megabytes * MB):
            raise SystemExit(f"HTTP {answer.status}: {came} bytes")


def _body(megabytes: int, *, form: bool) -> Iterator[bytes]:
    if form:
        yield HEAD
    for _ in range(megabytes):
        yield PIECE
    if form:
        yield TAIL


class Bare:
    """What one would write by hand."""

    name = "bare aiohttp"

    def __init__(self, folder: Path) -> None:
        self.command = [sys.executable, __file__, "--serve", str(folder / "bare")]
        self.environment: dict[str, str] = {}

    def put(self, line: Line, megabytes: int) -> str:
        """Where it can be read."""
        path = f"/{secrets.token_hex(8)}"
        line.send_file("PUT", path, megabytes, form=False)
        return path


class Passerelle:
    """The real server, its media on the local disk."""

    name = "Passerelle"

    def __init__(self, folder: Path) -> None:
        self.command = [sys.executable, "-m", "passerelle", "serve"]
        self.environment = {"PASSERELLE_DATA_DIR": str(folder / "data"), "PASSERELLE_PROVIDER": "sandbox"}

    def put(self, line: Line, megabytes: int) -> str:
        """As `Bare.put`."""
        told = json.loads(line.send_file("POST", "/api/media", megabytes, form=True))
        return str(urlsplit(told["url"])._replace(scheme="", netloc="").geturl())


Side = Bare | Passerelle


@contextmanager
def running(side: Side, folder: Path) -> Iterator[tuple[int, int]]:
    """Its port and pid; what it says goes to `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = ("PASSERELLE_", "REDIS_", "KV_REST_", "DATABASE_URL", "PORT", "CLOUDINARY_", "SUPABASE_", "S3_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment = kept | side.environment | {"PORT": str(port)}
    with (folder / f"{side.name}.log").open("wb") as log:
        process = subprocess.Popen(side.command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        until = time.monotonic() + READY_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit((folder / f"{side.name}.log").read_text("utf-8"))
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        line = Line(port)
        line.request("GET", "/readyz")
        return line.getresponse().status < 500
    except OSError:
        return False


def measure(side: Side, port: int, *, files: int, megabytes: int) -> tuple[float, float]:
    """Megabytes a second up and down, `AT_ONCE` lines at a time; the files stay till the end, on both sides."""
    lines = [Line(port) for _ in range(min(AT_ONCE, files))]
    shares = [range(number, files, len(lines)) for number in range(len(lines))]

    def each(do: Callable[[Line, int], object]) -> float:
        def work(number: int) -> None:
            for file in shares[number]:
                do(lines[number], file)

        began = time.perf_counter()
        with ThreadPoolExecutor(len(lines)) as threads:
            list(threads.map(work, range(len(lines))))
        return files * megabytes / (time.perf_counter() - began)

    places: dict[int, str] = {}
    up = each(lambda line, file: places.__setitem__(file, side.put(line, megabytes)))
    down = each(lambda line, file: line.fetch(places[file], megabytes))
    for line in lines:
        line.close()
    return up, down


def compare(sides: dict[Side, int], *, files: int, megabytes: int, rounds: int) -> None:
    """Print megabytes a second side by side, and the median of the rounds' ratios."""
    pairs: list[dict[str, tuple[float, float]]] = []
    for turn in range(rounds + 1):
        order = list(sides.items()) if turn % 2 else list(sides.items())[::-1]
        pairs.append({side.name: measure(side, port, files=files, megabytes=megabytes) for side, port in order})
    del pairs[0]  # the first round warms up
    for number, way in enumerate(("up", "down")):
        theirs, ours = ([pair[side.name][number] for pair in pairs] for side in sides)
        ratios = [mine / their for mine, their in zip(ours, theirs, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
        numbers = f"{statistics.median(theirs):>12,.0f}{statistics.median(ours):>12,.0f}{middle:>8.2f}"
        print(f"{files:>5} x {megabytes:>5} MB {way:>5}{numbers}  [{low:.2f}-{high:.2f}]", flush=True)


def peak_mb(pid: int) -> float:
    """The most memory that the process has had since it was last reset."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    return int(found[1]) / 1024 if found else 0.0


async def serve(folder: Path) -> None:
    """The bare server."""
    folder.mkdir()  # noqa: ASYNC240 -- before anybody asks

    async def put(request: web.Request) -> web.Response:
        seen = hashlib.sha256()
        with (folder / request.match_info["name"]).open("wb") as file:
            async for piece in request.content.iter_any():
                seen.update(piece)
                file.write(piece)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        return web.json_response({"sha256": seen.hexdigest()}, status=201)

    async def get(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        with (folder / request.match_info["name"]).open("rb") as file:
            response.content_length = os.fstat(file.fileno()).st_size
            await response.prepare(request)
            while piece := file.read(1 << 18):
                await response.write(piece)
        return response

    async def ready(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(client_max_size=1 << 40)
    app.add_routes([web.get("/readyz", ready), web.put("/{name}", put), web.get("/{name}", get)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


def main() -> None:
    """Everything, on servers of its own."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--large", type=int, default=256, help="megabytes of the large file (256)")
    options.add_argument("--small", type=int, default=200, help="how many files of 1 MB (200)")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    wish = options.parse_args()
    if wish.serve:
        asyncio.run(serve(wish.serve))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare, ours = Bare(folder), Passerelle(folder)
        with running(bare, folder) as (their_port, _), running(ours, folder) as (our_port, pid):
            sides: dict[Side, int] = {bare: their_port, ours: our_port}
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            print(f"{'':22}{'bare MB/s':>12}{'ours MB/s':>12}{'ratio':>8}  [quartiles]")
            measure(ours, our_port, files=2, megabytes=1)
            Path(f"/proc/{pid}/clear_refs").write_text("5", "utf-8")  # the peak counts from here
            before = peak_mb(pid)
            compare(sides, files=1, megabytes=wish.large, rounds=wish.rounds)
            grown = peak_mb(pid) - before
            compare(sides, files=wish.small, megabytes=1, rounds=wish.rounds)
            print(f"memory of the server: {before:.0f} MB, at most {grown:.0f} MB more for a file of {wish.large} MB")


if __name__ == "__main__":
    main()
