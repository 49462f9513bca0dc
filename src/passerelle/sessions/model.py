"""A linked phone and its state."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

from passerelle.errors import Conflict, Invalid, NotFound, Rejected, Text

COLLECTION = "sessions"
PROXY_SCHEMES = frozenset({"http", "https", "socks5"})
PROXY_LIMIT = 2_000


class SessionState(StrEnum):
    """What is known of the connection of a linked phone."""

    PAIRING = "pairing"  # a code is out
    CONNECTING = "connecting"  # linked, no connection yet
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # will be connected again by itself
    PAUSED = "paused"  # WhatsApp restricted the account
    LOGGED_OUT = "logged_out"  # must be linked again


class UnknownSession(NotFound):
    """No session of this client has that id."""

    code = "session_not_found"
    text = Text("There is no such linked phone.", "Ce téléphone lié n'existe pas.")
    hint = Text("List them with GET /api/whatsapp/sessions.", "Listez-les avec GET /api/whatsapp/sessions.")


class UnknownUser(NotFound):
    """This client never linked a phone for that user."""

    code = "user_not_found"
    text = Text("No phone was ever linked for this user.", "Aucun téléphone n'a été lié pour cet utilisateur.")
    hint = Text("Link one: POST /api/whatsapp/pairing-code.", "Liez-en un : POST /api/whatsapp/pairing-code.")


class NotLinked(Conflict):
    """The phone was linked once, and is no more."""

    code = "not_linked"
    text = Text("No phone is linked just now.", "Aucun téléphone n'est lié pour le moment.")
    hint = Text(
        "Link it again: POST /api/whatsapp/pairing-code.", "Liez-le à nouveau : POST /api/whatsapp/pairing-code."
    )


class InvalidProxy(Invalid):
    """Not the address of a proxy."""

    code = "invalid_proxy"
    text = Text("This is not the address of a proxy.", "Ceci n'est pas l'adresse d'un proxy.")
    hint = Text(
        "Write scheme://user:password@host:port with the scheme http, https or socks5, and %40 for an @ in a password.",
        "Écrivez schéma://nom:mot-de-passe@hôte:port, schéma http, https ou socks5, et %40 pour un @ du mot de passe.",
    )


class ProxyLost(Rejected):
    """It was sealed with another key of the gateway's than the one that it has now."""

    code = "proxy_lost"
    text = Text("The proxy of this phone cannot be read any more.", "Le proxy de ce téléphone n'est plus lisible.")
    hint = Text(
        "Bring back the former PASSERELLE_SECRET_KEY, or set the proxy again.",
        "Remettez l'ancienne PASSERELLE_SECRET_KEY, ou définissez à nouveau le proxy.",
    )


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that a phone is connected by; `url` may hold a password."""

    url: str = field(repr=False)

    @classmethod
    def read(cls, url: str) -> Self:
        """The proxy at `url`.

        Raises:
            InvalidProxy: none can be there.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise InvalidProxy from None
        plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= PROXY_LIMIT
        more = parts.path.strip("/") or parts.query or parts.fragment
        if not plain or parts.scheme not in PROXY_SCHEMES or not host or port == 0 or more:
            raise InvalidProxy
        return cls(url)

    @property
    def shown(self) -> str:
        """Without its user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One linked phone."""

    id: str
    client_id: str
    user_id: str
    phone_number: str
    provider: str
    device: str
    state: SessionState
    state_reason: str | None = None
    connected_at: datetime | None = None
    ended_at: datetime | None = None

    def without_connection(self) -> Self:
        """As it is while its holder has no connection for it, whatever was written down when it had one."""
        return replace(self, state=SessionState.CONNECTING) if self.state is SessionState.CONNECTED else self

    def as_patch(self) -> dict[str, Any]:
        """This session as a document."""
        times = {"connected_at": _text(self.connected_at), "ended_at": _text(self.ended_at)}
        names = ("user_id", "phone_number", "provider", "device", "state_reason")
        return {name: getattr(self, name) for name in names} | {"state": self.state.value} | times


def from_document(client_id: str, session_id: str, data: dict[str, Any]) -> Session:
    """The session that a document tells of."""
    return Session(
        id=session_id,
        client_id=client_id,
        user_id=data["user_id"],
        phone_number=data["phone_number"],
        provider=data["provider"],
        device=data["device"],
        state=SessionState(data["state"]),
        state_reason=data.get("state_reason"),
        connected_at=_time(data.get("connected_at")),
        ended_at=_time(data.get("ended_at")),
    )


def _text(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
