"""What every test may ask for."""

import gc
import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `servers`; folders of tests are not packages

from servers import PostgresServer, RedisServer


def pytest_collection_finish() -> None:
    """Six thousand tests are no garbage: looking for it there was two thirds of the CPU of those with an app."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A fresh real Redis, empty; about 30 ms."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def lasting_redis() -> Iterator[RedisServer]:
    """A Redis that has its data again after it was killed, as in production."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the whole run; ask it for a database of your own."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def killable(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The shared PostgreSQL, for a test that kills it; it runs again afterwards."""
    yield postgres_server
    if not postgres_server.running:
        postgres_server.start()


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """No test talks to anybody outside this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
        yield


def _guarded(connect: Any) -> Any:
    def guard(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and not _is_loopback(str(address[0])):
            raise AssertionError(f"a test wants to leave this machine: {address}")
        return connect(self, address)

    return guard


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
