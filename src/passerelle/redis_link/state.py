"""What is known about Redis, and how one probe changes it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from passerelle.redis_link.catalogue import FaultKind, RedisFault


class RedisState(StrEnum):
    """Where Redis stands."""

    ABSENT = "absent"  # not configured
    UP = "up"  # configured and answering
    DOWN = "down"  # configured, not answering or not usable


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStatus:
    """The state of the link since `since` (UTC); `fault` says why it is not up and writable."""

    state: RedisState
    writable: bool
    fault: RedisFault | None
    since: datetime

    @classmethod
    def absent(cls, fault: RedisFault) -> "RedisStatus":
        """Nothing is configured."""
        return cls(state=RedisState.ABSENT, writable=False, fault=fault, since=datetime.now(UTC))

    @classmethod
    def down(cls, fault: RedisFault) -> "RedisStatus":
        """Configured, and away because of `fault`."""
        return cls(state=RedisState.DOWN, writable=False, fault=fault, since=datetime.now(UTC))

    def probed(self, fault: RedisFault | None, *, sure: bool) -> "RedisStatus":
        """The status after a probe that met `fault` (None: all is well).

        What the server says of itself is believed at once; silence only when `sure`.
        Too many clients say nothing about the server: up stays up, down stays down.
        """
        if fault is None:
            return self._become(RedisState.UP, writable=True, fault=None)
        if fault.kind is FaultKind.BUSY:
            return self if self.state is RedisState.UP else replace(self, fault=fault)
        if self.state is RedisState.UP and fault.needs_second_look and not sure:
            return self
        if fault.kind is FaultKind.AWAY:
            return self._become(RedisState.DOWN, writable=False, fault=fault)
        return self._become(RedisState.UP, writable=False, fault=fault)

    def same_as(self, other: "RedisStatus") -> bool:
        """Whether nothing changed that anybody must be told."""
        return (self.state, self.writable) == (other.state, other.writable)

    def _become(self, state: RedisState, *, writable: bool, fault: RedisFault | None) -> "RedisStatus":
        after = RedisStatus(state=state, writable=writable, fault=fault, since=datetime.now(UTC))
        return replace(after, since=self.since) if after.same_as(self) else after


class StateListener(Protocol):
    """Told about the first known status, once per change of `state` or `writable`, and when Redis forgot something."""

    async def redis_changed(self, status: RedisStatus) -> None:
        """React to `status`; changes are told in order, one at a time, never two at once."""
        ...
