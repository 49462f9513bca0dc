"""The one connection to Redis: its setting examined, its state known, its faults named.

Words owned here: *link* (who owns the connection and its state), *state* (absent, up, down), *writable* (Redis takes
writes; reads may go on without), *fault* (why Redis did not do it, with cause and fix), *probe* (the link's own
question to Redis), *doubt* (a caller met a fault: probe now), *budget* (the seconds one request may wait for Redis).
"""

from passerelle.redis_link.away import RedisAway, RedisRefused
from passerelle.redis_link.budget import request_budget
from passerelle.redis_link.catalogue import FaultKind, RedisFault
from passerelle.redis_link.link import RedisLink
from passerelle.redis_link.setting import RedisSetting, examine
from passerelle.redis_link.state import RedisState, RedisStatus, StateListener

__all__ = [
    "FaultKind",
    "RedisAway",
    "RedisFault",
    "RedisLink",
    "RedisRefused",
    "RedisSetting",
    "RedisState",
    "RedisStatus",
    "StateListener",
    "examine",
    "request_budget",
]
