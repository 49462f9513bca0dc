import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backup.house import Said, Site, fill

from servers import PostgresServer

NewSite = Callable[..., Site]


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each sort of database."""
    return str(request.param)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Site]:
    """Sites with something of everything, by sort of database; each is made when it is first wanted, then copied."""
    return {"sqlite": _filled(Site(tmp_path_factory.mktemp("filled")))}


@pytest.fixture
def new_site(request: pytest.FixtureRequest, tmp_path: Path, filled: dict[str, Site]) -> NewSite:
    """Makes sites: a data directory, and on PostgreSQL a database; empty, or with something of everything."""

    def new(name: str, kind: str, redis_url: str | None = None, *, full: bool = False) -> Site:
        site = Site(tmp_path / name, None, redis_url)
        server: PostgresServer | None = None
        if kind == "postgresql":
            server = request.getfixturevalue("postgres_server")
        if not full:
            site.folder.mkdir()
            site.database_url = None if server is None else server.create_database(empty=True)
            return site
        if kind not in filled:
            assert server is not None
            first = Site(request.getfixturevalue("tmp_path_factory").mktemp("filled"))
            first.database_url = server.create_database(empty=True)
            filled[kind] = _filled(first)
        shutil.copytree(filled[kind].folder, site.folder)
        if server is not None:
            site.database_url = server._create(str(filled[kind].database_url).rpartition("/")[2])
        return site

    return new


def _filled(site: Site) -> Site:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, fill(site)).result()
    site.said = Said()
    return site
