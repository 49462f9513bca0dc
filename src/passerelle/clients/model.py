"""Who may use the gateway: clients with their keys, logins of the dashboard, and who asks just now."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from passerelle.errors import Conflict, Invalid, NotFound, Text

DEFAULT_CLIENT = "default"
CLIENTS, LOGINS = "clients", "logins"
MARK = "pas"
NAME_LIMIT = 200
OVERLAP = timedelta(hours=24)


class UnknownClient(NotFound):
    """No client has that id."""

    code = "client_not_found"
    text = Text("There is no such client.", "Ce client n'existe pas.")
    hint = Text("List them with GET /api/clients.", "Listez-les avec GET /api/clients.")


class UnknownKey(NotFound):
    """The client has no key of that id."""

    code = "key_not_found"
    text = Text("There is no such key.", "Cette clé n'existe pas.")
    hint = Text("List the clients and their keys with GET /api/clients.", "Listez-les avec GET /api/clients.")


class BadName(Invalid):
    """A name that nobody could read."""

    code = "invalid_name"
    text = Text("The name of a client has 1 to 200 characters.", "Le nom d'un client a de 1 à 200 caractères.")
    hint = Text("Send another name.", "Envoyez un autre nom.")


class BadLabel(Invalid):
    """A label that nobody could read."""

    code = "invalid_label"
    text = Text("The label of a key has at most 200 characters.", "Le libellé d'une clé a au plus 200 caractères.")
    hint = Text("Send another label, or none.", "Envoyez un autre libellé, ou aucun.")


class KeyEnded(Conflict):
    """The key is good no more: nothing can take its place."""

    code = "key_ended"
    text = Text("This key is good no more.", "Cette clé n'est plus valable.")
    hint = Text("Make a new one: POST /api/clients/{id}/keys.", "Créez-en une autre : POST /api/clients/{id}/keys.")


class ClientGone(Conflict):
    """The client was removed."""

    code = "client_removed"
    text = Text("This client was removed.", "Ce client a été supprimé.")
    hint = Text("Make a new one: POST /api/clients.", "Créez-en un autre : POST /api/clients.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose data a verb works on, and whether the caller may do everything; every verb's first argument."""

    client_id: str = DEFAULT_CLIENT
    admin: bool = False
    key_id: str = field(default="", compare=False)  # of a client's key; who asks is the client, by whichever of them


class ApiKey(NamedTuple):
    """A key as it is shown, this once: ``pas_<client>_<key>_<secret>``; whose it is stands in it."""

    client_id: str
    key_id: str
    secret: str

    @classmethod
    def new(cls, client_id: str) -> Self:
        """A fresh key."""
        return cls(client_id, secrets.token_hex(4), secrets.token_hex(20))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The key that `text` is, if it looks like one."""
        parts = text.split("_")
        if len(parts) != 4 or parts[0] != MARK or not all(parts):  # noqa: PLR2004 -- as the form says
            return None
        return cls(f"client_{parts[1]}", parts[2], parts[3])

    def __str__(self) -> str:
        return f"{self.prefix}_{self.secret}"

    @property
    def prefix(self) -> str:
        """What may be shown of it: whose it is and which."""
        return prefix_of(self.client_id, self.key_id)

    @property
    def digest(self) -> str:
        """What is kept of it: the secret has 160 random bits, so a plain hash is enough."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKey:
    """What is kept of a key."""

    id: str
    digest: str
    created_at: datetime
    revoked: bool
    label: str = ""
    expires_at: datetime | None = None

    def opens_to(self, key: ApiKey, *, now: datetime) -> bool:
        """Whether `key` is this one, and still good."""
        return hmac.compare_digest(self.digest, key.digest) and self.is_good(now)

    def is_good(self, now: datetime) -> bool:
        """Whether it is neither revoked nor replaced for long enough."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Somebody whose data is apart from everybody else's."""

    id: str
    name: str
    created_at: datetime
    removed: bool
    keys: tuple[KeptKey, ...]

    def key(self, key_id: str) -> KeptKey:
        """The key of that id.

        Raises:
            UnknownKey: there is none.
        """
        found = next((key for key in self.keys if key.id == key_id), None)
        if found is None:
            raise UnknownKey
        return found


def prefix_of(client_id: str, key_id: str) -> str:
    """How a key of this client begins."""
    return f"{MARK}_{client_id.removeprefix('client_')}_{key_id}"


def checked_label(label: str) -> str:
    """The label, without the space around it.

    Raises:
        BadLabel: nobody could read it.
    """
    label = label.strip()
    if len(label) > NAME_LIMIT or not label.isprintable():
        raise BadLabel
    return label


def new_document(name: str, key: ApiKey, *, label: str = "", now: datetime) -> dict[str, Any]:
    """The document of a new client; flat, so that a fact can tell one thing of it."""
    return {"name": name, "created_at": now.isoformat(), **key_entry(key, label=label, now=now)}


def key_entry(key: ApiKey, *, label: str = "", now: datetime) -> dict[str, Any]:
    """What a document gains by one more key."""
    labelled = {"label": label} if label else {}
    return {f"key:{key.key_id}": {"digest": key.digest, "created_at": now.isoformat()} | labelled}


def expiry_entry(key_id: str, *, at: datetime) -> dict[str, Any]:
    """What a document gains by a key that another one replaces."""
    return {f"expires:{key_id}": at.isoformat()}


def revoked_entry(key_id: str, *, now: datetime) -> dict[str, Any]:
    """The fact that a key is good no more."""
    return {f"revoked:{key_id}": now.isoformat()}


def from_document(client_id: str, data: dict[str, Any]) -> Client:
    """The client that a document tells of."""
    return Client(
        id=client_id,
        name=data["name"],
        created_at=datetime.fromisoformat(data["created_at"]),
        removed=data.get("removed_at") is not None,
        keys=tuple(_key(name, data) for name in sorted(data) if name.startswith("key:")),
    )


def _key(name: str, data: dict[str, Any]) -> KeptKey:
    key_id = name.removeprefix("key:")
    expires_at = data.get(f"expires:{key_id}")
    return KeptKey(
        id=key_id,
        digest=data[name]["digest"],
        created_at=datetime.fromisoformat(data[name]["created_at"]),
        revoked=f"revoked:{key_id}" in data,
        label=data[name].get("label", ""),
        expires_at=None if expires_at is None else datetime.fromisoformat(expires_at),
    )
