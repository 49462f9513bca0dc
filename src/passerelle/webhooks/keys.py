"""The secrets of endpoints, derived whenever they are needed, and what they sign (Standard Webhooks)."""

import base64
import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime

from cryptography.fernet import Fernet, InvalidToken
from standardwebhooks import Webhook

from passerelle.clock import rfc3339
from passerelle.webhooks.faults import SecretLost
from passerelle.webhooks.model import Delivery, Endpoint, Seed

SEALED = "sealed:"  # begins a seed that holds a secret of a key of before; other seeds are hexadecimal


class EndpointKeys:
    """Derives a secret from a seed and the gateway's own key: who has the database alone has no secret."""

    def __init__(self, secret: str, *earlier: str) -> None:
        """New seeds belong to `secret`; those of `earlier` keys still work."""
        self._keys = {_key_id(key): key for key in map(_own_key, (*earlier, secret))}
        self._current = _key_id(_own_key(secret))

    def new_seed(self) -> Seed:
        """A fresh one."""
        return Seed(secrets.token_hex(16), self._current)

    def secret(self, seed: Seed) -> str:
        """What is shown to the endpoint's owner, once: ``whsec_`` and 32 bytes in base64.

        Raises:
            SecretLost: the key that it was made with is not here.
        """
        key = self._keys.get(seed.key_id)
        if key is None:
            raise SecretLost
        return f"whsec_{base64.b64encode(_secret(key, seed.text)).decode()}"

    def renewed(self, seed: Seed) -> Seed | None:
        """One that gives the same secret with the key of today alone: its receiver notices nothing.

        Nothing where `seed` is such a one.

        Raises:
            SecretLost: as in `secret`.
        """
        secret = base64.b64decode(self.secret(seed).removeprefix("whsec_"))
        if seed.key_id == self._current:
            return None
        return Seed(SEALED + _seal(self._keys[self._current]).encrypt(secret).decode(), self._current)

    def headers(self, endpoint: Endpoint, delivery: Delivery, body: str, *, now: datetime) -> dict[str, str]:
        """What goes with `body`. The time of signing is real: receivers compare it with their own clocks.

        Raises:
            SecretLost: as in `secret`.
        """
        at = datetime.now(UTC)
        signatures = [
            Webhook(self.secret(seed)).sign(msg_id=delivery.id, timestamp=at, data=body) for seed in endpoint.seeds(now)
        ]
        return {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def body_of(delivery: Delivery) -> str:
    """What is sent: the event, and its number beside it."""
    head = json.dumps({"type": delivery.type, "timestamp": rfc3339(delivery.at), "seq": delivery.seq})
    return f'{head[:-1]}, "data": {delivery.data}}}'


def _secret(key: bytes, text: str) -> bytes:
    if not text.startswith(SEALED):
        return hmac.new(key, f"endpoint:{text}".encode(), hashlib.sha256).digest()
    try:
        return _seal(key).decrypt(text.removeprefix(SEALED).encode())
    except (InvalidToken, ValueError):
        raise SecretLost from None


def _seal(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hmac.new(key, b"seal", hashlib.sha256).digest()))


def _own_key(secret: str) -> bytes:
    return hashlib.sha256(f"passerelle.webhooks.secrets:{secret}".encode()).digest()


def _key_id(key: bytes) -> str:
    return hmac.new(key, b"id", hashlib.sha256).hexdigest()[:12]
