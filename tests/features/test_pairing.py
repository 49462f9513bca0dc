"""Linking a phone, from the wish to the linked session, on real parts and a clock that can be moved."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from passerelle.app import App
from passerelle.clients.model import Caller
from passerelle.coordination.news import News
from passerelle.db import Database, DatabaseAway, Tx, Unit
from passerelle.idempotency.model import IdempotencyConflict
from passerelle.pairing.adapters.sql import SqlAttemptBook, SqlAttemptQueue
from passerelle.pairing.jobs import PairingJobs
from passerelle.pairing.model import (
    Attempt,
    AttemptEnded,
    Confirming,
    InvalidUser,
    PairingInProgress,
    QrNotReady,
    Status,
    UnknownAttempt,
)
from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.world import World
from passerelle.sessions.model import SessionState
from passerelle.whatsapp.faults import AlreadyLinked, InvalidPhone, ProviderRateLimited
from passerelle.whatsapp.model import PairingCode

from apps import ME, NUMBER, ended_as, gateway, linked
from servers import eventually

pytestmark = pytest.mark.anyio
CODE = re.compile(r"[1-9A-HJ-NP-TV-Z]{4}-[1-9A-HJ-NP-TV-Z]{4}")
SOON = timedelta(seconds=10)
OTHER = "+33639980002"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with gateway(tmp_path) as app:
        yield app


@pytest.fixture
def world(app: App) -> World:
    assert app.sandbox is not None
    assert app.sandbox.world is not None
    return app.sandbox.world


@pytest.mark.mission("A1")
async def test_a_code_is_given_typed_and_the_phone_is_linked(app: App, world: World) -> None:
    attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    assert attempt.status is Status.CODE_ISSUED
    assert CODE.fullmatch(attempt.code or "")
    world.enter_code(NUMBER, attempt.code or "")
    assert (await ended_as(app, attempt)).status is Status.LINKED
    session, _ = await app.sessions.get(ME, attempt.session_id)
    assert (session.state, session.user_id, session.phone_number) == (SessionState.CONNECTED, "anna", NUMBER)


@pytest.mark.mission("A3")
async def test_a_second_wish_of_the_same_user_meets_the_open_attempt(app: App) -> None:
    first = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    with pytest.raises(PairingInProgress) as refused:
        await app.pairing.request(ME, user_id="anna", phone_number="+33639980002")
    assert refused.value.members["attempt_id"] == first.id
    assert refused.value.text.en == "An operation is already in progress for your account."
    assert refused.value.text.fr == "Une opération est déjà en cours pour votre compte."
    assert refused.value.retry_after is not None
    assert timedelta(minutes=4) < refused.value.retry_after <= timedelta(minutes=5)


async def test_a_qr_code_that_another_phone_scans_links_nobody(app: App, world: World) -> None:
    attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    async with asyncio.timeout(30):
        while (shown := await qr_of(app, attempt.session_id)) is None:  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.03)
    assert world.enter_code(OTHER, shown).number == OTHER
    ended = await ended_as(app, attempt)
    assert (ended.status, ended.reason) == (Status.FAILED, "another_phone")
    assert world.phone(OTHER).links == (), "it is unlinked again"
    assert (await app.sessions.read_all(ME)).sessions == []
    again = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    assert again.status is Status.CODE_ISSUED, "the right phone may try at once"


async def qr_of(app: App, session_id: str) -> str | None:
    with suppress(QrNotReady):
        return (await app.pairing.qr(ME, session_id)).qr
    return None


async def test_a_number_that_somebody_else_is_linking_is_taken(app: App) -> None:
    first = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    with pytest.raises(PairingInProgress) as refused:
        await app.pairing.request(ME, user_id="ben", phone_number=NUMBER)
    assert refused.value.members["attempt_id"] == first.id


async def test_another_client_is_not_in_the_way(app: App) -> None:
    await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    other = Caller(client_id="other")
    attempt = await app.pairing.request(other, user_id="anna", phone_number=NUMBER, wait=SOON)
    assert attempt.code is not None
    with pytest.raises(UnknownAttempt):
        await app.pairing.get(ME, attempt.id)


@pytest.mark.mission("A3")
async def test_an_attempt_out_of_time_is_out_of_the_way(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        old = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        app.clock.set_offset(timedelta(minutes=5, seconds=1))
        new = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        assert new.id != old.id
        assert (await app.pairing.get(ME, old.id)).status is Status.EXPIRED


@pytest.mark.mission("Z1")
async def test_asking_again_never_kills_a_code_somebody_is_typing(app: App, world: World) -> None:
    attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    for _ in range(5):
        with pytest.raises(PairingInProgress):
            await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
    world.enter_code(NUMBER, attempt.code or "")
    assert (await ended_as(app, attempt)).status is Status.LINKED


@pytest.mark.mission("Z1")
async def test_a_code_that_expires_is_followed_by_one_more_and_no_third(app: App, world: World) -> None:
    attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    codes: list[str] = []
    async for state in app.pairing.follow(ME, attempt.id):
        if state.code is not None and state.code not in codes:
            codes.append(state.code)
            world.advance(timedelta(seconds=161))
        last = state
    assert len(codes) == 2
    assert last.status is Status.EXPIRED
    assert last.codes_issued == 2


async def test_force_gives_up_the_open_attempt_and_its_code(app: App, world: World) -> None:
    first = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    second = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, force=True, wait=SOON)
    assert (await app.pairing.get(ME, first.id)).status is Status.CANCELLED
    world.enter_code(NUMBER, second.code or "")
    assert (await ended_as(app, second)).status is Status.LINKED


async def test_a_linked_number_is_refused_and_force_links_it_again(app: App, world: World) -> None:
    first = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    world.enter_code(NUMBER, first.code or "")
    await ended_as(app, first)
    with pytest.raises(AlreadyLinked):
        await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
    second = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, force=True, wait=SOON)
    world.enter_code(NUMBER, second.code or "")
    assert (await ended_as(app, second)).status is Status.LINKED
    states = {s.id: s.state for s in (await app.sessions.read_all(ME)).sessions}
    assert states == {first.session_id: SessionState.LOGGED_OUT, second.session_id: SessionState.CONNECTED}


async def test_an_ended_session_frees_its_number_and_the_phone(app: App, world: World) -> None:
    first = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    world.enter_code(NUMBER, first.code or "")
    await ended_as(app, first)
    await app.sessions.end(ME, first.session_id)
    assert world.phone(NUMBER).links == ()
    again = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    assert again.code is not None


async def test_the_same_key_gets_the_same_answer_and_another_wish_a_conflict(app: App) -> None:
    ask = partial(app.pairing.request, ME, user_id="anna", idempotency_key="k1", wait=SOON)
    first = await ask(phone_number=NUMBER)
    assert await ask(phone_number=NUMBER) == first
    with pytest.raises(IdempotencyConflict):
        await ask(phone_number="+33639980002")


async def test_a_cancelled_attempt_frees_its_user_at_once_and_kills_its_code(app: App, world: World) -> None:
    attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    await app.pairing.cancel(ME, attempt.id)
    await eventually(lambda: world.phone(NUMBER).code_expires_at is None, "the connection is closed")
    with pytest.raises(AttemptEnded):
        await app.pairing.cancel(ME, attempt.id)
    assert (await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)).code is not None


async def test_a_phone_that_is_being_confirmed_is_not_given_up(app: App, world: World) -> None:
    attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    world.enter_code(NUMBER, attempt.code or "")
    async for state in app.pairing.follow(ME, attempt.id):
        if state.device is not None:
            break
    with pytest.raises(Confirming):
        await app.pairing.cancel(ME, attempt.id)
    with pytest.raises(PairingInProgress):
        await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, force=True)
    assert (await ended_as(app, attempt)).status is Status.LINKED


async def test_a_worker_that_meets_a_surprise_ends_the_attempt_and_goes_on(
    app: App, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(**_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken_world:
        broken_world.setattr(world, "connect", surprise)
        broken = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    assert (broken.status, broken.reason) == (Status.FAILED, "internal_error")
    assert (await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)).code is not None


@pytest.mark.parametrize("wrong", ["", "abc", "+33", "0639980001", "+0639980001", "+3363998000100000000", "+33 x"])
async def test_a_wrong_number_is_named(app: App, wrong: str) -> None:
    with pytest.raises(InvalidPhone):
        await app.pairing.request(ME, user_id="anna", phone_number=wrong)


@pytest.mark.parametrize("wrong", ["", "x" * 201])
async def test_a_wrong_user_is_named(app: App, wrong: str) -> None:
    with pytest.raises(InvalidUser):
        await app.pairing.request(ME, user_id=wrong, phone_number=NUMBER)


async def test_a_refused_number_cools_down_alone_and_longer_each_time(app: App, world: World) -> None:
    world.faults.add(FaultKind.RATE_OVERLIMIT, number=NUMBER, times=2)
    for wait in (timedelta(minutes=15), timedelta(minutes=30)):
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
        assert (attempt.status, attempt.reason) == (Status.FAILED, "provider_rate_limited")
        assert attempt.retry_after == wait
        with pytest.raises(ProviderRateLimited):
            await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        other = await app.pairing.request(ME, user_id="ben", phone_number="+33639980002", force=True, wait=SOON)
        assert other.code is not None
        world.advance(wait + timedelta(seconds=1))
    assert (await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)).code is not None


@pytest.mark.mission("A8")
async def test_sixty_users_at_once_do_not_disturb_each_other(app: App) -> None:
    wishes = (
        app.pairing.request(ME, user_id=f"user{n}", phone_number=f"+336399800{n:02}", wait=SOON) for n in range(60)
    )
    attempts = await asyncio.gather(*wishes)
    assert len({attempt.code for attempt in attempts}) == 60
    assert {attempt.status for attempt in attempts} == {Status.CODE_ISSUED}


@pytest.mark.mission("A3")
async def test_of_fifty_wishes_at_once_one_wins_and_all_others_learn_which(app: App) -> None:
    wishes = (app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON) for _ in range(50))
    outcomes = await asyncio.gather(*wishes, return_exceptions=True)
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, PairingInProgress)]
    assert (len(won), len(lost)) == (1, 49)
    assert {refusal.members["attempt_id"] for refusal in lost} == {won[0].id}


@pytest.mark.mission("A6")
@pytest.mark.mission("A7")
@pytest.mark.mission("A9")
async def test_without_redis_the_code_comes_and_the_log_says_how(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with gateway(tmp_path) as app:
            attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    said = [line["event"] for line in lines]
    assert attempt.code is not None
    assert said.count("[WhatsApp] Redis not available, proceeding without lock") == 1
    assert f"[PairingQueue] Job {attempt.id} started for user anna" in said
    assert f"[PairingQueue] Job {attempt.id} completed for user anna" in said


@pytest.mark.mission("A9")
async def test_a_failed_job_says_so_in_the_log(app: App, world: World) -> None:
    world.faults.add(FaultKind.BAD_DISPLAY_NAME)
    with capture_logs() as lines:
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    assert f"[PairingQueue] Job {attempt.id} failed for user anna" in [line["event"] for line in lines]


async def test_an_attempt_open_at_a_crash_goes_on_with_a_new_code(tmp_path: Path) -> None:
    """The worker is dropped without a word, as by kill -9: its claim stays behind."""
    async with gateway(tmp_path, working=False) as app:
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        claimed = await app.database.run(
            partial(app.pairing_jobs._queue.claim, worker_id="dead", attempt_id=attempt.id)
        )
        await app.database.run(
            partial(app.pairing_jobs._tools.book.save, attempts=[claimed[0].issued(_code(app))], worker_id="dead")
        )
    async with gateway(tmp_path) as app:
        state = await app.pairing.wait_for_answer(ME, attempt.id, limit=SOON)
        assert (state.status, state.codes_issued, state.claims) == (Status.CODE_ISSUED, 2, 2)
        assert state.code != "ABCD-EFGH"


async def test_an_attempt_that_killed_two_workers_ends_as_interrupted(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)
        for _ in range(2):
            await app.database.run(partial(app.pairing_jobs._queue.claim, worker_id="dead", attempt_id=attempt.id))
            await app.pairing_jobs.recover()
        await app.pairing_jobs.sweep()
        ended = await app.pairing.get(ME, attempt.id)
        assert (ended.status, ended.reason) == (Status.FAILED, "interrupted")
        assert (await app.pairing.request(ME, user_id="anna", phone_number=NUMBER)).id != attempt.id


async def test_a_graceful_stop_gives_the_attempt_back_uncounted(tmp_path: Path) -> None:
    async with gateway(tmp_path) as app:
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
    async with gateway(tmp_path, working=False) as app:
        waiting = await app.pairing.get(ME, attempt.id)
        assert (waiting.status, waiting.claims, waiting.code) == (Status.QUEUED, 0, None)


class GivenUpMeanwhile:
    """An `AttemptBook` in which a user gives up in the very moment in which WhatsApp links the phone."""

    def __init__(self, news: News[Attempt]) -> None:
        self._book = SqlAttemptBook()
        self._news = news
        self._loop = asyncio.get_running_loop()

    async def save(self, tx: Tx, attempts: list[Attempt], *, worker_id: str | None = None) -> set[str]:
        for attempt in attempts:
            if attempt.device is not None:
                given_up = replace(attempt, device=None).cancelled()
                await self._book.save(tx, [given_up])
                self._loop.call_soon_threadsafe(self._news.tell, attempt.id, given_up)
        return await self._book.save(tx, attempts, worker_id=worker_id)

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._book, verb)


@pytest.mark.mission("Z2")
async def test_a_phone_linked_in_the_moment_its_attempt_is_given_up_is_unlinked_again(tmp_path: Path) -> None:
    async with gateway(tmp_path, working=False) as app:
        assert app.sandbox is not None
        assert app.sandbox.world is not None
        world, tools = app.sandbox.world, app.pairing_jobs._tools
        book: Any = GivenUpMeanwhile(tools.news)
        jobs = PairingJobs(queue=SqlAttemptQueue(), due=asyncio.Event(), tools=replace(tools, book=book))
        working = asyncio.create_task(jobs.poll_for_ever())
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, wait=SOON)
        world.enter_code(NUMBER, attempt.code or "")
        assert (await ended_as(app, attempt)).status is Status.CANCELLED
        await eventually(lambda: world.phone(NUMBER).links == (), "the phone is unlinked")
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await jobs.stop()


class Lossy:
    """A database that loses the answer to every other COMMIT."""

    shared = False

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lost = False

    async def run(self, unit: Unit[Any]) -> Any:
        answer = await self._database.run(unit)
        self._lost = not self._lost
        if self._lost:
            raise DatabaseAway("the answer got lost", maybe_committed=True)
        return answer

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._database, verb)


@pytest.mark.mission("Z2")
async def test_a_link_whose_commit_was_not_answered_is_settled_all_the_same(tmp_path: Path) -> None:
    """The device that it replaces comes off the phone nevertheless."""
    async with gateway(tmp_path, working=False) as app:
        assert app.sandbox is not None
        assert app.sandbox.world is not None
        world, tools = app.sandbox.world, app.pairing_jobs._tools
        former = await linked(app)
        assert [link.session_id for link in world.phone(NUMBER).links] == [former.id]
        database: Any = Lossy(app.database)
        jobs = PairingJobs(queue=SqlAttemptQueue(), due=asyncio.Event(), tools=replace(tools, database=database))
        attempt = await app.pairing.request(ME, user_id="anna", phone_number=NUMBER, force=True)
        claim = partial(jobs._queue.claim, worker_id=tools.worker_id, attempt_id=attempt.id)
        (claimed,) = await app.database.run(claim)
        jobs._start(claimed)
        attempt = await app.pairing.wait_for_answer(ME, attempt.id, limit=SOON)
        world.enter_code(NUMBER, attempt.code or "")
        with capture_logs() as lines:
            assert (await ended_as(app, attempt)).status is Status.LINKED
        await eventually(lambda: len(world.phone(NUMBER).links) == 1, "only the new device is left")
        assert world.phone(NUMBER).links[0].session_id == attempt.session_id
        assert "✅ [WhatsApp] Phone linked for user anna" in [line["event"] for line in lines]


def _code(app: App) -> PairingCode:
    return PairingCode(code="ABCD-EFGH", expires_at=app.clock.now() + timedelta(seconds=160))
