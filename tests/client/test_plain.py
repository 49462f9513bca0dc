"""The client that is not awaited, over the control socket of a gateway that runs beside it."""

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest

from media.samples import picture
from passerelle.cli.reach import gateway
from passerelle.client import ApiProblem, Client
from passerelle.redaction import Redactor
from passerelle.settings import read_settings

from tables import copy_tables

ANNA, FRIEND = "+33639980001", "+33639980002"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    copy_tables(data_dir)
    quick = {"sandbox_latency": timedelta(milliseconds=5), "probation": timedelta(milliseconds=5)}
    with gateway(read_settings(data_dir=data_dir, **quick), Redactor()) as client:
        yield client


def test_a_phone_is_linked_and_speaks_and_every_step_is_followed(client: Client) -> None:
    code = client.pairing.request_code("anna", ANNA)
    changes = client.pairing.follow(code["attempt_id"])
    assert next(changes)["code"] == code.get("code")
    client.sandbox.enter_code(ANNA, code.get("code") or "")
    assert [one["status"] for one in changes][-1] == "linked"
    sent = client.messages.send(user_id="anna", to=FRIEND, type="text", text="Bonjour")
    assert [one["text"] for one in client.sandbox.arrived(FRIEND, wait_s=20)["items"]] == ["Bonjour"]
    assert [one["id"] for one in client.messages.list(to=FRIEND)] == [sent["id"]]
    assert [one["id"] for one in client.sessions.list(page_size=1)] == [code["session_id"]]
    assert client.health()["checks"]["database"]["status"] == "passed"


def test_a_file_is_kept_whole_however_far_it_was_read(client: Client) -> None:
    data = picture("PNG")
    file = BytesIO(data)
    file.read(6)
    kept = client.media.keep(file, name="a.png", user_id="anna", category="view-once")
    assert (kept["size_bytes"], kept["content_type"]) == (len(data), "image/png")


def test_a_refusal_is_told_whatever_was_to_come_of_it(client: Client) -> None:
    for ask in (
        lambda: client.messages.get("msg_1"),
        lambda: next(iter(client.webhooks.deliveries("hook_1"))),
        lambda: next(client.pairing.follow("pair_1")),
    ):
        with pytest.raises(ApiProblem) as refusal:
            ask()
        assert refusal.value.status == 404
        assert refusal.value.code.endswith("_not_found")
        assert refusal.value.hint


def test_whoever_stops_following_leaves_the_client_as_it_was(client: Client) -> None:
    code = client.pairing.request_code("anna", ANNA)
    for attempt in client.pairing.follow(code["attempt_id"]):
        assert attempt["code"] == code.get("code")
        break
    assert client.pairing.cancel(code["attempt_id"])["status"] == "cancelled"


def test_a_client_without_a_gateway_says_so() -> None:
    with Client("http://127.0.0.1:9", retries=0) as client, pytest.raises(ApiProblem) as refusal:
        client.messages.list().page()
    assert (refusal.value.status, refusal.value.code) == (0, "gateway_unreachable")
