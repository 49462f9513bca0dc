"""Which checks there are: of a gateway that runs, and of one that is to."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from passerelle.app.base import Base, redis_setting
from passerelle.app.environment import DataDirCheck, FoundCheck, MediaOrderCheck
from passerelle.app.findings import (
    REDIS_MISSING_IN_PRODUCTION,
    SANDBOX,
    SANDBOX_IN_PRODUCTION,
    SETTING_WRONG,
    findings_of,
)
from passerelle.app.stores import media_findings, store_names
from passerelle.app.tracing import tracing_findings
from passerelle.coordination.adapters.sql_workers import SqlWorkerBook
from passerelle.coordination.checks import WorkersCheck
from passerelle.db.checks import DatabaseCheck
from passerelle.db.outside import OutsideCheck
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import Finding, Level
from passerelle.diagnostics.ports import Check
from passerelle.errors import Text
from passerelle.keyring.checks import KeyringCheck
from passerelle.keyring.service import Keyring
from passerelle.media.chain import StoreChain
from passerelle.media.checks import StoresCheck
from passerelle.messages.adapters.gauge import SqlOutboxGauge
from passerelle.messages.checks import OutboxCheck
from passerelle.pairing.adapters.gauge import SqlAttemptGauge
from passerelle.pairing.checks import PairingCheck
from passerelle.records.care import Care
from passerelle.records.checks import DataInRedis
from passerelle.records.service import Records
from passerelle.redaction import Redactor
from passerelle.redis_link import RedisSetting
from passerelle.sessions.checks import ProviderCheck, SessionsCheck
from passerelle.sessions.service import Sessions
from passerelle.settings import Settings
from passerelle.webhooks.adapters.gauge import SqlEndpointGauge
from passerelle.webhooks.checks import WebhooksCheck

SETTINGS = Text("The settings are right.", "Les réglages sont corrects.")
REDIS_WANTED = Text("Redis is configured where it is wanted.", "Redis est configuré là où il est voulu.")
_TOLD_ELSEWHERE = "REDIS_"  # by the checks of Redis, in the groups of Redis


def compose_diagnosis(
    base: Base,
    *,
    records: Records,
    care: Care,
    sessions: Sessions,
    chain: StoreChain,
    keyring: Keyring,
    findings: Sequence[Finding],
) -> Diagnosis:
    """What ``/api/health`` tells of this gateway; `findings` were found when it started."""
    in_redis = DataInRedis(care, suspicions=lambda: records.home.suspicions, files=base.settings.data_dir / "records")
    others: list[Check] = [in_redis, KeyringCheck(keyring)]
    return Diagnosis(partial(_checks_of, base, others, sessions, chain, findings))


def doctor_checks(settings: Settings, wrong: Sequence[str], redactor: Redactor) -> list[Check]:
    """What can be looked at without a gateway, a lock or a change; `wrong` are the settings that could not be read."""
    redis = redis_setting(settings)
    found = [*map(_wrong_setting, wrong), *findings_of(settings, redis), *media_findings(settings)]
    found += tracing_findings(os.environ)
    return [
        *_standing(settings, found),
        *_redis_checks(redis, redactor),
        *_wanted(found),
        OutsideCheck(settings.secret("database_url"), data_dir=settings.data_dir),
        MediaOrderCheck(store_names(settings)),
    ]


def _checks_of(
    base: Base, others: Sequence[Check], sessions: Sessions, chain: StoreChain, findings: Sequence[Finding]
) -> list[Check]:
    settings, database, clock = base.settings, base.database, base.clock
    known = [finding for finding in findings if finding.id == SANDBOX_IN_PRODUCTION.id]
    pretended = [SANDBOX] if base.provider.name == "sandbox" else []
    return [
        *_standing(settings, [finding for finding in findings if finding not in known]),
        *(_redis_checks(base.redis, base.redactor) if base.redis.configured else _redis_absent(base.redis)),
        *_wanted(findings),
        *others,
        DatabaseCheck(database),
        SessionsCheck(sessions, provider=settings.provider_name.upper()),
        ProviderCheck(base.provider.reach, found=known or pretended),
        StoresCheck(chain),
        WorkersCheck(SqlWorkerBook(), database=database),
        OutboxCheck(SqlOutboxGauge(), database=database, clock=clock, lease=settings.lease),
        PairingCheck(SqlAttemptGauge(), database=database, clock=clock),
        WebhooksCheck(SqlEndpointGauge(), database=database, clock=clock),
    ]


def _standing(settings: Settings, findings: Sequence[Finding]) -> list[Check]:
    others = [finding for finding in findings if not finding.id.startswith(_TOLD_ELSEWHERE)]
    return [
        FoundCheck("settings", group="environment", title=SETTINGS, found=others),
        DataDirCheck(settings.data_dir),
    ]


def _redis_checks(redis: RedisSetting, redactor: Redactor) -> list[Check]:
    from passerelle.redis_link.checks import redis_checks  # noqa: PLC0415 -- the driver takes 0.3 s to import

    return redis_checks(redis, redactor)


def _redis_absent(redis: RedisSetting) -> list[Check]:
    """What a gateway without Redis says of it: why, and that there is nothing more to see."""
    unseen = [replace(finding, level=Level.SKIPPED) for finding in redis.findings]
    return [
        FoundCheck("redis_setting", group="redis_available", title=REDIS_WANTED, found=redis.findings),
        FoundCheck("redis_health", group="redis_health", title=REDIS_WANTED, found=unseen),
    ]


def _wanted(findings: Sequence[Finding]) -> list[Check]:
    missing = [finding for finding in findings if finding.id == REDIS_MISSING_IN_PRODUCTION.id]
    return [FoundCheck("redis_wanted", group="redis_available", title=REDIS_WANTED, found=missing)] if missing else []


def _wrong_setting(line: str) -> Finding:
    return replace(SETTING_WRONG, evidence=line)
