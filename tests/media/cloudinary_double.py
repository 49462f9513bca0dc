"""Cloudinary's Upload and Admin APIs and its delivery, on loopback; the official SDK agrees with it."""

import asyncio
import base64
import hashlib
import mimetypes
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from aiohttp import BodyPartReader, web

from passerelle.media.adapters.cloudinary import CloudinaryStore
from passerelle.redaction import Redactor

from servers import HOST

CLOUD, KEY, SECRET = "demo", "123456789012345", "the+secret/of the&double"
KINDS = frozenset({"image", "video", "raw"})
# The plan that costs nothing; reference/media_and_outbox.md §1.5.
LIMITS = {"image": 10_485_760, "raw": 10_485_760, "video": 104_857_600}
LEAST_CHUNK = 5_000_000
LIVES = 3600
CHUNK = 5 * 1024 * 1024
GRACE = 1.0
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
# How the formats that it knows begin.
MAGIC = {
    "image": {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"RIFF": "webp"},
    "video": {b"\0\0\0\x18ftyp": "mp4", b"\x1aE\xdf\xa3": "webm", b"OggS": "ogg", b"ID3": "mp3"},
}
NO_FORMAT = {"image": "Invalid image file", "video": "Unsupported video format or file"}
UNSIGNED = frozenset({"file", "cloud_name", "resource_type", "api_key", "signature"})


class Fault(StrEnum):
    """What it does instead."""

    NONE = "none"
    HANG = "hang"
    RESET = "reset in the middle"
    LOST = "done, answer lost"
    CORRUPT = "keeps other bytes"
    SHORT = "keeps fewer bytes"
    RENAMED = "keeps it under another name"  # as an upload preset of the account may
    TRUNCATED = "stops sending, closes"
    SILENT = "stops sending, stays"
    OTHER = "sends other bytes, fewer or more"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    DISABLED = "400, of the account"
    QUOTA = "402"
    RATE = "420"
    BUSY = "429"
    LOCKED = "423"
    BROKEN = "500"
    AWAY = "503"
    TOO_LARGE_HTML = "413 html"
    NO_SUCH_TYPE = "415"
    BAD_HTML = "400 html"
    GATEWAY_HTML = "502 html"
    LOGIN_HTML = "200 html"
    REDIRECT = "302"
    NOT_FOUND = "404"
    JSON = "200 other json"
    LISTS = "200, a list of something else"
    FLOOD = "endless body"


RATE_TEXT = "Rate Limit Exceeded. Limit of 500 api operations reached. Try again on {} UTC"
HTML = "<html><body>nginx</body></html>"
# Answered whatever was asked, without a look at the body.
CANNED: dict[Fault, tuple[int, str | dict[str, Any]]] = {
    Fault.UNAUTHORIZED: (401, "api_secret mismatch"),
    Fault.FORBIDDEN: (403, "You don't have sufficient permissions to access this resource"),
    Fault.DISABLED: (400, "cloud_name demo is disabled"),
    Fault.QUOTA: (402, "Your account has exceeded its storage quota"),
    Fault.BUSY: (429, "Too many concurrent requests"),
    Fault.LOCKED: (423, "Resource is locked"),
    Fault.BROKEN: (500, f"General Error for {KEY}:{SECRET}"),
    Fault.AWAY: (503, "Service unavailable"),
    Fault.TOO_LARGE_HTML: (413, HTML),
    Fault.NO_SUCH_TYPE: (415, "Unsupported media type"),
    Fault.BAD_HTML: (400, HTML),
    Fault.GATEWAY_HTML: (502, HTML),
    Fault.LOGIN_HTML: (200, HTML),
    Fault.REDIRECT: (302, ""),
    Fault.NOT_FOUND: (404, "Not found"),
    Fault.JSON: (200, {"status": "ok"}),
    Fault.LISTS: (200, {"resources": [{"public_id": "no bytes"}]}),
}


@dataclass
class Asset:
    kind: str
    type: str
    public_id: str
    data: bytes
    format: str
    asset_id: str = field(default_factory=lambda: secrets.token_hex(16))
    version: int = field(default_factory=lambda: int(time.time()))
    created_at: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    @property
    def listed(self) -> dict[str, Any]:
        """As the Admin API shows it in lists: no etag there."""
        return {
            "asset_id": self.asset_id,
            "public_id": self.public_id,
            **({"format": self.format} if self.format else {}),
            "version": self.version,
            "resource_type": self.kind,
            "type": self.type,
            "created_at": self.created_at,
            "bytes": len(self.data),
        }

    @property
    def told(self) -> dict[str, Any]:
        """As the answer to an upload shows it."""
        link = f"res.cloudinary.com/{CLOUD}/{self.kind}/{self.type}/s--abcdefgh--/v{self.version}/{self.public_id}"
        size = {"width": 1, "height": 1} if self.kind == "image" else {}
        more = {"url": f"http://{link}", "secure_url": f"https://{link}", "tags": [], "placeholder": False}
        etag = hashlib.md5(self.data, usedforsecurity=False).hexdigest()
        named = signature({"public_id": self.public_id, "version": self.version}, version=1)
        return {**self.listed, **size, **more, "etag": etag, "signature": named, "version_id": secrets.token_hex(16)}


@dataclass
class Asked:
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    filename: str | None = None
    sent: bytes = field(default=b"", repr=False)


class CloudinaryError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class CloudinaryDouble:
    def __init__(self, *, takes_all: bool = False) -> None:
        """`takes_all`: any bytes of any size pass for an image or a film of the format that their name says."""
        self._takes_all = takes_all
        self.fault = Fault.NONE
        self.after = 0  # so many requests go well before the fault
        self.retry_after = ""
        self.again_on = "2024-10-04 14:00:00"
        self.tells_etag = True
        self.tells_length = True
        self.existing_at_once = False  # what is there is told after the first chunk already
        self.asked: list[Asked] = []
        self.assets: dict[tuple[str, str, str], Asset] = {}
        self._chunks: dict[str, dict[int, bytes]] = {}
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    @property
    def open(self) -> int:
        """The connections that are open just now."""
        assert self._runner is not None
        assert self._runner.server is not None
        return len(self._runner.server.connections)

    def kept(self, public_id: str, kind: str = "image") -> bytes | None:
        """The bytes of an asset nobody can guess the address of."""
        asset = self.assets.get((kind, "authenticated", public_id))
        return None if asset is None else asset.data

    async def start(self) -> Self:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        api = "/v1_1/{cloud}"
        app.router.add_post(api + "/{kind}/upload", self._guarded(self._upload))
        app.router.add_post(api + "/{kind}/destroy", self._guarded(self._destroy))
        app.router.add_get(api + "/{kind}/download", self._guarded(self._download))
        app.router.add_get(api + "/resources/{kind}/{type}", self._guarded(self._resources))
        delivery = r"/{cloud}/{kind}/{type}/s--{mark}--/{transformation}/v{version:\d+}/{public_id:.+}"
        app.router.add_get(delivery, self._guarded(self._deliver))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """May be started again, at the same port."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _guarded(self, handler: Any) -> Any:
        async def answer(request: web.Request) -> web.StreamResponse:
            fault = self._due()
            canned = await self._canned(request, fault)
            if canned is not None:
                return canned
            try:
                cloud, kind = request.match_info["cloud"], request.match_info["kind"]
                _must(cloud == CLOUD, 401, f"Invalid cloud_name {cloud}")
                _must(kind in KINDS, 400, f"Invalid value {kind} for parameter resource_type")
                found: web.StreamResponse = await handler(request, fault)
            except CloudinaryError as error:
                headers = {"X-Cld-Error": str(error)}
                return web.json_response({"error": {"message": str(error)}}, status=error.status, headers=headers)
            if fault is Fault.LOST:
                _abort(request)
            return found

        return answer

    def _due(self) -> Fault:
        if self.fault is not Fault.NONE and self.after:
            self.after -= 1
            return Fault.NONE
        return self.fault

    async def _canned(self, request: web.Request, fault: Fault) -> web.StreamResponse | None:
        if fault is Fault.HANG:
            await request.read()  # who does not read does not notice either that the other has gone
            await asyncio.sleep(3600)
        if fault is Fault.RESET:
            await request.content.read(100_000)
            _abort(request)
            return web.Response()
        if fault is Fault.FLOOD:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(bytes(1024 * 1024))
        if fault is Fault.RATE:
            return web.json_response({"error": {"message": RATE_TEXT.format(self.again_on)}}, status=420)
        if fault not in CANNED:
            return None
        status, body = CANNED[fault]
        headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        if body == HTML or fault is Fault.REDIRECT:
            headers |= {"Location": "/elsewhere"} if fault is Fault.REDIRECT else {}
            return web.Response(status=status, text=str(body), content_type="text/html", headers=headers)
        told = body if isinstance(body, dict) else {"error": {"message": body}}
        return web.json_response(told, status=status, headers=headers)

    async def _form(self, request: web.Request) -> Asked:
        asked = Asked(request.method, request.path, {}, dict(request.headers))
        if request.content_type.startswith("multipart/"):
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                if part.name == "file":
                    asked.filename, asked.sent = part.filename, bytes(await part.read())
                else:
                    asked.params[str(part.name)] = await part.text()
        else:
            asked.params = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(asked)
        _check(asked)
        return asked

    async def _upload(self, request: web.Request, fault: Fault) -> web.Response:
        asked = await self._form(request)
        kind, params = request.match_info["kind"], asked.params
        public_id = params.get("public_id") or secrets.token_hex(10)
        place = (kind, params.get("type", "upload"), public_id)
        there = self.assets.get(place) if params.get("overwrite", "1") in {"0", "false"} else None
        if there is not None and self.existing_at_once:
            return self._told(there, existing=True)
        data = self._whole(asked)
        if data is None:
            return web.json_response(
                {"done": False, "bytes": len(asked.sent), "public_id": public_id, "kind": "upload"}
            )
        if there is not None:
            return self._told(there, existing=True)
        most = LIMITS[kind]
        plan = "Upgrade your plan to enjoy higher limits https://www.cloudinary.com/pricing/upgrades/file-limit"
        _must(
            self._takes_all or len(data) <= most,
            400,
            f"File size too large. Got {len(data)}. Maximum is {most}. {plan}",
        )
        _must(bool(data), 400, "Empty file")
        if fault is Fault.RENAMED:
            place = (*place[:2], f"preset/{public_id}")
        asset = self.assets[place] = Asset(
            *place, data=_spoiled(data, fault), format=self._format(kind, data, asked.filename or "")
        )
        return self._told(asset)

    def _format(self, kind: str, data: bytes, filename: str) -> str:
        if kind == "raw":
            return ""
        if self._takes_all:
            return filename.rpartition(".")[2]
        found = next((name for begin, name in MAGIC[kind].items() if data.startswith(begin)), "")
        _must(bool(found), 400, NO_FORMAT[kind])
        return found

    def _told(self, asset: Asset, **more: Any) -> web.Response:
        told = {**asset.told, **more}
        if not self.tells_etag:
            del told["etag"]
        return web.json_response(told)

    def _whole(self, asked: Asked) -> bytes | None:
        """The file, once all of it is there."""
        found = RANGE.fullmatch(asked.headers.get("Content-Range", ""))
        if found is None:
            _must("Content-Range" not in asked.headers, 400, "Invalid Content-Range header")
            return asked.sent
        upload_id = asked.headers.get("X-Unique-Upload-Id", "")
        _must(bool(upload_id), 400, "Missing X-Unique-Upload-Id header")
        start, last, total = map(int, found.groups())
        _must(last - start + 1 == len(asked.sent) and last < total, 400, "Content-Range does not fit the content")
        _must(
            last + 1 == total or len(asked.sent) >= LEAST_CHUNK,
            400,
            "All parts except EOF-chunk must be larger than 5mb",
        )
        chunks = self._chunks.setdefault(upload_id, {})
        chunks[start] = asked.sent
        if sum(map(len, chunks.values())) < total:
            return None
        return b"".join(data for _, data in sorted(self._chunks.pop(upload_id).items()))

    async def _destroy(self, request: web.Request, fault: Fault) -> web.Response:  # noqa: ARG002 -- as every handler
        params = (await self._form(request)).params
        place = (request.match_info["kind"], params.get("type", "upload"), params["public_id"])
        return web.json_response({"result": "ok" if self.assets.pop(place, None) else "not found"})

    async def _download(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        asked = Asked(request.method, request.path, dict(request.query), dict(request.headers))
        self.asked.append(asked)
        _check(asked)
        params = asked.params
        until = int(params.get("expires_at") or int(params["timestamp"]) + LIVES)
        _must(time.time() < until, 401, f"Stale request - expired at {until}")
        public_id = params["public_id"]
        asset = self.assets.get((request.match_info["kind"], params.get("type", "upload"), public_id))
        if asset is None:
            raise CloudinaryError(404, f"Resource not found - {public_id}")
        _must(params.get("format", "") in {"", asset.format}, 400, "The double converts nothing")
        return await self._stream(request, asset, fault)

    async def _stream(self, request: web.Request, asset: Asset, fault: Fault) -> web.StreamResponse:
        data = asset.data
        sent = {Fault.OTHER: data[:-1], Fault.TRUNCATED: data[: len(data) // 2], Fault.SILENT: data[: len(data) // 2]}
        named = asset.public_id if asset.kind == "raw" else f"{asset.public_id}.{asset.format}"
        kind = mimetypes.guess_type(named)[0] or "application/octet-stream"
        response = web.StreamResponse(headers={"Content-Type": kind})
        if self.tells_length:
            response.content_length = len(sent[fault]) if fault is Fault.OTHER else len(data)
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(sent.get(fault, data))
        if fault is Fault.SILENT:
            await asyncio.sleep(3600)
        if fault is Fault.TRUNCATED:
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write_eof()
        return response

    async def _resources(self, request: web.Request, fault: Fault) -> web.Response:  # noqa: ARG002 -- as every handler
        asked = Asked(request.method, request.path, dict(request.query), dict(request.headers))
        self.asked.append(asked)
        _must("Authorization" in request.headers, 401, "missing credentials")
        _check(asked)
        most = int(asked.params.get("max_results", "10"))
        _must(most <= 500, 400, "max_results must be at most 500")
        kind, type_, prefix = request.match_info["kind"], request.match_info["type"], asked.params.get("prefix", "")
        found = sorted(i for k, t, i in self.assets if (k, t) == (kind, type_) and i.startswith(prefix))
        begin = int(base64.urlsafe_b64decode(asked.params.get("next_cursor", "") or base64.b64encode(b"0")))
        page = [self.assets[kind, type_, public_id].listed for public_id in found[begin : begin + most]]
        rest = {"next_cursor": base64.urlsafe_b64encode(str(begin + most).encode()).decode()}
        return web.json_response({"resources": page, **(rest if begin + most < len(found) else {})})

    async def _deliver(self, request: web.Request, fault: Fault) -> web.Response:  # noqa: ARG002 -- as every handler
        parts = request.match_info
        signed = f"{parts['transformation']}/{parts['public_id']}{SECRET}"
        mark = base64.urlsafe_b64encode(hashlib.sha1(signed.encode(), usedforsecurity=False).digest())[:8].decode()
        _must(mark == parts["mark"], 401, "Invalid signature")
        public_id = parts["public_id"]
        asset = self.assets.get((parts["kind"], parts["type"], public_id))
        if asset is None:
            raise CloudinaryError(404, f"Resource not found - {public_id}")
        return web.Response(body=asset.data, headers={"X-Transformation": parts["transformation"]})


def cloudinary_store(url: str, *, secret: str = SECRET, grace: float = GRACE) -> CloudinaryStore:
    """Ours, at the double, with the smallest chunks and little patience."""
    return CloudinaryStore(
        cloud_name=CLOUD,
        api_key=KEY,
        api_secret=secret,
        redactor=Redactor(),
        upload_prefix=url,
        delivery_prefix=url,
        chunk_bytes=CHUNK,
        grace=grace,
    )


def signature(params: Mapping[str, Any], *, version: int = 2) -> str:
    """As Cloudinary makes it; version 2 closes a hole: an ``&`` in a value began another parameter."""
    pairs = sorted(f"{name}={value}" for name, value in params.items() if name not in UNSIGNED and value != "")
    text = "&".join(pair.replace("&", "%26") if version > 1 else pair for pair in pairs)
    return hashlib.sha1((text + SECRET).encode(), usedforsecurity=False).hexdigest()


def _check(asked: Asked) -> None:
    """Basic, or the signature."""
    login = asked.headers.get("Authorization", "")
    if login:
        key, _, secret = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")
        _must(key == KEY, 401, f"unknown api_key {key}")
        _must(secret == SECRET, 401, "api_secret mismatch")
        return
    params = asked.params
    _must(params.get("api_key") == KEY, 401, f"Unknown API key {params.get('api_key')}")
    fresh = "expires_at" in params or abs(time.time() - int(params.get("timestamp", "0"))) < LIVES
    _must(fresh, 401, "Stale request")
    told = params.get("signature", "")
    _must(told == signature(params), 401, f"Invalid Signature {told}. String to sign - '…'")


def _must(true: bool, status: int, message: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not true:
        raise CloudinaryError(status, message)


def _spoiled(data: bytes, fault: Fault) -> bytes:
    if fault is Fault.CORRUPT:
        return data[:-1] + bytes([data[-1] ^ 1])
    return data[:-1] if fault is Fault.SHORT else data


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
