"""By which proxy a phone is connected: its row, on both databases; and what may be a proxy at all."""

from functools import partial

import pytest

from passerelle.db import Database
from passerelle.sessions.adapters.holders import SqlHolderBook, SqlSeenBook
from passerelle.sessions.adapters.sql import SqlBackupBook, SqlProxyBook
from passerelle.sessions.model import InvalidProxy, Proxy, ProxyLost
from passerelle.sessions.sealing import ProxySeal

from .outbox_parts import link, sql

pytestmark = pytest.mark.anyio
PROXIES, HOLDERS, SEEN, PHONES = SqlProxyBook(ProxySeal("our key")), SqlHolderBook(), SqlSeenBook(), SqlBackupBook()
PROXY = Proxy.read("socks5://anna:s3cret@proxy.example:1080")


@pytest.mark.mission("Z5")
async def test_a_proxy_is_sealed_in_its_row_and_opened_for_its_holder_alone(database: Database) -> None:
    await link(database, "sess_1", holder="w1", phone="+33639980001")
    await link(database, "sess_2", holder="w1", phone="+33639980002")
    assert await database.run(partial(PROXIES.put, session_id="sess_1", proxy=PROXY))
    one, two = await database.run(partial(HOLDERS.held, worker_id="w1"))
    assert one.proxy is not None
    assert PROXIES.open(one.proxy) == PROXY
    assert two.proxy is None
    assert "s3cret" not in str(await sql(database, "SELECT * FROM linked_phones"))
    with pytest.raises(ProxyLost):
        ProxySeal("another key").open(one.proxy)


async def test_a_proxy_is_shown_without_its_user_and_password(database: Database) -> None:
    await link(database, "sess_1", holder="w1")
    await database.run(partial(PROXIES.put, session_id="sess_1", proxy=PROXY))
    seen = await database.read(partial(SEEN.sightings, client_id="default"))
    assert seen["sess_1"].proxy == "socks5://proxy.example:1080"


async def test_a_proxy_is_taken_away_and_an_unknown_phone_has_none(database: Database) -> None:
    await link(database, "sess_1", holder="w1")
    await database.run(partial(PROXIES.put, session_id="sess_1", proxy=PROXY))
    assert await database.run(partial(PROXIES.put, session_id="sess_1", proxy=None))
    assert not await database.run(partial(PROXIES.put, session_id="sess_9", proxy=PROXY))
    (row,) = await sql(database, "SELECT proxy, proxy_shown FROM linked_phones")
    assert (row["proxy"], row["proxy_shown"]) == (None, None)


async def test_phones_are_listed_for_a_backup_page_by_page(database: Database) -> None:
    for number in range(5):
        await link(database, f"sess_{number}", phone=f"+3363998000{number}")
    after, pages = "", []
    while page := await database.read(partial(PHONES.page, after=after, limit=2)):
        pages.append([phone.session_id for phone in page])
        after = page[-1].session_id
    assert pages == [["sess_0", "sess_1"], ["sess_2", "sess_3"], ["sess_4"]]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("socks5://user:pass@host:1080", "socks5://host:1080"),
        ("http://host:3128", "http://host:3128"),
        ("https://host", "https://host"),
        ("http://us%40er:p%2Fw@[::1]:8080/", "http://[::1]:8080"),
        ("http://a@b:c@host:1", "http://host:1"),
    ],
)
def test_a_proxy_has_one_of_three_schemes_and_a_host(url: str, shown: str) -> None:
    proxy = Proxy.read(url)
    assert (proxy.url, proxy.shown) == (url, shown)
    assert "pass" not in repr(proxy)


@pytest.mark.parametrize(
    "url",
    [
        *("", "host:1080", "ftp://host:1", "socks4://host:1", "SOCKS5//x", "socks5://", "socks5://:1080"),
        *("http://host:0", "http://host:99999", "http://host:port", "http://host/path", "http://host?x=1"),
        *("http://ho st:1", "http://host:1\n", "http://hôte:1", "http://[::1:1", f"http://{'h' * 2_000}:1"),
    ],
)
def test_what_is_no_proxy_is_refused(url: str) -> None:
    with pytest.raises(InvalidProxy) as refused:
        Proxy.read(url)
    assert not url or url not in str(refused.value)
