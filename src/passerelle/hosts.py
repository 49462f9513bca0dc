"""By which names the gateway may be asked: a page elsewhere can point a name of its own at any address."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from passerelle.errors import Denied, Invalid, Text

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # load balancers ask by whatever name they like


class HostUnknown(Denied):
    """A name that is not this gateway's."""

    code = "host_unknown"
    text = Text("The gateway does not answer by this name.", "La passerelle ne répond pas sous ce nom.")
    hint = Text(
        "Use its public address, or add the name to PASSERELLE_ALLOWED_HOSTS.",
        "Utilisez son adresse publique, ou ajoutez le nom à PASSERELLE_ALLOWED_HOSTS.",
    )


class HostUnreadable(Invalid):
    """No Host, several, or one that is no name."""

    code = "host_unreadable"
    text = Text("The header Host is missing or cannot be read.", "L'en-tête Host manque ou est illisible.")
    hint = Text("Send it once, as host:port.", "Envoyez-le une fois, sous la forme hôte:port.")


class Hosts:
    """The names that are believed."""

    def __init__(self, names: Iterable[str], *, public_url: str | None, open_to_all: bool) -> None:
        """`names` (``*.example.org``: all below) and that of `public_url`; `open_to_all`: no key guards anything.

        Where nothing is named and a key guards everything, any name will do. An address, a name without a dot and
        ``localhost`` always do: nobody elsewhere can own one.
        """
        public = urlsplit(public_url or "").hostname
        self._names = frozenset(name.lower() for name in [*names, *([public] if public else [])])
        self._any = "*" in self._names or not (self._names or open_to_all)
        self._known = lru_cache(maxsize=256)(self._is_ours)

    def check(self, headers: Sequence[tuple[bytes, bytes]], path: str, *, http_version: str = "1.1") -> None:
        """Let a request pass that names us; a probe may name nobody where that is no fault (HTTP/1.0).

        Raises:
            HostUnreadable: nobody knows whom it names.
            HostUnknown: it names somebody else.
        """
        named = [value for name, value in headers if name == b"host"]
        if not named and path in PROBES and http_version == "1.0":
            return
        if len(named) != 1:
            raise HostUnreadable
        if not self._any and path not in PROBES and not self._known(named[0]):
            raise HostUnknown

    def _is_ours(self, named: bytes) -> bool:
        try:
            host = (urlsplit(f"//{named.decode('ascii')}").hostname or "").removesuffix(".")
        except ValueError:
            raise HostUnreadable from None
        if host in self._names or "." not in host or host.endswith(".localhost"):
            return bool(host)
        if any(name.startswith("*.") and host.endswith(name[1:]) for name in self._names):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
