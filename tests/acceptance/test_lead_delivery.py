"""A customer confirms whatever WhatsApp and Redis do, and the contractor is told, across crashes too."""

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from acceptance.gateway import Gateway, Json, somebody, timed
from acceptance.sending import (
    AFTER_UNKNOWN_S,
    arrivals,
    link_somebody,
    outbox,
    phones,
    speaking_in,
    texts_on,
    world_beside,
)

from servers import BlackHole, wait_for

ATTEMPT_LIMIT_S = 20


def contractor(gateway: Gateway) -> str:
    """Somebody who gets every lead; his phone."""
    (phone,) = phones(1)
    body = {"name": "Ada Tap", "phone": phone, "trades": [], "areas": [], "capacity": 10}
    answer = gateway.http.post("/api/contractors", json=body)
    assert answer.status_code == 201, answer.text
    return phone


def ask_for_help(gateway: Gateway) -> Json:
    body = {"name": "Carl Wet", "phone": phones(1)[0], "trade": "plumber", "area": "Lyon"}
    answer = gateway.http.post("/api/leads", json=body)
    assert answer.status_code == 201, answer.text
    lead: Json = answer.json()
    return lead


def confirm(gateway: Gateway, lead: Json) -> httpx.Response:
    """Open the link, then say yes."""
    link = urlsplit(lead["confirm_url"])
    assert gateway.http.get(f"{link.path}?{link.query}").status_code == 200
    return gateway.http.post("/api/confirm", data={"token": parse_qs(link.query)["token"][0]})


def confirm_in_time(gateway: Gateway, lead: Json) -> None:
    answer, took_s = timed(lambda: confirm(gateway, lead))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert took_s < 1


def told(gateway: Gateway, lead: Json) -> tuple[str, int]:
    """Whether the contractor was told; the lead is his, whatever came of that."""
    answer = gateway.http.get(f"/api/leads/{lead['id']}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["status"] == "assigned"
    return found["notification_status"], found["notification_attempts"]


def was_told(gateway: Gateway, lead: Json) -> bool:
    return told(gateway, lead)[0] == "whatsapp_sent"


def until_told(gateway: Gateway, lead: Json, status: str, attempts: int) -> None:
    wait_for(lambda: told(gateway, lead) == (status, attempts), f"{status} after {attempts}", 10)


@pytest.mark.mission("C3")
@pytest.mark.mission("C5")
def test_a_customer_confirms_at_once_while_whatsapp_hangs_and_redis_is_a_black_hole(data_dir: Path) -> None:
    with BlackHole() as redis, world_beside(data_dir) as world:
        env = speaking_in(world, {"REDIS_URL": redis.url})
        with Gateway(data_dir, env=env) as gateway:
            link_somebody(gateway)
            plumber, leads = contractor(gateway), [ask_for_help(gateway) for _ in range(5)]
            world.signal(signal.SIGSTOP)
            for lead in leads:
                confirm_in_time(gateway, lead)
                assert told(gateway, lead) == ("pending", 0)
            world.signal(signal.SIGCONT)
            for lead in leads:
                until_told(gateway, lead, "whatsapp_sent", 1)
            assert len(texts_on(world, plumber)) == 5


@pytest.mark.mission("C4")
@pytest.mark.mission("C5")
def test_telling_a_contractor_survives_crashes_and_is_tried_twice_at_most(data_dir: Path) -> None:
    with Gateway(data_dir) as gateway:
        user, phone = somebody()
        gateway.link(user, phone)
        plumber = contractor(gateway)

        gateway.fault("send_error", phone)
        lead = ask_for_help(gateway)
        confirm_in_time(gateway, lead)
        until_told(gateway, lead, "pending", 1)
        gateway.until_log(f"⚠️ WhatsApp attempt 1 failed - Lead {lead['id']} - Retry in 30s")
        gateway.kill()
        gateway.start()
        assert told(gateway, lead) == ("pending", 1)
        gateway.advance(30)
        until_told(gateway, lead, "whatsapp_sent", 2)
        gateway.until_log(f"✅ WhatsApp sent (attempt 2) - Lead {lead['id']}")
        assert len(texts_on(gateway, plumber)) == 1

        gateway.fault("hang", phone)
        lead = ask_for_help(gateway)
        confirm_in_time(gateway, lead)
        wait_for(lambda: outbox(gateway)[-1]["status"] == "sending", "the hand-over", 5)
        assert told(gateway, lead) == ("pending", 0)
        gateway.kill()  # with the message in WhatsApp's hands: a lost answer counts as a failure
        gateway.start()
        assert told(gateway, lead) == ("pending", 1)
        gateway.advance(AFTER_UNKNOWN_S)
        until_told(gateway, lead, "whatsapp_sent", 2)
        assert len(texts_on(gateway, plumber)) == 2

        gateway.fault("send_error", phone)
        gateway.fault("hang", phone)
        lead = ask_for_help(gateway)
        confirm_in_time(gateway, lead)
        until_told(gateway, lead, "pending", 1)
        gateway.advance(30)
        wait_for(lambda: outbox(gateway)[-1]["status"] == "sending", "the second hand-over", 5)
        gateway.kill()
        gateway.start()
        assert told(gateway, lead) == ("whatsapp_failed", 2)
        gateway.until_log(f"❌ WhatsApp failed for good (attempt 2) - Lead {lead['id']}")
        gateway.advance(4000)
        confirm_in_time(gateway, lead)  # again: nothing more is said
        assert told(gateway, lead) == ("whatsapp_failed", 2)
        assert len(texts_on(gateway, plumber, count=3, wait=0.5)) == 2


@pytest.mark.mission("C4")
def test_a_contractor_is_told_again_when_whatsapp_never_answered(data_dir: Path) -> None:
    with Gateway(data_dir) as gateway:
        user, phone = somebody()
        gateway.link(user, phone)
        plumber, lead = contractor(gateway), ask_for_help(gateway)
        gateway.fault("hang", phone, times=2)
        confirm_in_time(gateway, lead)
        for attempt in (1, 2):
            wait_for(lambda: outbox(gateway)[-1]["status"] == "sending", "the hand-over", 5)
            assert told(gateway, lead) == ("pending", attempt - 1)
            gateway.advance(ATTEMPT_LIMIT_S + 1)
            until_told(gateway, lead, *[("pending", 1), ("whatsapp_failed", 2)][attempt - 1])
            gateway.advance(AFTER_UNKNOWN_S)
        assert texts_on(gateway, plumber) == []


@pytest.mark.long
@pytest.mark.mission("C4")
@pytest.mark.mission("C5")
@pytest.mark.parametrize("seed", range(3))
def test_a_gateway_that_is_killed_while_customers_confirm_forgets_no_lead(seed: int, data_dir: Path) -> None:
    moments = random.Random(seed)
    with world_beside(data_dir) as world, Gateway(data_dir, env=speaking_in(world)) as gateway:
        link_somebody(gateway)
        plumbers = [contractor(gateway) for _ in range(3)]
        leads = []
        for _ in range(4):
            asked = [ask_for_help(gateway) for _ in range(6)]
            with ThreadPoolExecutor(6) as pool:
                answers = [pool.submit(confirm, gateway, lead) for lead in asked]
                time.sleep(moments.uniform(0, 0.12))
                gateway.kill()
                gateway.start()
                assert all(isinstance(answer.exception(), httpx.TransportError | None) for answer in answers)
            for lead in asked:
                assert confirm(gateway, lead).status_code == 200
            leads += asked
            world.advance(AFTER_UNKNOWN_S)
        for lead in leads:
            wait_for(partial(was_told, gateway, lead), "the contractor to be told", 10)
        for plumber in plumbers:
            assert len(set(texts_on(world, plumber))) == 8
        messages = outbox(gateway)
        assert len(messages) == len({one["text"] for one in messages}) == 24
        attempts = sum(told(gateway, lead)[1] for lead in leads)
        assert 24 <= arrivals(world, plumbers).total() <= attempts
