"""Who asks for a page: the holder of a login, or anybody where the gateway is open."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from starlette.datastructures import FormData
from starlette.requests import Request

from passerelle.callers import is_same_site
from passerelle.clients.logins import Login, Logins
from passerelle.clients.model import Caller
from passerelle.clients.service import Clients
from passerelle.errors import Denied, PasserelleError, Text
from passerelle.problems import language

LOGIN_COOKIE, VISITOR_COOKIE, LANG_COOKIE = "passerelle_login", "passerelle_visitor", "passerelle_lang"
TOKEN_LENGTH = 43  # of 32 random bytes as text
LANGUAGES = ("en", "fr")


class FormNotBelieved(Denied):
    """A form that did not come from a page of ours, or from one that is too old."""

    code = "form_not_believed"
    text = Text("This form is too old, or comes from elsewhere.", "Ce formulaire est périmé, ou vient d'ailleurs.")
    hint = Text("Nothing was done. Try again from this page.", "Rien n'a été fait. Réessayez depuis cette page.")


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request for a page. `token` is what this visitor's forms are signed with; `fresh`: he has it from us now."""

    request: Request
    lang: str
    caller: Caller | None
    token: str
    fresh: bool
    login: Login | None = None
    form: FormData = field(default_factory=FormData)
    problem: PasserelleError | None = None
    begun: str | None = None  # the token of a login that begins with this answer; empty: one ends

    @property
    def who(self) -> Caller:
        """Whose data is shown; pages are only asked for once somebody is in."""
        if self.caller is None:
            raise FormNotBelieved
        return self.caller

    @property
    def csrf(self) -> str:
        """What every form of this visitor's pages carries, and nobody else can know."""
        return hmac.new(self.token.encode(), b"form", hashlib.sha256).hexdigest()

    @property
    def secure(self) -> bool:
        """Whether the visitor came by https: then cookies are for https only."""
        return self.request.url.scheme == "https"

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def asked(self, name: str) -> str:
        """A word of the query; empty where it is missing."""
        return self.request.query_params.get(name, "").replace("\x00", "")

    def field(self, name: str) -> str:
        """A field of the form, without the blanks around it; empty where it is missing."""
        value = self.form.get(name, "")
        return value.replace("\x00", "").strip() if isinstance(value, str) else ""

    def cookie(self, name: str) -> str:
        """The cookie as this visitor keeps it."""
        return self.request.cookies.get(cookie_name(name, secure=self.secure), "")


def cookie_name(name: str, *, secure: bool) -> str:
    """A browser gives a name with this prefix to nobody but the host that set it, over https."""
    return f"__Host-{name}" if secure else name


class Entry:
    """Tells who asks."""

    def __init__(self, *, admin_key: str | None, clients: Clients, logins: Logins, lang: str) -> None:
        """With an `admin_key` somebody is in by his login; `lang` where he names no language of ours."""
        self._admin_key = admin_key
        self._clients = clients
        self._logins = logins
        self._lang = lang

    @property
    def has_key(self) -> bool:
        """Whether there is a key to log in with."""
        return self._admin_key is not None

    def is_key(self, shown: str) -> bool:
        """Whether this is the admin's key."""
        return self._admin_key is not None and hmac.compare_digest(shown.encode(), self._admin_key.encode())

    async def visit(self, request: Request) -> Visit:
        """Who asks, in which language.

        Raises:
            Unavailable: nobody can tell just now.
        """
        visit = Visit(request=request, lang=self.language(request), caller=None, token="", fresh=False)
        token = visit.cookie(LOGIN_COOKIE)
        visit.login = await self._logins.find(token) if len(token) == TOKEN_LENGTH and self.has_key else None
        if visit.login is not None:
            visit.caller, visit.token = Caller(admin=True), token
            return visit
        kept = visit.cookie(VISITOR_COOKIE)
        visit.fresh = len(kept) != TOKEN_LENGTH
        visit.token = secrets.token_urlsafe(32) if visit.fresh else kept
        if await self._is_open():
            visit.caller = Caller(admin=True)
        return visit

    def believe(self, visit: Visit) -> None:
        """Let a form pass that came from a page of ours.

        Raises:
            FormNotBelieved: it did not.
        """
        self.believe_place(visit)
        shown = visit.form.get("csrf", "")
        if not isinstance(shown, str) or not hmac.compare_digest(shown.encode(), visit.csrf.encode()):
            raise FormNotBelieved

    def believe_place(self, visit: Visit) -> None:
        """The half of it that can be told before the form is read.

        Raises:
            FormNotBelieved: the browser says that the form was elsewhere.
        """
        if not is_same_site(visit.request):
            raise FormNotBelieved

    async def _is_open(self) -> bool:
        return not self.has_key and not await self._clients.any_key()

    def language(self, request: Request) -> str:
        """What the reader reads: by the address, what he chose before, what his browser says."""
        for asked in (request.query_params.get("lang"), request.cookies.get(LANG_COOKIE)):
            if asked in LANGUAGES:
                return str(asked)
        return language(request, default=self._lang)
