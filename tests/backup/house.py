"""A gateway with something of everything in it, whose data are copied, damaged and put back."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from media.samples import picture
from passerelle.app import App
from passerelle.app.backup import compose_places
from passerelle.app.secret import FILE as KEY_FILE
from passerelle.backup.export import export
from passerelle.backup.load import Loaded, load
from passerelle.backup.model import Places
from passerelle.backup.restore import Restored, restore
from passerelle.backup.tables import tables_of
from passerelle.backup.take import take
from passerelle.db import Tx
from passerelle.db.open import open_database
from passerelle.settings import read_settings
from passerelle.whatsapp.model import Outgoing

from apps import NUMBER, gateway, http

BO = "+33639980100"
ADMIN = {"Authorization": "Bearer an-admin-key-0123456789-0123456789"}
PNG = picture("PNG")
Json = dict[str, Any]
Rows = dict[str, list[Json]]


@dataclass
class Said:
    """A `Sender` that remembers."""

    texts: list[str] = field(default_factory=list)

    async def prepare(self, _outgoing: Outgoing) -> str | None:
        return None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:  # noqa: ARG002 -- nothing was prepared
        self.texts.append(str(outgoing.text))
        return f"wamid.{len(self.texts)}.{outgoing.text}"


@dataclass
class Site:
    """A data directory, and the database beside it."""

    folder: Path
    database_url: str | None = None
    redis_url: str | None = None
    said: Said = field(default_factory=Said)

    @property
    def settings(self) -> Json:
        urls = {"database_url": self.database_url, "redis_url": self.redis_url}
        return {"admin_key": SecretStr(ADMIN["Authorization"].split()[1])} | {
            name: SecretStr(url) for name, url in urls.items() if url
        }

    @property
    def places(self) -> Places:
        settings = read_settings(data_dir=self.folder, **self.settings)
        return compose_places(settings, control=self.folder / "control.lock")

    @asynccontextmanager
    async def open(self, *, working: bool) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
        settings = self.settings | {"message_quota": 100_000}
        async with gateway(self.folder, working=working, sender=self.said, **settings) as app, http(app) as api:
            api.headers.update(ADMIN)
            yield app, api

    async def backup(self, *, with_media: bool = True) -> bytes:
        out, scratch = io.BytesIO(), self.folder.with_name("scratch")
        scratch.mkdir(exist_ok=True)
        await take(self.places, out, scratch=scratch, with_media=with_media)
        return out.getvalue()

    async def restore(self, archive: bytes, *, send_waiting: bool = False) -> Restored:
        return await restore(self.places, io.BytesIO(archive), send_waiting=send_waiting)

    async def export(self) -> str:
        out = io.StringIO()
        await export(self.places, out)
        return out.getvalue()

    async def load(self, text: str, *, send_waiting: bool = True) -> Loaded:
        return await load(self.places, io.StringIO(text), send_waiting=send_waiting)

    def give_key(self, other: "Site") -> None:
        """The other one seals with the same key."""
        other.folder.mkdir(exist_ok=True)
        (other.folder / KEY_FILE).write_text((self.folder / KEY_FILE).read_text())

    def give_world(self, other: "Site") -> None:
        """The simulated WhatsApp goes on: it is in no backup, as WhatsApp itself is not."""
        for path in self.folder.glob("sandbox.sqlite3*"):
            shutil.copy(path, other.folder)

    async def rows(self) -> Rows:
        """Every row of every table of ours."""

        async def read(tx: Tx) -> Rows:
            names = [name for name in await tables_of(tx) if name != "workers"]
            return {name: sorted(await tx.sql(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608 -- as found

        database = open_database(self.places.database)
        try:
            return await database.run(read)
        finally:
            await database.close()

    def files(self) -> dict[str, bytes]:
        """All files of the data directory but the key, locks and logs."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != KEY_FILE and path.suffix not in {".lock", ".log"}
        }


async def good(answer: Awaitable[httpx.Response]) -> Json:
    told = await answer
    assert told.is_success, told.text
    found: Json = told.json()
    return found


async def say(api: httpx.AsyncClient, text: str, **more: Any) -> str:
    """A message to Bo; its id."""
    wish = {"user_id": "anna", "to": BO, "type": "text", "text": text} | more
    return str((await good(api.post("/api/messages", json=wish)))["id"])


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await ready():  # noqa: ASYNC110 -- rows set no events
            await asyncio.sleep(0.02)


async def fill(site: Site) -> None:
    """A message that was sent, one that is scheduled, one that waits; a lead that is being told; and all the rest."""
    async with site.open(working=True) as (_, api):
        await _link(api)
        await good(api.post("/api/clients", json={"name": "Plombiers de Lyon – 水"}))
        wish = {"name": "Paul", "phone": "+33639980007", "trades": ["plumber"], "areas": ["75011"], "capacity": 3}
        await good(api.post("/api/contractors", json=wish))
        await good(api.post("/api/webhooks", json={"url": "http://127.0.0.1:9/", "events": []}))
        words = {"user_id": "anna", "category": "view-once"}
        await good(api.post("/api/media", data=words, files={"file": ("a.png", PNG)}))
        sent = await say(api, "sent before")

        async def is_sent() -> bool:
            return bool((await good(api.get(f"/api/messages/{sent}")))["status"] == "sent")

        await until(is_sent)
        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        await say(api, "tomorrow", send_at=later)
    async with site.open(working=False) as (_, api):
        await say(api, "waiting\n\u2028 – 'quoted' \\ 😀")
        await _lead(api)


async def _link(api: httpx.AsyncClient) -> None:
    shown = await good(api.post("/api/whatsapp/pairing-code", json={"user_id": "anna", "phone_number": NUMBER}))
    await good(api.post(f"/sandbox/phones/{NUMBER}/enter-code", json={"code": shown["code"]}))

    async def is_linked() -> bool:
        return bool((await good(api.get("/api/whatsapp/sessions")))["items"])

    await until(is_linked)


async def _lead(api: httpx.AsyncClient) -> None:
    lead = {"name": "Anna", "phone": "+33639980008", "trade": "plumber", "area": "75011"}
    asked = await good(api.post("/api/leads", json=lead))
    token = asked["confirm_url"].partition("token=")[2]
    assert (await api.post("/api/confirm", data={"token": token})).is_success
