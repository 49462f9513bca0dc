"""Servers that are ill: real Redis where the illness can be had, else a few lines that say what it says."""

import asyncio
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Self

import hiredis

from servers import HOST, RedisServer, dying_with_us, free_port, wait_for

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
KEYS = 20_000


class AnyAnswer(RedisServer):
    """A real Redis that need not be well to count as started."""

    def _answers(self) -> bool:
        assert self.running, "redis-server ended at once"
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=2):
            return True
        return False


class TlsServer(AnyAnswer):
    """A real Redis on a TLS port only, with a certificate called `name` in `folder`."""

    def __init__(self, folder: Path, name: str, *, clients: bool = False) -> None:
        key, certificate, authority = (str(folder / file) for file in (f"{name}.key", f"{name}.pem", "ca.pem"))
        files = ["--tls-key-file", key, "--tls-cert-file", certificate, "--tls-ca-cert-file", authority]
        super().__init__(*files, "--tls-auth-clients", "yes" if clients else "no")
        self._options += ["--tls-port", str(self.port), "--port", "0"]


class Sentinel(AnyAnswer):
    """A real Sentinel, which watches nobody."""

    def start(self) -> Self:
        super().start()  # makes the folder
        self.kill()
        file = Path(str(self._folder)) / "sentinel.conf"
        file.write_text(f"port {self.port}\nbind {HOST}\n", "utf-8")
        self._launch([*dying_with_us(), "redis-server", str(file), "--sentinel"])
        wait_for(self._answers, "sentinel")
        return self


@contextmanager
def loading() -> Iterator[RedisServer]:
    """Reads its 20,000 keys for over a minute."""
    with AnyAnswer("--enable-debug-command", "yes") as server:
        server.ask("DEBUG", "POPULATE", str(KEYS))
        server.ask("SAVE")
        server.kill()
        server._options += ["--key-load-delay", "4000", "--loading-process-events-interval-bytes", "1024"]
        yield server.start()


@contextmanager
def replica(*options: str, primary_alive: bool = True) -> Iterator[RedisServer]:
    """Follows another server, or one that is gone."""
    with RedisServer("--repl-diskless-sync-delay", "0") as primary, AnyAnswer(*options) as follower:
        follower.ask("REPLICAOF", HOST, str(primary.port if primary_alive else free_port()))
        if primary_alive:
            wait_for(lambda: "master_link_status:up" in follower.ask("INFO", "replication"), "the replica")
        yield follower


@contextmanager
def failing_snapshot() -> Iterator[RedisServer]:
    """Could not write its last snapshot, and refuses writes for that."""
    with RedisServer("--enable-protected-configs", "yes") as server:
        server.ask("SET", "k", "v")
        server.ask("CONFIG", "SET", "dir", "/proc")
        server.ask("CONFIG", "SET", "save", '"1 1"')
        server.ask("BGSAVE")
        wait_for(lambda: "rdb_last_bgsave_status:err" in server.ask("INFO", "persistence"), "a failed snapshot")
        yield server


@contextmanager
def failing_save() -> Iterator[RedisServer]:
    """Could not write its last snapshot, and takes writes all the same."""
    with failing_snapshot() as server:
        server.ask("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        yield server


@contextmanager
def nearly_full() -> Iterator[RedisServer]:
    """19 of 20 parts of its memory are used."""
    with RedisServer() as server:
        server.ask("SETRANGE", "large", "20000000", "x")
        server.ask("CONFIG", "SET", "maxmemory", str(server.number_of("used_memory") * 20 // 19))
        yield server


@contextmanager
def busy() -> Iterator[RedisServer]:
    """Runs a script that never ends."""
    with RedisServer("--busy-reply-threshold", "100") as server, socket.create_connection((HOST, server.port)) as link:
        link.sendall(b'EVAL "while true do end" 0\r\n')
        wait_for(lambda: b"BUSY" in _ping(server.port), "a busy server")
        yield server


@contextmanager
def full(*options: str, limit: str = "2mb") -> Iterator[RedisServer]:
    """Its memory is used up."""
    with RedisServer("--maxmemory", limit, *options) as server:
        for number in range(3000):
            if "OOM" in server.ask("SET", f"k{number}", "v" * 2000):
                break
            if number % 500 == 0 and server.number_of("evicted_keys"):
                break
        yield server


@contextmanager
def crowded() -> Iterator[RedisServer]:
    """All its connections are taken."""
    with RedisServer("--maxclients", "3") as server, ExitStack() as guests:
        for _ in range(3):
            guests.enter_context(socket.create_connection((HOST, server.port)))
        wait_for(lambda: b"max number" in _greeting(server.port), "a crowded server")
        yield server


@contextmanager
def cluster(*slots: str) -> Iterator[RedisServer]:
    """Nodes that each serve these slots; the first is the patient."""
    with ExitStack() as running:
        nodes = [running.enter_context(RedisServer("--cluster-enabled", "yes", *_bus())) for _ in slots or ("",)]
        for node, part in zip(nodes, slots, strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", *part.split())
            nodes[0].ask("CLUSTER", "MEET", HOST, str(node.port), node._options[-1])
        if slots:
            wait_for(lambda: "cluster_state:ok" in nodes[0].ask("CLUSTER", "INFO"), "the cluster")
        yield nodes[0]


def _bus() -> list[str]:
    """Otherwise it is the port and 10,000, which may be no port."""
    return ["--cluster-port", str(free_port())]


def _ping(port: int) -> bytes:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as link:
        link.sendall(b"PING\r\n")
        return link.recv(100)
    return b""


def _greeting(port: int) -> bytes:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=0.2) as link:
        return link.recv(100)
    return b""


# --- ports that are no Redis


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """The port of a server that treats each connection so; ends them all."""
    open_ones: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            await answer(reader, writer)

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()
        await asyncio.sleep(0)


def saying(words: bytes, *, first: bool = False, stay: bool = False) -> Answer:
    """Says `words` (`first`: without being asked), then closes, or stays without another word."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not first:
            await reader.read(100)
        writer.write(words)
        await writer.drain()
        if stay:
            await reader.read()
        writer.close()

    return answer


async def hanging_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """FIN at once."""
    writer.close()


async def slamming(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RST at once."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def scripted(answers: Mapping[str, bytes]) -> Answer:
    """Redis that answers each command so, others with an error."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        while data := await reader.read(1000):
            commands.feed(data)
            while (words := commands.gets()) is not False:
                writer.write(answers.get(words[0].decode(), b"-ERR unknown command\r\n"))

    return answer


def far_from(port: int, delay_s: float) -> Answer:
    """The Redis at `port`, seen from far away."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, port)
        try:
            while data := await reader.read(1000):
                await asyncio.sleep(delay_s)
                back.write(data)
                writer.write(await there.read(65536))
        finally:
            back.transport.abort()

    return answer


def cutting_words_short(port: int) -> Answer:
    """The TLS server at `port`, whose refusal is lost in a reset when the client has spoken meanwhile."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, port)
        refusal = asyncio.ensure_future(_pass_on_late(there, writer))
        try:
            for _ in range(2):  # hello, and the end of the handshake
                back.write(await reader.read(65536))
            if await reader.read(65536):
                await slamming(reader, writer)
        finally:
            refusal.cancel()
            back.transport.abort()

    return answer


async def _pass_on_late(there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await there.read(65536))
    while data := await there.read(65536):
        await asyncio.sleep(0.1)
        writer.write(data)
    writer.close()


@contextmanager
def not_accepting() -> Iterator[int]:
    """A port whose queue is full: what comes is dropped, as by a firewall."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.socket())
        server.bind((HOST, 0))
        server.listen(0)
        for _ in range(3):
            guest = opened.enter_context(socket.socket())
            guest.settimeout(0)
            guest.connect_ex(server.getsockname())
        yield server.getsockname()[1]


# --- certificates


def make_certificates(folder: Path) -> Path:
    """An authority and what it signed: good, for another name, expired, for a client; and another authority."""
    for name in ("ca", "other-ca"):
        _openssl(
            folder, f"req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 9"
        )
    _sign(folder, "good", "DNS:localhost,IP:127.0.0.1")
    _sign(folder, "stranger", "DNS:redis.example")
    _sign(folder, "expired", "DNS:localhost,IP:127.0.0.1", days=-1)
    _sign(folder, "client", "DNS:client")
    return folder


def _sign(folder: Path, name: str, names: str, days: int = 9) -> None:
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}", "utf-8")
    key = f"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key"
    _openssl(folder, f"req {key} -out {name}.csr -subj /CN={name}")
    authority = "-CA ca.pem -CAkey ca.key -CAcreateserial"
    _openssl(folder, f"x509 -req -in {name}.csr {authority} -days {days} -out {name}.pem -extfile {name}.ext")


def _openssl(folder: Path, words: str) -> None:
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
