"""Numbers of the Cloud API: whether we may use them, since when, and the provider as a whole."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from graph_server import APP_SECRET, OUR_NUMBER, PHONE_ID, TOKEN, GraphServer, Mishap
from passerelle.clock import Clock
from passerelle.errors import Text, Unavailable
from passerelle.redaction import Redactor
from passerelle.sessions.holding import LOOK_EVERY_S, SILENT_LIMIT
from passerelle.whatsapp.adapters.cloud_api import ANSWER_LIMIT
from passerelle.whatsapp.adapters.cloud_connections import CHECK_EVERY_S
from passerelle.whatsapp.adapters.cloud_faults import CloudApiRefused
from passerelle.whatsapp.adapters.cloud_provider import CloudSetting, OurSessions, open_cloud_provider
from passerelle.whatsapp.faults import NotOffered, ProviderUnavailable
from passerelle.whatsapp.model import Connection, ConnectionChanged, MessageType
from passerelle.whatsapp.ports import Provider

from .parts import SESSION, VERIFY_TOKEN, House, Kept, Shelf, outgoing
from servers import HOST, eventually, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]


class SqlAway(Unavailable):
    code = "sql_away"
    text = hint = Text("SQL is away.", "SQL est absent.")


@pytest.fixture
async def kept(house: House) -> AsyncIterator[Kept]:
    kept = Kept()
    task = asyncio.create_task(house.connections.tell_for_ever(kept))
    yield kept
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def told(kept: Kept) -> list[Connection]:
    return [event.connection for event in kept.events if isinstance(event, ConnectionChanged)]


async def test_a_number_that_we_hold_is_connected_after_one_good_answer(house: House, kept: Kept) -> None:
    assert not house.connections.evidence()
    await house.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
    await house.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
    await eventually(lambda: bool(kept.events))
    assert told(kept) == [Connection.CONNECTED]
    first = house.connections.evidence()[SESSION]
    await eventually(lambda: house.connections.evidence()[SESSION] > first)
    assert told(kept) == [Connection.CONNECTED]  # what does not change is not told again
    await house.connections.release(session_id=SESSION)
    await house.connections.release(session_id=SESSION)
    assert not house.connections.evidence()


@pytest.mark.parametrize(
    ("code", "connection"),
    [
        (190, Connection.RESTRICTED),
        (10, Connection.RESTRICTED),
        (131031, Connection.RESTRICTED),
        (2, Connection.DISCONNECTED),
    ],
)
async def test_a_refusal_changes_the_connection_and_the_end_of_it_too(
    house: House, kept: Kept, code: int, connection: Connection
) -> None:
    house.graph.script(code, times=3)
    with capture_logs() as lines:
        await house.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
        await eventually(lambda: len(kept.events) > 1)
    assert told(kept) == [connection, Connection.CONNECTED]
    (change, _) = kept.events
    assert isinstance(change, ConnectionChanged)
    assert (change.reason or "").startswith(f"{code}: ")
    assert [line["log_level"] for line in lines] == ["error", "info"]  # three refusals, one line


async def test_a_limit_of_calls_says_nothing_of_the_number(house: House, kept: Kept) -> None:
    house.graph.script(80007, times=2)
    await house.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
    await eventually(lambda: bool(kept.events))
    assert told(kept) == [Connection.CONNECTED]


async def test_a_number_that_is_not_there_is_restricted(house: House, kept: Kept) -> None:
    await house.connections.hold(session_id=SESSION, device="999", proxy=None)
    await eventually(lambda: bool(kept.events))
    assert told(kept) == [Connection.RESTRICTED]


async def test_meta_away_is_disconnected_until_it_is_back(house: House, kept: Kept) -> None:
    for mishap in (Mishap.PAGE_502, Mishap.RESET_AFTER, Mishap.REDIRECT):
        house.graph.script(mishap)
    await house.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
    await eventually(lambda: len(kept.events) > 1)
    assert told(kept) == [Connection.DISCONNECTED, Connection.CONNECTED]


async def test_a_change_that_was_not_kept_is_told_again(house: House, kept: Kept) -> None:
    kept.faults = [SqlAway(), RuntimeError("a bug")]
    with capture_logs() as lines:
        await house.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
        await eventually(lambda: bool(kept.events))
    assert told(kept) == [Connection.CONNECTED]
    assert [line["log_level"] for line in lines] == ["info", "error"]  # that SQL is away is said elsewhere


async def test_a_message_that_was_taken_is_evidence(house: House) -> None:
    house.graph.script(4, times=1000, on="GET")
    await house.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
    await eventually(lambda: bool(house.graph.asked))
    assert not house.connections.evidence()
    await house.sender.send(outgoing(), prepared=None)
    assert SESSION in house.connections.evidence()


def test_a_number_that_is_well_is_asked_about_before_it_seems_dead() -> None:
    """Else it is let go and held anew every five minutes, in the second or so that Meta takes to answer."""
    assert SILENT_LIMIT.total_seconds() > CHECK_EVERY_S + ANSWER_LIMIT + LOOK_EVERY_S


async def test_meta_tells_which_number_it_is(house: House) -> None:
    assert await house.accounts.find(PHONE_ID) == f"+{OUR_NUMBER}"


async def test_a_number_or_token_that_meta_does_not_know_is_a_clear_error(house: House) -> None:
    with pytest.raises(CloudApiRefused) as caught:
        await house.accounts.find("999")
    assert "Object with ID '999' does not exist" in caught.value.members["reason"]
    async with House(token="EAAGwrong") as wrong:
        with pytest.raises(CloudApiRefused) as caught:
            await wrong.accounts.find(PHONE_ID)
    assert caught.value.members["reason"] == "190: Malformed access token ***"


async def test_reach_needs_no_token_and_says_when_meta_is_away(house: House) -> None:
    await house.api.hello()
    assert house.graph.logins == [None]
    for mishap in (Mishap.PAGE_502, Mishap.BARE_401, Mishap.RESET_BEFORE):
        house.graph.script(mishap, times=2)  # aiohttp asks once more where a connection is lost
        with pytest.raises(ProviderUnavailable):
            await house.api.hello()
        house.graph.well()
    async with House(base_url=f"http://{HOST}:{free_port()}/v23.0") as nowhere:
        with pytest.raises(ProviderUnavailable):
            await nowhere.api.hello()


async def test_the_provider_is_whole() -> None:
    redactor = Redactor()
    async with (
        GraphServer() as graph,
        open_cloud_provider(
            CloudSetting(token=TOKEN, app_secret=APP_SECRET, verify_token=VERIFY_TOKEN, base_url=graph.url),
            media=Shelf(),
            sessions=OurSessions(of_number=lambda _: SESSION),
            clock=Clock(),
            redactor=redactor,
        ) as cloud,
    ):
        provider: Provider = cloud
        assert provider.name == "cloud_api"
        assert MessageType.STATUS not in provider.abilities.types
        abilities = provider.abilities
        assert (abilities.linking, abilities.deletions, abilities.view_once) == (False, False, False)
        with pytest.raises(NotOffered):
            await provider.linker.connect(session_id=SESSION, phone_number=f"+{OUR_NUMBER}")
        await provider.linker.unlink(device=PHONE_ID)
        await provider.reach()
        assert await cloud.phone_number(PHONE_ID) == f"+{OUR_NUMBER}"
        await provider.connections.hold(session_id=SESSION, device=PHONE_ID, proxy=None)
        assert (await provider.sender.send(outgoing(), prepared=None)).startswith("wamid.")
        assert provider.connections.evidence()
    shown = repr(CloudSetting(token=TOKEN, app_secret=APP_SECRET, verify_token=VERIFY_TOKEN))
    assert not [secret for secret in (TOKEN, APP_SECRET, VERIFY_TOKEN) if secret in shown]
    assert redactor.redact(f"{TOKEN} {APP_SECRET} {VERIFY_TOKEN}") == "*** *** ***"
