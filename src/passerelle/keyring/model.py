"""How much is sealed with which key."""

import hashlib
import hmac
from typing import NamedTuple, Self


class Tally(NamedTuple):
    """How many are sealed with the key of today, with one of before, and with none that is here."""

    current: int = 0
    earlier: int = 0
    lost: int = 0

    def and_(self, other: Self) -> "Tally":
        """Both together."""
        return Tally(self.current + other.current, self.earlier + other.earlier, self.lost + other.lost)


class Page(NamedTuple):
    """What a look at some of them has seen, and the id of the last one; none: there was nothing left."""

    tally: Tally
    last: str | None


def key_id(secret: str) -> str:
    """A name for a key that tells nothing of it."""
    derived = hashlib.sha256(f"passerelle.keyring:{secret}".encode()).digest()
    return hmac.new(derived, b"id", hashlib.sha256).hexdigest()[:12]
