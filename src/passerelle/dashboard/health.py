"""What was found: what is wrong, why, and what helps."""

from starlette.routing import Route

from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet, spoken
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import BASE
from passerelle.diagnostics.cached import Diagnosis
from passerelle.diagnostics.model import BADNESS, Finding, Level, Report
from passerelle.errors import Text

EVERY_S = 5  # an examination takes up to 2.7 s
GROUPS = {
    "redis_available": Text("Redis: reachable", "Redis : joignable"),
    "redis_health": Text("Redis: healthy", "Redis : en forme"),
    "data_in_redis": Text("Records", "Enregistrements"),
    "environment": Text("Settings", "Réglages"),
    "database": Text("Database", "Base de données"),
    "whatsapp": Text("WhatsApp", "WhatsApp"),
    "media": Text("Stores of media", "Stockages des médias"),
    "progress": Text("Work under way", "Travaux en cours"),
}
WORDS = {
    "title": Text("Health", "Santé"),
    "cause": Text("Cause", "Cause"),
    "fix": Text("What helps", "Remède"),
    "as_of": Text("Examined", "Examiné"),
    "to_mend": Text("To be mended", "À corriger"),
    "by_part": Text("Part by part", "Partie par partie"),
    "nothing_to_mend": Text("Nothing is to be mended.", "Rien n'est à corriger."),
    "level_ok": Text("Fine", "Correct"),
    "level_warning": Text("Warning", "Avertissement"),
    "level_error": Text("Error", "Erreur"),
    "level_skipped": Text("Not looked at", "Non examiné"),
}


def routes(desk: Desk, diagnosis: Diagnosis) -> list[Route]:
    """``/dashboard/health``."""

    async def show(visit: Visit) -> Sheet:
        report = await diagnosis.report()
        facts = {"report": report, "bad": _bad(report), "groups": _groups(report, visit.lang), "spoken": _spoken(visit)}
        return Sheet(template="health", here=f"{BASE}/health", words=WORDS, facts=facts, every_s=EVERY_S)

    return [desk.page("/health", show)]


def _bad(report: Report) -> list[Finding]:
    """What should be mended, the worst first."""
    bad = [finding for finding in report.findings if BADNESS[finding.level] >= BADNESS[Level.WARNING]]
    return sorted(bad, key=lambda finding: -BADNESS[finding.level])


def _groups(report: Report, lang: str) -> list[tuple[str, list[Finding]]]:
    """All findings by the part they are about."""
    found = {
        name: [finding for result in report.results if result.group == name for finding in result.findings]
        for name in GROUPS
    }
    return [(spoken(GROUPS[name], lang), findings) for name, findings in found.items() if findings]


def _spoken(visit: Visit) -> object:
    """Turns a finding's sentence into the reader's language."""
    return lambda text: spoken(text, visit.lang)
