"""The pages on which a customer confirms: public, without scripts, in his language."""

import base64
import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from passerelle.errors import Text, Unavailable
from passerelle.leads.faults import LinkExpired, LinkForged
from passerelle.leads.model import Lead
from passerelle.leads.service import Leads
from passerelle.problems import language

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent / "templates"
RETRY_AFTER_S = 5
WORDS = {
    "trade": Text("Trade", "Métier"),
    "area": Text("Area", "Secteur"),
    "phone": Text("Phone", "Téléphone"),
    "description": Text("Description", "Description"),
    "confirm_title": Text("Confirm your request", "Confirmez votre demande"),
    "confirm_lead": Text(
        "Please check your request, then confirm. It goes to a professional near you.",
        "Vérifiez votre demande, puis confirmez. Elle est transmise à un professionnel près de chez vous.",
    ),
    "confirm_button": Text("Confirm my request", "Confirmer ma demande"),
    "confirm_note": Text(
        "Did you not ask for this? Then close this page: nothing happens.",
        "Vous n'êtes pas à l'origine de cette demande\u00a0? Fermez cette page\u00a0: rien ne se passera.",
    ),
    "confirmed_title": Text("Your request is confirmed", "Votre demande est confirmée"),
    "confirmed_lead": Text(
        "Thank you. A professional will call you at the number below.",
        "Merci. Un professionnel vous appellera au numéro ci-dessous.",
    ),
    "confirmed_note": Text("You can close this page.", "Vous pouvez fermer cette page."),
    "forged_title": Text("This link does not work", "Ce lien ne fonctionne pas"),
    "forged_lead": Text(
        "Part of it may be missing. Open it again from the message you received.",
        "Il en manque peut-être une partie. Ouvrez-le à nouveau depuis le message reçu.",
    ),
    "expired_title": Text("This link has expired", "Ce lien a expiré"),
    "expired_lead": Text(
        "Please make your request again: you will receive a new link.",
        "Refaites votre demande : vous recevrez un nouveau lien.",
    ),
    "unavailable_title": Text("One moment, please", "Un instant, s'il vous plaît"),
    "unavailable_lead": Text(
        "We cannot reach our records just now. Nothing is lost: open your link again in a moment.",
        "Nos dossiers sont injoignables pour le moment. Rien n'est perdu : rouvrez votre lien dans un instant.",
    ),
}
log = structlog.get_logger()


class Pages:
    """Draws the pages."""

    def __init__(self, *, lang: str, sandbox: bool) -> None:
        """In `lang`, where the reader names no language of ours; in a `sandbox` they say so."""
        self._lang = lang
        self._sandbox = sandbox
        self._style = (FOLDER / "page.css").read_text("utf-8")
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._headers = {
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self';"
            " frame-ancestors 'none'; base-uri 'none'",
            "X-Robots-Tag": "noindex",
            "Vary": "Accept-Language",
        }

    @cached_property
    def _templates(self) -> "Environment":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 -- 20 ms of every start

        return Environment(
            loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def draw(self, name: str, request: Request, *, status: int = 200, **facts: Any) -> HTMLResponse:
        """The page `name` as an answer."""
        lang = language(request, default=self._lang)
        words = {key: text.in_language(lang) for key, text in WORDS.items()}
        html = self._templates.get_template(f"{name}.html").render(
            page=name, lang=lang, words=words, style=self._style, sandbox=self._sandbox, **facts
        )
        headers = self._headers | {"Content-Language": lang}
        if name == "unavailable":
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return HTMLResponse(html, status, headers)


def pages(leads: Leads, *, lang: str, sandbox: bool = False) -> APIRouter:
    """``/api/confirm``: whoever has a token may come; `lang` where the reader names no language."""
    router = APIRouter(prefix="/api/confirm", tags=["leads"], default_response_class=HTMLResponse, responses=_REFUSALS)
    drawn = Pages(lang=lang, sandbox=sandbox)

    def refused(error: LinkForged | LinkExpired | Unavailable, request: Request) -> HTMLResponse:
        if isinstance(error, LinkForged):
            return drawn.draw("forged", request, status=400)
        if isinstance(error, LinkExpired):
            return drawn.draw("expired", request, status=410)
        log.warning("⚠️ A confirmation page had to say: later", code=error.code)
        return drawn.draw("unavailable", request, status=503)

    def confirmed(lead: Lead, request: Request) -> HTMLResponse:
        return drawn.draw("confirmed", request, inquiry=lead.inquiry)

    async def ask_to_confirm(request: Request, token: str = "") -> HTMLResponse:
        """The page that asks; it changes nothing, since previews and scanners open links too."""
        try:
            lead = await leads.look(token)
        except (LinkForged, LinkExpired, Unavailable) as error:
            return refused(error, request)
        if lead.confirmed_at is not None:
            return confirmed(lead, request)
        return drawn.draw("confirm", request, inquiry=lead.inquiry, token=token)

    router.add_api_route("", ask_to_confirm, methods=["GET"])
    router.add_api_route("", ask_to_confirm, methods=["HEAD"], include_in_schema=False)

    @router.post("", openapi_extra=_FORM)
    async def confirm(request: Request) -> HTMLResponse:
        """The customer confirms; the answer comes at once, whatever WhatsApp does."""
        try:
            return confirmed(await leads.confirm(await _token(request)), request)
        except (LinkForged, LinkExpired, Unavailable) as error:
            return refused(error, request)

    return router


async def _token(request: Request) -> str:
    """The form's field `token`.

    Raises:
        LinkForged: there is none.
    """
    try:
        async with request.form(max_files=0, max_fields=10) as form:
            token = form.get("token")
    except HTTPException:
        raise LinkForged from None
    if not isinstance(token, str):
        raise LinkForged
    return token


_PAGE: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A link that nobody made"} | _PAGE,
    410: {"description": "A link that has run out"} | _PAGE,
    503: {"description": "Not now"} | _PAGE,
}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}}
            }
        },
    }
}
