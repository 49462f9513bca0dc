"""Meta's limits of speed, kept on our side: per number and second, and per recipient."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from passerelle.clock import Clock
from passerelle.whatsapp.sending import Remedy, SendRefused

PER_SECOND = 80  # messages of one number; Meta raises it to 1,000 by itself
PER_SECOND_COEXISTENCE = 20  # where the WhatsApp Business app uses the number too
PAIR_EVERY = timedelta(seconds=6)  # to one recipient,
PAIR_BURST = 45  # with so many at once borrowed from the future
LONGEST_DELAY = timedelta(seconds=1)  # a send waits so long by itself; more is the outbox's business
# After 131056 Meta wants 4^X s. X begins at 1: one second brings nobody a message that comes every 6 s.
PENALTY_BASE, LONGEST_PENALTY = 4, timedelta(hours=1)
PAIRS_REMEMBERED = 20_000  # about 5 MB


@dataclass(slots=True)
class _Pair:
    """One recipient of one number: when everything borrowed is paid back, and how often Meta said 131056 in a row."""

    free_at: datetime
    penalties: int = 0


class Limits:
    """Delays what may go soon, refuses what may not. In memory: after a restart Meta's own refusals teach it anew."""

    def __init__(self, clock: Clock, *, per_second: int = PER_SECOND) -> None:
        """`per_second` messages of each number."""
        self._clock = clock
        self._step = timedelta(seconds=1) / per_second
        self._numbers: dict[str, datetime] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}

    async def admit(self, number: str, recipient: str) -> None:
        """Return once the message may go.

        Raises:
            SendRefused: not within a second.
        """
        now = self._clock.now()
        pair = self._pair(number, recipient, now)
        early = pair.free_at - now - PAIR_EVERY * (PAIR_BURST - 1)
        if early > timedelta(0):
            raise SendRefused("pair_rate_limit", Remedy.THROTTLE_RECIPIENT, wait=early)
        turn = max(now, self._numbers.get(number, now))
        if turn - now > LONGEST_DELAY:
            raise SendRefused("throughput_limit", Remedy.THROTTLE_NUMBER, wait=turn - now)
        self._numbers[number] = turn + self._step
        pair.free_at += PAIR_EVERY
        if turn > now:
            await self._clock.sleep_until(turn)

    def taken(self, number: str, recipient: str) -> None:
        """Meta took a message: what it said before is forgiven."""
        pair = self._pairs.get((number, recipient))
        if pair is not None:
            pair.penalties = 0

    def penalty(self, number: str, recipient: str) -> timedelta:
        """Meta said 131056: how long to wait, longer each time in a row."""
        pair = self._pair(number, recipient, self._clock.now())
        pair.penalties += 1
        seconds = PENALTY_BASE ** min(pair.penalties, 10)
        return min(timedelta(seconds=seconds), LONGEST_PENALTY)

    def _pair(self, number: str, recipient: str, now: datetime) -> _Pair:
        if len(self._pairs) >= PAIRS_REMEMBERED:
            self._pairs = {key: pair for key, pair in self._pairs.items() if pair.free_at > now or pair.penalties}
        pair = self._pairs.setdefault((number, recipient), _Pair(now))
        pair.free_at = max(pair.free_at, now)
        return pair
