"""Runs checks: what must be known first comes first, the rest side by side, all of it within a limit."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from graphlib import TopologicalSorter

from passerelle.diagnostics.model import Finding, Level, Report, Result
from passerelle.diagnostics.ports import Check, Vital
from passerelle.errors import Text, Unavailable

CHECK_CRASHED = Finding(
    id="CHECK_CRASHED",
    level=Level.ERROR,
    what=Text("A check broke: what it looks at is unknown.", "Une vérification a échoué : son objet reste inconnu."),
    cause=Text("A fault in the check itself, not in what it looks at.", "Un défaut de la vérification elle-même."),
    fix=Text(
        "Please report it, with the type of the error and the version of Passerelle.",
        "Merci de le signaler, avec le type de l'erreur et la version de Passerelle.",
    ),
)
CHECK_TIMED_OUT = Finding(
    id="CHECK_TIMED_OUT",
    level=Level.ERROR,
    what=Text("A check did not end in time.", "Une vérification ne s'est pas terminée à temps."),
    cause=Text(
        "What it looks at does not answer, or this machine is overloaded.",
        "Ce qu'elle examine ne répond pas, ou cette machine est surchargée.",
    ),
    fix=Text(
        "Look whether that part answers at all, then at the load of this machine.",
        "Vérifiez si cette partie répond, puis la charge de cette machine.",
    ),
)

CHECK_BLIND = Finding(
    id="CHECK_BLIND",
    level=Level.ERROR,
    what=Text(
        "A check could not look: what it asks is away.", "Une vérification n'a rien pu voir : sa source est absente."
    ),
    cause=Text(
        "The database, Redis or WhatsApp does not answer; another finding says which.",
        "La base, Redis ou WhatsApp ne répond pas ; un autre constat dit lequel.",
    ),
    fix=Text("Mend what the other findings say.", "Corrigez ce que disent les autres constats."),
)


async def examine(checks: Sequence[Check], *, limit_s: float = 5.0) -> Report:
    """What `checks` find, in their order. A check whose need was not met is skipped; none outlives `limit_s`.

    Raises:
        ValueError: two checks need each other.
    """
    TopologicalSorter({check.name: check.needs for check in checks}).prepare()
    as_of = datetime.now(UTC)
    ends = asyncio.get_running_loop().time() + limit_s
    tasks: dict[str, asyncio.Task[Result]] = {}
    async with asyncio.TaskGroup() as group:
        for check in checks:
            tasks[check.name] = group.create_task(_look(check, tasks, ends))
    return Report(as_of=as_of, results=tuple(tasks[check.name].result() for check in checks))


async def _look(check: Check, tasks: Mapping[str, asyncio.Task[Result]], ends: float) -> Result:
    unmet = await _unmet(check, tasks)
    began = time.monotonic()
    findings = [_skipped(check, unmet)] if unmet is not None else await _findings(check, ends)
    return Result(
        check=check.name,
        group=check.group,
        vital=isinstance(check, Vital) and check.vital,
        findings=tuple(findings),
        took_s=time.monotonic() - began,
    )


async def _unmet(check: Check, tasks: Mapping[str, asyncio.Task[Result]]) -> str | None:
    """The first of its needs that failed, was skipped, or is not among the checks."""
    for name in check.needs:
        result = await tasks[name] if name in tasks else None
        if result is None or result.level is Level.ERROR or _saw_nothing(result):
            return name
    return None


def _saw_nothing(result: Result) -> bool:
    return all(finding.level is Level.SKIPPED for finding in result.findings)


async def _findings(check: Check, ends: float) -> list[Finding]:
    try:
        async with asyncio.timeout_at(ends) as limit:
            found = await check.run()
    except TimeoutError as error:
        return [_of(CHECK_TIMED_OUT, check) if limit.expired() else _crashed(check, error)]
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        return [_crashed(check, error)]
    except Unavailable as away:
        return [_of(CHECK_BLIND, check, away.code)]
    except Exception as error:
        return [_crashed(check, error)]
    return found or [_of(CHECK_CRASHED, check, "no finding")]


def _is_cancelled() -> bool:
    """Whether somebody cancelled us, and not only something that the check waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _crashed(check: Check, error: BaseException) -> Finding:
    """The type alone: what an error says may hold a secret."""
    return _of(CHECK_CRASHED, check, type(error).__name__)


def _of(finding: Finding, check: Check, seen: str = "") -> Finding:
    return replace(finding, evidence=f"{check.name}: {seen}" if seen else check.name)


def _skipped(check: Check, need: str) -> Finding:
    return Finding(
        id=f"{check.name.upper()}_SKIPPED",
        level=Level.SKIPPED,
        what=Text(f"Not looked at: needs {need}.", f"Pas examiné : dépend de {need}."),
    )
