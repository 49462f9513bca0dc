"""A key and what it was used for."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from passerelle.errors import Conflict, Invalid, Text

KEY_LIFE = timedelta(hours=24)  # DESIGN §3
KEY_LIMIT = 200


class IdempotencyConflict(Conflict):
    """The key was used before, for something else."""

    code = "idempotency_conflict"
    text = Text(
        "This Idempotency-Key was used for another request.", "Cette Idempotency-Key a servi à une autre requête."
    )
    hint = Text("Use a new key for a new request.", "Utilisez une nouvelle clé pour une nouvelle requête.")


class InvalidKey(Invalid):
    """An Idempotency-Key that cannot be one."""

    code = "invalid_idempotency_key"
    text = Text(
        "Idempotency-Key must be 1 to 200 printable characters.",
        "Idempotency-Key doit compter de 1 à 200 caractères imprimables.",
    )
    hint = Text("Use a random one per request.", "Utilisez-en une, aléatoire, par requête.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One request of one client: `verb` keeps keys of different routes apart, `result` names what came of it."""

    client_id: str
    verb: str
    key: str
    fingerprint: str
    result: tuple[str, ...]
    expires_at: datetime


def checked(key: str | None) -> str | None:
    """The key, if one was sent.

    Raises:
        InvalidKey: it cannot be kept, or shown in a log.
    """
    if key is not None and not (1 <= len(key) <= KEY_LIMIT and key.isprintable()):
        raise InvalidKey
    return key


def fingerprint(wish: Any) -> str:
    """What a request asks for (JSON values), as 64 hexadecimal digits; the order of its fields does not matter."""
    return hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()
