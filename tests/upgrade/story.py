"""Everything that people do with a gateway, and all that it can tell of that afterwards."""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from acceptance.gateway import Gateway, Json, command_line
from acceptance.sending import ON_ITS_PHONE, texts_on
from media.samples import picture

from servers import HOST, free_port, wait_for

ADMIN, SECRET = "the-admin-of-both-versions-1234", "what-both-versions-seal-with-1234"
ANNA, BEN = "+33639980301", "+33639980302"  # their phones are linked
CARL, DORA, EVE = "+33639980311", "+33639980312", "+33639980313"  # they are not
LATER = timedelta(hours=1)
CHANGES_BY_ITSELF = frozenset(
    {"as_of", "source", "last_seen_at", "last_used_at", "connected_at", "worker", "pacing"}
    | {"url", "thumbnail_url", "failing_since", "paused_until", "last_error"}
)
LISTS = ("messages", "leads", "contractors", "media", "webhooks", "inbox/messages", "inbox/deleted", "inbox/view-once")
OF_ADMIN = ("clients", "audit")


class Maker:
    """Makes processes of both versions on one data directory."""

    def __init__(self, folder: Path, old_code: Path) -> None:
        """Below `folder`; the version before has its code in `old_code`."""
        self.data_dir, self._world_dir = folder / "data", folder / "world"
        for one in (self.data_dir, self._world_dir):
            one.mkdir(mode=0o700)
        self._old = {"PYTHONPATH": str(old_code)}
        self._port = free_port()  # of one after another: links name it
        self.env: dict[str, str] = {
            "PASSERELLE_ADMIN_KEY": ADMIN,
            "PASSERELLE_SECRET_KEY": SECRET,
            "PASSERELLE_ALLOW_PRIVATE_URLS": "true",
        }

    def world(self) -> Gateway:
        """A simulated WhatsApp in a process of its own, which all others speak in from now on."""
        world = _known(Gateway(self._world_dir, "sandbox", env=self.env))
        self.env["PASSERELLE_SANDBOX_URL"] = f"http://{HOST}:{world.port}"
        return world

    def process(self, *words: str, old: bool = False, port: int | None = None) -> Gateway:
        """One process, of the version before if `old`."""
        env = self.env | (self._old if old else {})
        return _known(Gateway(self.data_dir, *words, env=env, port=port or self._port, stdin=subprocess.DEVNULL))

    def run(self, *words: str, old: bool = False) -> tuple[int, str]:
        """One command to its end: its exit code, and all that it said."""
        env = self.env | {"PASSERELLE_DATA_DIR": str(self.data_dir)} | (self._old if old else {})
        ended = command_line(*words, cwd=self.data_dir.parent, env=env, limit=60)
        return ended.returncode, ended.stdout + ended.stderr


def _known(gateway: Gateway) -> Gateway:
    gateway.http.headers["Authorization"] = f"Bearer {ADMIN}"
    return gateway


class Hook:
    """A client's own system that hears of events, on a port that nobody answers until it `listens`."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://{HOST}:{self._port}/hook"
        self.secret = ""
        self.heard: list[Json] = []

    @contextmanager
    def listens(self) -> Iterator[None]:
        """While it lasts, what is told and rightly signed is `heard`."""
        hook = self

        class Ear(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.heard.append(dict(Webhook(hook.secret).verify(body, dict(self.headers))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer((HOST, self._port), Ear) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


@dataclass
class Left:
    """What a gateway has been told, and has still to do."""

    key: str
    hook: Hook
    session_id: str
    waiting: dict[str, Json] = field(default_factory=dict)
    """Messages, by the key of their request."""
    scheduled: Json = field(default_factory=dict)
    lead: Json = field(default_factory=dict)


def call(gateway: Gateway, method: str, path: str, *, key: str = ADMIN, **parts: Any) -> httpx.Response:
    """Ask the API with a `key`; it says yes."""
    headers = {"Authorization": f"Bearer {key}", **parts.pop("headers", {})}
    answer = gateway.http.request(method, f"/api/{path}", headers=headers, **parts)
    assert answer.is_success, (path, answer.status_code, answer.text, gateway.log[-2000:])
    return answer


def live(gateway: Gateway, world: Gateway) -> Left:
    """Something in every room: a client with a key, whose phone is linked beside the admin's."""
    made = call(gateway, "POST", "clients", json={"name": "shop"}).json()
    link(gateway, world, "ben", BEN, ADMIN)
    left = Left(made["api_key"], Hook(), link(gateway, world, "anna", ANNA, made["api_key"]))
    for key in (ADMIN, left.key):
        _say(gateway, world, key)
    _keep(gateway, left)
    _hear(gateway, world, left)
    left.lead = _dispatch(gateway, left.key)
    return left


def leave(gateway: Gateway, world: Gateway, left: Left) -> None:
    """Messages that wait for WhatsApp, which is away from now on, and one for its hour."""
    send_at = datetime.now(UTC) + LATER
    left.scheduled = _ask(gateway, left.key, CARL, "in an hour", send_at=send_at.isoformat())
    world.kill()
    left.waiting = {f"key-{n}": _ask(gateway, left.key, DORA, f"wait {n}", name=f"key-{n}") for n in range(3)}


def settle(gateway: Gateway, world: Gateway, left: Left) -> None:
    """What `left` says is done, once; what was asked is known, and what was kept is whole."""
    with left.hook.listens():
        for one in left.waiting.values():
            _until(gateway, left.key, one, ON_ITS_PHONE)
        assert texts_on(world, DORA) == [f"wait {n}" for n in range(3)]
        for name, one in left.waiting.items():
            again = _ask(gateway, left.key, DORA, one["text"], name=name)
            assert again["id"] == one["id"]
        assert "in an hour" not in texts_on(world, CARL)
        world.advance(LATER.total_seconds() + 60)
        _until(gateway, left.key, left.scheduled, ON_ITS_PHONE)
        assert texts_on(world, CARL).count("in an hour") == 1
        wait_for(lambda: any(one["type"] == "webhook.test" for one in left.hook.heard), "the webhook", 60)
    token = {"token": left.lead["confirm_url"].partition("token=")[2]}
    assert gateway.http.post("/api/confirm", data=token).status_code == 200
    wait_for(lambda: _lead(gateway, left)["notification_status"] == "whatsapp_sent", "the contractor's message", 30)
    assert gateway.http.get("/api/messages", headers={"Authorization": f"Bearer {left.key}x"}).status_code == 401


def told(gateway: Gateway, left: Left) -> dict[str, Json]:
    """All that the admin and the client can read, by path and id; without what is still to be done."""
    found: dict[str, Json] = {}
    for key in (ADMIN, left.key):
        wait_for(partial(_is_connected, gateway, key), "the connection of every phone", 60)
    for key in (ADMIN, left.key):
        for path in (*LISTS, "whatsapp/sessions", *(OF_ADMIN if key == ADMIN else ())):
            for item in call(gateway, "GET", path, key=key, params={"limit": 1000}).json()["items"]:
                found[f"{key} {path} {item['id']}"] = item
    own = {"key": left.key}
    for path in ("messages", "leads", "media", "webhooks"):
        for item in call(gateway, "GET", path, **own).json()["items"]:
            found[f"one of {path}: {item['id']}"] = call(gateway, "GET", f"{path}/{item['id']}", **own).json()
            if path == "webhooks":
                events = call(gateway, "GET", f"{path}/{item['id']}/deliveries", **own).json()
                found |= {f"delivery {one['id']}": {"data": one["data"], "seq": one["seq"]} for one in events["items"]}
            if path == "media":
                found[f"file {item['id']}"] = {"sha256": _file(gateway, item["url"])}
    found["capture"] = call(gateway, "GET", f"whatsapp/sessions/{left.session_id}/capture", **own).json()
    undone = {one["id"] for one in (*left.waiting.values(), left.scheduled) if one}
    return {name: _lasting(item) for name, item in found.items() if name.rpartition(" ")[2] not in undone}


def expect_kept(before: Mapping[str, Json], now: Mapping[str, Json]) -> None:
    """All that was told is told still, field for field; there may be more."""
    assert before.keys() <= now.keys()
    for name, item in before.items():
        assert _holds(now[name], item), (name, json.dumps(item), json.dumps(now[name]))


def _holds(now: Any, before: Any) -> bool:
    if isinstance(before, dict):
        return before.keys() <= now.keys() and all(_holds(now[name], value) for name, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(map(_holds, now, before))
    return bool(now == before)


def _is_connected(gateway: Gateway, key: str) -> bool:
    return {one["state"] for one in listed(gateway, "whatsapp/sessions", key)} == {"connected"}


def _lasting(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _lasting(value) for name, value in item.items() if name not in CHANGES_BY_ITSELF}
    return [_lasting(one) for one in item] if isinstance(item, list) else item


def _until(gateway: Gateway, key: str, message: Json, statuses: AbstractSet[str]) -> None:
    def is_so() -> bool:
        return call(gateway, "GET", f"messages/{message['id']}", key=key).json()["status"] in statuses

    wait_for(is_so, f"{message['text']!r} {' or '.join(statuses)}", 60)


def link(gateway: Gateway, world: Gateway, user: str, phone: str, key: str) -> str:
    wish = {"user_id": user, "phone_number": phone}
    code = call(gateway, "POST", "whatsapp/pairing-code", key=key, json=wish).json()
    assert world.type_code(phone, code["code"]).status_code == 200
    path = f"whatsapp/sessions/{code['session_id']}"
    linked = f"/api/{path}"
    headers = {"Authorization": f"Bearer {key}"}
    wait_for(lambda: gateway.http.get(linked, headers=headers).status_code == 200, "a linked phone", 30)
    wait_for(lambda: bool(call(gateway, "GET", path, key=key).json()["state"] == "connected"), "its connection", 30)
    return str(code["session_id"])


def _ask(gateway: Gateway, key: str, to: str, text: str, *, name: str = "", **parts: Any) -> Json:
    user = "ben" if key == ADMIN else "anna"
    wished = {"user_id": user, "to": to, "type": "text", "text": text} | parts
    headers = {"Idempotency-Key": name} if name else {}
    asked: Json = call(gateway, "POST", "messages", key=key, json=wished, headers=headers).json()
    return asked


def _say(gateway: Gateway, world: Gateway, key: str) -> None:
    """One message that arrives, one that cannot."""
    said = _ask(gateway, key, CARL, f"hello from {key[:8]}")
    _until(gateway, key, said, {"delivered", "read"})
    world.fault("not_on_whatsapp", BEN if key == ADMIN else ANNA)
    lost = _ask(gateway, key, EVE, "nobody there")
    _until(gateway, key, lost, {"failed"})


def _keep(gateway: Gateway, left: Left) -> None:
    files = {"file": ("a.png", picture("PNG"), "image/png")}
    call(gateway, "POST", "media", key=left.key, data={"user_id": "anna", "category": "view-once"}, files=files)
    hook = call(gateway, "POST", "webhooks", key=left.key, json={"url": left.hook.url}).json()
    left.hook.secret = hook["secret"]
    call(gateway, "POST", f"webhooks/{hook['id']}/test", key=left.key)


def _hear(gateway: Gateway, world: Gateway, left: Left) -> None:
    """Somebody writes twice, and takes one back."""
    agreed = {"deleted": True, "view_once": True}
    call(gateway, "PUT", f"whatsapp/sessions/{left.session_id}/capture", key=left.key, json=agreed)
    for text in ("kept", "taken back"):
        said = world.http.post(f"/sandbox/phones/{EVE}/messages", json={"to": ANNA, "text": text})
        assert said.status_code == 201, said.text
    gone = world.http.delete(f"/sandbox/phones/{EVE}/messages/{said.json()['id']}")
    assert gone.status_code == 200, gone.text

    def heard() -> bool:
        counts = (len(listed(gateway, f"inbox/{which}", left.key)) for which in ("messages", "deleted"))
        return list(counts) == [2, 1]

    wait_for(heard, "what was written to her", 30)


def _dispatch(gateway: Gateway, key: str) -> Json:
    """One lead is a contractor's, another waits for its customer."""
    someone = {"name": "Marc", "phone": DORA[:-1] + "9", "trades": [], "areas": [], "capacity": 5}
    call(gateway, "POST", "contractors", key=key, json=someone)
    leads = []
    for name in ("First", "Second"):
        wish = {"name": name, "phone": EVE, "trade": "plumber", "area": "Lyon"}
        leads.append(call(gateway, "POST", "leads", key=key, json=wish).json())
    token = {"token": leads[0]["confirm_url"].partition("token=")[2]}
    assert gateway.http.post("/api/confirm", data=token).status_code == 200

    def is_told() -> bool:
        lead = call(gateway, "GET", f"leads/{leads[0]['id']}", key=key).json()
        return bool(lead["notification_status"] == "whatsapp_sent")

    wait_for(is_told, "the contractor's message", 30)
    second: Json = leads[1]
    return second


def _lead(gateway: Gateway, left: Left) -> Json:
    found: Json = call(gateway, "GET", f"leads/{left.lead['id']}", key=left.key).json()
    return found


def listed(gateway: Gateway, path: str, key: str) -> list[Json]:
    items: list[Json] = call(gateway, "GET", path, key=key, params={"limit": 1000}).json()["items"]
    return items


def _file(gateway: Gateway, url: str) -> str:
    parts = httpx.URL(url)
    answer = gateway.http.get(parts.raw_path.decode())
    assert answer.status_code == 200, answer.text
    return hashlib.sha256(answer.content).hexdigest()
