"""How an error is told over HTTP: one table of statuses, one shape (RFC 9457 problem+json)."""

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from passerelle.errors import Conflict, Denied, Invalid, NotFound, PasserelleError, Rejected, Text, Unavailable

KINDS: dict[type[PasserelleError], int] = {
    Invalid: 422,
    NotFound: 404,
    Conflict: 409,
    Denied: 403,
    Rejected: 502,
    Unavailable: 503,
}
CODES = {  # where another status than the kind's is promised
    "pairing_in_progress": 429,
    "provider_rate_limited": 429,
    "rate_limited": 429,
    "message_quota": 429,
    "provider_misconfigured": 500,
    "pairing_timeout": 504,
    "storage_full": 507,
    "body_too_large": 413,
    "media_too_large": 413,
    "media_quota": 413,
    "too_many_tries": 429,
    "url_too_large": 413,
    "media_type_refused": 415,
    "not_multipart": 415,
    "link_expired": 410,
    "not_json": 400,
    "key_missing": 401,
    "internal_error": 500,
    "not_json_type": 415,
    "body_too_slow": 408,
    "host_unknown": 421,
    "host_unreadable": 400,
}
MEDIA_TYPE = "application/problem+json"
SCHEMA = {
    "type": "object",
    "description": "What went wrong (RFC 9457); what helps to understand it stands in members of its own.",
    "required": ["type", "title", "status", "detail", "code", "hint"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable: scripts may rely on it"},
        "hint": {"type": "string"},
        "retry_after": {"type": "integer", "description": "seconds, as in the header Retry-After"},
    },
}
log = structlog.get_logger()


class BodyTooLarge(Invalid):
    """More than a request may carry; where that is another size, a class below this one says so."""

    code = "body_too_large"
    text = Text("The body of the request is too large.", "Le corps de la requête est trop grand.")
    hint = Text("Send at most 1 MB.", "Envoyez au plus 1 Mo.")


class Broken(Unavailable):
    """Something that nobody thought of; the log knows more."""

    code = "internal_error"
    text = Text("Something went wrong inside the gateway.", "Une erreur interne est survenue dans la passerelle.")
    hint = Text(
        "Look in the log for the X-Request-ID of this answer.",
        "Cherchez dans le journal le X-Request-ID de cette réponse.",
    )


class NotJson(Invalid):
    """A body that cannot be read."""

    code = "not_json"
    text = Text("The body is not valid JSON.", "Le corps n'est pas du JSON valide.")
    hint = Text("Send a JSON object, with Content-Type: application/json.", "Envoyez un objet JSON.")


class InvalidRequest(Invalid):
    """Fields missing, unknown or of the wrong type; the member `errors` says which."""

    code = "invalid_request"
    text = Text("Some fields of the request are wrong.", "Certains champs de la requête sont incorrects.")
    hint = Text("See errors; the fields are described at /docs.", "Voir errors ; les champs sont décrits dans /docs.")


def status_of(error: PasserelleError) -> int:
    """The HTTP status of `error`."""
    if error.code in CODES:
        return CODES[error.code]
    return next((status for kind, status in KINDS.items() if isinstance(error, kind)), 500)


def problem(error: PasserelleError, *, lang: str) -> JSONResponse:
    """`error` as an answer, in the reader's language."""
    members = dict(error.members)
    headers = {}
    if error.retry_after is not None:
        seconds = max(1, math.ceil(error.retry_after / timedelta(seconds=1)))
        members["retry_after"] = seconds
        headers["Retry-After"] = str(seconds)
    return _answer(
        status_of(error), error.code, error.text.in_language(lang), error.hint.in_language(lang), members, headers
    )


def install(app: FastAPI, *, lang: str) -> None:
    """Tell every error that leaves a route of `app` as a problem; `lang` where the reader names no language."""

    def shown_as(tell: Callable[[Any], PasserelleError]) -> Callable[[Request, Any], Awaitable[JSONResponse]]:
        async def handle(request: Request, error: Any) -> JSONResponse:
            return problem(tell(error), lang=language(request, default=lang))

        return handle

    async def handle_http(request: Request, error: Any) -> Response:
        if error.status_code == HTTPStatus.BAD_REQUEST:  # how the framework tells that a body is no text at all
            return problem(NotJson(), lang=language(request, default=lang))
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allow = {"Allow": _allowed(request)}
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=allow)
            error = HTTPException(405, headers=allow)
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_")
        return _answer(error.status_code, code, f"{phrase}.", "See /docs for the routes.", {}, error.headers or {})

    async def handle_any(request: Request, error: Exception) -> JSONResponse:
        log.error("❌ A request broke", path=request.url.path, exc_info=error)
        return problem(Broken(), lang=language(request, default=lang))

    app.add_exception_handler(PasserelleError, shown_as(lambda error: error))
    app.add_exception_handler(RequestValidationError, shown_as(_invalid))
    app.add_exception_handler(HTTPException, handle_http)
    app.add_exception_handler(Exception, handle_any)
    _describe(app)


def _describe(app: FastAPI) -> None:
    """Let the OpenAPI of `app` say how every route tells an error, instead of the framework's own way."""
    framework = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = framework()
            told = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            for operation in (one for path in described["paths"].values() for one in path.values()):
                operation["responses"].pop("422", None)
                for statuses, who in (("4XX", "The request"), ("5XX", "The gateway, or somebody behind it")):
                    operation["responses"].setdefault(statuses, {"description": f"{who} is at fault", "content": told})
            schemas = described.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            schemas["Problem"] = SCHEMA
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it


def _allowed(request: Request) -> str:
    """The methods of every route at this path; the framework names those of the first one alone."""
    possible = ("GET", "POST", "PUT", "PATCH", "DELETE")
    found = [one for one in possible if any(_takes(route, request, one) for route in request.app.routes)]
    return ", ".join([*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"])


def _takes(route: BaseRoute, request: Request, method: str) -> bool:
    return route.matches({**request.scope, "method": method})[0] is Match.FULL


def language(request: Request, *, default: str) -> str:
    """The reader's language: the first of ours that ``Accept-Language`` names, else `default`."""
    for part in request.headers.get("accept-language", "").lower().split(","):
        lang = part.split(";")[0].strip()[:2]
        if lang in {"fr", "en"}:
            return lang
    return default


def _invalid(error: RequestValidationError) -> PasserelleError:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return NotJson()
    return InvalidRequest(errors=[{"field": ".".join(map(str, e["loc"])), "what": e["msg"]} for e in found])


def _answer(
    status: int, code: str, detail: str, hint: str, members: dict[str, Any], headers: dict[str, str]
) -> JSONResponse:
    body = {
        "type": f"urn:passerelle:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
    }
    return JSONResponse(body | members, status, headers, media_type=MEDIA_TYPE)
