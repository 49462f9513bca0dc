"""Messages on their page: ten thousand of them, one that changes while somebody looks, one for later."""

import time
from datetime import timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from dashboard.browsing import Site, reader, until
from passerelle.messages.model import Content, Draft
from passerelle.whatsapp.model import MessageType

from apps import ME, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9")]
FRIEND, MANY, BATCH = "+33639980002", 10_000, 500
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
FIRST_PAINT_MS = 3000  # 780 and 930 in a fresh browser on two busy cores


def draft(text: str, **more: object) -> Draft:
    return Draft(to=FRIEND, content=Content(type=MessageType.TEXT, text=text), **more)  # type: ignore[arg-type]


async def ids_on(page: Page) -> list[str]:
    found: list[str] = await page.locator(".line-item").evaluate_all("(items) => items.map((one) => one.id)")
    return found


async def test_ten_thousand_messages_are_pages_of_fifty_painted_at_once(browser: Browser, site: Site) -> None:
    session = await linked(site.app)
    later = site.app.clock.now() + timedelta(days=2)
    for start in range(0, MANY, BATCH):
        drafts = [draft(f"number {one}", session_id=session.id, send_at=later) for one in range(start, start + BATCH)]
        await site.app.messages.enqueue(ME, drafts)
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/messages")
        painted_ms = await until(lambda: page.evaluate(FIRST_PAINT), "it was never painted")
        assert painted_ms < FIRST_PAINT_MS
        newest = await ids_on(page)
        assert len(newest) == 50
        await page.get_by_role("link", name="Older ones").click()
        await page.wait_for_url("**before=**")
        older = await ids_on(page)
        assert len(older) == 50
        assert max(older) < min(newest)
        await page.get_by_role("link", name="Back to the newest").click()
        await page.wait_for_url("**/messages")
        assert await ids_on(page) == newest
        began = time.monotonic()
        await who.open(f"/dashboard/messages?status=pending&to=%2B{FRIEND[1:]}")
        assert time.monotonic() - began < 5
        assert await who.faults() == []


async def test_a_message_for_later_is_written_seen_and_cancelled(browser: Browser, site: Site) -> None:
    await linked(site.app)
    async with reader(browser, site, timezone_id="Europe/Paris") as who:
        page = await who.open("/dashboard/messages")
        await page.get_by_text("Write a message").click()
        await expect(page.locator("#at-hint")).to_have_text("In your own time.")
        tomorrow = site.app.clock.now() + timedelta(days=1)
        await page.locator("#at").fill(f"{tomorrow:%Y-%m-%d}T12:00")
        await page.locator("#recipient").fill(FRIEND)
        await page.locator("#text").fill("for later")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.locator("#message")).to_contain_text("pending")
        due = await page.locator("dt", has_text="Due").locator("..").locator("time").get_attribute("datetime")
        offset = await page.evaluate("new Date().getTimezoneOffset()")
        assert due is not None
        assert due.startswith(f"{tomorrow:%Y-%m-%d}T{12 + offset // 60:02d}:00")
        await page.get_by_role("button", name="Cancel it").click()
        await expect(page.locator("#message")).to_contain_text("cancelled")


async def test_what_cannot_be_sent_says_why_and_what_was_typed_stays(browser: Browser, site: Site) -> None:
    await linked(site.app)
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/messages")
        await page.get_by_text("Write a message").click()
        await page.locator("#recipient").fill("12")
        await page.locator("#text").fill("a long thought")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await page.locator("#text").input_value() == "a long thought"
        assert await who.faults() == []


async def test_a_list_changes_while_somebody_looks(browser: Browser, site: Site) -> None:
    session = await linked(site.app)
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/messages")
        await expect(page.get_by_text("No message here.")).to_be_visible()
        await site.app.messages.enqueue(ME, [draft("here it comes", session_id=session.id)])
        await expect(page.locator(".line-item")).to_contain_text("delivered")


async def test_a_filter_that_is_no_number_is_told_and_shows_all(site: Site) -> None:
    async with site.http() as http:
        answer = await http.get("/dashboard/messages", params={"to": "nobody", "status": "nothing", "before": "\x00é"})
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert (await http.get("/dashboard/messages/msg_nothing")).status_code == 404
