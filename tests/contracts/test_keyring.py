"""What is sealed comes under the key of today, on both databases, and nobody outside notices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from passerelle.db import Database
from passerelle.diagnostics.model import Level
from passerelle.keyring.checks import KeyringCheck
from passerelle.keyring.model import Tally, key_id
from passerelle.keyring.service import AT_ONCE, Keyring
from passerelle.sessions.adapters.sealed import SqlSealedProxies
from passerelle.sessions.adapters.sql import SqlProxyBook
from passerelle.sessions.model import Proxy, ProxyLost
from passerelle.sessions.sealing import ProxySeal
from passerelle.webhooks.adapters.books import SqlEndpointBook
from passerelle.webhooks.adapters.sealed import SqlSealedSecrets
from passerelle.webhooks.faults import SecretLost
from passerelle.webhooks.keys import EndpointKeys
from passerelle.webhooks.model import Endpoint

from .outbox_parts import link, sql

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
OLD, NEW = "the key of yesterday", "the key of today"
NOW = datetime.now(UTC)
PROXY = Proxy.read("socks5://anna:s3cret@proxy.example:1080")


def keyring(database: Database, *keys: str) -> Keyring:
    sealed = (SqlSealedProxies(ProxySeal(*keys)), SqlSealedSecrets(EndpointKeys(*keys)))
    return Keyring(key_id=key_id(keys[0]), sealed=sealed, database=database)


async def put_proxy(database: Database, number: int, *keys: str) -> None:
    await link(database, f"sess_{number:04}", phone=f"+3363998{number:04}")
    book = SqlProxyBook(ProxySeal(*keys))
    await database.run(partial(book.put, session_id=f"sess_{number:04}", proxy=PROXY))


async def put_endpoint(database: Database, keys: EndpointKeys, endpoint_id: str = "hook_1") -> Endpoint:
    endpoint = Endpoint(
        id=endpoint_id,
        client_id="default",
        url="https://receiver.example/",
        events=(),
        created_at=NOW,
        seed=keys.new_seed(),
    )
    assert await database.run(partial(SqlEndpointBook().insert, endpoint=endpoint, at_most=999))
    return endpoint


async def endpoint_now(database: Database, endpoint_id: str = "hook_1") -> Endpoint:
    found = await database.read(partial(SqlEndpointBook().find, client_id="default", endpoint_id=endpoint_id))
    assert found is not None
    return found


async def test_proxies_are_sealed_anew_and_need_the_old_key_no_more(database: Database) -> None:
    for number in range(3):
        await put_proxy(database, number, OLD)
    await put_proxy(database, 3, NEW)
    ring = keyring(database, NEW, OLD)
    assert (await ring.tallies())["proxies"] == Tally(current=1, earlier=3)
    assert (await ring.rotate())["proxies"] == Tally(current=4)
    for row in await sql(database, "SELECT proxy FROM linked_phones"):
        assert ProxySeal(NEW).open(row["proxy"]) == PROXY
        with pytest.raises(ProxyLost):
            ProxySeal(OLD).open(row["proxy"])


async def test_more_than_one_page_is_sealed_anew(local: Database) -> None:
    for number in range(AT_ONCE + 1):
        await put_proxy(local, number, OLD)
    assert (await keyring(local, NEW, OLD).rotate())["proxies"] == Tally(current=AT_ONCE + 1)


async def test_a_receiver_keeps_its_secret_when_the_key_of_the_gateway_changes(database: Database) -> None:
    before = EndpointKeys(OLD)
    endpoint = await put_endpoint(database, before)
    secret = before.secret(endpoint.seed)
    assert (await keyring(database, NEW, OLD).rotate())["webhook_secrets"] == Tally(current=1)
    after = (await endpoint_now(database)).seed
    assert EndpointKeys(NEW).secret(after) == secret
    kept = str(await sql(database, "SELECT * FROM webhook_endpoints"))
    assert secret.removeprefix("whsec_") not in kept
    with pytest.raises(SecretLost):
        before.secret(after)
    newest = "the key of tomorrow"  # what was sealed anew once is sealed anew again
    assert (await keyring(database, newest, NEW).rotate())["webhook_secrets"] == Tally(current=1)
    assert EndpointKeys(newest).secret((await endpoint_now(database)).seed) == secret


async def test_both_secrets_of_an_endpoint_in_its_overlap_go_on_signing(database: Database) -> None:
    before = EndpointKeys(OLD)
    endpoint = await put_endpoint(database, before)
    rotated = endpoint.rotated(before.new_seed(), now=NOW)
    await database.run(partial(SqlEndpointBook().save, endpoint=rotated))
    assert (await keyring(database, NEW, OLD).rotate())["webhook_secrets"] == Tally(current=2)
    seeds = (await endpoint_now(database)).seeds(NOW)
    assert [EndpointKeys(NEW).secret(seed) for seed in seeds] == [before.secret(seed) for seed in rotated.seeds(NOW)]


async def test_a_secret_whose_overlap_is_over_is_of_no_interest(database: Database) -> None:
    endpoint = await put_endpoint(database, EndpointKeys("a key that is gone"))
    rotated = endpoint.rotated(EndpointKeys(NEW).new_seed(), now=NOW)
    over = replace(rotated, previous_until=NOW - timedelta(hours=1))
    await database.run(partial(SqlEndpointBook().save, endpoint=over))
    assert (await keyring(database, NEW).tallies())["webhook_secrets"] == Tally(current=1)


async def test_what_no_key_opens_is_told_and_left_as_it_is(database: Database) -> None:
    await put_proxy(database, 1, "a key that is gone")
    await put_endpoint(database, EndpointKeys("a key that is gone"))
    before = await sql(database, "SELECT proxy FROM linked_phones")
    ring = keyring(database, NEW, OLD)
    assert await ring.rotate() == {"proxies": Tally(lost=1), "webhook_secrets": Tally(lost=1)}
    assert await sql(database, "SELECT proxy FROM linked_phones") == before
    (finding,) = await KeyringCheck(ring).run()
    assert (finding.id, finding.level, finding.evidence) == (
        "SECRET_KEY_LOST",
        Level.ERROR,
        "proxies: 1, webhook_secrets: 1",
    )


async def test_the_doctor_asks_for_a_rotation_till_it_is_done(database: Database) -> None:
    await put_proxy(database, 1, OLD)
    ring = keyring(database, NEW, OLD)
    assert [finding.id for finding in await KeyringCheck(ring).run()] == ["SECRET_KEY_EARLIER"]
    await ring.rotate()
    assert [finding.id for finding in await KeyringCheck(ring).run()] == ["SECRET_KEY_OK"]


async def test_a_sealed_secret_that_was_tampered_with_is_lost(database: Database) -> None:
    await put_endpoint(database, EndpointKeys(OLD))
    await keyring(database, NEW, OLD).rotate()
    seed = (await endpoint_now(database)).seed
    with pytest.raises(SecretLost):
        EndpointKeys(NEW).secret(seed._replace(text=seed.text[:-5] + "AAAA="))
