"""What every provider promises, on the wire that each of them speaks; what one cannot do it declares."""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.provider_benches import BENCHES
from contracts.provider_parts import (
    LIMIT_S,
    MEDIA,
    MINE,
    REFERENCE,
    SESSION,
    THEIRS,
    Bench,
    Mishap,
    Said,
    Shelf,
    outgoing,
)
from passerelle.clock import Clock
from passerelle.errors import NotFound, Unavailable
from passerelle.redaction import Redactor
from passerelle.sandbox import provider as sandbox
from passerelle.whatsapp.adapters.cloud_provider import CloudSetting, OurSessions, open_cloud_provider
from passerelle.whatsapp.adapters.multidevice import provider as multidevice
from passerelle.whatsapp.faults import NotOffered, ProviderUnavailable
from passerelle.whatsapp.model import (
    CodeTyped,
    Connection,
    ConnectionChanged,
    DeviceLinked,
    Incoming,
    IncomingType,
    MessageType,
    Receipt,
    ReceiptKind,
    Revoked,
)
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, Remedy, SendRefused

from servers import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
AT_ONCE_S, SOON_S = 5.0, 15.0
UNLINKED = "33639980009:9@s.whatsapp.net"
REFUSALS = {
    Mishap.RESTRICTED: {Remedy.PAUSE_ACCOUNT},
    Mishap.NOT_ON_WHATSAPP: {Remedy.PERMANENT},
    Mishap.THROTTLED: {Remedy.THROTTLE_NUMBER, Remedy.THROTTLE_RECIPIENT},
}


DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"
SENTENCES = {
    "a phone is linked by a code": "linking",
    "deleted messages are told": "deletions",
    "view-once messages are told": "view_once",
    "the keys of a linked phone can be exported": "device_keys",
}


@pytest.fixture(params=BENCHES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with BENCHES[request.param](tmp_path) as bench:
        yield bench


def suffering(mishap: Mishap) -> pytest.MarkDecorator:
    """Only the benches in whose world it can happen."""
    return pytest.mark.parametrize("bench", [n for n, made in BENCHES.items() if mishap in made.mishaps], indirect=True)


@pytest.mark.parametrize("type_", MessageType)
async def test_what_is_declared_arrives_and_the_rest_is_refused_for_good(bench: Bench, type_: MessageType) -> None:
    message = outgoing(bench, type_)
    if type_ in bench.provider.abilities.types:
        assert await bench.send(message)
        (said,) = await bench.arrived()
        assert said.type is type_
        assert said.words == "Bonjour" or (type_, said.words) == (MessageType.AUDIO, None), "WhatsApp shows none there"
        return
    for attempt in (bench.provider.sender.prepare(message), bench.provider.sender.send(message, prepared=None)):
        with pytest.raises(SendRefused) as refused:
            await attempt
        assert (refused.value.reason, refused.value.remedy) == (NotOffered.code, Remedy.PERMANENT)
    assert not await bench.arrived()


@pytest.mark.parametrize("type_", MEDIA)
async def test_a_medium_may_be_prepared_twice_and_each_time_can_be_sent(bench: Bench, type_: MessageType) -> None:
    message, sender = outgoing(bench, type_), bench.provider.sender
    prepared = [await sender.prepare(message), await sender.prepare(message)]
    assert all(prepared)
    ids = [await sender.send(message, prepared=one) for one in prepared]
    assert len(set(ids)) == 2
    assert [said.type for said in await bench.arrived()] == [type_, type_]


async def test_a_text_needs_no_preparing_and_every_message_has_an_id_of_its_own(bench: Bench) -> None:
    assert await bench.provider.sender.prepare(outgoing(bench)) is None
    ids = await asyncio.gather(*(bench.send(outgoing(bench, words=f"{n}")) for n in range(5)))
    assert len(set(ids)) == 5
    assert {said.words for said in await bench.arrived()} == set("01234")


async def test_phones_are_linked_by_a_code_where_that_is_offered(bench: Bench) -> None:
    linker = bench.provider.linker
    if not bench.provider.abilities.linking:
        with pytest.raises(NotOffered):
            await linker.connect(session_id="sess_2", phone_number=MINE)
    else:
        linking = await linker.connect(session_id="sess_2", phone_number=MINE)
        await linking.request_code()
        code = await linking.request_code()  # kills the one before
        await bench.types(code.code)
        events = [await linking.next_event()]
        while not isinstance(events[-1], DeviceLinked):
            events.append(await asyncio.wait_for(linking.next_event(), LIMIT_S))
        assert CodeTyped() in events
        assert events[-1].device != bench.device
        for _ in range(2):
            await linking.close()
    await linker.unlink(device=UNLINKED)


async def test_receipts_come_at_least_once_with_the_id_that_the_send_gave(bench: Bench) -> None:
    provider_id = await bench.send(outgoing(bench))
    await bench.delivers(provider_id)
    await bench.ear.until(Receipt)
    await bench.reads(provider_id)
    await eventually(lambda: {receipt.kind for receipt in bench.ear.of(Receipt)} > {ReceiptKind.DELIVERED})
    for receipt in bench.ear.of(Receipt):
        assert (receipt.session_id, receipt.provider_id, receipt.to) == (SESSION, provider_id, THEIRS)
        assert receipt.reference == (REFERENCE if bench.refers else None)
        assert receipt.at.tzinfo is not None
    assert {receipt.kind for receipt in bench.ear.of(Receipt)} == {ReceiptKind.DELIVERED, ReceiptKind.READ}


async def test_what_somebody_writes_comes_in(bench: Bench) -> None:
    provider_id = await bench.writes(IncomingType.TEXT, "Ça fuit 💧")
    (heard, *again) = await bench.ear.until(Incoming)
    assert (heard.session_id, heard.provider_id, heard.sender) == (SESSION, provider_id, THEIRS)
    assert (heard.type, heard.text, heard.attachment, heard.view_once) == (IncomingType.TEXT, "Ça fuit 💧", None, False)
    assert (heard.chat, again) == (None, [])


@pytest.mark.parametrize("type_", [IncomingType.IMAGE, IncomingType.DOCUMENT])
async def test_a_medium_that_came_in_can_be_opened_again_and_again(bench: Bench, type_: IncomingType) -> None:
    await bench.writes(type_, "voilà")
    (heard, *_) = await bench.ear.until(Incoming)
    assert (heard.type, heard.text) == (type_, "voilà")
    assert heard.attachment is not None
    for _ in range(2):
        medium, data = await bench.fetch(heard.attachment)
        assert data == bench.bytes_of(heard.attachment)
        assert medium.size_bytes in {None, len(data)}


async def test_a_medium_that_whatsapp_has_no_more_is_not_found(bench: Bench) -> None:
    await bench.writes(IncomingType.IMAGE)
    (heard, *_) = await bench.ear.until(Incoming)
    assert heard.attachment is not None
    await bench.forgets_media()
    with pytest.raises(NotFound):
        await bench.fetch(heard.attachment)


@suffering(Mishap.AWAY)
async def test_a_medium_waits_while_whatsapp_or_the_phone_is_away(bench: Bench) -> None:
    await bench.writes(IncomingType.IMAGE)
    (heard, *_) = await bench.ear.until(Incoming)
    assert heard.attachment is not None
    if bench.needs_connection:
        await bench.provider.connections.release(session_id=SESSION)
    else:
        await bench.suffers(Mishap.AWAY)
    with pytest.raises(Unavailable):
        await bench.fetch(heard.attachment)


async def test_what_can_be_looked_at_once_is_a_notice_where_that_is_told(bench: Bench) -> None:
    if not bench.provider.abilities.view_once:
        return  # Meta tells of none
    provider_id = await bench.writes_view_once()
    (heard, *_) = await bench.ear.until(Incoming)
    assert (heard.provider_id, heard.sender, heard.view_once) == (provider_id, THEIRS, True)
    assert heard.attachment is None


async def test_a_deleted_message_is_told_where_deletions_are(bench: Bench) -> None:
    if not bench.provider.abilities.deletions:
        return  # Meta tells of none
    provider_id = await bench.writes(IncomingType.TEXT, "oops")
    await bench.ear.until(Incoming)
    await bench.revokes(provider_id)
    (revoked, *_) = await bench.ear.until(Revoked)
    assert (revoked.session_id, revoked.provider_id, revoked.sender) == (SESSION, provider_id, THEIRS)


async def test_what_the_sink_refuses_is_brought_again_and_nothing_is_lost(bench: Bench) -> None:
    bench.ear.refuses = True
    ids = [await bench.writes(IncomingType.TEXT, word) for word in ("one", "two", "three")]
    await eventually(lambda: bench.ear.refused >= 2, "refused twice", limit=10)
    assert not bench.ear.of(Incoming)
    bench.ear.refuses = False
    await eventually(lambda: {heard.provider_id for heard in bench.ear.of(Incoming)} == set(ids), limit=20)


async def test_holding_and_releasing_may_be_repeated(bench: Bench) -> None:
    connections = bench.provider.connections
    for _ in range(2):
        await connections.hold(session_id=SESSION, device=bench.device, proxy=None)
    assert await bench.send(outgoing(bench))
    await eventually(lambda: SESSION in connections.evidence(), "evidence", limit=10)
    for _ in range(2):
        await connections.release(session_id=SESSION)
    await connections.release(session_id="sess_nobody")
    assert SESSION not in connections.evidence()
    before = len(bench.ear.connections())
    await connections.hold(session_id=SESSION, device=bench.device, proxy=None)
    await eventually(lambda: bench.ear.connections()[before:][-1:] == [Connection.CONNECTED], limit=20)
    assert await bench.send(outgoing(bench))


async def test_a_connection_that_is_lost_and_there_again_is_told(bench: Bench) -> None:
    before = len(bench.ear.connections())
    await bench.loses_connection()
    await eventually(lambda: bench.ear.connections()[before:][-1:] == [Connection.CONNECTED], limit=LIMIT_S)
    assert bench.ear.connections()[before:][:-1] == [Connection.DISCONNECTED]
    lost = bench.ear.of(ConnectionChanged)[before]
    assert lost.reason
    assert await bench.send(outgoing(bench))


async def test_a_device_that_was_taken_away_is_told(bench: Bench) -> None:
    await bench.removes_device()
    await eventually(lambda: Connection.LOGGED_OUT in bench.ear.connections())
    assert all(change.at.tzinfo is not None for change in bench.ear.of(ConnectionChanged))


@suffering(Mishap.AWAY)
async def test_away_is_said_before_anything_is_handed_over(bench: Bench) -> None:
    await bench.suffers(Mishap.AWAY)
    with pytest.raises(ProviderUnavailable):
        await bench.provider.sender.send(outgoing(bench), prepared=None)


async def test_an_answer_that_is_lost_is_neither_sent_nor_failed(bench: Bench) -> None:
    await bench.suffers(Mishap.ANSWER_LOST)
    with pytest.raises(AnswerLost):
        await bench.provider.sender.send(outgoing(bench), prepared=None)
    assert await bench.arrived() == [Said(MessageType.TEXT, "Bonjour")], "and it was sent once"


@pytest.mark.parametrize(
    ("bench", "mishap"),
    [(name, mishap) for name, made in BENCHES.items() for mishap in REFUSALS if mishap in made.mishaps],
    indirect=["bench"],
)
async def test_each_refusal_says_what_helps(bench: Bench, mishap: Mishap) -> None:
    await bench.suffers(mishap)
    with pytest.raises(SendRefused) as refused:
        await bench.provider.sender.send(outgoing(bench), prepared=None)
    assert refused.value.remedy in REFUSALS[mishap]
    assert refused.value.reason


async def test_who_stops_waiting_for_a_send_is_free_at_once(bench: Bench) -> None:
    await bench.suffers(Mishap.HANG)
    send = asyncio.create_task(bench.provider.sender.send(outgoing(bench), prepared=None))
    await asyncio.sleep(0.3)  # it hangs
    assert not send.done()
    began = asyncio.get_running_loop().time()
    send.cancel()
    await asyncio.gather(send, return_exceptions=True)
    assert send.cancelled()
    assert asyncio.get_running_loop().time() - began < AT_ONCE_S


async def test_it_can_be_asked_whether_whatsapp_answers(bench: Bench) -> None:
    await bench.provider.reach()
    if bench.can_be_away:
        await bench.goes_away()
        with pytest.raises(ProviderUnavailable):
            await bench.provider.reach()


async def test_no_line_of_the_log_holds_a_secret_a_number_or_what_was_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # what `logs` shows of libraries
    with capture_logs() as lines:
        await bench.send(outgoing(bench, words="between us"))
        await bench.writes(IncomingType.TEXT, "between us")
        await bench.ear.until(Incoming)
        for mishap in (Mishap.RESTRICTED, Mishap.ANSWER_LOST):
            await bench.suffers(mishap)
            with pytest.raises((SendRefused, AnswerLost)):
                await bench.send(outgoing(bench))
        await bench.suffers(Mishap.AWAY)
        with pytest.raises(ProviderUnavailable):
            await bench.send(outgoing(bench))
        await bench.removes_device()
    text = "\n".join(map(str, lines)) + caplog.text
    for word in (*bench.secrets, MINE[1:], THEIRS[1:], "between us"):
        assert word not in text


@pytest.mark.parametrize("name", BENCHES)
async def test_its_end_is_the_end_of_every_child_task_and_socket(name: str, tmp_path: Path) -> None:
    before, tasks = footprint(), asyncio.all_tasks()
    async with BENCHES[name](tmp_path) as bench:
        await bench.provider.connections.hold(session_id=SESSION, device=bench.device, proxy=None)  # again
        await bench.send(outgoing(bench, MessageType.IMAGE))
        await bench.writes(IncomingType.IMAGE)
        (heard, *_) = await bench.ear.until(Incoming)
        assert heard.attachment is not None
        await bench.fetch(heard.attachment)
        await bench.suffers(Mishap.HANG)
        hanging = asyncio.create_task(bench.provider.sender.send(outgoing(bench), prepared=None))
        await asyncio.sleep(0.1)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < SOON_S, "although WhatsApp still does not answer"
    gc.collect()
    await eventually(lambda: asyncio.all_tasks() <= tasks, f"{asyncio.all_tasks() - tasks}")
    await eventually(lambda: footprint() == before, f"{before} {footprint()}")


async def test_a_message_of_an_unlinked_device_is_not_sent(bench: Bench) -> None:
    message = replace(outgoing(bench), device=UNLINKED if bench.provider.abilities.linking else "999")
    with pytest.raises((SendRefused, DeviceGone, ProviderUnavailable)) as refused:
        await bench.provider.sender.send(message, prepared=None)
    assert not isinstance(refused.value, SendRefused) or refused.value.remedy is Remedy.PAUSE_ACCOUNT
    assert not await bench.arrived()


def footprint() -> tuple[int, set[str]]:
    """Open sockets, and children that are alive."""
    sockets = 0
    for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- gone by the time it is looked at, one by one
        try:
            sockets += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")  # noqa: PTH115 -- as above
        except OSError:
            continue
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return sockets, set(children)


async def test_the_documentation_says_what_each_declares() -> None:
    setting = CloudSetting(token="t", app_secret="s", verify_token="v")
    more: dict[str, Any] = {"media": Shelf(), "sessions": OurSessions(of_number=lambda _: None)}
    async with (
        open_cloud_provider(setting, clock=Clock(), redactor=Redactor(), **more) as cloud,
        open_cloud_provider(replace(setting, coexistence=True), clock=Clock(), redactor=Redactor(), **more) as beside,
    ):
        declared = {"sandbox": sandbox.ABILITIES, "multidevice": multidevice.ABILITIES, "cloud_api": cloud.abilities}
        assert beside.abilities == replace(cloud.abilities, deletions=True)
    head, *rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    assert [name.strip("`") for name in head] == list(declared)
    said = {row[0].strip("`"): [cell.startswith("yes") for cell in row[1:]] for row in rows}
    for type_ in MessageType:
        assert said[type_.value] == [type_ in abilities.types for abilities in declared.values()]
    for words, ability in SENTENCES.items():
        assert said[words] == [getattr(abilities, ability) for abilities in declared.values()], words
