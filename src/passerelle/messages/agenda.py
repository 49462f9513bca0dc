"""What a pump knows by heart: which sessions have something to say, when, and how much may be in the air."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from passerelle.clock import Clock
from passerelle.messages.model import Message
from passerelle.messages.pacing import Limits, Pace
from passerelle.messages.policy import PASSING, Hold, Why
from passerelle.messages.ports import Claim, Speaker

SLOTS = 4000  # sixteen sessions whose provider hangs must not hold up a seventeenth
SLOTS_PER_SESSION = 250
CLAIMED_AT_LEAST = 50
LONGEST_HOLD = timedelta(seconds=30)


class Agenda:
    """Sessions by the time their next message is due. It may be wrong; a look into the outbox puts it right."""

    def __init__(
        self, clock: Clock, *, holds: Callable[[str], bool] = lambda _: True, limits: Limits | None = None
    ) -> None:
        """Nothing known yet: `stale`. Only for phones that this worker `holds` is anything begun, at their pace."""
        self._pace = Pace(clock, limits)
        self._clock = clock
        self._holds_phone = holds
        self.speakers: dict[str, Speaker] = {}
        self.stale = True
        self._due: dict[str, datetime] = {}
        self._later: dict[str, datetime] = {}
        self._heard: set[str] = set()
        self._in_hand: defaultdict[str, int] = defaultdict(int)
        self._holds: dict[str, datetime] = {}
        self._away: set[str] = set()
        self._failures: defaultdict[str, int] = defaultdict(int)

    def look(self) -> None:
        """A look into the outbox begins: what is heard from now on is newer than what it will see."""
        self.stale = False
        self._heard.clear()

    def learn(self, speakers: Iterable[Speaker]) -> None:
        """What the look saw."""
        self.speakers = {speaker.session_id: speaker for speaker in speakers}
        self._pace.learn(self.speakers.values())
        heard = {session_id: self._due[session_id] for session_id in self._heard & self._due.keys()}
        self._due = {one.session_id: one.due_at for one in self.speakers.values() if one.due_at is not None} | heard

    def hear(self, session_ids: Iterable[str]) -> None:
        """These sessions have something new to say; those of other workers are theirs."""
        now = self._clock.now()
        for session_id in filter(self._holds_phone, session_ids):
            self._due[session_id] = now
            self._heard.add(session_id)
            self.stale = self.stale or session_id not in self.speakers

    def wishes(self) -> list[Claim]:
        """What to claim now: every session that may speak gets its share of the free slots."""
        now, free = self._clock.now(), self._free()
        ready = [one for one, due in self._due.items() if due <= now and self._may_speak(one, now)][: max(free, 0)]
        share = free // len(ready) if ready else 0
        claims = [Claim(session_id, min(share, self._room(session_id))) for session_id in ready]
        for claim in claims:
            del self._due[claim.session_id]
        return claims

    def claimed(self, claims: Sequence[Claim], messages: Sequence[Message]) -> None:
        """What came of the wishes: a session that gave all it was asked for has perhaps more."""
        found: defaultdict[str, int] = defaultdict(int)
        for message in messages:
            found[message.session_id] += 1
        for claim in claims:
            if found[claim.session_id]:
                self._in_hand[claim.session_id] += found[claim.session_id]
                self._pace.spoke(claim.session_id)
            if found[claim.session_id] >= claim.limit:
                self._due[claim.session_id] = self._clock.now()
            elif claim.session_id in self._later:
                self._due.setdefault(claim.session_id, self._later.pop(claim.session_id))

    def put_down(self, session_id: str) -> None:
        """One message of this session is in the air no more."""
        self._in_hand[session_id] -= 1
        if not self._in_hand[session_id]:
            del self._in_hand[session_id]

    def go_on(self, session_id: str) -> None:
        """What became of a message of this session is written down: the next of its lane may be due."""
        self._due[session_id] = self._clock.now()
        self._heard.add(session_id)

    def later(self, session_id: str, due_at: datetime) -> None:
        """A message of this session waits until then."""
        self._later[session_id] = min(due_at, self._later.get(session_id, due_at))

    def hold(self, hold: Hold) -> None:
        """Nothing of this session before then; a provider that stays away is asked less and less often."""
        longer = hold.why is Why.THROTTLED and hold.session_id in self._away  # `back` must not end it
        if hold.why in PASSING and self.is_held(hold.session_id) and not longer:
            return  # one outage, met by many at once
        span = hold.until - self._clock.now()
        if hold.why in PASSING:
            span = min(span * 2 ** min(self._failures[hold.session_id], 10), max(span, LONGEST_HOLD))
        self._failures[hold.session_id] += 1
        self._holds[hold.session_id] = self._clock.now() + span
        if hold.why is Why.AWAY:
            self._away.add(hold.session_id)
        else:
            self._away.discard(hold.session_id)

    def back(self, session_id: str) -> None:
        """Its phone is connected: what waits for nothing else may be tried, one at first as after any failure."""
        if session_id in self._away:
            self._away.remove(session_id)
            del self._holds[session_id]
            self.go_on(session_id)

    def spoke(self, session_id: str) -> None:
        """WhatsApp took a message of this session."""
        self._failures.pop(session_id, None)

    def is_held(self, session_id: str) -> bool:
        """Whether this session must say nothing just now."""
        until = self._holds.get(session_id)
        return until is not None and until > self._clock.now()

    def next_at(self) -> datetime | None:
        """When there will be something to claim, as far as that is known; not before a slot is free."""
        if self._free() <= 0:
            return None
        times = [max(due, self._silent_until(one) or due) for one, due in self._due.items() if self._can(one)]
        return min(times, default=None)

    def _free(self) -> int:
        """The free slots; nearly none is none, since claims of one each cost as much as one of fifty."""
        free = SLOTS - sum(self._in_hand.values())
        return free if free >= CLAIMED_AT_LEAST else 0

    def _may_speak(self, session_id: str, now: datetime) -> bool:
        silent_until = self._silent_until(session_id)
        return self._can(session_id) and (silent_until or now) <= now

    def _can(self, session_id: str) -> bool:
        return session_id in self.speakers and self._holds_phone(session_id) and self._room(session_id) > 0

    def is_busy(self, session_id: str) -> bool:
        """Whether a message of this session is in the air."""
        return bool(self._in_hand.get(session_id))

    def _silent_until(self, session_id: str) -> datetime | None:
        """Until when this session must say nothing, which may have passed."""
        speaker = self.speakers.get(session_id)
        paused_until = None if speaker is None else speaker.paused_until
        times = (self._holds.get(session_id), paused_until, self._pace.next_at(session_id))
        return max((time for time in times if time is not None), default=None)

    def _room(self, session_id: str) -> int:
        """How many more may be in the air; only one while it is not known whether the provider is back."""
        limit = 1 if self._failures.get(session_id) else SLOTS_PER_SESSION
        return self._pace.at_once(limit - self._in_hand.get(session_id, 0))
