"""Whether Redis knows us, and our database."""

from passerelle.diagnostics.model import Finding, Level
from passerelle.errors import Text
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import known_fault
from passerelle.redis_link.layers.layer import InsideLayer, because

PASSWORD_AS_USER = Text(
    "The address has a user and no password: the password probably stands where the user belongs.",
    "L'adresse a un utilisateur et pas de mot de passe : il est sans doute à la place de l'utilisateur.",
)


class AuthLayer(InsideLayer):
    """Does Redis know us, and our database?"""

    name = "redis_auth"
    after = ("redis_speaks",)
    title = Text("The password and the database of Redis", "Le mot de passe et la base de Redis")
    well = Text("Redis at {at} knows us.", "Redis ({at}) nous reconnaît.")
    ill = Text("Redis at {at} does not let us in.", "Redis ({at}) ne nous laisse pas entrer.")

    async def examine(self) -> list[Finding]:
        """See `Layer.look`."""
        patient = self.patient
        if patient.setting.is_rest or not (patient.address.user or patient.address.password):
            if patient.refusal:
                raise Faulted(patient.refusal)
            findings = [self.fine("token accepted" if patient.setting.is_rest else "no password needed")]
        else:
            findings = await self._log_in(patient.address.user, patient.address.password)
        if not patient.setting.is_rest and patient.address.db:
            await patient.ask("SELECT", str(patient.address.db))
        return findings

    async def _log_in(self, user: str, password: str) -> list[Finding]:
        try:
            await self.patient.ask("AUTH", *([user] if user else []), password)
        except Faulted as error:
            wrong = error.fault.code == "REDIS_WRONGPASS" and not password
            raise Faulted(because(error.fault, PASSWORD_AS_USER) if wrong else error.fault) from None
        if self.patient.refusal or user not in {"", "default"}:
            return [self.fine("password accepted")]
        # It took the password, and would have taken any: PING was answered without one.
        open_to_all = known_fault("REDIS_OPEN_SERVER", "PING is answered without a password")
        return [self.fine("password accepted"), self.bad(open_to_all, level=Level.WARNING)]
