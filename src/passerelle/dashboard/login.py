"""Log in with the admin key, and out."""

from starlette.routing import Route

from passerelle.clients.logins import Logins
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.drawing import Sheet
from passerelle.dashboard.tries import Tries
from passerelle.dashboard.visits import LOGIN_COOKIE, Visit
from passerelle.dashboard.words import BASE, LOGIN
from passerelle.errors import Denied, Rejected, Text

WORDS = {
    "title": Text("Log in", "Connexion"),
    "lead": Text("This gateway is closed. Show its admin key.", "Cette passerelle est fermée. Montrez sa clé."),
    "key": Text("Admin key", "Clé d'administration"),
    "key_hint": Text("The value of PASSERELLE_ADMIN_KEY.", "La valeur de PASSERELLE_ADMIN_KEY."),
    "enter": Text("Log in", "Se connecter"),
    "no_key": Text(
        "There are keys of clients, but no admin key. Set PASSERELLE_ADMIN_KEY and start the gateway again.",
        "Des clients ont des clés, mais il n'y a pas de clé d'administration. Définissez PASSERELLE_ADMIN_KEY.",
    ),
}


class WrongKey(Denied):
    """Not the admin's key."""

    code = "wrong_key"
    text = Text("This is not the admin key.", "Ce n'est pas la clé d'administration.")
    hint = Text(
        "Look for PASSERELLE_ADMIN_KEY where the gateway runs.", "Cherchez PASSERELLE_ADMIN_KEY sur le serveur."
    )


class TooManyTries(Rejected):
    """Wrong too often in a short time."""

    code = "too_many_tries"
    text = Text("Too many wrong tries.", "Trop d'essais erronés.")
    hint = Text("Wait a moment, then try again.", "Patientez un instant, puis réessayez.")


def routes(desk: Desk, logins: Logins) -> list[Route]:
    """``/dashboard/login`` and ``/dashboard/logout``."""
    tries = Tries()

    async def show(visit: Visit) -> Sheet:
        return Sheet(
            template="login",
            here=LOGIN,
            words=WORDS,
            facts={"has_key": desk.entry.has_key, "to": _inside(visit.asked("to") or visit.field("to"))},
        )

    async def enter(visit: Visit) -> str:
        address = visit.request.client.host if visit.request.client else ""
        if (rest := tries.rest(address)) is not None:
            raise TooManyTries(retry_after=rest)
        await desk.acts()  # only now: whoever tries without end must not fill the log
        if not desk.entry.is_key(visit.field("key")):
            tries.wrong(address)
            raise WrongKey
        tries.right(address)
        visit.begun = await logins.begin()
        return _inside(visit.field("to"))

    async def leave(visit: Visit) -> str:
        await logins.end(visit.cookie(LOGIN_COOKIE))
        visit.begun = ""
        return LOGIN

    return [
        desk.page("/login", show, public=True),
        desk.action("/login", enter, back=show, public=True),
        desk.action("/logout", leave, back=show),
    ]


def _inside(to: str) -> str:
    """Where to go after the login: a page of ours, whatever the address said."""
    return to if to.startswith(f"{BASE}/") and "//" not in to and "\\" not in to else BASE
