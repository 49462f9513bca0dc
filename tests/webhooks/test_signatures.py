"""What we sign is what receivers verify, by two libraries that are not ours; and nobody finds a secret in SQL."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from outgoing.receiver import Receiver, Request
from passerelle.db import Database
from passerelle.webhooks.faults import SecretLost
from passerelle.webhooks.keys import EndpointKeys

from .house import ME, House, open_house
from servers import missing

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
PEER = Path(__file__).parent.parent / "peers" / "standardwebhooks"


@pytest.fixture(scope="session")
def node_verifier() -> Path:
    """The verifier for Node, installed by its lock; an earlier run may have done it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node with npm")
    if not (PEER / "node_modules" / "standardwebhooks").exists():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        if subprocess.run(command, cwd=PEER, capture_output=True, check=False, timeout=120).returncode:
            missing("standardwebhooks from npm")
    return PEER / "verify.mjs"


async def verified(verifier: Path, *asked: tuple[str, Request]) -> list[dict[str, Any]]:
    """What the library for Node says of each request under each secret."""
    told = [{"secret": secret, "headers": request.headers, "body": request.body.decode()} for secret, request in asked]
    process = await asyncio.create_subprocess_exec(
        "node", str(verifier), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said, wrong = await process.communicate(json.dumps(told).encode())
    assert process.returncode == 0, wrong
    found: list[dict[str, Any]] = json.loads(said)
    return found


async def test_both_libraries_agree_and_see_every_change(house: House, receiver: Receiver, node_verifier: Path) -> None:
    _, secret = await house.endpoint(receiver)
    _, stranger = await house.endpoint(receiver, "/other")
    house.later(days=2)  # business time is not what a receiver's clock says
    await house.happened(house.event(1, data={"text": "é ☎ \U0001f600"}))
    await house.deliver()
    (request,) = [one for one in receiver.requests if one.path == "/"]
    assert Webhook(secret).verify(request.body, request.headers)["data"] == {"text": "é ☎ \U0001f600"}
    forged = Request(request.method, request.path, request.headers, request.body.replace(b"sent", b"read"))
    renamed = Request(request.method, request.path, request.headers | {"webhook-id": "evt_x"}, request.body)
    told = await verified(node_verifier, (secret, request), (stranger, request), (secret, forged), (secret, renamed))
    assert told[0]["event"]["type"] == "message.sent"
    assert ["error" in one for one in told] == [False, True, True, True]


async def test_every_try_is_signed_anew_under_the_same_id(house: House, receiver: Receiver) -> None:
    endpoint, secret = await house.endpoint(receiver)
    await house.webhooks.test(ME, endpoint.id)
    await house.deliver()
    (told,) = await house.deliveries(endpoint)
    await house.webhooks.replay(ME, endpoint.id, told.id)
    await house.deliver()
    for request in receiver.requests:
        assert Webhook(secret).verify(request.body, request.headers) == {
            "type": "webhook.test",
            "timestamp": told.at.isoformat().replace("+00:00", "Z"),
            "seq": told.seq,
            "data": {"webhook_id": endpoint.id},
        }
        assert request.headers["content-type"] == "application/json"


async def test_for_a_day_after_a_rotation_both_secrets_verify(
    house: House, receiver: Receiver, node_verifier: Path
) -> None:
    endpoint, old = await house.endpoint(receiver)
    _, new = await house.webhooks.rotate(ME, endpoint.id)
    assert old != new
    await house.happened(house.event(1))
    await house.deliver()
    house.later(hours=23, minutes=59)
    await house.happened(house.event(2))
    await house.deliver()
    house.later(minutes=2)
    await house.happened(house.event(3))
    await house.deliver()
    first, second, third = receiver.requests
    assert len(first.headers["webhook-signature"].split(" ")) == 2
    told = await verified(
        node_verifier, (old, first), (new, first), (old, second), (new, second), (old, third), (new, third)
    )
    assert ["error" in one for one in told] == [False, False, False, False, True, False]


async def test_no_secret_is_in_the_database(house: House, receiver: Receiver) -> None:
    endpoint, old = await house.endpoint(receiver)
    _, new = await house.webhooks.rotate(ME, endpoint.id)
    await house.happened(house.event())
    await house.deliver()
    kept = repr(
        await house.rows("SELECT * FROM webhook_endpoints") + await house.rows("SELECT * FROM webhook_deliveries")
    )
    for secret in (old, new):
        assert secret.removeprefix("whsec_") not in kept
        assert "whsec_" not in kept
    stolen = EndpointKeys("another gateway's key")
    with pytest.raises(SecretLost):
        stolen.secret((await house.now_of(endpoint)).seed)


async def test_a_changed_key_is_told_and_a_new_secret_mends_it(local: Database, receiver: Receiver) -> None:
    async with open_house(local) as before:
        endpoint, old = await before.endpoint(receiver)
    async with open_house(local, secret="a new key") as after:
        await after.happened(after.event(1))
        await after.deliver()
        (told,) = await after.deliveries(endpoint)
        assert (told.last_error, receiver.connections) == ("webhook_secret_lost", 0)
        _, new = await after.webhooks.rotate(ME, endpoint.id)
        after.later(hours=25)
        await after.deliver()
        (request,) = receiver.requests
        Webhook(new).verify(request.body, request.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(old).verify(request.body, request.headers)


def test_an_earlier_key_still_derives_what_was_made_with_it() -> None:
    seed = EndpointKeys("old").new_seed()
    assert EndpointKeys("new", "old").secret(seed) == EndpointKeys("old").secret(seed)
    assert EndpointKeys("new", "old").new_seed().key_id == EndpointKeys("new").new_seed().key_id
