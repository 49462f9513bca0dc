"""What every feature is made of."""

from dataclasses import dataclass

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.redis_link import RedisLink, RedisSetting
from passerelle.sandbox.host import Sandbox
from passerelle.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Settings, and what was opened by them."""

    settings: Settings
    database: Database
    link: RedisLink
    redis: RedisSetting
    sandbox: Sandbox
    worker_id: str

    @property
    def clock(self) -> Clock:
        """Business time."""
        return self.sandbox.clock
