"""``passerelle doctor``: what is wrong, why, and what helps; also where nothing runs and the settings are broken."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text as Line

from passerelle.app.checks import doctor_checks
from passerelle.cli.beside import gateway_checks
from passerelle.diagnostics.model import Finding, Level, worst
from passerelle.diagnostics.ports import Check
from passerelle.diagnostics.runner import examine
from passerelle.errors import Misconfigured, Text
from passerelle.logs import set_up_logs
from passerelle.redaction import Redactor
from passerelle.settings import Settings

SIGNS = {Level.OK: "✅", Level.WARNING: "⚠️", Level.ERROR: "❌", Level.SKIPPED: "⏭"}
STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red", Level.SKIPPED: "dim"}
COUNTED = {"passed": Level.OK, "failed": Level.ERROR, "warnings": Level.WARNING, "skipped": Level.SKIPPED}
EXITS = {Level.OK: 0, Level.SKIPPED: 0, Level.WARNING: 1, Level.ERROR: 2}
CAUSE, FIX, SEEN = Text("cause", "cause"), Text("fix", "remède"), Text("seen", "constaté")
FINE = Text("Nothing is wrong.", "Tout va bien.")
WRONG = Text("{failed} error(s), {warnings} warning(s).", "{failed} erreur(s), {warnings} avertissement(s).")
NOT_SEEN = Text(" {skipped} not looked at.", " {skipped} non examiné(s).")


class Doctor:
    """Looks at everything that can be seen from here."""

    def __init__(self, settings: Settings, wrong: Sequence[str], redactor: Redactor, *, lang: str) -> None:
        """`wrong` are the settings that cannot be read, one line each."""
        set_up_logs(redactor, as_json=False, to=Path(os.devnull))
        self._checks = [*doctor_checks(settings, wrong, redactor), *gateway_checks(settings, lang=lang)]
        self._redactor = redactor
        self._lang = lang

    def names(self) -> str:
        """Every check: its name, its group and what it looks at."""
        return "\n".join(
            f"{check.name:<18} {check.group:<16} {check.title.in_language(self._lang)}" for check in self._checks
        )

    def examine(self, *, only: str | None, as_json: bool) -> int:
        """Look and tell; the exit code: 0 nothing wrong, 1 warnings, 2 errors.

        Raises:
            Misconfigured: no check is called `only`.
        """
        report = asyncio.run(examine(self._chosen(only)))
        # where Redis is not set each of its checks says the same
        findings = list(dict.fromkeys(map(self._redacted, report.findings)))
        if as_json:
            told = {"status": report.health.value, **self._as_json(findings)}
            print(json.dumps(told, ensure_ascii=False, indent=2))  # noqa: T201 -- the command line speaks
        else:
            self._tell(findings, Console(highlight=False, soft_wrap=True))
        return EXITS[_worst(findings)]

    def _chosen(self, only: str | None) -> list[Check]:
        """All checks, or the one that is meant with what it needs, and what that needs."""
        if only is None:
            return self._checks
        known = {check.name: check for check in self._checks}
        if only not in known:
            raise Misconfigured(f"doctor knows no check {only!r}; passerelle doctor --list names them.")
        wanted, more = set[str](), {only}
        while more:
            wanted |= more
            more = {need for name in more for need in known[name].needs if need in known} - wanted
        return [check for check in self._checks if check.name in wanted]

    def _as_json(self, findings: Sequence[Finding]) -> dict[str, object]:
        return {"findings": [self._member(finding) for finding in findings], "summary": _summary(findings)}

    def _member(self, finding: Finding) -> dict[str, str]:
        texts = {name: getattr(finding, name).in_language(self._lang) for name in ("what", "cause", "fix")}
        return {"id": finding.id, "level": finding.level.value, **texts, "evidence": finding.evidence}

    def _redacted(self, finding: Finding) -> Finding:
        """Cause and fix are texts of ours; what was seen may come from anywhere."""
        what = Text(self._redactor.redact(finding.what.en), self._redactor.redact(finding.what.fr))
        return replace(finding, what=what, evidence=self._redactor.redact(finding.evidence))

    def _tell(self, findings: Sequence[Finding], console: Console) -> None:
        for finding in findings:
            console.print(self._line(SIGNS[finding.level], finding))
            for name, text in self._details(finding):
                console.print(Line(f"     {name}: {text}", style="dim"))
        console.print(Line(self._closing(findings), style="bold"))

    def _line(self, sign: str, finding: Finding) -> Line:
        return Line(f"{sign} {finding.what.in_language(self._lang)} [{finding.id}]", style=STYLES[finding.level])

    def _details(self, finding: Finding) -> list[tuple[str, str]]:
        lang = self._lang
        parts = (
            (CAUSE, finding.cause.in_language(lang)),
            (FIX, finding.fix.in_language(lang)),
            (SEEN, finding.evidence),
        )
        return [(name.in_language(lang), text) for name, text in parts if text]

    def _closing(self, findings: Sequence[Finding]) -> str:
        count, level = _summary(findings), _worst(findings)
        words = FINE if EXITS[level] == 0 else WRONG
        unseen = NOT_SEEN.in_language(self._lang) if count["skipped"] else ""
        sign = SIGNS[Level.OK if words is FINE else level]
        return f"{sign} {words.in_language(self._lang)}{unseen}".format_map(count)


def _worst(findings: Sequence[Finding]) -> Level:
    return worst((Level.OK, *(finding.level for finding in findings)))


def _summary(findings: Sequence[Finding]) -> dict[str, int]:
    levels = Counter(finding.level for finding in findings)
    counts = {name: levels[level] for name, level in COUNTED.items()}
    return {"total": len(findings)} | counts
