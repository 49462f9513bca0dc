"""How the gateway is and was: what is wrong, why, what helps; how messages flow; what changed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from starlette.routing import Route

from passerelle.app import App
from passerelle.dashboard.addresses import address
from passerelle.dashboard.charts import charts_of
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet, spoken
from passerelle.dashboard.health_words import GROUPS, WORDS
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.diagnostics.model import BADNESS, Finding, Report
from passerelle.errors import Text, Unavailable
from passerelle.messages.traffic import Period

HERE = f"{BASE}/health"
EVERY_S = 5  # an examination takes up to 2.7 s
CHANGES, ID_LIMIT = 20, 64
MINUTE_S, QUICK_S = 60, 10


def routes(desk: Desk, app: App) -> list[Route]:
    """``/dashboard/health``."""

    async def show(visit: Visit) -> Sheet:
        period = Period(visit.asked("period")) if visit.asked("period") in set(Period) else Period.HOUR
        before = visit.asked("before")[:ID_LIMIT]
        report = await app.diagnosis.report()
        facts = {
            "report": report,
            "bad": _bad(report),
            "groups": _groups(report, visit.lang),
            "spoken": _spoken(visit),
            "period": period,
            "periods": [(one, _here(one, before)) for one in Period],
            "span": lambda seconds: span(seconds, visit.lang),
            "number": lambda value: number(value, visit.lang),
            "parts": GROUPS,
            **await _charts(app, period, visit.lang),
            **await _changes(app, period, before),
        }
        return Sheet(template="health", here=_here(period, before), words=WORDS, facts=facts, every_s=EVERY_S)

    return [desk.page("/health", show)]


async def _charts(app: App, period: Period, lang: str) -> dict[str, Any]:
    """The charts; none while SQL is away."""
    try:
        traffic = await app.flow.traffic(period)
    except Unavailable:
        return {"charts": None}
    told = WORDS["latency_none"] if traffic.half is None else WORDS["latency_now"]
    latest = spoken(told, lang).format(half=span(traffic.half, lang), most=span(traffic.most, lang))
    return {"charts": charts_of(traffic), "latest": latest}


async def _changes(app: App, period: Period, before: str) -> dict[str, Any]:
    """A page of the history; what this process knows while SQL is away."""
    past = await app.history.past(before=before, limit=CHANGES + 1)
    shown = past.changes[:CHANGES]
    older = _here(period, shown[-1][0]) if past.written and len(past.changes) > CHANGES else None
    return {
        "past": past,
        "changes": [one for _, one in shown],
        "older": older,
        "newest": _here(period, "") if before else None,
    }


def _here(period: Period, before: str) -> str:
    return address(HERE, period="" if period is Period.HOUR else period.value, before=before)


def number(value: float, lang: str) -> str:
    """A number as people read it: whole, or with one or two digits behind the point."""
    text = f"{value:.2f}".rstrip("0").rstrip(".") if value < QUICK_S else f"{value:.0f}"
    return text.replace(".", ",") if lang == "fr" else text


def span(length: timedelta | float | None, lang: str) -> str:
    """A span as people read it, in milliseconds, seconds or minutes."""
    if length is None:
        return "–"
    seconds = length / timedelta(seconds=1) if isinstance(length, timedelta) else length
    if seconds < 1:
        return f"{seconds * 1000:.0f}\u00a0ms"
    if seconds < 2 * MINUTE_S:
        return f"{number(round(seconds, 1), lang)}\u00a0s"
    return f"{number(round(seconds / MINUTE_S, 1), lang)}\u00a0min"


def _bad(report: Report) -> list[Finding]:
    """What should be mended, the worst first."""
    bad = [finding for finding in report.findings if finding.level.is_bad]
    return sorted(bad, key=lambda finding: -BADNESS[finding.level])


def _groups(report: Report, lang: str) -> list[tuple[str, list[Finding]]]:
    """All findings by the part they are about."""
    found = {
        name: [finding for result in report.results if result.group == name for finding in result.findings]
        for name in GROUPS
    }
    return [(spoken(GROUPS[name], lang), findings) for name, findings in found.items() if findings]


def _spoken(visit: Visit) -> Callable[[Text], str]:
    """Turns a finding's sentence into the reader's language."""
    return lambda text: spoken(text, visit.lang)
