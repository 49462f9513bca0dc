"""The buckets of all processes on Redis, in one Lua script."""

from collections.abc import Sequence

from passerelle.clients.ports import KeyName, Spending
from passerelle.clients.rate import Rate
from passerelle.redis_link import RedisLink

# A bucket that is not there (it was full, or Redis lost it) begins with what its process believes: a Redis that comes
# back empty gives nobody tokens that he has spent. Redis' own clock counts: those of several machines may differ.
_SPEND = """
local per_s, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local left = {}
for i, key in ipairs(KEYS) do
  local spent, believed = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local known = redis.call('HMGET', key, 'tokens', 'at')
  local tokens = believed
  if known[1] and known[2] then
    tokens = math.min(burst, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) * per_s) - spent
  end
  redis.call('HSET', key, 'tokens', string.format('%.3f', tokens), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((burst - tokens) / per_s * 1000) + 1000)
  left[i] = string.format('%.3f', tokens)
end
return left
"""


class RedisBuckets:
    """See `SharedBuckets`."""

    def __init__(self, link: RedisLink) -> None:
        """Count on the Redis behind `link`."""
        self._link = link

    async def spend(self, spendings: Sequence[Spending], rate: Rate) -> list[float]:
        """See `SharedBuckets.spend`."""
        names = [_name(spending.key) for spending in spendings]
        values = [word for one in spendings for word in (str(one.spent), f"{one.tokens:.3f}")]
        words = (str(rate.per_s), str(rate.burst), *values)
        return [float(one) for one in await self._link.write("EVAL", _SPEND, str(len(names)), *names, *words)]


def _name(key: KeyName) -> str:
    return f"passerelle:{{{key.client_id}}}:rate:{key.key_id}"
