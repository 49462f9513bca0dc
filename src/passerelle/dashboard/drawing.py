"""Draws the pages: templates, words in the reader's language, and the headers that keep strangers' code out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from passerelle.clock import rfc3339
from passerelle.dashboard.assets import Assets
from passerelle.dashboard.visits import LANG_COOKIE, VISITOR_COOKIE, Visit, cookie_name
from passerelle.dashboard.words import MONTHS, WORDS
from passerelle.errors import PasserelleError, Text
from passerelle.problems import status_of

FOLDER = Path(__file__).parent / "templates"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{images}; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Referrer-Policy": "same-origin",  # with none at all a form would come from nowhere
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
}
YEAR_S = 31_536_000
STATUSES = {"too_many_tries": 429}  # what only a page says


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a page has to show: a template, its words and facts.

    `here` is the page's own address, also where a form failed at another one. `every_s`: what is marked as live is
    asked for again so often; `events`: a stream that says when, besides.
    """

    template: str
    here: str
    words: Mapping[str, Text]
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    every_s: int | None = None
    events: str | None = None
    images: str = ""  # a host from where pictures may come, besides ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all pages show alike."""

    sandbox: bool
    has_phones: bool


class Drawing:
    """Makes answers of sheets."""

    def __init__(self, setting: Setting, assets: Assets) -> None:
        """Templates are read once."""
        self._setting = setting
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["asset"] = assets.url
        self._templates.filters.update(moment=moment, rfc3339=rfc3339, path=lambda text: quote(str(text), safe=""))

    def draw(self, visit: Visit, sheet: Sheet, *, warnings: list[Text] | None = None) -> HTMLResponse:
        """The sheet as an answer; what went wrong with a form stands at its head."""
        lang, problem = visit.lang, visit.problem
        words = {name: text.in_language(lang) for name, text in {**WORDS, **sheet.words}.items()}
        html = self._templates.get_template(f"{sheet.template}.html").render(
            t=SimpleNamespace(**words),
            lang=lang,
            sheet=sheet,
            csrf=visit.csrf,
            visit=visit,
            setting=self._setting,
            warnings=[text.in_language(lang) for text in warnings or ()],
            problem=None if problem is None else told(problem, sheet.words, lang),
            done=words.get(f"done_{visit.asked('done')}"),
            **sheet.facts,
        )
        headers = {**HEADERS, "Content-Security-Policy": CSP.format(images=sheet.images), "Content-Language": lang}
        status = sheet.status if problem is None else STATUSES.get(problem.code, status_of(problem))
        if problem is not None and problem.retry_after is not None:
            headers["Retry-After"] = str(seconds(problem.retry_after))
        return with_cookies(HTMLResponse(html, status, headers), visit)


def with_cookies(answer: HTMLResponse, visit: Visit) -> HTMLResponse:
    """The answer, and what the browser shall remember from now on."""
    if visit.fresh:
        set_cookie(answer, visit, VISITOR_COOKIE, visit.token)
    if visit.asked("lang") == visit.lang:
        answer.set_cookie(
            LANG_COOKIE, visit.lang, max_age=YEAR_S, path="/", secure=visit.secure, httponly=True, samesite="lax"
        )
    return answer


def set_cookie(answer: Any, visit: Visit, name: str, value: str, *, life: timedelta | None = None) -> None:
    """A cookie that no script reads and no other site sends along."""
    answer.set_cookie(
        cookie_name(name, secure=visit.secure),
        value,
        max_age=None if life is None else seconds(life),
        path="/",
        secure=visit.secure,
        httponly=True,
        samesite="lax",
    )


def told(problem: PasserelleError, words: Mapping[str, Text], lang: str) -> dict[str, Any]:
    """What went wrong and what helps; a page may know better what helps on it (`hint_<code>` among its words)."""
    hint = words.get(f"hint_{problem.code}", problem.hint)
    wait = problem.retry_after
    return {
        "code": problem.code,
        "text": problem.text.in_language(lang),
        "hint": hint.in_language(lang),
        "wait_s": None if wait is None else seconds(wait),
        "members": problem.members,
    }


def seconds(span: timedelta) -> int:
    """Whole seconds, at least one."""
    return max(1, math.ceil(span / timedelta(seconds=1)))


def moment(when: datetime, lang: str) -> str:
    """A time as people read it; the script turns it into the reader's own zone."""
    return f"{when.day} {MONTHS[lang][when.month - 1]}, {when:%H:%M} UTC"
