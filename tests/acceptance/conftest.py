"""Gateways that tests may share, and a place for those of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.gateway import Gateway

from servers import PostgresServer, RedisServer
from tables import copy_tables


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with nothing but our tables; logs of its processes stand beside it."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    copy_tables(folder)
    return folder


@pytest.fixture
def empty_dir(tmp_path: Path) -> Path:
    """A data directory before the first start."""
    folder = tmp_path / "empty"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway with nothing installed, for tests that leave no trace but their own users; its clock may be moved."""
    folder = tmp_path_factory.mktemp("embedded") / "data"
    folder.mkdir()
    with Gateway(folder) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def calm_redis() -> Iterator[RedisServer]:
    """The Redis of `with_redis`, to look into; nobody disturbs it."""
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="session")
def with_redis(tmp_path_factory: pytest.TempPathFactory, calm_redis: RedisServer) -> Iterator[Gateway]:
    """One gateway with Redis, as `embedded`: the reference without a fault."""
    folder = tmp_path_factory.mktemp("with-redis") / "data"
    folder.mkdir()
    with Gateway(folder, env={"REDIS_URL": calm_redis.url}) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Gateway]:
    """One gateway on PostgreSQL, as `embedded`."""
    folder = tmp_path_factory.mktemp("on-postgresql") / "data"
    folder.mkdir()
    with Gateway(folder, env={"DATABASE_URL": postgres_server.create_database()}) as gateway:
        yield gateway


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> str:
    """A fresh database on a real PostgreSQL, with our tables."""
    return postgres_server.create_database()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that a test may stop."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.stop()
