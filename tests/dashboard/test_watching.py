"""What an operator watches: how messages flow, what changed, how far long work is; and what stays while SQL is away."""

import html
import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, expect

from dashboard.browsing import NARROW, Site, reader, served, until
from passerelle.leads.model import Lead, NotificationStatus
from passerelle.messages.model import Content, Draft
from passerelle.sandbox.faults import FaultKind
from passerelle.whatsapp.model import MessageType

from apps import ME, linked
from servers import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9")]
FRIEND, PLUMBER, OTHER, CUSTOMER = "+33639980002", "+33639980003", "+33639980005", "+33639980004"
PAGES = ("", "/sessions", "/messages", "/leads", "/contractors", "/media", "/inbox", "/webhooks", "/work")


def words(answer: httpx.Response) -> str:
    """What a page says, its tags left out."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


async def test_health_draws_how_messages_flow_and_says_it_in_a_table(site: Site) -> None:
    session = await linked(site.app)
    async with site.http() as http:
        assert "No message in this time." in words(await http.get("/dashboard/health"))
        text = Content(type=MessageType.TEXT, text="hi")
        sent = await site.app.messages.enqueue(ME, [Draft(to=FRIEND, content=text, session_id=session.id)] * 3)

        async def all_sent() -> bool:
            found = [await site.app.messages.get(ME, one.id) for one in sent.messages]
            return all(one.status in {"sent", "delivered", "read"} for one in found)

        await until(all_sent, "the messages", limit_s=30)
        day = await http.get("/dashboard/health?period=day")  # not asked for before, so not remembered as empty
        assert "3 settled, 0 of them failed" in words(day)
        assert len(re.findall(r'<svg class="chart-\w+"[^>]*role="img"[^>]*aria-label="[^"]+', day.text)) == 3
        row = re.search(r'<tr><th scope="row">.*?</tr>', day.text, re.DOTALL)
        assert row is not None
        assert re.findall(r"<td>(.*?)</td>", row[0])[:2] == ["3", "0"]
        assert "style=" not in day.text
        assert "réglés, dont 0 échoués" in words(await http.get("/dashboard/health?period=day&lang=fr"))


async def test_health_tells_what_changed_newest_first(browser: Browser, site: Site) -> None:
    await site.app.history.look()
    async with site.http() as http:
        assert "Nothing has changed yet." in words(await http.get("/dashboard/health"))
    await site.app.database.run(
        lambda tx: tx.sql("UPDATE health_states SET level = 'error', finding = 'MADE_UP' WHERE name = 'database'")
    )
    await site.app.history.look()
    async with reader(browser, site, size=NARROW) as who:
        page = await who.open("/dashboard/health")
        await expect(page.locator(".changes li")).to_have_count(1)
        await expect(page.locator(".changes")).to_contain_text("Database")
        await who.shot("health-history")
        assert await who.faults() == []


async def test_pages_say_that_sql_is_away_and_health_still_shows_what_was_found(
    browser: Browser, killable: PostgresServer, tmp_path: Path
) -> None:
    url = killable.create_database()
    async with served(tmp_path / "data", database_url=url) as site, reader(browser, site) as who:
        async with site.http() as http:
            page = await who.open("/dashboard/phones")
            await expect(page.locator("#elsewhere")).to_contain_text("held by another process")
            assert await who.faults() == []
            assert (await http.get("/dashboard/story")).status_code == 200
            page = await who.open("/dashboard/messages")
            await expect(page.locator("h1")).to_have_text("Messages")
            killable.kill()
            await expect(page.locator("#problem")).to_contain_text("The database cannot be reached")
            for path in PAGES:
                answer = await http.get(f"/dashboard{path}")
                assert answer.status_code == 503, path
                assert answer.headers["retry-after"]
                assert "comes back by itself" in words(answer)
            await site.app.history.look()
            health = await http.get("/dashboard/health")
            assert health.status_code == 200
            assert "The database is away just now." in words(health)
            assert "Seen by this process since the database is away" in words(health)
        page = await who.open("/dashboard/health")
        await expect(page.locator(".finding").first).to_be_visible()
        await who.shot("sql-away")
        assert await who.faults() == []
        page = await who.open("/dashboard/messages")
        killable.start()
        await expect(page.locator("h1")).to_have_text("Messages", timeout=60_000)


async def test_the_way_of_a_lead_shows_every_try_and_the_next_one(site: Site) -> None:
    app = site.app
    await linked(app)
    assert app.sandbox is not None
    assert app.sandbox.world is not None
    app.sandbox.world.faults.add(FaultKind.NOT_ON_WHATSAPP, number=None, times=1)
    await app.contractors.add(ME, name="Bruno", phone=PLUMBER, trades=[], areas=[], capacity=1)
    lead, _ = await app.leads.ask(ME, name="Hugo", phone=CUSTOMER, trade="plumbing", area="Lyon")
    await app.leads.confirm(app.leads.confirm_url(lead).partition("token=")[2])

    async def notified(status: NotificationStatus, attempts: int) -> bool:
        seen = await app.leads.get(ME, lead.id)
        return isinstance(seen, Lead) and seen.notification.status == status and seen.notification.attempts == attempts

    await until(lambda: notified(NotificationStatus.PENDING, 1), "the first try", limit_s=30)
    async with site.http() as http:
        first = words(await http.get(f"/dashboard/leads/{lead.id}"))
        steps = ["Confirmed by the customer", "Given to Bruno", "Try 1 failed not_on_whatsapp", "Next: try 2"]
        assert [first.find(step) for step in steps] == sorted(first.find(step) for step in steps)
        assert all(step in first for step in steps)
        await app.contractors.add(ME, name="Carla", phone=OTHER, trades=[], areas=[], capacity=1)
        await app.leads.take_away(ME, lead.id)
        await until(lambda: notified(NotificationStatus.SENT, 1), "the other contractor", limit_s=30)
        second = words(await http.get(f"/dashboard/leads/{lead.id}?lang=fr"))
        for step in ("Confiée à Bruno", "Essai 1 échoué not_on_whatsapp", "Retiré", "Confiée à Carla", "Essai 1 : W"):
            assert step.replace(" :", "\u00a0:") in second or step in second, step


async def test_long_work_shows_how_far_it_is_and_stops_and_goes_on(browser: Browser, tmp_path: Path) -> None:
    away = {"supabase_url": "http://127.0.0.1:9", "supabase_service_key": "x" * 40, "supabase_bucket": "media"}
    async with served(tmp_path / "data", **away) as site, reader(browser, site) as who:
        session = await linked(site.app)
        async with site.http() as http:
            form = {"category": "scheduled-status", "user_id": "anna"}
            kept = await http.post("/api/media", files={"file": ("a.pdf", b"%PDF-1.4\n%%EOF\n")}, data=form)
            assert kept.status_code == 201, kept.text
            several = [{"session_id": session.id, "to": FRIEND, "type": "text", "text": f"{n}"} for n in range(5)]
            assert (await http.post("/api/messages/batch", json={"messages": several})).status_code == 202
        page = await who.open("/dashboard/work")
        await expect(page.locator("#batches .counts")).to_contain_text("5 sent", timeout=30_000)
        await page.locator("summary", has_text="Move files").click()
        await page.get_by_label("From", exact=True).select_option("local")
        await page.get_by_label("To", exact=True).select_option("supabase")
        await page.locator("details").get_by_role("button", name="Move files").click()
        moving = page.locator("#moving")
        await expect(moving).to_contain_text("Moving …")
        await expect(moving).to_contain_text("1 left")
        await moving.get_by_role("button", name="Stop").click()
        await expect(moving.get_by_role("button", name="Go on")).to_be_visible(timeout=30_000)
        await who.shot("work-stopped")
        assert await who.faults() == []
        await moving.get_by_role("button", name="Go on").click()
        await expect(moving).to_contain_text("Moving …")


async def test_a_key_is_replaced_while_the_old_one_is_still_good(browser: Browser, tmp_path: Path) -> None:
    async with served(tmp_path / "data", admin_key="the-admin-key") as site, reader(browser, site) as who:
        clients = site.app.clients
        client, old = await clients.add("Back office", label="The shop")
        assert await clients.caller(str(old)) is not None
        token = await site.app.logins.begin()
        await who.page.context.add_cookies([{"name": "passerelle_login", "value": token, "url": site.url}])
        page = await who.open("/dashboard/clients")
        await expect(page.locator(f"#key-{old.key_id}")).to_contain_text("last used")
        await page.get_by_text("Replace", exact=True).click()
        await page.get_by_label("The old one is good for").select_option("3600")
        await page.get_by_role("button", name="Make the new key").click()
        new = await page.locator("#secret").text_content() or ""
        await expect(page.locator("main")).to_contain_text("The old key is good until")
        assert await clients.caller(new) == await clients.caller(str(old)) is not None
        await page.get_by_role("link", name="I have it").click()
        await expect(page.locator("#clients .key")).to_have_count(2)
        await expect(page.locator(f"#key-{old.key_id}")).to_contain_text("good until")
        assert new not in await page.content()
        await page.get_by_text("One more key").click()
        await page.locator(f"#label-{client.id}").fill("Nightly report")
        await page.get_by_role("button", name="Make the key").click()
        await page.get_by_role("link", name="I have it").click()
        await expect(page.locator("#clients")).to_contain_text("Nightly report")


async def test_many_sandbox_phones_are_looked_through_and_looked_for(browser: Browser, site: Site) -> None:
    assert site.app.sandbox is not None
    world = site.app.sandbox.world
    assert world is not None
    for place in range(30):
        world.set_phone(f"+336399801{place:02d}", name=f"Phone {place}")
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/phones")
        await expect(page.locator(".phone")).to_have_count(12)
        await page.get_by_role("link", name="More phones").click()
        await expect(page.locator(".phone").first).to_contain_text("Phone 12")
        await page.locator("#phone-33639980112").get_by_role("button", name="Go offline").click()
        await expect(page.locator("#phone-33639980112").get_by_role("button", name="Go online")).to_be_visible()
        await expect(page.locator(".phone")).to_have_count(12)
        await page.get_by_label("Name or number").fill("980129")
        await page.get_by_role("button", name="Look for it").click()
        await expect(page.locator(".phone")).to_have_count(1)
        await expect(page.locator(".phone")).to_contain_text("Phone 29")
        await page.get_by_label("Name or number").fill("nobody")
        await page.get_by_role("button", name="Look for it").click()
        await expect(page.get_by_text("No such phone.")).to_be_visible()
