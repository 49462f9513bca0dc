"""Messages through a real gateway, on a simulated WhatsApp that outlives it, and what must be true at the end."""

import itertools
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest

from acceptance.gateway import NOTHING, Gateway, Json, somebody
from acceptance.wire import Wire

from servers import HOST, PostgresServer, wait_for

MESSAGES = "/api/messages"
ON_ITS_PHONE = frozenset({"sent", "delivered", "read"})
AFTER_UNKNOWN_S = 80  # an unknown message blocks what follows it for 75 s, on the sandbox's clock


@contextmanager
def world_beside(data_dir: Path) -> Iterator[Gateway]:
    """A simulated WhatsApp in a process of its own: whoever speaks in it may be killed."""
    folder = data_dir.parent / "world"
    folder.mkdir(mode=0o700)
    with Gateway(folder, "sandbox") as world:
        yield world


def speaking_in(world: Gateway, env: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """The settings `env` of a gateway, and whose WhatsApp it uses."""
    return {"PASSERELLE_SANDBOX_URL": f"http://{HOST}:{world.port}", **env}


def worker(data_dir: Path, env: Mapping[str, str]) -> Gateway:
    """A process that works, with nothing as its standard input."""
    return Gateway(data_dir, "worker", env=env, stdin=subprocess.DEVNULL)


def through(wire: Wire, env: Mapping[str, str]) -> dict[str, str]:
    """The settings `env`, with the database behind `wire`."""
    url = urlsplit(env["DATABASE_URL"])
    place = f"{url.username}@{HOST}:{wire.port}"
    return {**env, "DATABASE_URL": urlunsplit(url._replace(netloc=place))}


def stop_cleanly(server: PostgresServer) -> None:
    """Every session is ended, whatever it does; a kill would lose commits, since the server does not wait for them."""
    os.kill(server.pid, signal.SIGINT)
    wait_for(lambda: not server.running, "the end of PostgreSQL", 10)


def link_somebody(gateway: Gateway) -> str:
    """A user whose phone is linked."""
    user, phone = somebody()
    gateway.link(user, phone)
    return user


def phones(count: int) -> list[str]:
    """Numbers that no other test has."""
    return [somebody()[1] for _ in range(count)]


def wish(user: str, to: str, text: str, **parts: Any) -> Json:
    """A text, as it is asked for."""
    return {"user_id": user, "to": to, "type": "text", "text": text} | parts


def say(gateway: Gateway, wished: Json) -> Json:
    """One message, written down."""
    answer = gateway.http.post(MESSAGES, json=wished)
    assert answer.status_code == 202, answer.text
    body: Json = answer.json()
    return body


def say_all(gateway: Gateway, wishes: Sequence[Json], *, key: str | None = None) -> list[Json]:
    """Many messages, all written down; in one request, which may be repeated when it has a `key`."""
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = gateway.http.post(f"{MESSAGES}/batch", json={"messages": wishes}, headers=headers)
    assert answer.status_code == 202 or (key is not None and answer.status_code == 200), answer.text
    items: list[Json] = answer.json()["items"]
    return items


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for one message, and what came of it; no status: the connection broke."""

    key: str
    wished: Json
    status: int
    body: Json
    took_s: float

    @property
    def text(self) -> str:
        return str(self.wished["text"])


def ask_with_key(gateway: Gateway, key: str, wished: Json) -> Asked:
    """Ask for one message, whatever the answer."""
    began = time.monotonic()
    try:
        answer = gateway.http.post(MESSAGES, json=wished, headers={"Idempotency-Key": key})
    except httpx.TransportError:
        return Asked(key, wished, 0, {}, time.monotonic() - began)
    return Asked(key, wished, answer.status_code, answer.json(), time.monotonic() - began)


@contextmanager
def asking(gateway: Gateway, user: str, recipients: Sequence[str], *, threads: int = 4) -> Iterator[list[Asked]]:
    """While it lasts, `threads` people keep asking for messages, each with a key of its own."""
    asked: list[Asked] = []
    over = threading.Event()

    def ask(person: int) -> None:
        for number in itertools.count():
            if over.wait(0.05):
                return
            name, to = f"{person}.{number}", recipients[number % len(recipients)]
            asked.append(ask_with_key(gateway, name, wish(user, to, name)))

    with ThreadPoolExecutor(threads) as pool:
        people = [pool.submit(ask, person) for person in range(threads)]
        try:
            yield asked
        finally:
            over.set()
        for person in people:
            person.result()


def message(gateway: Gateway, message_id: str) -> Json:
    """The message as it stands."""
    answer = gateway.http.get(f"{MESSAGES}/{message_id}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def events_in(found: Json) -> list[str]:
    """What has happened to a message, in its own words."""
    return [line["event"] for line in found["history"]]


def until_message(gateway: Gateway, message_id: str, *wanted: str, limit: float = 10.0) -> Json:
    """The message, once its status is one of these."""
    until = time.monotonic() + limit
    while (found := message(gateway, message_id))["status"] not in wanted:
        if time.monotonic() > until:
            pytest.fail(f"not {' or '.join(wanted)} within {limit:g} s: {found}\n{gateway.log[-3000:]}")
        time.sleep(0.02)
    return found


def outbox(gateway: Gateway, **query: str) -> list[Json]:
    """Every message of the gateway that `query` asks for, oldest first."""
    found: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = gateway.http.get(MESSAGES, params={"limit": 1000, "cursor": cursor, **query})
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
    return found[::-1]


def until_all(
    gateway: Gateway, settled: Callable[[Json], bool], *, count: int | None = None, limit: float = 30.0
) -> list[Json]:
    """Every message, once all (at least `count`) are as wanted."""
    until = time.monotonic() + limit
    while True:
        found = outbox(gateway)
        waiting = [one for one in found if not settled(one)]
        if not waiting and len(found) >= (count or 0):
            return found
        if time.monotonic() > until:
            states = Counter(one["status"] for one in found)
            pytest.fail(f"not within {limit:g} s: {states}, for instance {waiting[:2]}\n{gateway.log[-3000:]}")
        time.sleep(0.1)


def until_those(
    gateway: Gateway, ids: Sequence[str], settled: Callable[[Json], bool], *, limit: float = 10.0
) -> list[Json]:
    """These messages with their whole history, once all are as wanted."""
    until = time.monotonic() + limit
    found: dict[str, Json] = {}
    while len(found) < len(ids):
        for id_ in ids:
            if id_ not in found and settled(one := message(gateway, id_)):
                found[id_] = one
        time.sleep(0.02)
        if len(found) < len(ids) and time.monotonic() > until:
            waiting = [message(gateway, id_) for id_ in ids if id_ not in found]
            pytest.fail(f"not within {limit:g} s: {len(waiting)}, for instance {waiting[:2]}\n{gateway.log[-3000:]}")
    return [found[id_] for id_ in ids]


def is_on_its_phone(found: Json) -> bool:
    """WhatsApp has it."""
    return found["status"] in ON_ITS_PHONE


def texts_on(world: Gateway, phone: str, *, count: int | None = None, wait: float = 0) -> list[str]:
    """What has arrived on a phone, doubles too; once there are `count`, or after `wait` seconds."""
    query = {} if count is None else {"count": count, "wait": wait}
    answer = world.http.get(f"/sandbox/phones/{phone}/messages", params={"limit": 1000, **query})
    assert answer.status_code == 200, answer.text
    return [item["text"] or item["caption"] for item in answer.json()["items"]]


def arrivals(world: Gateway, recipients: Iterable[str]) -> Counter[str]:
    """How often each text is on a phone."""
    return Counter(text for phone in recipients for text in texts_on(world, phone))


def expect_honest(messages: Sequence[Json], arrived: Mapping[str, int]) -> None:
    """The outbox tells what is on the phones: nothing lost, nothing twice without saying so.

    Texts must be different; `unknown` may be on its phone, everything else says which it is.
    """
    told = {one["text"] or one["caption"]: one for one in messages}
    assert len(told) == len(messages)
    assert set(arrived) <= set(told)
    for text, one in told.items():
        times, doubted = arrived.get(text, 0), "unknown" in events_in(one)
        if one["status"] in ON_ITS_PHONE:
            assert times >= 1, one
        if one["status"] in {"pending", "failed", "cancelled"}:
            assert times == 0 or doubted, one
        if times > 1:
            assert doubted, one


def expect_each_once(messages: Sequence[Json], arrived: Mapping[str, int]) -> None:
    """All of them are on their phones, once; and the outbox knows."""
    expect_honest(messages, arrived)
    assert set(arrived.values()) == {1}
    assert len(arrived) == len(messages)
    assert not [one for one in messages if not is_on_its_phone(one)]


def expect_in_order(world: Gateway, said: Mapping[str, Sequence[str]]) -> None:
    """On every phone, what was `said` to it, in that order and once."""
    assert {phone: texts_on(world, phone) for phone in said} == {phone: list(texts) for phone, texts in said.items()}
