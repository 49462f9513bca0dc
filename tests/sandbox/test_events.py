"""What every source of events over a world promises, in the world's process and over the wire."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from passerelle.errors import Unavailable
from passerelle.sandbox.events import KEPT, EventQueue, Loan, event_of, row_of
from passerelle.sandbox.faults import FaultScript
from passerelle.sandbox.message_file import MessageFile
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_events import RemoteEvents
from passerelle.sandbox.storage import WorldFile
from passerelle.sandbox.telling import bring_for_ever
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Attachment, Incoming, IncomingType, Receipt, ReceiptKind, Revoked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

Gateway = Any
Serve = Any
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
MINE, THEIRS = "+33639980001", "+12025550102"
WHEN = datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC)

# Takes events, says so, and keeps none.
LISTENER = """
import asyncio, sys
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.remote_events import RemoteEvents

class Sink:
    async def tell(self, events):
        print(len(events), flush=True)
        await asyncio.Event().wait()

async def main():
    async with Remote(sys.argv[1]) as remote:
        await RemoteEvents(remote).tell_for_ever(Sink())

asyncio.run(main())
"""


class Slow:
    """A sink that never has kept anything; `begun` once it was told."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def tell(self, _: object, /) -> None:
        self.begun.set()
        await asyncio.Event().wait()


def write(world: World, count: int = 1) -> list[str]:
    typed = (world.mail.write(THEIRS, MINE, text=f"{n}", media=None, view_once=False) for n in range(count))
    return [message.message_id for message in typed]


def ids(events: list[Any]) -> list[str]:
    return [event.provider_id for event in events]


async def test_what_a_person_writes_deletes_and_shows_once_is_told(world: World, gateway: Gateway) -> None:
    await gateway.link(MINE)
    async with gateway.listening() as ear:
        plain = world.mail.write(THEIRS, MINE, text="hi", media=None, view_once=False)
        stub = world.mail.write(THEIRS, MINE, text=None, media=None, view_once=True)
        given = world.mail.write(THEIRS, MINE, text="c", media="https://x.test/a.jpg", view_once=True)
        world.mail.revoke(THEIRS, str(plain.id))
        world.mail.revoke(THEIRS, plain.message_id)
        told = await ear.until(4)
    who: Any = {"session_id": "s", "sender": THEIRS}
    at = [event.at for event in told]
    assert told == [
        Incoming(**who, provider_id=plain.message_id, at=at[0], text="hi"),
        Incoming(**who, provider_id=stub.message_id, at=at[1], type=IncomingType.IMAGE, view_once=True),
        Incoming(
            **who,
            provider_id=given.message_id,
            at=at[2],
            type=IncomingType.IMAGE,
            text="c",
            attachment=Attachment(ref="https://x.test/a.jpg"),
            view_once=True,
        ),
        Revoked(**who, provider_id=plain.message_id, at=at[3]),
    ]


async def test_every_session_linked_to_a_phone_hears(world: World, gateway: Gateway) -> None:
    for session_id in ("one", "two"):
        await gateway.link(MINE, session_id)
    async with gateway.listening() as ear:
        write(world)
        assert [event.session_id for event in await ear.until(2)] == ["one", "two"]


async def test_nobody_hears_what_is_written_to_a_phone_without_links(world: World, gateway: Gateway) -> None:
    async with gateway.listening() as ear:
        write(world)
        await gateway.link(MINE)
        (second,) = write(world)
        assert ids(await ear.until(1)) == [second]


async def test_an_offline_phone_hears_later_also_of_what_was_deleted_meanwhile(world: World, gateway: Gateway) -> None:
    await gateway.link(MINE)
    world.set_phone(MINE, online=False)
    async with gateway.listening() as ear:
        kept, deleted = write(world, 2)
        world.mail.revoke(THEIRS, deleted)
        await asyncio.sleep(0.05)
        assert ear.events == []
        world.set_phone(MINE, online=True)
        told = await ear.until(3)
    assert ids(told) == [kept, deleted, deleted]
    assert isinstance(told[2], Revoked)


async def test_what_happened_while_nobody_listened_is_told_in_order(world: World, gateway: Gateway) -> None:
    await gateway.link(MINE)
    written = write(world, 1200)
    async with gateway.listening() as ear:
        assert ids(await ear.until(1200)) == written
    assert [len(batch) for batch in ear.batches] == [500, 500, 200]
    async with gateway.listening() as ear:
        (another,) = write(world)
        assert ids(await ear.until(1201))[1200:] == [another]


@pytest.mark.parametrize("error", [ProviderUnavailable(), RuntimeError("broken"), TimeoutError()])
async def test_what_the_sink_refuses_is_brought_again(world: World, gateway: Gateway, error: Exception) -> None:
    await gateway.link(MINE)
    gateway.ear.fails = [error]
    began = asyncio.get_running_loop().time()
    with capture_logs() as logs:
        async with gateway.listening() as ear:
            written = write(world, 3)
            assert ids(await ear.until(3)) == written
    assert ear.refused == 1
    assert asyncio.get_running_loop().time() - began >= 0.5
    assert [line["exc_info"] for line in logs] == ([] if isinstance(error, Unavailable) else [error])


async def test_a_sink_that_goes_on_refusing_is_asked_less_often() -> None:
    asked: list[float] = []

    async def listen(_: object) -> None:
        asked.append(asyncio.get_running_loop().time())
        raise ProviderUnavailable

    telling = asyncio.create_task(bring_for_ever(listen, Slow()))
    await asyncio.sleep(1.6)
    telling.cancel()
    assert 2 <= len(asked) <= 3
    assert all(later - sooner >= 0.5 * 2**n - 0.01 for n, (sooner, later) in enumerate(pairwise(asked)))


async def test_what_one_listener_refuses_another_one_gets(
    world: World, gateway: Gateway, eventually: Eventually
) -> None:
    await gateway.link(MINE)
    gateway.ear.fails = [ProviderUnavailable() for _ in range(100)]
    async with gateway.listening():
        written = write(world, 3)
        await eventually(lambda: gateway.ear.refused > 0)
        async with gateway.listening(type(gateway.ear)()) as other:
            assert ids(await other.until(3)) == written


async def test_a_listener_that_ends_before_it_has_kept_them_loses_nothing(
    world: World, gateway: Gateway, eventually: Eventually
) -> None:
    await gateway.link(MINE)
    async with gateway.listening(Slow()) as slow:
        written = write(world, 3)
        await asyncio.wait_for(slow.begun.wait(), 5)
    async with gateway.listening() as ear:
        assert ids(await ear.until(3)) == written


async def test_several_listeners_share_the_events(world: World, gateway: Gateway, eventually: Eventually) -> None:
    await gateway.link(MINE)
    async with gateway.listening() as one, gateway.listening(type(one)()) as two:
        written = write(world, 2000)
        await eventually(lambda: len(one.events) + len(two.events) >= 2000)
    assert sorted(ids(one.events + two.events)) == sorted(written)


async def test_a_listener_that_is_killed_loses_nothing(tmp_path: Path, world: World, serve: Serve) -> None:
    async with serve(world) as url, Remote(url) as remote:
        world.mail.events.add([(MINE, row_of(receipt("a")))])
        with subprocess.Popen(  # noqa: ASYNC220  # killed below
            [sys.executable, "-c", LISTENER, url], stdout=subprocess.PIPE, text=True
        ) as listener:
            assert listener.stdout is not None
            assert (await asyncio.to_thread(listener.stdout.readline)).strip() == "1"
            listener.kill()
        heard: asyncio.Queue[Any] = asyncio.Queue()

        class Sink:
            async def tell(self, events: Any) -> None:
                heard.put_nowait(list(events))

        telling = asyncio.create_task(RemoteEvents(remote).tell_for_ever(Sink()))
        assert await asyncio.wait_for(heard.get(), 5) == [receipt("a")]
        telling.cancel()


async def test_a_listener_finds_the_next_server_of_the_world(
    tmp_path: Path, world: World, serve: Serve, eventually: Eventually, gateway: Gateway
) -> None:
    path, ear = tmp_path / "w.sock", gateway.ear
    async with Remote(f"unix://{path}") as remote:
        telling = asyncio.create_task(RemoteEvents(remote).tell_for_ever(ear))
        async with serve(world, socket=path):
            world.mail.events.add([(MINE, row_of(receipt("a")))])
            await ear.until(1)
        following = World(tmp_path / "sandbox.sqlite")
        async with serve(following, socket=path):
            following.mail.events.add([(MINE, row_of(receipt("b")))])
            await eventually(lambda: ids(ear.events)[-1:] == ["b"])
            assert not telling.done()
        telling.cancel()


async def test_a_server_with_listeners_stops_at_once(world: World, serve: Serve, gateway: Gateway) -> None:
    slow = Slow()
    async with AsyncExitStack() as remotes, asyncio.timeout(5), serve(world) as url:
        remote = await remotes.enter_async_context(Remote(url))
        listeners = [asyncio.create_task(RemoteEvents(remote).tell_for_ever(slow)) for _ in range(2)]
        world.mail.events.add([(MINE, row_of(receipt("a")))])
        await slow.begun.wait()
    for listener in listeners:
        listener.cancel()


async def test_keeping_events_of_a_stream_that_the_server_never_saw_is_refused(world: World, serve: Serve) -> None:
    async with serve(world) as url, Remote(url) as remote:
        with pytest.raises(ProviderUnavailable):
            await remote.ask("POST", "/sandbox/wire/events/none/kept")


async def test_events_outlive_the_process_until_somebody_has_kept_them(tmp_path: Path, gateway: Gateway) -> None:
    await gateway.link(MINE)
    written = write(gateway.world, 3)
    again = World(tmp_path / "sandbox.sqlite")
    loan = await again.mail.events.borrow()
    assert [row[2] for row in loan.rows] == written
    again.mail.events.acknowledge(loan)
    again.close()
    third = World(tmp_path / "sandbox.sqlite")
    assert await is_silent(third.mail.events)
    third.close()


async def is_silent(queue: EventQueue) -> bool:
    borrowing = asyncio.ensure_future(queue.borrow())
    done, _ = await asyncio.wait({borrowing}, timeout=0.05)
    borrowing.cancel()
    await asyncio.gather(borrowing, return_exceptions=True)
    return not done


async def test_a_listener_that_hangs_has_its_events_given_to_another(tmp_path: Path) -> None:
    file = WorldFile(tmp_path / "events.sqlite")
    queue = EventQueue(MessageFile(file), FaultScript(file), loan_s=0.2)
    queue.add([(MINE, row_of(receipt("a")))])
    hung = await queue.borrow()
    again = await asyncio.wait_for(queue.borrow(), 5)
    assert again.rows == hung.rows
    queue.give_back(hung)
    assert await is_silent(queue)
    queue.acknowledge(hung)  # late
    queue.give_back(again)
    assert await is_silent(queue)
    file.close()


async def test_acknowledging_twice_or_after_a_reset_forgets_nothing_else(world: World) -> None:
    queue = world.mail.events
    queue.add([(MINE, row_of(receipt("a")))])
    first: Loan = await queue.borrow()
    world.reset()
    queue.add([(MINE, row_of(receipt("b")))])
    queue.acknowledge(first)
    queue.acknowledge(first)
    assert [row[2] for row in (await queue.borrow()).rows] == ["b"]


async def test_only_so_many_events_are_kept_and_the_oldest_go(tmp_path: Path) -> None:
    file = WorldFile(tmp_path / "events.sqlite")
    queue = EventQueue(MessageFile(file), FaultScript(file), kept=3)

    def add(names: str) -> None:
        queue.add([(MINE, row_of(receipt(name))) for name in names])

    async with asyncio.timeout(5):
        add("abc")
        queue.acknowledge(await queue.borrow())
        add("def")
        loan = await queue.borrow()
        assert [row[2] for row in loan.rows] == ["d", "e", "f"]
        queue.give_back(loan)
        add("g")
        add("h")
        assert [row[2] for row in (await queue.borrow()).rows] == ["f"]
        assert [row[2] for row in (await queue.borrow()).rows] == ["g", "h"]
    file.close()
    assert KEPT == 100_000


def receipt(provider_id: str) -> Receipt:
    return Receipt(session_id="s", provider_id=provider_id, to=THEIRS, kind=ReceiptKind.DELIVERED, at=WHEN)


@pytest.mark.parametrize("kind", ReceiptKind)
def test_every_receipt_is_kept_whole(kind: ReceiptKind) -> None:
    whole = Receipt(session_id="s", provider_id="p", to=THEIRS, kind=kind, at=WHEN, detail="why")
    assert event_of(row_of(whole)) == whole
