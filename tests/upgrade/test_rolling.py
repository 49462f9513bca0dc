"""A rolling upgrade: the tables, then process after process, while people go on asking and phones go on speaking."""

import asyncio
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from acceptance.gateway import Gateway, Json
from acceptance.sending import arrivals, expect_each_once, expect_in_order, texts_on, until_all
from passerelle import __version__
from passerelle.db import Row
from passerelle.db.open import open_database
from passerelle.db.url import read_url
from upgrade.previous import VERSION
from upgrade.story import ADMIN, Maker, link, listed

from servers import HOST, PostgresServer, RedisServer, free_port

PHONES, PEOPLE, EVERY_S = 4, 3, 0.2
LOOK_EVERY_S = 0.2
LAPSE_S, SLACK_S = 15.0, 15.0  # who is dead, and for a busy machine
HOLDERS = """
SELECT session_id, holder, COALESCE(version, :untold) AS version FROM linked_phones
LEFT JOIN workers ON workers.id = holder ORDER BY session_id
"""


@dataclass
class Stream:
    """People who keep asking for messages, each at the other API as soon as one does not answer."""

    ports: Sequence[int]
    users: Sequence[str]
    accepted: list[Json] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    elsewhere: int = 0
    """How often somebody had to ask again."""

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """While it lasts."""
        over = threading.Event()
        with ThreadPoolExecutor(PEOPLE) as pool:
            people = [pool.submit(self._ask_on, person, over) for person in range(PEOPLE)]
            try:
                yield
            finally:
                over.set()
            for person in people:
                person.result()

    def spoken(self) -> dict[str, list[str]]:
        """What each recipient is to get, in this order."""
        found = defaultdict(list)
        for one in self.accepted:
            found[one["to"]].append(one["text"])
        return dict(found)

    def _ask_on(self, person: int, over: threading.Event) -> None:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        with httpx.Client(timeout=10, headers=headers) as http:
            number = 0
            while not over.wait(EVERY_S):
                user = self.users[(person + PEOPLE * number) % len(self.users)]
                to = f"+3363998{900 + 10 * person + number % 4:04d}"
                self._ask(http, {"user_id": user, "to": to, "type": "text", "text": f"{person}.{number}"})
                number += 1

    def _ask(self, http: httpx.Client, wish: Json) -> None:
        """Until somebody has answered it, at most for so long as a person would wait."""
        until, answered = time.monotonic() + 30, "nobody"
        while time.monotonic() < until:
            for port in self.ports:
                try:
                    answer = http.post(
                        f"http://{HOST}:{port}/api/messages", json=wish, headers={"Idempotency-Key": wish["text"]}
                    )
                except httpx.TransportError as error:
                    answered = type(error).__name__
                else:
                    answered = answer.text
                    if answer.is_success:
                        self.accepted.append(answer.json())
                        return
                self.elsewhere += 1
            time.sleep(0.1)
        self.refused.append(f"{wish}: {answered}")


class Site:
    """Two APIs and two workers, replaced one after another."""

    def __init__(self, make: Maker, stack: ExitStack) -> None:
        """All of the version before."""
        self._make, self._stack = make, stack
        words = (("serve", "--no-worker"),) * 2 + (("worker",),) * 2
        self.processes = [self._made(*one, old=True, port=free_port()).launch() for one in words]
        self._words = dict(zip(self.processes, words, strict=True))
        for one in self.processes:
            one.until_ready()
        self.apis, self.workers = self.processes[:2], self.processes[2:]

    def rows(self, text: str, **values: object) -> list[Row]:
        async def ask() -> list[Row]:
            database = open_database(read_url(self._make.env["DATABASE_URL"], data_dir=Path()))
            try:
                return await database.read(lambda tx: tx.sql(text, **values))
            finally:
                await database.close()

        return asyncio.run(ask())

    def holders(self) -> dict[str, str]:
        """The version of the worker that holds it, by session; all are held."""
        rows: list[Row] = []

        def all_held() -> bool:
            rows[:] = self.rows(HOLDERS, untold=VERSION)
            return len(rows) == PHONES and all(row["holder"] for row in rows)

        calmly(all_held, "somebody who holds each phone")
        return {row["session_id"]: row["version"] for row in rows}

    def replace(self, old: Gateway) -> Gateway:
        """SIGTERM, wait, start this version in its place."""
        self.end(old)
        new = self._made(*self._words[old], port=old.port).start()
        self._words[new] = self._words[old]
        return new

    def end(self, process: Gateway) -> None:
        """SIGTERM, wait: its phones are free when it has ended, not after a lapse."""
        process.terminate()
        for worker_id in re.findall(r"worker_[0-9a-f]{16}", process.log):
            assert self.rows("SELECT 1 FROM linked_phones WHERE holder = :id", id=worker_id) == []

    def until_connected(self, api: Gateway) -> None:
        """Every phone has its connection."""

        def connected() -> bool:
            return [one["state"] for one in listed(api, "whatsapp/sessions", ADMIN)] == ["connected"] * PHONES

        calmly(connected, "the connection of every phone")

    def _made(self, *words: str, port: int, old: bool = False) -> Gateway:
        process = self._make.process(*words, port=port, old=old)
        self._stack.callback(process.stop)
        return process


def expect_both_speak(site: Site, stream: Stream, world: Gateway) -> None:
    """Workers of both versions hold phones, and what is asked for from now on arrives from each of these."""
    calmly(lambda: len(set(site.holders().values())) == 2, "phones of both versions")
    held, begun = site.holders(), len(stream.accepted)
    assert set(held.values()) == {VERSION, __version__}
    for version in sorted(set(held.values())):
        said_by = partial(_has_said, world, stream.accepted, begun, {one for one, of in held.items() if of == version})
        calmly(said_by, f"a message of {version}")
    assert site.holders() == held


def _has_said(world: Gateway, accepted: list[Json], begun: int, session_ids: set[str]) -> bool:
    """Whether something that was asked of one of these since then is on its phone; the first of it."""
    asked = next((one for one in accepted[begun:] if one["session_id"] in session_ids), None)
    return asked is not None and asked["text"] in texts_on(world, asked["to"])


def calmly(ready: Callable[[], bool], what: str) -> None:
    """Return once it is so; asked now and then, since others need the machine."""
    until = time.monotonic() + LAPSE_S + SLACK_S
    while not ready():
        assert time.monotonic() < until, f"{what}: not in time"
        time.sleep(LOOK_EVERY_S)


def served_by(api: Gateway) -> str:
    """The version that answers there."""
    version: str = api.http.get("/openapi.json").json()["info"]["version"]
    return version


def test_process_after_process_is_replaced_and_nobody_notices(
    make: Maker, postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    make.env |= {"DATABASE_URL": postgres_server.create_database(empty=True), "REDIS_URL": redis_server.url}
    assert make.run("db", "upgrade", old=True)[0] == 0
    with make.world() as world, ExitStack() as stack:
        site = Site(make, stack)
        (first_api, second_api), (first, second) = site.apis, site.workers
        users = [f"user_{number}" for number in range(PHONES)]
        for number, user in enumerate(users):
            link(first_api, world, user, f"+336399804{number:02d}", ADMIN)
        stream = Stream([first_api.port, second_api.port], users)
        with stream.flowing():
            assert make.run("db", "upgrade")[0] == 0
            first = site.replace(first)
            site.until_connected(second_api)
            expect_both_speak(site, stream, world)
            first_api = site.replace(first_api)
            assert [served_by(one) for one in (first_api, second_api)] == [__version__, VERSION]
            site.replace(second)
            site.until_connected(first_api)
            second_api = site.replace(second_api)
            site.until_connected(second_api)
            site.end(first)
            site.until_connected(second_api)
            assert set(site.holders().values()) == {__version__}
        assert stream.refused == []
        found = until_all(second_api, lambda one: one["status"] == "delivered", count=len(stream.accepted), limit=60)
        assert [one for one in found if one["attempts"] != 1] == []
        expect_each_once(found, arrivals(world, stream.spoken()))
        expect_in_order(world, stream.spoken())
        assert redis_server.number_of("total_commands_processed") > 100
