"""Meta's Graph API on loopback, as far as WhatsApp goes, with its errors as Meta writes them; and Meta calling us."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from aiohttp import BodyPartReader, web

from servers import HOST

TOKEN = "EAAGm0PX4ZCpsBAKZCq7ZBtheGraphServersOwnToken"
APP_SECRET = "0123456789abcdef0123456789abcdef"
VERSION = "v23.0"
PHONE_ID, ACCOUNT_ID = "106540352242922", "102290129340398"
OUR_NUMBER, THEIR_NUMBER = "33639980001", "33639980002"
PIECE = bytes(64 * 1024)
KEPT_BYTES = 1 << 20  # of an upload; of a larger one only its sum

# Status, title and details as Meta's list of error codes has them.
ERRORS: dict[int, tuple[int, str, str]] = {
    0: (401, "AuthException", "We were unable to authenticate the app user."),
    1: (400, "An unknown error occurred", "Invalid request or possible server error."),
    2: (503, "Service temporarily unavailable", "Temporary due to downtime or due to being overloaded."),
    3: (500, "Application does not have the capability", "Capability or permissions issue."),
    4: (400, "Application request limit reached", "The app has reached its API call rate limit."),
    10: (403, "Application does not have permission for this action", "Permission is either not granted."),
    33: (400, "Parameter value is not valid", "The business phone number has been deleted."),
    100: (400, "Invalid parameter", "Parameter value is not valid"),
    190: (401, "Error validating access token: Session has expired", ""),
    200: (403, "You do not have the necessary permissions", "Permission is either not granted or was removed."),
    368: (403, "Temporarily blocked for policies violations", "The account has been restricted."),
    80007: (400, "Rate limit hit", "The WhatsApp Business Account has reached its rate limit."),
    130429: (400, "Rate limit hit", "Message failed to send because there were too many messages sent."),
    130472: (400, "User's number is part of an experiment", "Message was not sent as part of an experiment."),
    130497: (403, "Business account is restricted", "Restricted from messaging users in this country."),
    131000: (500, "Something went wrong", "Message failed to send due to an unknown error."),
    131005: (403, "Access denied", "Permission is either not granted or has been removed."),
    131008: (400, "Required parameter is missing", "The request is missing a required parameter."),
    131009: (400, "Parameter value is not valid", "One or more parameter values are invalid."),
    131016: (500, "Service unavailable", "A service is temporarily unavailable."),
    131021: (400, "Recipient cannot be sender", "Sender and recipient phone number is the same."),
    131026: (400, "Message undeliverable", "Unable to deliver message."),
    131030: (400, "Recipient phone number not in allowed list", "Add the recipient to the allowed list."),
    131031: (403, "Business Account locked", "The account has been restricted or disabled."),
    131037: (400, "Display name approval", "The phone number does not have an approved display name."),
    131042: (400, "Business eligibility payment issue", "There was an error related to your payment method."),
    131045: (500, "Incorrect certificate", "Message failed to send due to a phone number registration error."),
    131047: (400, "Re-engagement message", "More than 24 hours have passed since the recipient last replied."),
    131048: (400, "Spam rate limit hit", "Restrictions on how many messages can be sent from this number."),
    131049: (400, "Meta chose not to deliver", "In order to maintain healthy ecosystem engagement."),
    131050: (400, "User has stopped marketing messages", "Unable to deliver the message."),
    131051: (400, "Unsupported message type", "Message type is currently not supported."),
    131053: (400, "Media upload error", "Unable to upload the media used in the message."),
    131056: (400, "(Business Account, Consumer Account) pair rate limit hit", "Too many messages to this number."),
    131057: (500, "Account in maintenance mode", "Business Account is in maintenance mode."),
    131062: (400, "Business-scoped user ID recipients not supported", "This message needs a phone number."),
    131063: (400, "Marketing templates disabled", "Marketing templates are disabled for Cloud API."),
    131064: (400, "Messaging limit reached", "Message failed to reach messaging limit."),
    132000: (400, "Template Param Count Mismatch", "The number of variable parameter values did not match."),
    132001: (404, "Template does not exist", "The template does not exist in the specified language."),
    132005: (400, "Template Hydrated Text Too Long", "Translated text is too long."),
    132007: (400, "Template Format Character Policy Violated", "Template content violates a policy."),
    132012: (400, "Template Parameter Format Mismatch", "Variable parameter values formatted incorrectly."),
    132015: (400, "Template is Paused", "Template is paused due to low quality."),
    132016: (400, "Template is Disabled", "Template has been paused too many times."),
    132068: (400, "Flow is blocked", "Flow is in blocked state."),
    132069: (400, "Flow is throttled", "Flow is in throttled state."),
    133004: (503, "Server Temporarily Unavailable", "Server is temporarily unavailable."),
    133010: (400, "Phone number not registered", "Phone number not registered on the platform."),
    135000: (400, "Generic user error", "Message failed to send because of an unknown error."),
    137000: (400, "Recipient identity key mismatch", "The identity hash does not match."),
}


class Mishap(StrEnum):
    """How an answer goes wrong; `_AFTER`: once the wish was done."""

    HANG_BEFORE = "hang before"
    HANG_AFTER = "hang after"
    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset in the answer"
    BARE_500 = "500 without a body"
    PAGE_502 = "502 html"
    PAGE_403 = "403 html"
    BARE_429 = "429 without a body"
    BARE_401 = "401 without a body"
    ODD_200 = "200 html"
    REDIRECT = "302"


PAGES: dict[Mishap, tuple[int, str, dict[str, str]]] = {
    Mishap.BARE_500: (500, "", {}),
    Mishap.PAGE_502: (502, "<html>Bad Gateway</html>", {}),
    Mishap.PAGE_403: (403, "<html>Blocked by your firewall</html>", {}),
    Mishap.BARE_429: (429, "", {"Retry-After": "17"}),
    Mishap.BARE_401: (401, "", {}),
    Mishap.ODD_200: (200, "<html>Welcome to the hotel</html>", {}),
    Mishap.REDIRECT: (302, "", {"Location": "http://198.51.100.1/"}),
}


def error_body(code: int, *, message: str | None = None, subcode: int | None = None) -> dict[str, Any]:
    """An error as the Graph API writes it."""
    _, title, details = ERRORS.get(code, (400, "Unknown", ""))
    error: dict[str, Any] = {"message": message or f"(#{code}) {title}", "type": "OAuthException", "code": code}
    if details and message is None:
        error["error_data"] = {"messaging_product": "whatsapp", "details": details}
    if subcode is not None:
        error["error_subcode"] = subcode
    return {"error": {**error, "fbtrace_id": "Az8or2yhqkZfEZ-_4Qn_Bam"}}


@dataclass(kw_only=True)
class Uploaded:
    """A file as it came."""

    content_type: str
    size: int
    sha256: str
    data: bytes
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """What the next answers to `on` are."""

    on: str
    what: Mishap | int
    subcode: int | None
    message: str | None


class GraphServer:
    """One app with one token and one number."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []  # taken, whatever was answered
        self.uploads: dict[str, Uploaded] = {}
        self.media: dict[str, tuple[str, int]] = {}  # what came in: type and size, in zeros
        self.asked: list[str] = []
        self.logins: list[str | None] = []
        self.cut_media = 0  # bytes that a download lacks at its end
        self.media_host = ""  # where media lie, if not here
        self.media_status = 200
        self._script: list[Scripted] = []
        self._ids = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}/{VERSION}"

    def script(
        self,
        what: Mishap | int,
        *,
        on: str = "",
        times: int = 1,
        subcode: int | None = None,
        message: str | None = None,
    ) -> None:
        """Answer so, `times` times, where `on` stands in "METHOD /path"."""
        self._script += [Scripted(on=on, what=what, subcode=subcode, message=message)] * times

    def well(self) -> None:
        self._script.clear()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = f"{request.method} {request.path}"
        self.asked.append(name)
        self.logins.append(request.headers.get("Authorization"))
        scripted = next((one for one in self._script if one.on in name), None)
        if scripted is None:
            return await self._answer(request)
        self._script.remove(scripted)
        if isinstance(scripted.what, int):
            await request.read()
            status = ERRORS.get(scripted.what, (400, "", ""))[0]
            return web.json_response(
                error_body(scripted.what, message=scripted.message, subcode=scripted.subcode), status=status
            )
        return await self._mishap(request, scripted.what)

    async def _mishap(self, request: web.Request, what: Mishap) -> web.StreamResponse:
        assert request.transport is not None
        if what in PAGES:
            await request.read()
            status, text, headers = PAGES[what]
            return web.Response(status=status, text=text, content_type="text/html", headers=headers)
        if what in {Mishap.HANG_AFTER, Mishap.RESET_AFTER}:
            await self._answer(request)
        if what in {Mishap.HANG_BEFORE, Mishap.HANG_AFTER}:
            await asyncio.Event().wait()
        if what is Mishap.RESET_AFTER:
            half = web.StreamResponse(headers={"Content-Length": "500", "Content-Type": "application/json"})
            await half.prepare(request)
            await half.write(b'{"messaging_product":"whatsapp"')
        request.transport.abort()
        return web.Response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._unknown_caller(request)
        parts = request.path.strip("/").split("/")
        if parts[0] == "bytes":
            return await self._bytes(request, parts[1])
        match (request.method, *parts[1:]):
            case ("POST", phone_id, "messages") if phone_id == PHONE_ID:
                return await self._take(request)
            case ("POST", phone_id, "media") if phone_id == PHONE_ID:
                return await self._upload(request)
            case ("GET", node):
                return self._node(node)
        return self._no_such(parts[1], "post")

    def _unknown_caller(self, request: web.Request) -> web.Response:
        """What is shown for a wrong token, which Meta repeats, and for none."""
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if shown:
            return web.json_response(error_body(190, message=f"Malformed access token {shown}"), status=401)
        words = "An active access token must be used to query information about the current user."
        return web.json_response(error_body(2500, message=words), status=400)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("messaging_product") != "whatsapp" or not (body.get("to") or body.get("recipient")):
            return web.json_response(error_body(100), status=400)
        if body["type"] not in body:
            return web.json_response(error_body(131008), status=400)
        self.messages.append(body)
        contact = {"input": body.get("to") or body["recipient"]}
        contact |= {"wa_id": body["to"]} if "to" in body else {"user_id": body["recipient"]}
        return web.json_response(
            {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": self._new_message_id()}]}
        )

    async def _upload(self, request: web.Request) -> web.Response:
        if request.content_length is None:
            return web.json_response(error_body(100), status=400)
        fields: dict[str, str] = {}
        file: Uploaded | None = None
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.filename is None:
                fields[str(part.name)] = await part.text()
            else:
                file = await _received(part)
        if file is None or fields.get("messaging_product") != "whatsapp":
            return web.json_response(error_body(100), status=400)
        file.fields = fields
        media_id = str(4490709327384030 + next(self._ids))
        self.uploads[media_id] = file
        return web.json_response({"id": media_id})

    def _node(self, node: str) -> web.Response:
        if node == PHONE_ID:
            number = f"+{OUR_NUMBER[:2]} {OUR_NUMBER[2]} {OUR_NUMBER[3:5]} {OUR_NUMBER[5:7]} {OUR_NUMBER[7:]}"
            said = {"verified_name": "Plomberie Exemple", "display_phone_number": number, "quality_rating": "GREEN"}
            return web.json_response({**said, "id": PHONE_ID})
        if node not in self.media:
            return self._no_such(node, "get")
        content_type, size = self.media[node]
        return web.json_response(
            {
                "messaging_product": "whatsapp",
                "url": f"{self.media_host or f'http://{HOST}:{self._port}'}/bytes/{node}",
                "mime_type": content_type,
                "sha256": hashlib.sha256(b"").hexdigest(),
                "file_size": size,
                "id": node,
            }
        )

    def _no_such(self, node: str, verb: str) -> web.Response:
        words = (
            f"Unsupported {verb} request. Object with ID '{node}' does not exist, cannot be loaded due to missing "
            "permissions, or does not support this operation."
        )
        body = error_body(100, message=words, subcode=33)
        body["error"]["type"] = "GraphMethodException"
        return web.json_response(body, status=400)

    async def _bytes(self, request: web.Request, media_id: str) -> web.StreamResponse:
        if self.media_status != 200:
            return web.Response(status=self.media_status, text="<html>gone</html>", content_type="text/html")
        content_type, size = self.media[media_id]
        answer = web.StreamResponse(headers={"Content-Type": content_type})
        await answer.prepare(request)
        left = size - self.cut_media
        while left > 0:
            await answer.write(PIECE[:left])
            left -= len(PIECE)
        return answer

    def _new_message_id(self) -> str:
        tail = base64.b64encode(f"{next(self._ids):020d}".encode()).decode()
        return f"wamid.HBgLMzM2Mzk5ODAwMDIVAgARGBI{tail}"


async def _received(part: BodyPartReader) -> Uploaded:
    digest, size, data = hashlib.sha256(), 0, bytearray()
    while piece := await part.read_chunk(64 * 1024):
        digest.update(piece)
        size += len(piece)
        if size <= KEPT_BYTES:
            data += piece
    kind = part.headers.get("Content-Type", "")
    return Uploaded(content_type=kind, size=size, sha256=digest.hexdigest(), data=bytes(data))


def envelope(*values: dict[str, Any], field_name: str = "messages", at: int = 1739321024) -> dict[str, Any]:
    """A whole webhook, with a change for each of `values`."""
    changes = [{"value": value, "field": field_name} for value in values]
    return {"object": "whatsapp_business_account", "entry": [{"id": ACCOUNT_ID, "time": at, "changes": changes}]}


def signature(body: bytes, *, secret: str = APP_SECRET) -> str:
    """What Meta puts into ``X-Hub-Signature-256``."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


Post = Callable[[bytes, dict[str, str]], Awaitable[int]]


@dataclass
class WebhookCaller:
    """Meta, who calls our webhook by `post` (body and headers to status) until it hears 200."""

    post: Post
    secret: str = APP_SECRET
    statuses: list[int] = field(default_factory=list)

    async def deliver(self, payload: dict[str, Any], *, tries: int = 5) -> bool:
        """Whether it was taken in the end; every try is the same to the letter."""
        # As Meta writes it: other letters than ASCII escaped, in lower case.
        body = json.dumps(payload, separators=(",", ":")).encode()
        headers = {"X-Hub-Signature-256": signature(body, secret=self.secret), "Content-Type": "application/json"}
        for _ in range(tries):
            self.statuses.append(await self.post(body, headers))
            if self.statuses[-1] == 200:
                return True
        return False


async def zeros(size: int) -> AsyncIterator[bytes]:
    """So many bytes, in pieces."""
    for start in range(0, size, len(PIECE)):
        yield PIECE[: size - start]
