"""What callers of the link meet when Redis did not do it."""

from datetime import timedelta

from passerelle.errors import Rejected, Text, Unavailable
from passerelle.redis_link.catalogue import RedisFault


class Faulted(Exception):
    """Inside this room only: the driver failed, and `fault` says why."""

    def __init__(self, fault: RedisFault) -> None:
        super().__init__(fault.code)
        self.fault = fault


class RedisAway(Unavailable):
    """Redis is away, refuses writes or has no connection left; `fault` says which."""

    code = "redis_unavailable"
    text = Text("Redis cannot be used just now.", "Redis est indisponible pour le moment.")
    hint = Text(
        "Try again in a moment; `passerelle doctor` says what is wrong with Redis.",
        "Réessayez dans un instant ; « passerelle doctor » dit ce qui ne va pas avec Redis.",
    )

    def __init__(self, *, fault: RedisFault, maybe_applied: bool = False) -> None:
        """Because of `fault`; `maybe_applied` means a write may have happened all the same."""
        super().__init__(retry_after=timedelta(seconds=1))
        self.fault = fault
        self.maybe_applied = maybe_applied

    def __str__(self) -> str:
        return f"{self.text.en} {self.fault.code}: {self.fault.message}"


class RedisRefused(Rejected):
    """Redis is well and refused this command (wrong type, unknown command, forbidden key): asking again is no use."""

    code = "redis_refused"
    text = Text("Redis refused a command.", "Redis a refusé une commande.")
    hint = Text(
        "This is a fault of the program or of the rights given to its Redis user.",
        "C'est un défaut du programme ou des droits donnés à son utilisateur Redis.",
    )

    def __init__(self, *, fault: RedisFault) -> None:
        """Because of `fault`."""
        super().__init__()
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.text.en} {self.fault.code}: {self.fault.message}"
