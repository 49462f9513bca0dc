"""Supabase Storage on loopback, as its server v1.11.2 answers, and every way in which it goes wrong."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import ssl
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from aiohttp import hdrs, web

from servers import HOST

KEY = "sb_secret_the-key-of-the-double"
BUCKET = "media"
NOW = "2026-11-20T08:00:00.000Z"
MIB = 1024 * 1024
CHUNK = 6 * MIB
UNREAD = 256 * 1024  # less is read by the way
VALID_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
UPLOADS = "/storage/v1/upload/resumable"
QUOTA = "Service for this project is restricted due to the following violations: exceed_storage_size_quota."


class Mode(StrEnum):
    """How it answers."""

    HANG = "hang"
    RESET = "reset mid-upload"
    LOST = "done, answer lost"
    SHORT = "download cut"
    LESS = "half of the bytes, without a word"
    STUCK = "download that stops"
    BAD_GATEWAY = "502 html"
    THROTTLED = "429"
    BROKEN = "500"
    UNAVAILABLE = "503 html"
    LOCK_TIMEOUT = "400 with 503 inside"
    DATABASE = "544"
    PAGE = "200 html"
    PROXY_LIMIT = "413 html"
    NO_BACKEND = "404 text of a proxy"
    LOCKED = "402"
    LOCKED_403 = "403 of the quota"
    PAUSED = "540"
    GATEWAY_KEY = "401 of the gateway"
    MISMATCH = "460"
    REDIRECT = "307"
    MOVED = "301"
    ODD = "400 that nobody knows"


def _told(status: int, code: str, message: str, error: str = "") -> str:
    return json.dumps({"statusCode": str(status), "code": code, "error": error or code, "message": message})


# What is answered whatever was asked: the status of HTTP, the type, the body.
CANNED = {
    Mode.BAD_GATEWAY: (502, "text/html", "<html>Bad Gateway</html>"),
    Mode.THROTTLED: (429, "application/json", _told(429, "SlowDown", "Too many connections", "too_many_connections")),
    Mode.BROKEN: (500, "application/json", _told(500, "InternalError", "Internal Server Error", "Internal")),
    Mode.UNAVAILABLE: (503, "text/html", "<html>Service Unavailable</html>"),
    Mode.LOCK_TIMEOUT: (400, "application/json", _told(503, "LockTimeout", "acquiring lock timeout")),
    Mode.DATABASE: (544, "application/json", _told(544, "DatabaseTimeout", "The connection to the database timed out")),
    Mode.PAGE: (200, "text/html", "<!DOCTYPE html><title>Welcome</title>"),
    Mode.PROXY_LIMIT: (413, "text/html", "<html>413 Request Entity Too Large</html>"),
    Mode.NO_BACKEND: (404, "text/plain", "default backend - 404"),
    Mode.LOCKED: (402, "application/json", json.dumps({"message": QUOTA})),
    Mode.LOCKED_403: (403, "application/json", json.dumps({"message": "exceed_storage_size_quota"})),
    Mode.PAUSED: (540, "application/json", json.dumps({"message": "Project paused"})),
    Mode.GATEWAY_KEY: (401, "application/json", json.dumps({"message": "Invalid API key"})),
    Mode.MISMATCH: (460, "text/plain", "Checksum mismatch\n"),
    Mode.REDIRECT: (307, "text/plain", ""),
    Mode.MOVED: (301, "text/html", "<html>Moved Permanently</html>"),
    Mode.ODD: (400, "application/json", _told(400, "InvalidRequest", "body must have required property 'x'")),
}


class Refused(Exception):
    """An error of the REST interface: 400 on the wire, the true status inside."""

    def __init__(self, status: int, code: str, message: str, error: str = "") -> None:
        super().__init__(message)
        self.status, self.text = status, _told(status, code, message, error)

    def answer(self, *, resumable: bool) -> web.Response:
        """Resumable uploads say the true status, and the sentence alone."""
        if resumable:
            return web.Response(status=self.status, text=str(self))
        return web.Response(status=400, content_type="application/json", text=self.text)


@dataclass(kw_only=True)
class Stored:
    """An object as the server has it."""

    data: bytes
    content_type: str
    cache_control: str
    etag: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))

    def row(self, name: str) -> dict[str, Any]:
        """As both lists say it."""
        said = {"eTag": self.etag, "size": len(self.data), "mimetype": self.content_type}
        said |= {"cacheControl": self.cache_control, "contentLength": len(self.data), "httpStatusCode": 200}
        return {"name": name, "id": self.id, "updated_at": self.at, "created_at": self.at, "metadata": said}


@dataclass(kw_only=True)
class Upload:
    """A resumable upload under way."""

    key: str
    size: int
    content_type: str
    cache_control: str
    data: bytearray = field(default_factory=bytearray)


@dataclass(kw_only=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    value: Any = None


class SupabaseDouble:
    """One project with one private bucket."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, second_list: bool = True, parts: bool = False, strict: bool = True
    ) -> None:
        """`parts`: sums of large files are sums of sums; `strict`: pieces of 6 MiB only (the hosted service)."""
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self.asked: list[Asked] = []
        self.size_limit = 1 << 40
        self.types: tuple[str, ...] = ()
        self.later = 0.0  # seconds that its clock is ahead
        self.page = 1000
        self.cursors = True  # whether it goes on where a cursor says
        self.forgets = False  # uploads that are finished
        self._fault: tuple[Mode, str, int] | None = None
        self._due_in = 0
        self._tls, self._second_list, self._parts, self._strict = tls, second_list, parts, strict
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://{HOST}:{self._port}"

    @property
    def open(self) -> int:
        """The connections that are open just now."""
        assert self._runner is not None
        assert self._runner.server is not None
        return len(self._runner.server.connections)

    def fault(self, mode: Mode, *, on: str = "", after: int = 0, times: int = 1_000_000) -> None:
        """Answer so where `on` stands in "METHOD /path", `times` times once it went well `after` times."""
        self._fault, self._due_in = (mode, on, times), after

    def well(self) -> None:
        self._fault = None

    def count(self, text: str) -> int:
        """How many requests had `text` in "METHOD /path"."""
        return sum(text in f"{each.method} {each.path}" for each in self.asked)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port, ssl_context=self._tls, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(method=request.method, path=request.raw_path, headers=dict(request.headers)))
        mode = self._due(f"{request.method} {request.raw_path}")
        if mode is Mode.HANG:
            await asyncio.sleep(3600)
        if mode in CANNED:
            status, kind, text = CANNED[mode]
            headers = {"Retry-After": "7"} if mode is Mode.THROTTLED else {"Location": "/elsewhere"}
            return web.Response(status=status, content_type=kind, text=text, headers=headers)
        resumable = request.path.startswith(UPLOADS)
        try:
            answer = await self._route(request, mode)
        except Refused as refused:
            answer = refused.answer(resumable=resumable and self._known(request))
            if await self._leaves_unread(request, answer):
                return answer
        assert request.transport is not None
        if mode in {Mode.LOST, Mode.RESET}:
            request.transport.abort()
        return answer

    @staticmethod
    async def _leaves_unread(request: web.Request, answer: web.Response) -> bool:
        """As the real server: it refuses at once, and neither reads the body nor answers what comes after it."""
        if (request.content_length or 0) < UNREAD or request.content.is_eof():
            return False
        await answer.prepare(request)
        await answer.write_eof()
        await asyncio.sleep(3600)
        return True

    def _due(self, line: str) -> Mode | None:
        if self._fault is None or self._fault[1] not in line or self._fault[2] == 0:
            return None
        mode, on, times = self._fault
        if self._due_in > 0:
            self._due_in -= 1
            return None
        self._fault = (mode, on, times - 1)
        return mode

    async def _route(self, request: web.Request, mode: Mode | None) -> web.StreamResponse:  # noqa: PLR0911 -- a table
        words = [part for part in request.path.removeprefix("/storage/v1").split("/")[1:] if part]
        method, rest = request.method, "/".join(words[3:])
        if words[:2] == ["upload", "resumable"]:
            self._knock(request)
            return await self._resumable(request, "/".join(words[2:]), mode)
        if method == "GET" and words[:2] == ["object", "sign"]:
            return self._signed(request, rest)
        if method == "GET" and words[:2] == ["object", "info"]:
            return web.json_response(self._info(self._found(request, words[2], rest), rest))
        if method == "GET" and words[0] == "object":
            stored = self._found(request, words[1], "/".join(words[2:]))
            return await _sent(request, stored, mode)
        self._knock(request)
        if words[0] == "object" and words[1] == "sign":
            return web.json_response({"signedURL": await self._sign(request, words[2], rest)})
        if words[0] == "object" and method in {"POST", "PUT"} and words[1] in {"list", "list-v2"}:
            return await self._list(request, words[1], words[2])
        if words[0] == "object" and method in {"POST", "PUT"}:
            return await self._upload(request, words[1], "/".join(words[2:]), mode)
        if words[0] == "object" and method == "DELETE":
            return await self._delete(request)
        if words[0] == "bucket":
            self._bucket(words[1])
            told = {"id": BUCKET, "name": BUCKET, "public": False, "owner": "", "file_size_limit": None}
            told |= {"allowed_mime_types": None, "created_at": NOW, "updated_at": NOW}
            return web.json_response(told)
        return _no_route(request)

    # --- who asks

    @staticmethod
    def _known(request: web.Request) -> bool:
        return (request.headers.get("apikey"), request.headers.get("Authorization")) == (KEY, f"Bearer {KEY}")

    def _knock(self, request: web.Request) -> None:
        if not self._known(request):
            raise Refused(403, "AccessDenied", "Invalid Compact JWS", "Unauthorized")

    @staticmethod
    def _bucket(bucket: str) -> None:
        if bucket != BUCKET:
            raise Refused(404, "NoSuchBucket", "Bucket not found", "Bucket not found")

    def _found(self, request: web.Request, bucket: str, key: str) -> Stored:
        """Of a private bucket a stranger hears that it is not there."""
        self._bucket(bucket if self._known(request) else "")
        if key not in self.objects:
            raise Refused(404, "NoSuchKey", "Object not found", "not_found")
        return self.objects[key]

    # --- objects

    def _allowed(self, bucket: str, key: str, kind: str, size: int) -> None:
        self._bucket(bucket)
        if self.types and kind not in self.types:
            raise Refused(415, "InvalidMimeType", f"mime type {kind} is not supported", "invalid_mime_type")
        if size > self.size_limit:
            raise Refused(413, "EntityTooLarge", "The object exceeded the maximum allowed size", "Payload too large")
        if not VALID_KEY.fullmatch(key):
            raise Refused(400, "InvalidKey", f"Invalid key: {key}")

    def _free(self, key: str, upsert: str | None) -> None:
        if upsert != "true" and key in self.objects:
            raise Refused(409, "KeyAlreadyExists", "The resource already exists", "Duplicate")

    async def _upload(self, request: web.Request, bucket: str, key: str, mode: Mode | None) -> web.Response:
        multipart = request.content_type == "multipart/form-data"
        size = 0 if multipart or request.content_length is None else request.content_length
        self._allowed(bucket, key, self.types[0] if multipart and self.types else request.headers["Content-Type"], size)
        if request.method == "POST":
            self._free(key, request.headers.get("x-upsert"))
        if mode is Mode.RESET:
            await request.content.read(1000)
            return web.Response()
        kind, cache = request.headers["Content-Type"], request.headers.get("Cache-Control", "no-cache")
        if multipart:
            form = await request.post()
            file = form["file"]
            assert isinstance(file, web.FileField)
            kind, cache, data = file.content_type, f"max-age={form['cacheControl']!s}", file.file.read()
        else:
            data = await request.read()
        self.keep(key, data[: len(data) // 2] if mode is Mode.LESS else data, kind=kind, cache=cache)
        return web.json_response({"Id": self.objects[key].id, "Key": f"{bucket}/{key}"})

    def keep(self, key: str, data: bytes, *, kind: str = "image/png", cache: str = "no-cache", parts: int = 0) -> None:
        """Put it there."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        etag = f'"{md5}-{parts}"' if parts and self._parts else f'"{md5}"'
        self.objects[key] = Stored(data=data, content_type=kind, cache_control=cache, etag=etag)

    @staticmethod
    def _info(stored: Stored, key: str) -> dict[str, Any]:
        said = {"id": stored.id, "name": key, "version": stored.id, "bucket_id": BUCKET, "size": len(stored.data)}
        said |= {"content_type": stored.content_type, "cache_control": stored.cache_control, "etag": stored.etag}
        return said | {"metadata": None, "last_modified": stored.at, "created_at": stored.at}

    async def _delete(self, request: web.Request) -> web.Response:
        names = self._note(await request.json())["prefixes"]
        gone = [name for name in names if self.objects.pop(name, None)]
        return web.json_response([{"name": name, "bucket_id": BUCKET} for name in gone])

    def _note(self, value: Any) -> Any:
        self.asked[-1].value = value
        return value

    # --- signed links

    async def _sign(self, request: web.Request, bucket: str, key: str) -> str:
        seconds = int(self._note(await request.json())["expiresIn"])  # a string of digits is coerced
        if bucket != BUCKET or key not in self.objects:  # it does not look for the bucket
            raise Refused(404, "NoSuchKey", "Object not found", "not_found")
        said = {"url": f"{bucket}/{key}", "scope": "download", "exp": int(time.time() + self.later) + seconds}
        return f"/object/sign/{bucket}/{key}?token={_jwt(said)}"

    def _signed(self, request: web.Request, key: str) -> web.Response:
        said = _read_jwt(request.query.get("token", ""))
        if said.get("url") != f"{BUCKET}/{key}":
            raise Refused(400, "InvalidSignature", "Invalid signature")
        if said["exp"] < time.time() + self.later:
            raise Refused(400, "InvalidJWT", '"exp" claim timestamp check failed')
        stored = self.objects[key]
        return web.Response(body=stored.data, headers={"Content-Type": stored.content_type, "ETag": stored.etag})

    # --- lists

    async def _list(self, request: web.Request, which: str, bucket: str) -> web.Response:
        wish = self._note(await request.json())
        mine = sorted(self.objects) if bucket == BUCKET else []  # of another bucket: nothing, without a word
        if which == "list":
            return web.json_response(self._level(mine, wish))
        if not self._second_list:
            return _no_route(request)
        assert not wish.get("with_delimiter"), "only the recursive list is played here"
        start = (
            json.loads(base64.b64decode(wish["cursor"]))["startAfter"] if self.cursors and wish.get("cursor") else ""
        )
        names = [key for key in mine if key.startswith(wish.get("prefix", "")) and key > start]
        limit = min(wish.get("limit", 1000), self.page)
        more = len(names) > limit
        page = {"hasNext": more, "folders": [], "objects": [self.objects[key].row(key) for key in names[:limit]]}
        if more:
            token = base64.b64encode(json.dumps({"startAfter": names[limit - 1]}).encode()).decode()
            page |= {"nextCursor": token, "nextCursorKey": names[limit - 1]}
        return web.json_response(page)

    def _level(self, mine: list[str], wish: dict[str, Any]) -> list[dict[str, Any]]:
        prefix = wish["prefix"].rstrip("/") + "/" if wish["prefix"] else ""
        below = [key.removeprefix(prefix) for key in mine if key.startswith(prefix)]
        folder = {"id": None, "updated_at": None, "created_at": None, "last_accessed_at": None, "metadata": None}
        rows = {name.partition("/")[0]: {"name": name.partition("/")[0], **folder} for name in below if "/" in name}
        rows |= {name: self.objects[prefix + name].row(name) for name in below if "/" not in name}
        start = wish.get("offset", 0)
        return [rows[name] for name in sorted(rows)][start : start + wish.get("limit", 100)]

    # --- resumable uploads

    async def _resumable(self, request: web.Request, name: str, mode: Mode | None) -> web.Response:
        if request.headers.get("Tus-Resumable") != "1.0.0":
            return web.Response(status=412, text="Tus-Resumable Required\n")
        if request.method == "POST":
            return self._create(request)
        if name not in self.uploads:
            raise Refused(404, "", "The file for this url was not found\n")
        upload = self.uploads[name]
        offset = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(len(upload.data)), "Cache-Control": "no-store"}
        if request.method == "HEAD":
            return web.Response(headers={**offset, "Upload-Length": str(upload.size)})
        return await self._patch(request, upload, mode)

    def _create(self, request: web.Request) -> web.Response:
        pairs = (pair.split(" ") for pair in request.headers["Upload-Metadata"].split(","))
        said = {name: base64.b64decode(value).decode() for name, value in pairs}
        size = int(request.headers["Upload-Length"])
        if size > self.size_limit:
            raise Refused(413, "", "Maximum size exceeded\n")
        self._allowed(said["bucketName"], said["objectName"], said["contentType"], size)
        self._free(said["objectName"], request.headers.get("x-upsert"))
        name = base64.urlsafe_b64encode(f"{BUCKET}/{said['objectName']}/{uuid.uuid4()}".encode()).decode().rstrip("=")
        cache = f"max-age={said['cacheControl']}" if "cacheControl" in said else "no-cache"
        self.uploads[name] = Upload(
            key=said["objectName"], size=size, content_type=said["contentType"], cache_control=cache
        )
        # In production always https, and the host that the proxy in front of it names.
        return web.Response(status=201, headers={"Location": f"https://upstream.test{UPLOADS}/{name}"})

    async def _patch(self, request: web.Request, upload: Upload, mode: Mode | None) -> web.Response:
        if request.headers.get("Content-Type") != "application/offset+octet-stream":
            return web.Response(status=415, text="Unsupported Content-Type\n")
        self._free(upload.key, request.headers.get("x-upsert"))
        if int(request.headers["Upload-Offset"]) != len(upload.data):
            return web.Response(status=409, text="Upload-Offset conflict\n")
        last = len(upload.data) + (request.content_length or 0) == upload.size
        if self._strict and not last and request.content_length != CHUNK:
            return web.Response(status=400, text="Your proposed upload is smaller than the minimum allowed size")
        async for piece in request.content.iter_any():
            upload.data += piece
            if mode is Mode.RESET and len(upload.data) % CHUNK > CHUNK // 2:
                return web.Response()  # what has arrived stays
        if len(upload.data) == upload.size:
            parts = -(-upload.size // CHUNK)
            data = bytes(upload.data)
            self.keep(upload.key, data, kind=upload.content_type, cache=upload.cache_control, parts=parts)
            self.uploads = {} if self.forgets else self.uploads
        offset = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(len(upload.data))}
        return web.Response(status=204, headers=offset)


def _no_route(request: web.Request) -> web.Response:
    text = _told(404, "InvalidRequest", f"Route {request.method}:{request.raw_path} not found", "Not Found")
    return web.Response(status=404, content_type="application/json", text=text)


async def _sent(request: web.Request, stored: Stored, mode: Mode | None) -> web.StreamResponse:
    """An object's bytes; a page is never served as one."""
    kind = "text/plain" if stored.content_type == "text/html" else stored.content_type
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: kind, hdrs.ETAG: stored.etag})
    data = stored.data[: len(stored.data) // 2] if mode in {Mode.SHORT, Mode.STUCK, Mode.LESS} else stored.data
    if mode is Mode.LESS:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(stored.data)
    await response.prepare(request)
    for start in range(0, len(data), MIB):
        await response.write(data[start : start + MIB])
    if mode is Mode.STUCK:
        await asyncio.sleep(3600)
    if mode is Mode.SHORT:
        assert request.transport is not None
        request.transport.close()
        return response
    await response.write_eof()
    return response


def _jwt(said: dict[str, Any]) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, said]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{text}.{_seal(text)}"


def _read_jwt(token: str) -> dict[str, Any]:
    text, _, seal = token.rpartition(".")
    if not text or not hmac.compare_digest(seal, _seal(text)):
        raise Refused(400, "InvalidJWT", "signature verification failed")
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
    return said


def _seal(text: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(b"the secret of links", text.encode(), "sha256")).decode().rstrip("=")
