"""What the checks of Redis have in common: their time, their turn, and how a fault becomes a finding."""

import asyncio
import time
from dataclasses import replace
from typing import ClassVar

from redis.exceptions import RedisError

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import CATALOGUE, FaultKind, RedisFault, known_fault
from passerelle.redis_link.layers.patient import Patient
from passerelle.redis_link.rest_faults import WORDS

LEVELS = {
    FaultKind.AWAY: Level.ERROR,
    FaultKind.UNWRITABLE: Level.ERROR,
    FaultKind.REFUSED: Level.ERROR,  # it is our own command that was refused
    FaultKind.BUSY: Level.WARNING,
    FaultKind.RISK: Level.WARNING,
}
LAYER_LIMIT = 0.9
NO_CONNECTION = (
    Text("Not looked at: there is no connection to {at}.", "Pas examiné : pas de connexion à {at}."),
    Text("Redis answered, but did not take us in.", "Redis a répondu, mais ne nous a pas acceptés."),
    Text("Mend what stands before this one.", "Corrigez ce qui précède."),
)


class Layer:
    """See `Check`. One layer on the way into Redis: below a layer that failed nothing is looked at."""

    name: ClassVar[str]
    group: ClassVar[str] = "redis_available"
    title: ClassVar[Text]
    after: ClassVar[tuple[str, ...]]
    well: ClassVar[Text]  # {at} is host:port
    ill: ClassVar[Text]
    late: ClassVar[str] = "REDIS_SILENT"  # the code for no answer in time
    last: ClassVar[bool] = False

    def __init__(self, patient: Patient) -> None:
        """One check of one examination of `patient`."""
        self.patient = patient

    @property
    def needs(self) -> tuple[str, ...]:
        """See `Check.needs`; where nothing is set each check says so itself."""
        return () if self.patient.absent else self.after

    async def run(self) -> list[Finding]:
        """See `Check.run`."""
        if self.patient.absent:
            return list(self.patient.setting.findings)
        async with self.patient.turn:
            began = time.monotonic()
            try:
                findings = await self._look_in_time()
            except BaseException:
                await self.patient.close()
                raise
            finally:
                self.patient.spent_s += time.monotonic() - began
            await self._note(findings)
        return findings

    async def look(self) -> list[Finding]:
        """What this layer finds.

        Raises:
            Faulted: the layer is not passed.
        """
        raise NotImplementedError

    def fine(self, evidence: str) -> Finding:
        """All is well here."""
        return Finding(
            id=self.name.upper(),
            level=Level.OK,
            what=self._at(self.well),
            evidence=self.patient.redactor.redact(evidence),
        )

    def bad(self, fault: RedisFault, *, level: Level | None = None) -> Finding:
        """The finding that tells `fault`."""
        cause, fix = fault.cause, fault.fix
        if self.patient.setting.is_rest and fault.cause == CATALOGUE[fault.code].cause:
            cause, fix = WORDS.get(fault.code, (cause, fix))
        return Finding(
            id=fault.code,
            level=level or LEVELS[fault.kind],
            what=self._at(self.ill),
            cause=cause,
            fix=fix,
            evidence=self.patient.redactor.redact(fault.message),
        )

    def unseen(self, finding_id: str, what: Text, cause: Text, fix: Text, evidence: str = "") -> Finding:
        """Something could not be looked at; never green."""
        shown = self.patient.redactor.redact(evidence)
        return Finding(id=finding_id, level=Level.SKIPPED, what=self._at(what), cause=cause, fix=fix, evidence=shown)

    async def _look_in_time(self) -> list[Finding]:
        limit_s = self.patient.left(LAYER_LIMIT)
        try:
            async with asyncio.timeout(limit_s):
                return await self.look()
        except Faulted as error:
            return [self.bad(error.fault)]
        except TimeoutError:
            code = "REDIS_SLOW" if self.patient.far else self.late
            return [self.bad(known_fault(code, f"no answer within {limit_s:.1f} s"))]
        except (RedisError, OSError) as error:
            return [self.bad(self.patient.fault(error))]

    async def _note(self, findings: list[Finding]) -> None:
        """Remember the errors; nobody goes on after one, so close what is open."""
        self.patient.told += [finding.id for finding in findings if finding.level is Level.ERROR]
        if self.last or self.patient.told:
            await self.patient.close()

    def _at(self, text: Text) -> Text:
        shown = self.patient.setting.shown
        return Text(text.en.replace("{at}", shown), text.fr.replace("{at}", shown))


class InsideLayer(Layer):
    """One that asks commands; without a connection there is nothing to ask."""

    async def look(self) -> list[Finding]:
        """See `Layer.look`."""
        if not self.patient.reached:
            return [self.unseen(f"{self.name.upper()}_SKIPPED", *NO_CONNECTION)]
        return await self.examine()

    async def examine(self) -> list[Finding]:
        """As `look`, with a connection."""
        raise NotImplementedError


def because(fault: RedisFault, cause: Text) -> RedisFault:
    """`fault` with a cause that is known more exactly."""
    return replace(fault, cause=cause)


def took(began: float) -> str:
    """The time since `began`, for evidence."""
    return f"{(time.monotonic() - began) * 1000:.1f} ms"
