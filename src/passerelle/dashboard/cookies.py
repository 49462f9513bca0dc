"""What a browser keeps for us: no script reads it, no other site sends it along."""

from datetime import timedelta

from starlette.responses import Response

from passerelle.clients.logins import LIFE
from passerelle.dashboard.visits import LANG_COOKIE, LOGIN_COOKIE, VISITOR_COOKIE, Visit, cookie_name

YEAR = timedelta(days=365)


def remember(answer: Response, visit: Visit) -> Response:
    """The answer, with what the browser shall keep from now on."""
    if visit.fresh:
        _set(answer, visit, cookie_name(VISITOR_COOKIE, secure=visit.secure), visit.token, life=None)
    if visit.asked("lang") == visit.lang:
        _set(answer, visit, LANG_COOKIE, visit.lang, life=YEAR)
    if visit.begun is not None:
        name, life = cookie_name(LOGIN_COOKIE, secure=visit.secure), LIFE if visit.begun else timedelta(0)
        _set(answer, visit, name, visit.begun, life=life)
    return answer


def _set(answer: Response, visit: Visit, name: str, value: str, *, life: timedelta | None) -> None:
    max_age = None if life is None else int(life / timedelta(seconds=1))
    answer.set_cookie(name, value, max_age=max_age, path="/", secure=visit.secure, httponly=True, samesite="lax")
