"""Who asks: the admin, a client by its key, or, in open mode, anybody on this machine; and how often each may."""

import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from passerelle.audit.service import Audit
from passerelle.clients.limiter import Limiter, RateLimited
from passerelle.clients.model import Caller, prefix_of
from passerelle.clients.ports import KeyName
from passerelle.clients.service import Clients
from passerelle.errors import Denied, PasserelleError, Text
from passerelle.logs import tell_of

READING = frozenset({"GET", "HEAD"})
STANDING = "passerelle.standing"
"""Where a request's scope carries how its key stands, for the fields of the answer, whoever makes that."""


class KeyMissing(Denied):
    """No key, or one that nobody made."""

    code = "key_missing"
    text = Text("This gateway asks for a key.", "Cette passerelle demande une clé.")
    hint = Text("Send it as Authorization: Bearer …", "Envoyez-la dans Authorization: Bearer …")


class AdminOnly(Denied):
    """A client's key where the admin's is asked for."""

    code = "admin_only"
    text = Text("Only the admin may do this.", "Seul l'administrateur peut faire cela.")
    hint = Text("Use PASSERELLE_ADMIN_KEY.", "Utilisez PASSERELLE_ADMIN_KEY.")


class ForeignPage(Denied):
    """A page elsewhere, open in the browser of somebody who may reach an open gateway."""

    code = "foreign_page"
    text = Text("This comes from a page elsewhere.", "Cela vient d'une page d'ailleurs.")
    hint = Text(
        "Without a key the gateway does nothing for other sites. Send a key.",
        "Sans clé, la passerelle ne fait rien pour d'autres sites. Envoyez une clé.",
    )


class Callers:
    """Tells who asks; called as a dependency of a route, it counts the request too."""

    def __init__(
        self,
        *,
        admin_key: str | None,
        control: Path | None,
        clients: Clients | None,
        limiter: Limiter | None = None,
        audit: Audit | None = None,
    ) -> None:
        """Who comes by the socket file `control` needs no key; `limiter` counts the requests of clients' keys.

        `audit` hears who may do what is asked for, before it is done.
        """
        self._admin_key = admin_key
        self._control = control
        self._clients = clients
        self._limiter = limiter
        self._audit = audit
        self._everything = Caller(admin=True)
        self._open_last = False

    async def __call__(self, request: Request) -> Caller:  # async: a plain function would cost a trip through a thread
        """Who asks.

        Raises:
            KeyMissing: nobody we know.
            ForeignPage: no key is needed, but a browser asks in the name of a page elsewhere.
            RateLimited: its key has asked too often.
            Unavailable: nobody can tell.
        """
        caller = await self._counted(request)
        await self._told(request, caller)
        return caller

    async def admin(self, request: Request) -> None:
        """Let the admin pass, and nobody else. Raises as a call, or `AdminOnly`."""
        caller = await self._counted(request)
        if not caller.admin:
            raise AdminOnly
        await self._told(request, caller)

    def scraper(self, key: str | None, *, public: bool) -> Callable[[Request], Awaitable[None]]:
        """Lets pass who may read metrics: everybody where they are `public`, else who shows `key`, and the admin."""

        async def pass_on(request: Request) -> None:
            if public or (key and hmac.compare_digest(_shown(request), key.encode())):
                return
            if not await self.sees_all(request):
                await self.admin(request)  # says why not

        return pass_on

    async def _counted(self, request: Request) -> Caller:
        caller = await self._known(request)
        if self._limiter is not None and caller.key_id:
            standing = self._limiter.take(KeyName(caller.client_id, caller.key_id))
            request.scope[STANDING] = standing
            if standing.wait is not None:
                raise RateLimited(retry_after=standing.wait)
        return caller

    async def _told(self, request: Request, caller: Caller) -> None:
        named = request.path_params
        tell_of(client=caller.client_id, session=named.get("session_id"), message=named.get("message_id"))
        if self._audit is not None:
            await self._audit.begin(self._name(request, caller), client_id=caller.client_id)

    def _name(self, request: Request, caller: Caller) -> str:
        """How the audit log calls whoever asks."""
        if caller.key_id:
            return prefix_of(caller.client_id, caller.key_id)
        if self._by_control_socket(request):
            return "command line"
        return "admin" if self._is_admin(request) else "anybody"

    async def sees_all(self, request: Request) -> bool:
        """Whether an admin asks, where everybody may: a key that cannot be believed is nobody's, and no error.

        With an admin key set nothing is looked up: a flood of questions must not become one on Redis. Without one it
        may not be known just now whether the gateway is open: then what was known last counts.
        """
        if self._admin_key is not None:
            return self._is_admin(request)
        try:
            self._open_last = (await self._known(request)).admin
        except Denied:
            self._open_last = False
        except PasserelleError:
            return self._open_last
        return self._open_last

    async def _known(self, request: Request) -> Caller:
        if self._is_admin(request):
            return self._everything
        clients, shown = self._clients, _shown(request)
        if clients is not None and shown:
            known = await clients.caller(shown.decode("latin-1"))
            if known is not None:
                return known
        if self._admin_key is not None or (clients is not None and await clients.any_key()):
            raise KeyMissing
        if request.method not in READING and not is_same_site(request):
            raise ForeignPage
        return self._everything

    def _is_admin(self, request: Request) -> bool:
        holds_key = bool(self._admin_key) and hmac.compare_digest(_shown(request), (self._admin_key or "").encode())
        return holds_key or self._by_control_socket(request)

    def _by_control_socket(self, request: Request) -> bool:
        """Only the owner of the data directory can open its control socket."""
        server = request.scope.get("server")
        return self._control is not None and server is not None and server[0] == str(self._control)


def is_same_site(request: Request) -> bool:
    """What the browser tells of where a form or a script was; who tells nothing is none, or an old one."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


def tell_standing(scope: Scope, headers: MutableHeaders) -> None:
    """Say in the answer's `headers` how the key of the request stands, if it was counted."""
    standing = scope.get(STANDING)
    if standing is not None:
        headers.raw.extend(standing.fields)


def _shown(request: Request) -> bytes:
    """The key that comes with a request, in whichever header: the bytes that were sent, which are read as Latin-1."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip(" \t") if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    return given.encode("latin-1")
