"""What every page passes through: who may come in, which forms are believed, what is shown when a part is away."""

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from passerelle.audit.service import Audit
from passerelle.clients.model import DEFAULT_CLIENT
from passerelle.dashboard.cookies import remember
from passerelle.dashboard.drawing import Drawing, Sheet
from passerelle.dashboard.visits import Entry, Visit
from passerelle.dashboard.words import BASE, LOGIN
from passerelle.errors import Invalid, NotFound, PasserelleError, Text, Unavailable
from passerelle.problems import Broken, status_of
from passerelle.redis_link import RedisState, RedisStatus

FIELDS = 200  # in one form
REDIS_DOWN = Text(
    "Redis is away. Nothing is lost: the gateway works on, and shows linked phones as it saw them last.",
    "Redis est injoignable. Rien n'est perdu : la passerelle continue et montre les téléphones liés tels que vus.",
)
REDIS_UNWRITABLE = Text(
    "Redis takes no writes. Nothing is lost: what happens to phones is brought there later. New clients wait.",
    "Redis refuse les écritures. Rien n'est perdu : tout y sera porté plus tard. Les nouveaux clients attendent.",
)
Show = Callable[[Visit], Awaitable[Sheet]]
Act = Callable[[Visit], Awaitable[str | Sheet]]
log = structlog.get_logger()


class NoSuchPage(NotFound):
    """Nothing is at this address."""

    code = "page_not_found"
    text = Text("There is no such page.", "Cette page n'existe pas.")
    hint = Text("Use the menu.", "Utilisez le menu.")


class FormUnreadable(Invalid):
    """A body that is no form."""

    code = "form_unreadable"
    text = Text("This form cannot be read.", "Ce formulaire est illisible.")
    hint = Text("Try again from this page.", "Réessayez depuis cette page.")


class NotOnThePage(Invalid):
    """A form with a value that its page does not offer."""

    code = "not_on_the_page"
    text = Text("This page does not offer that.", "Cette page ne propose pas cela.")
    hint = Text("Choose what is on the page.", "Choisissez parmi ce que propose la page.")


class Desk:
    """Makes routes of pages."""

    def __init__(self, *, entry: Entry, drawing: Drawing, redis: Callable[[], RedisStatus], audit: Audit) -> None:
        """`redis` tells how Redis is; every page says so when it is not well. `audit` hears of every act."""
        self.entry = entry
        self.drawing = drawing
        self._redis = redis
        self._audit = audit

    def page(self, path: str, show: Show, *, public: bool = False) -> Route:
        """A page at `path` below the dashboard's address; `public`: for whoever comes."""

        async def get(request: Request) -> Response:
            visit = await self._come_in(request)
            if isinstance(visit, Response):
                return visit
            if visit.caller is None and not public:
                return RedirectResponse(_login_from(request), 303)
            return await self._drawn(visit, show)

        return Route(BASE + path, get, methods=["GET"], include_in_schema=False)

    def action(self, path: str, act: Act, *, back: Show, public: bool = False, streams: bool = False) -> Route:
        """A form sent to `path`: `act` says where to go on, or what to show; where it fails, `back` is shown.

        `streams`: `act` reads the form by itself, and looks whether it may be believed.
        """

        async def post(request: Request) -> Response:
            visit = await self._come_in(request)
            if isinstance(visit, Response):
                return visit
            if visit.caller is None and not public:
                return RedirectResponse(LOGIN, 303)
            try:
                if not streams:
                    await self._read(visit)
                if not public:
                    await self.acts()
                done = await act(visit)
            except PasserelleError as problem:
                visit.problem = problem
                return await self._drawn(visit, back)
            except Exception as error:
                return self._broken(visit, error)
            if isinstance(done, Sheet):
                return self.draw(visit, done)
            return remember(RedirectResponse(done, 303, {"Cache-Control": "no-store"}), visit)

        return Route(BASE + path, post, methods=["POST"], include_in_schema=False)

    def draw(self, visit: Visit, sheet: Sheet) -> Response:
        """The sheet as an answer, with what every page has to say."""
        return self.drawing.draw(visit, sheet, warnings=self._warnings())

    async def acts(self) -> None:
        """Whoever this is may do what the form asks for: the audit log hears of it before it is done."""
        await self._audit.begin("dashboard", client_id=DEFAULT_CLIENT)

    async def nowhere(self, request: Request) -> Response:
        """What is shown where there is no page."""
        visit = await self._come_in(request)
        if isinstance(visit, Response):
            return visit
        visit.problem = NoSuchPage()
        return self._trouble(visit)

    async def _come_in(self, request: Request) -> Visit | Response:
        try:
            return await self.entry.visit(request)
        except PasserelleError as problem:
            lang = self.entry.language(request)
            visit = Visit(request=request, lang=lang, caller=None, token="", fresh=False, problem=problem)
            return self._trouble(visit)

    async def _read(self, visit: Visit) -> None:
        try:
            visit.form = await visit.request.form(max_files=0, max_fields=FIELDS)
        except HTTPException:
            raise FormUnreadable from None
        self.entry.believe(visit)

    async def _drawn(self, visit: Visit, show: Show) -> Response:
        try:
            return self.draw(visit, await show(visit))
        except PasserelleError as problem:
            visit.problem = visit.problem or problem
            return self._trouble(visit)
        except Exception as error:
            return self._broken(visit, error)

    def _broken(self, visit: Visit, error: Exception) -> Response:
        log.error("❌ A page broke", path=visit.request.url.path, exc_info=error)
        visit.problem = Broken()
        return self._trouble(visit)

    def _trouble(self, visit: Visit) -> Response:
        """A page that has nothing to show but why; it asks again by itself while something is away."""
        problem = visit.problem
        away = isinstance(problem, Unavailable)
        status = 500 if problem is None else status_of(problem)
        here = visit.request.url.path
        sheet = Sheet(template="trouble", here=here, words={}, status=status, every_s=3 if away else None)
        return self.draw(visit, sheet)

    def _warnings(self) -> list[Text]:
        status = self._redis()
        if status.state is RedisState.DOWN:
            return [REDIS_DOWN]
        return [REDIS_UNWRITABLE] if status.state is RedisState.UP and not status.writable else []


def _login_from(request: Request) -> str:
    """Where to log in, and come back from."""
    path = request.url.path
    query = f"?{request.url.query}" if request.url.query else ""
    return LOGIN if path == BASE else f"{LOGIN}?to={quote(path + query, safe='')}"
