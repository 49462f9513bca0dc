"""How the gateway is, for people and for those that restart it (docs/diagnosis.md)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from passerelle import problems
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import BADNESS, Finding, Health, Level, Report
from passerelle.errors import Text

WHO_LIMIT_S = 2.7  # as long as an examination
GROUPS = (
    *("redis_available", "redis_health", "environment", "data_in_redis"),
    *("database", "whatsapp", "media", "progress"),
)
STATUS = {Level.OK: "passed", Level.ERROR: "failed", Level.WARNING: "warning", Level.SKIPPED: "skipped"}
COUNTED = {"passed": "passed", "failed": "failed", "warnings": "warning", "skipped": "skipped"}
NOT_LOOKED_AT = Finding(
    id="NOT_LOOKED_AT",
    level=Level.SKIPPED,
    what=Text("Nothing looks at this here.", "Rien n'examine ceci ici."),
    cause=Text("It plays no part in this configuration.", "Cela ne joue aucun rôle dans cette configuration."),
    fix=Text("Nothing to do.", "Rien à faire."),
)


def routes(diagnosis: Diagnosis, sees_all: Callable[[Request], Awaitable[bool]], *, lang: str) -> APIRouter:
    """``/api/health``, for everybody; `sees_all` tells who reads more than one word, `lang` where he names none."""
    router = APIRouter(tags=["probes"])

    @router.get("/api/health", responses={HTTPStatus.SERVICE_UNAVAILABLE: {"description": "unhealthy"}})
    async def health(request: Request) -> JSONResponse:
        """How the gateway is; which checks failed, why and what helps, with the admin key."""
        report, all_of_it = await asyncio.gather(diagnosis.report(), _in_time(sees_all(request)))
        body = shown(report, lang=problems.language(request, default=lang)) if all_of_it else _status(report)
        well = report.health is not Health.UNHEALTHY
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(body, status, {"Cache-Control": "no-store"})

    return router


async def _in_time(sees_all: Awaitable[bool]) -> bool:
    """Who asks may have to be looked up where nothing answers just now: then he is nobody."""
    try:
        async with asyncio.timeout(WHO_LIMIT_S):
            return await sees_all
    except TimeoutError:
        return False


def shown(report: Report, *, lang: str) -> dict[str, Any]:
    """The report as its readers know it: the worst finding of every group, or all that is well there."""
    checks = {group: _told(_found(report, group), lang) for group in GROUPS}
    statuses = [check["status"] for check in checks.values()]
    counts = {name: statuses.count(status) for name, status in COUNTED.items()}
    return _status(report) | {"checks": checks, "summary": {"total": len(checks)} | counts}


def _status(report: Report) -> dict[str, Any]:
    return {"status": report.health.value}


def _found(report: Report, group: str) -> list[Finding]:
    found = [finding for result in report.results if result.group == group for finding in result.findings]
    return found or [NOT_LOOKED_AT]


def _told(found: Sequence[Finding], lang: str) -> dict[str, str | None]:
    """What was seen goes with the message; what is well has neither cause nor fix."""
    worst = max(found, key=lambda finding: BADNESS[finding.level])  # the first of them
    message = worst.what.in_language(lang)
    told: dict[str, str | None] = {"status": STATUS[worst.level]}
    if worst.level is Level.OK:
        sentences = " ".join(finding.what.in_language(lang) for finding in found)
        return told | {"message": sentences, "finding": None, "cause": None, "fix": None}
    return told | {
        "message": f"{message} ({worst.evidence})" if worst.evidence else message,
        "finding": worst.id,
        "cause": worst.cause.in_language(lang),
        "fix": worst.fix.in_language(lang),
    }
