"""A gateway on which a lot has happened, by people whose every word tries to break a page."""

import io
from typing import Any

from PIL import Image

from dashboard.browsing import Site, until
from passerelle.inbox.model import Capture
from passerelle.inbox.ports import InboxFilter
from passerelle.messages.model import Content, Draft
from passerelle.webhooks.model import Endpoint
from passerelle.whatsapp.model import MessageType

from apps import ME, linked

PROBE = "<img src=x onerror=\"document.title='broken'\">'{{7*7}}</script><script>document.title='broken'</script>"
WRITER, PLUMBER, CUSTOMER = "+33639980008", "+33639980003", "+33639980004"


async def seed(site: Site) -> dict[str, str]:
    """Do a bit of everything; the addresses of pages about single things."""
    app = site.app
    assert app.sandbox is not None
    world = app.sandbox.world
    assert world is not None
    session = await linked(app, user_id=f"anna {PROBE}")
    await app.inbox.set_capture(ME, session.id, Capture(deleted=True, view_once=True, retention_days=7))
    text = Content(type=MessageType.TEXT, text=f"Hello {PROBE} " + "a long word: " + "x" * 300)
    sent = await app.messages.enqueue(ME, [Draft(to=WRITER, content=text, session_id=session.id)] * 3)
    world.set_phone(WRITER, name=PROBE[:100])
    for words, medium, once in ((PROBE, None, False), (f"look {PROBE}", "holiday.png", False), (None, "p.png", True)):
        world.mail.write(WRITER, session.phone_number, text=words, media=medium, view_once=once)
    endpoint, lead_id = await _hook(site), await _lead(site)
    media_id = await _medium(site)
    await until(lambda: _all_kept(site), "the inbox")
    return {
        "session": f"/sessions/{session.id}",
        "message": f"/messages/{sent.messages[0].id}",
        "lead": f"/leads/{lead_id}",
        "medium": f"/media/{media_id}",
        "webhook": f"/webhooks/{endpoint.id}",
    }


async def _all_kept(site: Site) -> bool:
    found = await site.app.inbox.page(ME, InboxFilter(), before="", limit=10)
    return len(found) == 3 and sum(medium is not None and medium.copy is not None for _, medium in found) == 2


async def _hook(site: Site) -> Endpoint:
    endpoint, _ = await site.app.webhooks.add(ME, url="http://127.0.0.1:9/hook?%3Cb%3E", events=[])
    await site.app.webhooks.test(ME, endpoint.id)
    return endpoint


async def _lead(site: Site) -> str:
    app = site.app
    await app.contractors.add(ME, name=PROBE, phone=PLUMBER, trades=[], areas=[], capacity=1)
    asked: dict[str, Any] = {"phone": CUSTOMER, "trade": PROBE[:90], "area": "Lyon", "description": PROBE}
    for name in (f"Chloé {PROBE}", "Emma", "Louis"):
        lead, _ = await app.leads.ask(ME, name=name, **asked)
        if name != "Louis":
            await app.leads.confirm(app.leads.confirm_url(lead).partition("token=")[2])
    return lead.id


async def _medium(site: Site) -> str:
    picture = io.BytesIO()
    Image.new("RGB", (320, 240), "teal").save(picture, "JPEG")
    async with site.http() as http:
        answer = await http.post(
            "/api/media",
            files={"file": (f"{PROBE[:60]}.jpg", picture.getvalue(), "image/jpeg")},
            data={"category": "scheduled-status", "user_id": PROBE},
        )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
