"""The outbox in SQL against a model of it: whatever order clients, workers, WhatsApp, crashes and time come in."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contracts.conftest import opened
from contracts.outbox_parts import (
    NOW,
    OUTBOX,
    QUEUE,
    RECEIPTS,
    SWEEP,
    again,
    change,
    insert,
    link,
    message,
    offset,
    sql,
    two,
)
from passerelle.db import Database, Tx
from passerelle.messages import policy
from passerelle.messages.adapters.outbox import RANKS
from passerelle.messages.adapters.receipts import INFERRED_WITHIN
from passerelle.messages.model import (
    ARRIVED,
    UNKNOWN_BLOCKS,
    Message,
    MessageBeyondRecall,
    NothingToRetry,
    Settled,
    Status,
)
from passerelle.messages.ports import Claim, Outcome
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Receipt, ReceiptKind
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, NotHandedOver, Remedy, SendRefused

from servers import PostgresServer

SESSIONS, RECIPIENTS, WORKERS = ("sess_a", "sess_b"), ("+33639980100", "+33639980101"), ("w1", "w2")
GAVE_UP = "gave_up"
BY_RANK = {0: Status.SENT, 1: Status.FAILED, 2: Status.DELIVERED, 3: Status.READ}
PLACES = {status: rank for rank, status in BY_RANK.items()} | {Status.UNKNOWN: -1}
FAULTS: dict[str, Callable[[], Exception]] = {
    "refused": lambda: SendRefused("busy", Remedy.RETRY),
    "permanent": lambda: SendRefused("nobody", Remedy.PERMANENT),
    "slow down": lambda: SendRefused("slow_down", Remedy.THROTTLE_RECIPIENT),
    "paused": lambda: SendRefused("restricted", Remedy.PAUSE_ACCOUNT),
    "away": ProviderUnavailable,
    "gone": DeviceGone,
    "not handed over": NotHandedOver,
    "lost": AnswerLost,  # WhatsApp took it
    "hangs": AnswerLost,
}
Lane = tuple[str, str]
small = st.integers(0, 7)
worker_ids = st.sampled_from(WORKERS)


ACTS: list[tuple[str, dict[str, st.SearchStrategy[Any]]]] = []


def act(weight: int, **args: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """One of the things that may happen, `weight` times as often as one of weight 1.

    Rules of hypothesis would be left out of half of the plays, at random: without `enqueue` nothing happens at all.
    """

    def remember(what: Callable[..., None]) -> Callable[..., None]:
        ACTS.extend([(what.__name__, args)] * weight)
        return what

    return remember


def _drawn(chosen: tuple[str, dict[str, st.SearchStrategy[Any]]]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(chosen[0]), st.fixed_dictionaries(chosen[1]))


@dataclass
class Known:
    """What the model knows of a message: as its row should be, its place in its lane, and whose it is."""

    row: Message
    place: int
    worker: str | None = None

    @property
    def lane(self) -> Lane:
        return self.row.session_id, self.row.to

    def turn(self, **what: Any) -> None:
        self.row = replace(self.row, **what)


class Model:
    """The promises of the ports, in plain Python."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.receipts: dict[tuple[str, str], tuple[str, int]] = {}

    def ready(self, session_id: str, now: datetime) -> list[Known]:
        due = [one for one in self._all(Status.PENDING) if one.row.session_id == session_id and one.row.due_at <= now]
        due = [one for one in due if one.row.attempts or not self._must_wait(one, now)]
        return sorted(due, key=lambda one: (one.row.due_at, one.place))

    def _must_wait(self, one: Known, now: datetime) -> bool:
        return any(self._blocks(other, now) for other in self._mates(one) if other.place < one.place)

    def _blocks(self, other: Known, now: datetime) -> bool:
        match other.row.status:
            case Status.PENDING:
                return not other.row.attempts and other.row.due_at <= now
            case Status.CLAIMED | Status.SENDING:
                return not other.row.attempts
            case Status.UNKNOWN:
                return other.row.due_at > now
        return False

    def claim(self, message_id: str, worker: str) -> None:
        one = self.known[message_id]
        one.turn(status=Status.CLAIMED, claims=one.row.claims + 1, fence=one.row.fence + 1)
        one.worker = worker

    def mark(self, message_id: str, fence: int, worker: str) -> bool:
        one = self.known[message_id]
        ours = one.row.fence == fence and one.worker == worker and one.row.status in {Status.CLAIMED, Status.SENDING}
        if ours:
            one.turn(status=Status.SENDING)
        return ours

    def settle(self, outcomes: Iterable[Outcome]) -> set[str]:
        settled = set[str]()
        for outcome in outcomes:
            one = self.known[outcome.id]
            if one.row.fence == outcome.fence and one.row.status in {Status.CLAIMED, Status.SENDING, Status.UNKNOWN}:
                self._put_down(one, outcome)
                settled.add(outcome.id)
        for outcome in outcomes:
            for mate in [self.known[outcome.id], *self._mates(self.known[outcome.id])] if outcome.whole_lane else []:
                if mate.row.status is Status.PENDING and outcome.due_at is not None:
                    mate.turn(due_at=max(mate.row.due_at, outcome.due_at))
        return settled

    def _put_down(self, one: Known, outcome: Outcome) -> None:
        status, error, row = outcome.status, outcome.error, one.row
        if status is Status.SENT:
            rank = self.receipts.get((row.session_id, str(outcome.provider_id)), ("", 0))[1]
            status, error = BY_RANK[rank], GAVE_UP if rank == 1 else None
        one.turn(
            status=status,
            last_error=error,
            attempts=row.attempts + outcome.attempt - (row.status is Status.UNKNOWN),
            claims=row.claims - 1 + outcome.attempt,
            provider_id=outcome.provider_id or row.provider_id,
            due_at=outcome.due_at or row.due_at,
        )
        one.worker = None

    def reclaim(self, now: datetime, workers: Sequence[str]) -> set[str]:
        told = set[str]()
        for one in [held for held in self._all(Status.CLAIMED, Status.SENDING) if held.worker in workers]:
            if one.row.status is Status.SENDING:
                due_at, attempts = now + UNKNOWN_BLOCKS, one.row.attempts + 1
                one.turn(status=Status.UNKNOWN, due_at=due_at, attempts=attempts, last_error="interrupted")
            elif one.row.claims >= 5:
                one.turn(status=Status.FAILED, last_error="interrupted")
            else:
                one.turn(status=Status.PENDING)
            one.worker = None
            told |= {one.row.id} - ({one.row.id} if one.row.status is Status.PENDING else set())
        return told

    def give_back(self, worker: str) -> int:
        held = [one for one in self._all(Status.CLAIMED) if one.worker == worker]
        for one in held:
            one.turn(status=Status.PENDING, claims=one.row.claims - 1)
            one.worker = None
        return len(held)

    def expire(self, now: datetime) -> set[str]:
        late = [one for one in self._all(Status.PENDING) if one.row.expires_at <= now]
        for one in late:
            scheduled = one.row.send_at is not None and not one.row.attempts
            one.turn(status=Status.FAILED, last_error="too_late" if scheduled else "expired")
        return {one.row.id for one in late}

    def resend(self, now: datetime) -> None:
        for one in self._all(Status.UNKNOWN):
            recent = now - timedelta(hours=24) < one.row.due_at <= now
            if one.row.resend_unknown and recent and one.row.attempts < one.row.max_attempts:
                one.turn(status=Status.PENDING)

    def tell(self, receipts: Sequence[Receipt]) -> set[str]:
        for one in receipts:
            key = (one.session_id, one.provider_id)
            self.receipts[key] = (one.to, max(RANKS[one.kind], self.receipts.get(key, ("", 0))[1]))
        inferred = self._infer({(one.session_id, one.to) for one in receipts})
        return self._move({(one.session_id, one.provider_id) for one in receipts} | inferred)

    def join(self, now: datetime) -> set[str]:
        since = now - INFERRED_WITHIN
        return self._move(self._infer({one.lane for one in self.known.values()}, since))

    def _infer(self, lanes: set[Lane], since: datetime = NOW) -> set[tuple[str, str]]:
        """The only unknown message of its lane is the one that an id nobody knows there tells of."""
        known = {(one.row.session_id, one.row.provider_id) for one in self.known.values()}
        told: defaultdict[Lane, list[str]] = defaultdict(list)
        for (session_id, provider_id), (to, _) in self.receipts.items():
            if (session_id, provider_id) not in known:
                told[session_id, to].append(provider_id)
        doubtful = self._all(Status.UNKNOWN)
        doubtful = [one for one in doubtful if one.row.provider_id is None and one.row.due_at > since]
        doubtful = [one for one in doubtful if one.lane in lanes and told[one.lane] and not self._doubts(one)]
        for one in doubtful:
            one.turn(provider_id=min(told[one.lane]))
        return {(one.row.session_id, str(one.row.provider_id)) for one in doubtful}

    def _doubts(self, one: Known) -> bool:
        return any(mate.row.status in {Status.UNKNOWN, Status.SENDING} for mate in self._mates(one))

    def _move(self, keys: set[tuple[str, str]]) -> set[str]:
        moved = set[str]()
        for one in self.known.values():
            key = (one.row.session_id, str(one.row.provider_id))
            rank = self.receipts[key][1] if key in keys else -1
            if rank > PLACES.get(one.row.status, 9):
                one.turn(status=BY_RANK[rank], last_error=GAVE_UP if rank == 1 else None)
                moved.add(one.row.id)
        return moved

    def _all(self, *statuses: Status) -> list[Known]:
        return [one for one in self.known.values() if one.row.status in statuses]

    def _mates(self, one: Known) -> list[Known]:
        return [other for other in self.known.values() if other.lane == one.lane and other is not one]


class OutboxMachine(RuleBasedStateMachine):
    """Each rule does a thing to the tables and to the model; after each they must say the same."""

    def __init__(self, loop: asyncio.Runner, database: Database, other: Database) -> None:
        super().__init__()
        self._loop, self._database, self._other = loop, database, other
        self.model = Model()
        self.now = NOW
        self.hands: dict[str, list[Message]] = {worker: [] for worker in WORKERS}  # claimed
        self.air: dict[str, list[Message]] = {worker: [] for worker in WORKERS}  # marked, so handed over
        self.flying: dict[str, int] = {}  # the claim under which a message was handed over and is not put down yet
        self.taken: dict[tuple[str, int], Receipt] = {}  # what WhatsApp took, by message and claim
        self.arrived: set[str] = set()  # messages that WhatsApp took and that nobody has called into question since
        self.sound = True

    def wait(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run(what)

    def run(self, unit: Callable[[Tx], Coroutine[Any, Any, Any]]) -> Any:
        return self.wait(self._database.run(unit))

    @property
    def offset(self) -> timedelta:
        return offset(self.seen_now)

    @property
    def seen_now(self) -> datetime:
        """What the database's clock shows, but for the moment that a call takes: nothing is due just then."""
        return self.now + timedelta(milliseconds=500)

    @initialize()
    def empty(self) -> None:
        for table in ("messages", "receipts"):
            self.wait(sql(self._database, f"DELETE FROM {table}"))  # noqa: S608 -- two names of ours
        for lane in range(3):
            self.enqueue(lane, 2, 2, again=lane == 1, wait_s=0)

    @rule(happens=st.deferred(lambda: st.sampled_from(ACTS).flatmap(_drawn)))
    def step(self, happens: tuple[str, dict[str, Any]]) -> None:
        name, args = happens
        getattr(self, name)(**args)

    # --- clients

    @act(6, lane=small, count=st.integers(1, 3), limit=st.integers(1, 3), again=st.booleans(), wait_s=st.just(0))
    def enqueue(self, lane: int, count: int, limit: int, again: bool, wait_s: int) -> None:  # noqa: FBT001
        first = len(self.model.known)
        send_at = self.now + timedelta(seconds=wait_s, microseconds=first if wait_s else 0)  # no two at once
        new = [
            message(
                first + place,
                session_id=SESSIONS[lane % 2],
                to=RECIPIENTS[lane // 2 % 2],
                created_at=self.now,
                due_at=send_at,
                send_at=send_at if wait_s else None,
                expires_at=send_at + timedelta(hours=1 if wait_s else 24),
                max_attempts=limit,
                resend_unknown=again,
                history=(),
            )
            for place in range(count)
        ]
        self.wait(insert(self._database, *new))
        rows = self.wait(sql(self._database, "SELECT id, order_us FROM messages ORDER BY id"))
        places = {row["id"]: row["order_us"] for row in rows}
        for one in new:
            self.model.known[one.id] = Known(one, places[one.id])

    @act(2, lane=small, wait_s=st.sampled_from([10, 60, 4000]))
    def schedule(self, lane: int, wait_s: int) -> None:
        self.enqueue(lane, 1, 2, again=False, wait_s=wait_s)

    @act(2, which=st.integers(0, 15))
    def cancel(self, which: int) -> None:
        self._change(which, Message.cancelled)

    @act(3, which=st.integers(0, 15))
    def retry(self, which: int) -> None:
        if self._change(which, lambda one: one.retried(self.now)):
            self.arrived.discard(self._some(which).row.id)
            self.flying.pop(self._some(which).row.id, None)

    def _some(self, which: int) -> Known:
        return list(self.model.known.values())[which % len(self.model.known)]

    def _change(self, which: int, step: Callable[[Message], Message]) -> bool:
        if not self.model.known:
            return False
        one = self._some(which)
        try:
            after = step(one.row)
        except (MessageBeyondRecall, NothingToRetry):
            return False
        if after == one.row:
            return False
        assert self.wait(change(self._database, again(after), expected=one.row.status))
        one.row, one.worker = after, None
        return True

    # --- workers

    @act(8, worker=worker_ids, session=st.sampled_from(SESSIONS), limit=st.integers(1, 6))
    def claim(self, worker: str, session: str, limit: int) -> None:
        session = self._due(session)
        wanted = [one.row.id for one in self.model.ready(session, self.seen_now)][:limit]
        self._hold(worker, got := self.wait(self._claim(self._database, worker, session, limit)))
        assert [one.id for one in got] == wanted, "what is due, the earliest first, each lane in its order"

    @act(3, session=st.sampled_from(SESSIONS), limit=st.integers(1, 6))
    def claim_at_once(self, session: str, limit: int) -> None:
        session = self._due(session)
        ready = {one.row.id for one in self.model.ready(session, self.seen_now)}

        async def both() -> list[list[Message]]:
            databases = zip((self._database, self._other), WORKERS, strict=True)
            return await asyncio.gather(*(self._claim(where, who, session, limit) for where, who in databases))

        first, second = self.wait(both())
        mine, yours = {one.id for one in first}, {one.id for one in second}
        assert not mine & yours
        assert mine | yours <= ready
        assert len(mine | yours) >= min(len(ready), limit)
        self._hold(WORKERS[0], first)
        self._hold(WORKERS[1], second)

    def _due(self, session: str) -> str:
        """This session, or another one that has something to say."""
        return next((one for one in (session, *SESSIONS) if self.model.ready(one, self.seen_now)), session)

    async def _claim(self, database: Database, worker: str, session: str, limit: int) -> list[Message]:
        wanted = [Claim(session, limit)]
        unit = partial(QUEUE.claim, wanted=wanted, worker_id=worker, offset=self.offset)
        return await database.run(unit)

    def _hold(self, worker: str, messages: list[Message]) -> None:
        for one in messages:
            self.model.claim(one.id, worker)
        self.hands[worker] += messages

    @act(8, worker=worker_ids)
    def mark(self, worker: str) -> None:
        worker = _busy(self.hands, worker)
        if not self.hands[worker]:
            self.claim(worker, SESSIONS[0], 3)
        held, self.hands[worker] = self.hands[worker], []
        wanted = {one.id for one in held if self.model.mark(one.id, one.fence, worker)}
        for _ in range(2):  # the answer may get lost: it is asked for again
            assert self.run(partial(QUEUE.mark_sending, messages=held, worker_id=worker)) == wanted
        latest = {one.id: one for one in held if one.id in wanted}
        for one in latest.values():
            assert one.id not in self.flying, "handed over, and nobody has said what became of it"
            assert one.id not in self.arrived, "handed over a second time, though WhatsApp has it"
            self.flying[one.id] = one.fence
        self.air[worker] += latest.values()

    @act(4, worker=worker_ids)
    def take(self, worker: str) -> None:
        """WhatsApp takes the oldest that this worker has in the air; the answer is still on its way."""
        worker = self._speaker(worker)
        for one in self.air[worker]:
            if (one.id, one.fence) not in self.taken:
                self._take(one)
                return

    def _speaker(self, worker: str) -> str:
        """This worker, or another one with something in the air, or this one, once it has."""
        worker = _busy(self.air, worker)
        if not self.air[worker]:
            self.mark(worker)
        return _busy(self.air, worker)

    def _take(self, one: Message) -> str:
        told = self.taken.get((one.id, one.fence))
        if told is None:
            told = Receipt(
                session_id=one.session_id,
                provider_id=f"wa_{len(self.taken):03}",
                to=one.to,
                kind=ReceiptKind.DELIVERED,
                at=self.now,
            )
            self.taken[one.id, one.fence] = told
            if self.flying.get(one.id) == one.fence:
                self.arrived.add(one.id)
        return told.provider_id

    @act(8, worker=worker_ids, answers=st.lists(st.sampled_from(["sent", "sent", *FAULTS]), min_size=1, max_size=4))
    def answer(self, worker: str, answers: list[str]) -> None:
        worker = self._speaker(worker)
        asked, self.air[worker] = self.air[worker][: len(answers)], self.air[worker][len(answers) :]
        self._settle([self._outcome(one, word) for one, word in zip(asked, answers, strict=False)])

    def _outcome(self, one: Message, word: str) -> Outcome:
        if word == "sent":
            return policy.sent(one, self._take(one), self.now).outcome
        if word == "lost" or (one.id, one.fence) in self.taken:
            self._take(one)
            word = "lost"
        return policy.judge(one, FAULTS[word](), self.now).outcome

    @act(2, worker=worker_ids, word=st.sampled_from(["refused", "away", "broken", "not now", "overdue"]))
    def put_down(self, worker: str, word: str) -> None:
        """What was claimed is not handed over after all."""
        worker = _busy(self.hands, worker)
        if not self.hands[worker]:
            self.claim(worker, SESSIONS[0], 3)
        held, self.hands[worker] = self.hands[worker][:1], self.hands[worker][1:]
        for one in held:
            fault = FAULTS[word]() if word in FAULTS else OSError()
            verdicts = {"not now": policy.not_now, "overdue": policy.overdue}
            verdict = verdicts[word](one, self.now) if word in verdicts else policy.unprepared(one, fault, self.now)
            self._settle([verdict.outcome])

    def _settle(self, outcomes: list[Outcome]) -> None:
        settled: list[Settled] = self.run(partial(QUEUE.settle, outcomes=outcomes))
        assert {one.id for one in settled} == self.model.settle(outcomes)
        for one in settled:
            self.flying.pop(one.id, None)
            if one.status in {Status.UNKNOWN, Status.FAILED}:
                self.arrived.discard(one.id)
        self._tells_as_it_is(settled)

    def _tells_as_it_is(self, settled: Sequence[Settled]) -> None:
        for one in settled:
            row = self.model.known[one.id].row
            told = (one.session_id, one.status, one.attempts, one.due_at, one.last_error)
            assert told == (row.session_id, row.status, row.attempts, row.due_at, row.last_error)

    # --- crashes and time

    @act(3, forgets=st.booleans())
    def crash(self, forgets: bool) -> None:  # noqa: FBT001
        """Every claim is freed: the workers are dead, or come back to life later and know nothing of it."""
        self._lost(self.run(partial(SWEEP.reclaim, now=self.now, lapsed_us=None)), WORKERS)
        for worker in WORKERS if forgets else ():
            self.hands[worker], self.air[worker] = [], []

    @act(2, worker=worker_ids)
    def fall_silent(self, worker: str) -> None:
        self.wait(sql(self._database, "DELETE FROM workers"))
        others = [one for one in WORKERS if one != worker]
        for one in others:
            self.wait(sql(self._database, "INSERT INTO workers (id, heartbeat_us) VALUES (:id, :db_now)", id=one))
        self._lost(self.run(partial(SWEEP.reclaim, now=self.now, lapsed_us=15_000_000, but=others[0])), [worker])

    def _lost(self, told: list[Settled], workers: Sequence[str]) -> None:
        assert {one.id for one in told} == self.model.reclaim(self.now, workers)
        for one in told:
            self.flying.pop(one.id, None)
            self.arrived.discard(one.id)
        self._tells_as_it_is(told)

    @act(1, worker=worker_ids)
    def stop(self, worker: str) -> None:
        assert self.run(partial(SWEEP.give_back, worker_id=worker)) == self.model.give_back(worker)

    @act(5, seconds=st.sampled_from([1, 10, 31, 76, 76, 3700, 90_000]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @act(1)
    def expire(self) -> None:
        told = self.run(partial(SWEEP.expire, now=self.now))
        assert {one.id for one in told} == self.model.expire(self.now)
        self._tells_as_it_is(told)

    @act(4)
    def look(self) -> None:
        self.model.resend(self.seen_now)
        self.run(lambda tx: tx.sql("UPDATE linked_phones SET holder = 'looks'"))
        agenda = self.run(partial(QUEUE.agenda, worker_id="looks", offset=self.offset))
        self.run(lambda tx: tx.sql("UPDATE linked_phones SET holder = NULL"))
        seen = {one.session_id: one.due_at for one in agenda}
        waiting = [one.row for one in self.model.known.values() if one.row.status is Status.PENDING]
        for session in SESSIONS:
            assert seen[session] == min((one.due_at for one in waiting if one.session_id == session), default=None)

    # --- receipts

    @act(5, news=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(ReceiptKind)), min_size=1, max_size=3))
    def receive(self, news: list[tuple[int, ReceiptKind]]) -> None:
        if not self.taken:
            self.take(WORKERS[0])
        taken = list(self.taken.values())[-6:]
        kinds = [(taken[which % len(taken)], kind) for which, kind in news if taken]
        detail = {ReceiptKind.FAILED: GAVE_UP}
        told = [replace(one, kind=kind, at=self.now, detail=detail.get(kind)) for one, kind in kinds]
        self._move(partial(RECEIPTS.add, receipts=told, now=self.now), partial(self.model.tell, told))

    @act(2)
    def join(self) -> None:
        self._move(partial(RECEIPTS.join_leftovers, now=self.now), partial(self.model.join, self.now))

    def _move(self, unit: Callable[[Tx], Coroutine[Any, Any, Any]], expected: Callable[[], set[str]]) -> None:
        before = {one.row.id: one.row.status for one in self.model.known.values()}
        moved: list[Settled] = self.run(unit)
        for one in moved:
            assert before[one.id] in {*ARRIVED, Status.FAILED, Status.UNKNOWN}
            assert PLACES[one.status] > PLACES[before[one.id]], "only forward"
            if one.status is Status.FAILED:
                self.arrived.discard(one.id)
        assert {one.id for one in moved} == expected()
        self._tells_as_it_is(moved)

    # --- what holds at any time

    @invariant()
    def the_tables_say_what_the_model_says(self) -> None:
        self.sound = False
        ids = [f"msg_{number:04}" for number in range(len(self.model.known) + 1)]
        found = self.wait(self._database.read(partial(OUTBOX.find, client_id="default", ids=ids)))
        assert found.keys() == self.model.known.keys(), "nothing is lost"
        for one in found.values():
            assert replace(one, history=()) == replace(self.model.known[one.id].row, history=())
        assert all(one.attempts <= one.max_attempts for one in found.values())
        self.sound = True

    def teardown(self) -> None:
        """Whatever has happened, everything comes to an end when nothing more goes wrong."""
        if self.sound:
            self.crash(forgets=True)
            for _ in range(3 * len(self.model.known) + 3):
                self.pass_time(3700)
                self.look()
                for session in SESSIONS:
                    self.claim(WORKERS[0], session, 100)
                self.mark(WORKERS[0])
                self.answer(WORKERS[0], ["sent"] * 100)
            self.join()
            ended = {one.row.status for one in self.model.known.values()}
            assert ended <= {*ARRIVED, Status.FAILED, Status.CANCELLED, Status.UNKNOWN}


def _busy(holding: dict[str, list[Message]], worker: str) -> str:
    """This worker, or another one that holds something."""
    return next((one for one in (worker, *WORKERS) if holding[one]), worker)


def play(url: str | None, folder: Path, how: settings) -> None:
    """Play the machine on a database of its own, on a loop of its own."""

    async def close(stack: contextlib.AsyncExitStack) -> None:
        await stack.aclose()

    async def both(stack: contextlib.AsyncExitStack) -> tuple[Database, Database]:
        database = await stack.enter_async_context(opened(url, folder))
        for session in SESSIONS:
            await link(database, session)
        return await stack.enter_async_context(two(database, url, folder))

    with asyncio.Runner() as loop:
        stack = contextlib.AsyncExitStack()
        machine: Any = partial(OutboxMachine, loop, *loop.run(both(stack)))  # any maker will do, says its documentation
        try:
            run_state_machine_as_test(machine, settings=how)
        finally:
            loop.run(close(stack))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()


USUAL = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), stateful_step_count=30)


@pytest.mark.mission("Z2")
def test_the_outbox_does_what_its_model_does(url: str | None, tmp_path: Path) -> None:
    play(url, tmp_path, settings(USUAL, max_examples=22, derandomize=True))


@pytest.mark.mission("Z2")
@pytest.mark.long
def test_the_outbox_does_what_its_model_does_in_hundreds_of_plays(url: str | None, tmp_path: Path) -> None:
    play(url, tmp_path, settings(USUAL, max_examples=300, stateful_step_count=50))
