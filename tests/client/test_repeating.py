"""What is asked again and what is not, and how a refusal, a silence and a stranger are told."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.test_every_route import Recorded
from outgoing.receiver import Receiver, Reply
from passerelle.app import App
from passerelle.client import ApiProblem, AsyncClient
from passerelle.client.requests import LONGEST_WAIT_S, wait_s
from passerelle.client.types import MessageWish

from apps import gateway, linked
from tables import copy_tables

pytestmark = pytest.mark.anyio
FRIEND = "+33639980002"
NOW = ("Retry-After", "0")
PROBLEM = ("Content-Type", "application/problem+json")
JSON = ("Content-Type", "application/json")


class Lossy(Recorded):
    """Takes every request, and loses the next `losses` answers."""

    losses = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if self.losses:
            self.losses -= 1
            raise httpx.ReadError("the connection broke off", request=request)
        return answer


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    copy_tables(tmp_path)
    async with gateway(tmp_path, working=False) as app:
        await linked(app)
        yield app


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def wish(text: str) -> MessageWish:
    return MessageWish(
        user_id="anna", to=FRIEND, type="text", text=text, send_at=datetime.now(UTC) + timedelta(hours=1)
    )


async def refused(asked: Any) -> ApiProblem:
    with pytest.raises(ApiProblem) as refusal:
        await asked
    return refusal.value


async def test_an_answer_that_gets_lost_twice_leaves_one_message_of_each(app: App) -> None:
    transport = Lossy(app)
    async with AsyncClient(transport=transport) as client:
        transport.losses = 2
        sent = await client.messages.send(**wish("once"))
        transport.losses = 2
        batch = await client.messages.send_all([wish("one"), wish("two")])
        transport.losses = 2
        lead = await client.leads.ask(name="Chloé", phone="+33639980004", trade="plumbing", area="Lyon")
        messages = [one["id"] async for one in client.messages.list()]
        leads = [one["id"] async for one in client.leads.list()]
    assert sorted(messages) == sorted([sent["id"], *(one["id"] for one in batch["items"])])
    assert leads == [lead["id"]]


async def test_two_messages_alike_are_two(app: App) -> None:
    async with AsyncClient(transport=Recorded(app)) as client:
        same = wish("twice")
        assert (await client.messages.send(**same))["id"] != (await client.messages.send(**same))["id"]


async def test_ones_own_key_brings_the_earlier_message_back_and_takes_no_other_one(app: App) -> None:
    async with AsyncClient(transport=Recorded(app)) as client:
        first = await client.messages.send(idempotency_key="order-1001é", **wish("a"))
        problem = await refused(client.messages.send(idempotency_key="order-1001é", **wish("b")))
        assert [one["id"] async for one in client.messages.list()] == [first["id"]]
    assert (problem.status, problem.code) == (409, "idempotency_conflict")
    assert problem.hint
    assert str(problem) == problem.detail == "This Idempotency-Key was used for another request."


async def test_a_loop_over_a_list_asks_for_every_page_once(app: App) -> None:
    transport = Recorded(app)
    async with AsyncClient(transport=transport) as client:
        sent = await client.messages.send_all([wish(str(number)) for number in range(5)])
        transport.asked.clear()
        found = [one["text"] async for one in client.messages.list(page_size=2)]
        assert len(transport.asked) == 3
        page = await client.messages.list(page_size=2).page()
        following = await client.messages.list(page_size=2).page(page["next_cursor"])
    assert set(found) == {one["text"] for one in sent["items"]}
    assert len(found) == 5
    assert [one["text"] for one in [*page["items"], *following["items"]]] == found[:4]


@pytest.mark.parametrize("status", [429, 503])
async def test_what_does_no_harm_twice_is_asked_again_when_the_gateway_says_so(receiver: Receiver, status: int) -> None:
    receiver.reply = Reply(status=status, body=b'{"code": "busy", "retry_after": 0}', headers=(NOW, PROBLEM))
    async with AsyncClient(receiver.url) as client:
        problem = await refused(client.messages.get("msg_1"))
        assert (problem.status, problem.code, problem.retry_after) == (status, "busy", 0.0)
        assert len(receiver.requests) == 3
        await refused(client.messages.send(**wish("a")))
        keys = {one.headers["idempotency-key"] for one in receiver.requests[3:]}
        assert (len(receiver.requests), len(keys)) == (6, 1)
        await refused(client.messages.retry("msg_1"))
        await refused(client.media.remove("media_1"))
        await refused(client.pairing.request_code("anna", FRIEND))
    assert len(receiver.requests) == 9


async def test_who_wants_no_second_try_has_none(receiver: Receiver) -> None:
    receiver.reply = Reply(status=503, headers=(NOW,))
    async with AsyncClient(receiver.url, retries=0) as client:
        await refused(client.messages.get("msg_1"))
    assert len(receiver.requests) == 1


async def test_a_refusal_of_what_was_asked_is_final(receiver: Receiver) -> None:
    receiver.reply = Reply(status=500, body=b"no", headers=(("Content-Type", "text/plain"),))
    async with AsyncClient(receiver.url) as client:
        problem = await refused(client.messages.get("msg_1"))
    assert (problem.status, problem.code, problem.detail) == (500, "error", "no")
    assert len(receiver.requests) == 1


async def test_who_has_waited_his_time_is_not_made_to_wait_for_it_again(receiver: Receiver) -> None:
    receiver.reply = Reply(hangs=True)
    async with AsyncClient(receiver.url, timeout_s=0.2) as client:
        problem = await refused(client.messages.get("msg_1"))
    assert (problem.status, problem.code) == (0, "gateway_unreachable")
    assert receiver.connections == 1


async def test_a_gateway_that_is_not_there_is_told_with_what_to_do() -> None:
    async with AsyncClient("http://127.0.0.1:9", retries=0) as client:
        for asked in (client.messages.get("msg_1"), client.health(), anext(client.pairing.follow("pair_1"))):
            problem = await refused(asked)
            assert (problem.status, problem.code) == (0, "gateway_unreachable")
            assert "passerelle serve" in problem.hint


@pytest.mark.parametrize(
    ("body", "headers"), [(b"<html>welcome</html>", ("Content-Type", "text/html")), (b"[1]", JSON), (b"", JSON)]
)
async def test_who_is_no_gateway_is_told_so(receiver: Receiver, body: bytes, headers: tuple[str, str]) -> None:
    receiver.reply = Reply(body=body, headers=(headers,))
    async with AsyncClient(receiver.url) as client:
        assert (await refused(client.messages.get("msg_1"))).code == "answer_unreadable"
        assert (await refused(client.health())).code == "answer_unreadable"


async def test_an_address_elsewhere_is_not_followed(receiver: Receiver) -> None:
    receiver.reply = Reply(status=307, body=b"", headers=(("Location", "https://example.com"),))
    async with AsyncClient(receiver.url, key="secret") as client:
        assert (await refused(client.messages.get("msg_1"))).status == 307


async def test_an_unwell_gateway_tells_how_it_is_and_a_busy_one_that_it_cannot(receiver: Receiver) -> None:
    async with AsyncClient(receiver.url) as client:
        receiver.reply = Reply(status=503, body=b'{"status": "unhealthy"}', headers=(JSON,))
        assert await client.health() == {"status": "unhealthy"}
        receiver.reply = Reply(status=503, body=b'{"status": 503, "code": "busy"}', headers=(PROBLEM,))
        assert (await refused(client.health())).code == "busy"


@pytest.mark.parametrize("key_id", ["..", ".", "../x", "a/b", "a?b", "a#b", "é"])
async def test_no_id_leads_to_another_route(receiver: Receiver, key_id: str) -> None:
    receiver.reply = Reply(status=204, body=b"")
    async with AsyncClient(receiver.url) as client:
        await client.clients.revoke_key("client_1", key_id)
    (request,) = receiver.requests
    assert request.path.startswith("/api/clients/client_1/keys/")
    assert len(request.path.split("/")) == 6
    assert not {"?", "#"} & set(request.path)
    assert request.path.rpartition("/")[2].strip(".")


async def test_a_key_of_any_letters_is_shown(receiver: Receiver) -> None:
    receiver.reply = Reply(body=b'{"status": "ok"}', headers=(JSON,))
    async with AsyncClient(receiver.url, key="clé") as client:
        await client.lives()
    assert receiver.requests[0].headers["authorization"].encode("latin-1").decode() == "Bearer clé"


@pytest.mark.parametrize(
    ("status", "after", "waits"),
    [
        (503, None, [0.25, 0.5, None]),
        (0, None, [0.25, 0.5, None]),
        (429, 7, [7, 7, None]),
        (429, LONGEST_WAIT_S + 1, [None, None, None]),
        (404, 1, [None, None, None]),
        (504, None, [None, None, None]),
    ],
)
def test_how_long_it_is_waited(status: int, after: float | None, waits: list[float | None]) -> None:
    problem = ApiProblem(status, {"retry_after": after})
    assert [wait_s(problem, tried=tried, retries=2) for tried in (1, 2, 3)] == waits
