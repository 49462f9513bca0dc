"""The one who asks."""

from dataclasses import dataclass

DEFAULT_CLIENT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose data a verb works on, and whether the caller may do everything; every verb's first argument."""

    client_id: str = DEFAULT_CLIENT
    admin: bool = False
