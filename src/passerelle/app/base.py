"""What every feature is made of."""

from dataclasses import dataclass

from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.metrics.counters import Metrics
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisLink, RedisSetting, examine
from passerelle.settings import Settings
from passerelle.tracing.ports import Tracer
from passerelle.whatsapp.ports import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Settings, and what was opened by them before WhatsApp."""

    settings: Settings
    database: Database
    link: RedisLink
    redis: RedisSetting
    redactor: Redactor
    clock: Clock
    """Business time."""
    worker_id: str
    metrics: Metrics
    tracer: Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Base(Ground):
    """The ground, and the way to WhatsApp."""

    provider: Provider


def redis_setting(settings: Settings) -> RedisSetting:
    """What the settings say of Redis."""
    return examine(
        settings.secret("redis_url"),
        settings.redis_host,
        settings.redis_port,
        settings.secret("redis_password"),
        settings.secret("kv_rest_api_url"),
        settings.secret("kv_rest_api_token"),
    )


def own_url(settings: Settings) -> str:
    """Where we listen, for links where no public address is set."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"
