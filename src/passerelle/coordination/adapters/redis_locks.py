"""Locks on Redis: token and TTL, each verb one Lua script, so that a lost answer can simply be asked again."""

from datetime import timedelta
from typing import Any

from passerelle.coalesce import Coalesced
from passerelle.coordination.ports import LockKey
from passerelle.redis_link import RedisLink

# `SET NX` whose answer got lost says "not acquired" although our token is in the key; this says who holds it.
_ACQUIRE = """
local holders = {}
for i, key in ipairs(KEYS) do
  local token, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  holders[i] = redis.call('GET', key)
  if not holders[i] then
    redis.call('SET', key, token, 'PX', ttl)
    holders[i] = token
  end
end
return holders
"""
_TAKE_OVER = """
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisLocks:
    """See `Locks`."""

    def __init__(self, link: RedisLink) -> None:
        """Lock on the Redis behind `link`."""
        self._link = link
        self._acquire = Coalesced(self._acquire_together)

    async def acquire(self, key: LockKey, *, token: str, ttl: timedelta) -> str:
        """See `Locks.acquire`; those asked for at the same time are asked for together."""
        return await self._acquire((_name(key), token, _ms(ttl)))

    async def _acquire_together(self, wanted: list[tuple[str, str, str]]) -> list[str]:
        names = [name for name, _, _ in wanted]
        values = [value for _, *values in wanted for value in values]
        holders = await self._link.write("EVAL", _ACQUIRE, str(len(names)), *names, *values)
        return [str(holder) for holder in holders]

    async def take_over(self, key: LockKey, *, token: str, stale: str, ttl: timedelta) -> bool:
        """See `Locks.take_over`."""
        return bool(await self._run(_TAKE_OVER, key, token, _ms(ttl), stale))

    async def release(self, key: LockKey, *, token: str) -> bool:
        """See `Locks.release`."""
        return bool(await self._run(_RELEASE, key, token))

    async def _run(self, script: str, key: LockKey, *values: str) -> Any:
        return await self._link.write("EVAL", script, "1", _name(key), *values)


def _name(key: LockKey) -> str:
    return f"passerelle:{{{key.client_id}}}:lock:{key.operation}:{key.user_id}"


def _ms(span: timedelta) -> str:
    return str(span // timedelta(milliseconds=1))
