"""What Redis says of itself: is it of the right kind, and well?"""

from passerelle.diagnostics.model import Finding
from passerelle.errors import Text
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import FaultKind, known_fault
from passerelle.redis_link.layers import vitals
from passerelle.redis_link.layers.layer import InsideLayer
from passerelle.redis_link.layers.vitals import Vitals
from passerelle.redis_link.transport import Reply

NOT_VISIBLE = (
    Text("Redis at {at} does not show how it is (INFO).", "Redis ({at}) ne montre pas son état (INFO)."),
    Text(
        "The provider or the rights of this user hide it; nothing is wrong because of that.",
        "L'hébergeur ou les droits de cet utilisateur le cachent ; ce n'est pas un défaut.",
    ),
    Text(
        "To have it examined, give the user +info; otherwise look at the provider's dashboard.",
        "Pour l'examiner, donnez +info à l'utilisateur ; sinon, regardez le tableau de bord de l'hébergeur.",
    ),
)
POLICY_NOT_VISIBLE = (
    Text("Redis at {at} does not show its maxmemory-policy.", "Redis ({at}) ne montre pas sa maxmemory-policy."),
    Text(
        "The provider hides it; whether keys are deleted when the memory is full is not known.",
        "L'hébergeur la cache ; on ne sait pas si des clés sont supprimées quand la mémoire est pleine.",
    ),
    Text(
        "Look at the provider's dashboard: eviction should be off (noeviction).",
        "Regardez le tableau de bord de l'hébergeur : l'éviction doit être coupée (noeviction).",
    ),
)


class InfoLayer(InsideLayer):
    """Is this the right kind of Redis, and is it well?"""

    name = "redis_info"
    group = "redis_health"
    after = ("redis_auth",)
    title = Text("The state of Redis", "L'état de Redis")
    well = Text("Redis at {at} is well.", "Redis ({at}) va bien.")
    ill = Text("Redis at {at} is not as it should be.", "Redis ({at}) n'est pas comme il faut.")

    async def examine(self) -> list[Finding]:
        """See `Layer.look`."""
        try:
            info = vitals.read(str(await self.patient.ask("INFO")))
        except Faulted as error:
            if error.fault.kind is not FaultKind.REFUSED:
                raise
            return [self.unseen("REDIS_INFO", *NOT_VISIBLE, evidence=error.fault.message)]
        info |= await self._hidden_lines(info)
        found = list(vitals.errors(info)) or list(vitals.risks(info))
        findings = [self.bad(known_fault(code, lines)) for code, lines in found]
        if not info.get("maxmemory_policy") and "redis_version" in info and info.get("redis_mode") != "sentinel":
            findings.append(self.unseen("REDIS_EVICTION", *POLICY_NOT_VISIBLE))
        return findings or [self.fine(vitals.summary(info))]

    async def _hidden_lines(self, info: Vitals) -> Vitals:
        """What INFO does not show; nothing where we may not ask."""
        lines: Vitals = {}
        if info.get("redis_mode") == "cluster":
            lines |= vitals.read(str(await self._if_allowed("CLUSTER", "INFO") or ""))
        snapshots = await self._if_allowed("CONFIG", "GET", "save")
        if isinstance(snapshots, list) and snapshots[:1] == ["save"]:
            lines["save"] = str(snapshots[1])
        return lines

    async def _if_allowed(self, *words: str) -> Reply:
        try:
            return await self.patient.ask(*words)
        except Faulted as error:
            if error.fault.kind is not FaultKind.REFUSED:
                raise
            return None
