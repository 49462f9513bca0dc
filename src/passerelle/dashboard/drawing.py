"""Draws the pages: templates, words in the reader's language, and the headers that keep strangers' code out."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response

from passerelle.clock import rfc3339
from passerelle.dashboard.assets import Assets
from passerelle.dashboard.cookies import remember
from passerelle.dashboard.visits import Visit
from passerelle.dashboard.words import MONTHS, UNITS, WORDS
from passerelle.errors import PasserelleError, Text
from passerelle.problems import status_of

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent / "templates"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {  # beside those that every answer carries (`passerelle.headers`)
    "Referrer-Policy": "same-origin",  # with none at all a form would come from nowhere
    "X-Robots-Tag": "noindex",
    "Vary": "Accept-Language, Cookie",
}
THOUSAND = 1000
KEPT_TOGETHER = re.compile(r"(?<=\w) (?=[:;!?])|(?<=«) | (?=»)")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all pages show alike."""

    sandbox: bool
    has_phones: bool


class Drawing:
    """Makes answers of sheets."""

    def __init__(self, setting: Setting, assets: Assets) -> None:
        """Templates are read once, when the first page is asked for."""
        self._setting = setting
        self._assets = assets

    @cached_property
    def _templates(self) -> "Environment":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 -- 20 ms of every start

        made = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.globals["asset"] = self._assets.url
        made.filters.update(moment=moment, size=size, rfc3339=rfc3339, path=lambda text: quote(str(text), safe=""))
        return made

    def draw(self, visit: Visit, sheet: Sheet, *, warnings: list[Text] | None = None) -> Response:
        """The sheet as an answer; what went wrong with a form stands at its head."""
        lang, problem = visit.lang, visit.problem
        words = {name: spoken(text, lang) for name, text in {**WORDS, **sheet.words}.items()}
        html = self._templates.get_template(f"{sheet.template}.html").render(
            t=SimpleNamespace(**words),
            lang=lang,
            sheet=sheet,
            csrf=visit.csrf,
            visit=visit,
            setting=self._setting,
            warnings=[spoken(text, lang) for text in warnings or ()],
            problem=None if problem is None else told(problem, sheet.words, lang),
            done=words.get(f"done_{visit.asked('done')}"),
            **sheet.facts,
        )
        headers = {**HEADERS, "Content-Security-Policy": CSP, "Content-Language": lang}
        status = sheet.status if problem is None else status_of(problem)
        if problem is not None and problem.retry_after is not None:
            headers["Retry-After"] = str(seconds(problem.retry_after))
        return remember(HTMLResponse(html, status, headers), visit)


def told(problem: PasserelleError, words: Mapping[str, Text], lang: str) -> dict[str, Any]:
    """What went wrong and what helps; a page may know better what helps on it (`hint_<code>` among its words)."""
    hint = words.get(f"hint_{problem.code}", problem.hint)
    wait = problem.retry_after
    return {
        "code": problem.code,
        "text": spoken(problem.text, lang),
        "hint": spoken(hint, lang),
        "wait_s": None if wait is None else seconds(wait),
        "members": problem.members,
    }


def spoken(text: Text, lang: str) -> str:
    """The text, with the spaces that French keeps on one line."""
    said = text.in_language(lang)
    return KEPT_TOGETHER.sub("\u00a0", said) if lang == "fr" else said


def seconds(span: timedelta) -> int:
    """Whole seconds, at least one."""
    return max(1, math.ceil(span / timedelta(seconds=1)))


def moment(when: datetime, lang: str) -> str:
    """A time as people read it; the script turns it into the reader's own zone."""
    return f"{when.day} {MONTHS[lang][when.month - 1]}, {when:%H:%M} UTC"


def size(size_bytes: int, lang: str) -> str:
    """A size as people read it, in thousands."""
    units, amount, step = UNITS[lang], float(size_bytes), 0
    while amount >= THOUSAND and step < len(units) - 1:
        amount, step = amount / THOUSAND, step + 1
    text = f"{amount:.1f}".rstrip("0").rstrip(".") if step else str(size_bytes)
    return f"{text.replace('.', ',') if lang == 'fr' else text} {units[step]}"
