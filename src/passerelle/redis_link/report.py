"""The log lines about Redis (MISSION D1): each once per change of state, never a password."""

import structlog

from passerelle.redis_link.catalogue import RedisFault
from passerelle.redis_link.setting import RedisSetting
from passerelle.redis_link.state import RedisState, RedisStatus

log = structlog.get_logger()


def log_absent() -> None:
    """Nothing to connect to."""
    log.info("Redis is not configured", url_set=False)


def log_connecting(setting: RedisSetting) -> None:
    """The first attempt begins."""
    log.info("🔄 Redis connecting...", server=setting.shown)


def log_test_failed(setting: RedisSetting, fault: RedisFault) -> None:
    """The first probe after the start failed."""
    log.error("❌ Redis connection test failed", **_details(setting, fault))


def log_change(setting: RedisSetting, status: RedisStatus) -> None:
    """What Redis has just become."""
    if status.state is RedisState.UP and status.writable:
        log.info("✅ Redis ready and connected", server=setting.shown)
    elif status.fault is not None and status.state is RedisState.UP:
        log.warning("⚠️ Redis not writable", **_details(setting, status.fault))
    elif status.fault is not None:
        log.error("❌ Redis connection error", **_details(setting, status.fault))


def log_forgot(setting: RedisSetting) -> None:
    """It was emptied, or restarted in a blink with less than it had."""
    log.warning("⚠️ Redis forgot what was written to it a moment ago", server=setting.shown)


def _details(setting: RedisSetting, fault: RedisFault) -> dict[str, str | bool]:
    return {
        "message": fault.message,
        "code": fault.code,
        "url_set": setting.configured,
        "server": setting.shown,
        "cause": fault.cause.en,
        "fix": fault.fix.en,
    }
