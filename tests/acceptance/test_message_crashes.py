"""kill -9 at every step of a send, and at any moment: nothing is lost, nothing arrives twice without saying so."""

import random
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from acceptance.gateway import Gateway, Json, somebody
from acceptance.sending import (
    AFTER_UNKNOWN_S,
    MESSAGES,
    arrivals,
    events_in,
    expect_honest,
    is_on_its_phone,
    link_somebody,
    message,
    outbox,
    phones,
    say,
    say_all,
    speaking_in,
    texts_on,
    through,
    until_all,
    until_message,
    until_those,
    wish,
    worker,
    world_beside,
)
from acceptance.wire import Wire

from servers import PostgresServer, wait_for

SETTLE = b"provider_id = COALESCE(new.provider_id"  # what only one statement says
STEPS = ("accepted", "claimed", "handed_over", "waiting")
CERTAIN = {"claimed", "waiting"}


@dataclass
class Stage:
    """A worker that will die, and one message at each step of being sent by it."""

    api: Gateway
    doomed: Gateway
    world: Gateway
    wire: Wire
    user: str
    to: dict[str, str]

    def stand(self, step: str) -> Json:
        """A message at this step, to go no further."""
        said: Json = getattr(self, step)()
        return said

    def accepted(self) -> Json:
        """WhatsApp has it, and the commit that would say so is held."""
        self.wire.hold_commit_of(SETTLE)
        said = say(self.api, wish(self.user, self.to["accepted"], "accepted"))
        assert self.wire.happens()
        assert texts_on(self.world, self.to["accepted"]) == ["accepted"]
        return said

    def claimed(self) -> Json:
        """Its medium is being brought to a WhatsApp that does not answer."""
        self.world.signal(signal.SIGSTOP)
        said = say(self.api, picture(self.user, self.to["claimed"], "claimed"))
        until_claimed(self.api, said)
        return said

    def handed_over(self) -> Json:
        """WhatsApp does not answer."""
        self.world.signal(signal.SIGSTOP)
        said = say(self.api, wish(self.user, self.to["handed_over"], "handed_over"))
        return until_message(self.api, said["id"], "sending")

    def waiting(self) -> Json:
        """Nobody has claimed it."""
        self.doomed.signal(signal.SIGSTOP)
        return say(self.api, wish(self.user, self.to["waiting"], "waiting"))


def picture(user: str, to: str, caption: str) -> Json:
    return {"user_id": user, "to": to, "type": "image", "media_url": "https://media.test/a.jpg", "caption": caption}


def until_claimed(gateway: Gateway, said: Json) -> None:
    def is_claimed() -> bool:
        found = message(gateway, said["id"])
        assert found["status"] == "pending"
        return bool(found["claims"] == 1)

    wait_for(is_claimed, "the claim", 5)


def until_resolved(api: Gateway, world: Gateway, said: Sequence[Json], *, limit: float) -> dict[str, Json]:
    """Each message, by its text, once all is known about it that can be: its receipts say whether it arrived."""
    recipients = {one["to"] for one in said}

    def is_resolved(found: Json) -> bool:
        arrived = (found["text"] or found["caption"]) in texts_on(world, found["to"])
        return is_on_its_phone(found) if arrived else found["status"] == "unknown"

    messages = until_those(api, [one["id"] for one in said], is_resolved, limit=limit)
    expect_honest(messages, arrivals(world, recipients))
    return {one["text"] or one["caption"]: one for one in messages}


def expect_as_after_a_crash(found: dict[str, Json], steps: Sequence[str]) -> None:
    """What was certainly not handed over is sent, without a doubt; what was is in doubt until its receipt."""
    for step in steps:
        assert ("unknown" in events_in(found[step])) == (step not in CERTAIN), found[step]
        if step != "handed_over":
            assert is_on_its_phone(found[step])
    if "accepted" in steps:
        assert "inferred" in events_in(found["accepted"])


@contextmanager
def staged(data_dir: Path, database_url: str, server: PostgresServer) -> Iterator[Stage]:
    with Wire(server.port) as wire, world_beside(data_dir) as world:
        env = speaking_in(world, {"DATABASE_URL": database_url})
        with Gateway(data_dir, "serve", "--no-worker", env=env) as api, worker(data_dir, through(wire, env)) as doomed:
            to = dict(zip(STEPS, phones(len(STEPS)), strict=True))
            yield Stage(api=api, doomed=doomed, world=world, wire=wire, user=link_somebody(api), to=to)


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(
    "steps", [STEPS, *(pytest.param((step,), marks=pytest.mark.long) for step in STEPS)], ids="-".join
)
def test_a_worker_that_is_killed_at_any_step_of_a_send_loses_nothing_and_doubles_nothing(
    steps: Sequence[str], data_dir: Path, database_url: str, postgres_server: PostgresServer
) -> None:
    with staged(data_dir, database_url, postgres_server) as stage:
        said = [stage.stand(step) for step in steps]
        stage.doomed.kill()
        stage.wire.sever()
        stage.world.signal(signal.SIGCONT)
        stage.doomed.start()  # the claims of the dead one lapse after 15 s
        expect_as_after_a_crash(until_resolved(stage.api, stage.world, said, limit=30), steps)


@pytest.mark.long
@pytest.mark.mission("Z2")
def test_a_result_whose_commit_outlives_its_worker_leaves_no_doubt(
    data_dir: Path, database_url: str, postgres_server: PostgresServer
) -> None:
    with staged(data_dir, database_url, postgres_server) as stage:
        said = stage.accepted()
        stage.doomed.kill()
        stage.wire.flow()
        found = until_message(stage.api, said["id"], "sent", "delivered", "unknown")
        assert "unknown" not in events_in(found)


@pytest.mark.mission("Z2")
def test_a_gateway_on_sqlite_that_is_killed_at_any_step_of_a_send_loses_nothing_and_doubles_nothing(
    data_dir: Path,
) -> None:
    with world_beside(data_dir) as world, Gateway(data_dir, env=speaking_in(world)) as gateway:
        user, (other, phone) = link_somebody(gateway), somebody()
        gateway.link(other, phone)
        to = dict(zip(STEPS, phones(len(STEPS)), strict=True))
        world.fault("hang", phone)
        handed_over = say(gateway, wish(other, to["handed_over"], "handed_over"))
        until_message(gateway, handed_over["id"], "sending")
        # behind the one that is being handed over: nobody claims it yet
        waiting = say(gateway, wish(other, to["handed_over"], "waiting"))
        world.signal(signal.SIGSTOP)
        accepted = say(gateway, wish(user, to["accepted"], "accepted"))
        claimed = say(gateway, picture(user, to["claimed"], "claimed"))
        until_message(gateway, accepted["id"], "sending")
        until_claimed(gateway, claimed)
        with closing(sqlite3.connect(data_dir / "passerelle.sqlite3", isolation_level=None)) as outside:
            outside.execute("BEGIN IMMEDIATE")  # no settling, and no marking of what is prepared
            world.signal(signal.SIGCONT)
            assert texts_on(world, to["accepted"], count=1, wait=5) == ["accepted"]
            gateway.kill()
        gateway.start()
        assert message(gateway, waiting["id"])["claims"] == 0
        until_message(gateway, claimed["id"], "sent", "delivered")  # before the clock jumps, or it would be in doubt
        world.advance(AFTER_UNKNOWN_S)
        found = until_resolved(gateway, world, [accepted, claimed, handed_over, waiting], limit=10)
        expect_as_after_a_crash(found, STEPS)
        assert found["handed_over"]["status"] == "unknown"


@pytest.mark.long
@pytest.mark.mission("Z2")
@pytest.mark.parametrize("step", ["claimed", "handed_over", "accepted"])
def test_a_worker_that_was_paused_beyond_its_heartbeat_does_not_send_what_another_has_taken_over(
    step: str, data_dir: Path, database_url: str, postgres_server: PostgresServer
) -> None:
    with staged(data_dir, database_url, postgres_server) as stage:
        said = stage.stand(step)
        stage.doomed.signal(signal.SIGSTOP)
        stage.wire.sever()
        stage.world.signal(signal.SIGCONT)
        with worker(data_dir, speaking_in(stage.world, {"DATABASE_URL": database_url})):
            until_message(stage.api, said["id"], "unknown", "sent", "delivered", limit=30)
            stage.doomed.signal(signal.SIGCONT)
            second = say(stage.api, wish(stage.user, stage.to[step], "second"))
            stage.world.advance(AFTER_UNKNOWN_S)
            texts_on(stage.world, stage.to[step], count=3, wait=5)
            expect_as_after_a_crash(until_resolved(stage.api, stage.world, [said, second], limit=10), [step])


def expect_to_withstand(
    api: Gateway, victims: Sequence[Gateway], world: Gateway, *, laps: int, each: int, seed: int, lapse_s: float = 0
) -> None:
    """kill -9 of one victim at a random moment while `each` messages are taken in and sent, `laps` times."""
    moments = random.Random(seed)
    user = link_somebody(api)
    said: list[Json] = []
    for lap in range(laps):
        recipients = phones(10)  # nobody waits behind a doubt of an earlier lap
        wishes = [wish(user, to, f"{lap}.{number}") for number, to in enumerate(recipients * (each // 10))]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(say_all, api, wishes, key=f"lap {lap}")
            time.sleep(moments.uniform(0.01, 0.09))
            victim = moments.choice(victims)
            victim.kill()
            victim.start()
            assert isinstance(asked.exception(), httpx.TransportError | None)
        said += say_all(api, wishes, key=f"lap {lap}")
    time.sleep(lapse_s)  # the claims of the last one
    world.advance(AFTER_UNKNOWN_S)  # what waits behind a doubt goes on
    found = until_resolved(api, world, said, limit=30)
    assert len(outbox(api)) == len(found) == laps * each


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(
    ("laps", "each", "seed"), [(3, 30, 1), *(pytest.param(6, 50, seed, marks=pytest.mark.long) for seed in (2, 3, 4))]
)
def test_a_gateway_that_is_killed_at_random_moments_tells_the_truth_about_its_messages(
    laps: int, each: int, seed: int, data_dir: Path
) -> None:
    with world_beside(data_dir) as world, Gateway(data_dir, env=speaking_in(world)) as gateway:
        expect_to_withstand(gateway, [gateway], world, laps=laps, each=each, seed=seed)


@pytest.mark.long
@pytest.mark.mission("Z2")
def test_workers_that_are_killed_at_random_moments_leave_the_truth_about_their_messages(
    data_dir: Path, database_url: str
) -> None:
    with world_beside(data_dir) as world:
        env = speaking_in(world, {"DATABASE_URL": database_url})
        with (
            Gateway(data_dir, "serve", "--no-worker", env=env) as api,
            worker(data_dir, env) as one,
            worker(data_dir, env) as other,
        ):
            expect_to_withstand(api, [one, other], world, laps=6, each=50, seed=5, lapse_s=25)


def moment(found: Json, event: str) -> datetime:
    (line,) = (line for line in found["history"] if line["event"] == event)
    return datetime.fromisoformat(line["at"])


@pytest.mark.mission("Z2")
def test_the_second_attempt_comes_30_seconds_after_the_first_across_a_crash(data_dir: Path) -> None:
    with Gateway(data_dir) as gateway:
        user, phone = somebody()
        gateway.link(user, phone)
        (to,) = phones(1)
        gateway.fault("send_error", phone)
        said = say(gateway, wish(user, to, "hello"))
        (failed,) = until_those(gateway, [said["id"]], lambda found: found["attempts"] == 1)
        due = moment(failed, "attempt_failed") + timedelta(seconds=30)
        assert datetime.fromisoformat(failed["due_at"]) == due
        gateway.kill()
        gateway.start()
        gateway.advance(25)
        assert texts_on(gateway, to, count=1, wait=0.5) == []
        assert message(gateway, said["id"])["due_at"] == failed["due_at"]
        gateway.advance(5)
        assert texts_on(gateway, to, count=1, wait=2) == ["hello"]
        assert until_message(gateway, said["id"], "delivered")["attempts"] == 2


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(
    ("env", "delay_s"),
    [({"PASSERELLE_RETRY_DELAY": "2s"}, 2), pytest.param({}, 30, marks=pytest.mark.long)],
    ids=["2s", "30s"],
)
def test_the_second_attempt_comes_in_time_across_a_crash_without_anybody_moving_the_clock(
    env: dict[str, str], delay_s: float, data_dir: Path
) -> None:
    with Gateway(data_dir, env=env) as gateway:
        user, phone = somebody()
        gateway.link(user, phone)
        (to,) = phones(1)
        gateway.fault("send_error", phone)
        said = say(gateway, wish(user, to, "hello"))
        until_those(gateway, [said["id"]], lambda found: found["attempts"] == 1)
        gateway.kill()
        killed = time.monotonic()
        gateway.start()
        started_s = time.monotonic() - killed
        found = until_message(gateway, said["id"], "delivered", limit=delay_s + 5)
        waited_s = (moment(found, "sent") - moment(found, "attempt_failed")).total_seconds()
        assert delay_s <= waited_s < max(delay_s, started_s) + 2.5
        assert texts_on(gateway, to) == ["hello"]


def statuses(world: Gateway, *, count: int | None = None, wait: float = 0) -> list[str]:
    query = {} if count is None else {"count": count, "wait": wait}
    answer = world.http.get("/sandbox/statuses", params=query)
    assert answer.status_code == 200, answer.text
    return [item["text"] for item in answer.json()["items"]]


@pytest.mark.mission("B9")
@pytest.mark.mission("Z2")
def test_scheduled_statuses_survive_crashes_and_are_shown_once_or_too_late(data_dir: Path) -> None:
    with world_beside(data_dir) as world, Gateway(data_dir, env=speaking_in(world)) as gateway:
        user = link_somebody(gateway)
        now = datetime.fromisoformat(gateway.http.get("/sandbox/clock").json()["now"])

        def schedule(text: str, hours: float) -> str:
            at = (now + timedelta(hours=hours)).isoformat()
            return str(say(gateway, {"user_id": user, "type": "status", "text": text, "send_at": at})["id"])

        late, little_late, later = schedule("late", 1), schedule("a little late", 2.5), schedule("later", 5)
        cancelled = schedule("cancelled", 2.5)
        assert gateway.http.post(f"{MESSAGES}/{cancelled}/cancel").status_code == 200
        gateway.kill()
        world.advance(3 * 3600)
        gateway.start()
        assert statuses(world, count=1, wait=5) == ["a little late"]
        assert until_message(gateway, little_late, "sent")["attempts"] == 1
        found = until_message(gateway, late, "failed")
        assert (found["last_error"], found["attempts"]) == ("too_late", 0)
        gateway.kill()
        gateway.start()
        assert message(gateway, later)["status"] == "pending"
        world.advance(2 * 3600)
        assert statuses(world, count=2, wait=5) == ["a little late", "later"]
        until_all(gateway, lambda found: found["status"] in {"sent", "failed", "cancelled"}, count=4)
        assert message(gateway, cancelled)["status"] == "cancelled"
        assert statuses(world, count=3, wait=0.5) == ["a little late", "later"]
