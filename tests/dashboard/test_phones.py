"""Phones to play with: a phone is linked, a message arrives, is read, answered, deleted; things go wrong on purpose."""

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from dashboard.browsing import NARROW, Site, reader
from passerelle.messages.model import Content, Draft
from passerelle.sandbox.faults import FaultKind
from passerelle.whatsapp.model import MessageType

from apps import ME, NUMBER, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]
FRIEND = "+33639980002"


def world_of(site: Site) -> Any:
    assert site.app.sandbox is not None
    return site.app.sandbox.world


async def test_a_phone_is_linked_and_a_message_arrives_on_another(browser: Browser, site: Site) -> None:
    world_of(site).set_phone(NUMBER, name="Anna")
    world_of(site).set_phone(FRIEND, name="Ben")
    async with reader(browser, site) as who:
        page = await who.open(f"/dashboard/link?number={NUMBER.replace('+', '%2B')}&user=anna")
        await page.get_by_role("button", name="Get a code").click()
        code = await page.locator("#code").text_content()
        linking = page.url
        page = await who.open("/dashboard/phones")
        anna, ben = page.locator("#phone-33639980001"), page.locator("#phone-33639980002")
        await anna.get_by_label("Linking code").fill((code or "").lower())
        await anna.get_by_role("button", name="Type it").click()
        await expect(anna.locator(".phone-head")).to_contain_text("linked · online")
        await page.goto(linking)
        await expect(page.get_by_role("heading", name="The phone is linked")).to_be_visible()

        page = await who.open("/dashboard/messages")
        await page.get_by_text("Write a message").click()
        await page.locator("#recipient").fill(FRIEND)
        await page.locator("#text").fill("Good morning, Ben")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.locator("#message")).to_contain_text("delivered")
        message = page.url

        page = await who.open("/dashboard/phones")
        await expect(ben.locator(".chat")).to_contain_text("Good morning, Ben")
        await ben.get_by_role("button", name="Read all").click()
        await page.goto(message)
        await expect(page.locator(".ticks-read")).to_be_visible()


async def test_what_is_typed_stays_while_the_page_brings_news(browser: Browser, site: Site) -> None:
    world_of(site).set_phone(NUMBER)
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/phones")
        await page.locator("#text-33639980001").fill("half a sent")
        world_of(site).mail.write(FRIEND, NUMBER, text="news", media=None, view_once=False)
        await expect(page.locator("#chat-33639980001")).to_contain_text("news")
        await expect(page.locator("#phone-33639980002")).to_be_visible()
        assert await page.locator("#text-33639980001").input_value() == "half a sent"
        assert await page.evaluate("document.activeElement.id") == "text-33639980001"


async def test_somebody_writes_deletes_goes_offline_and_sends_a_view_once_photo(browser: Browser, site: Site) -> None:
    for number in (NUMBER, FRIEND):
        world_of(site).set_phone(number)
    async with reader(browser, site, size=NARROW) as who:
        page = await who.open("/dashboard/phones")
        anna = page.locator("#phone-33639980001")
        await anna.get_by_label("Message", exact=True).fill("I regret this")
        await anna.get_by_role("button", name="Send", exact=True).click()
        await expect(anna.locator(".bubble-mine")).to_contain_text("I regret this")
        await anna.get_by_role("button", name="Delete").click()
        await expect(page.locator("#phone-33639980002")).to_contain_text("This message was deleted.")
        await anna.get_by_role("button", name="Send a view-once photo").click()
        await expect(page.locator("#phone-33639980002")).to_contain_text("View-once photo")
        await anna.get_by_role("button", name="Go offline").click()
        await expect(anna.get_by_role("button", name="Go online")).to_be_visible()
        await anna.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("Write something first")


async def test_every_fault_can_be_armed_and_hits(browser: Browser, site: Site) -> None:
    session = await linked(site.app)
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/phones")
        for kind in FaultKind:
            await page.locator(f"button[value={kind}]").click()
            await expect(page.locator("#armed").get_by_text(kind, exact=True)).to_be_visible()
        await page.get_by_role("button", name="Forget them").click()
        await expect(page.locator("#armed")).to_contain_text("Nothing will go wrong.")
        await page.locator("button[value=not_on_whatsapp]").click()
        await expect(page.locator("#armed").get_by_text("not_on_whatsapp", exact=True)).to_be_visible()
        draft = Draft(to=FRIEND, content=Content(type=MessageType.TEXT, text="hi"), session_id=session.id)
        sent = await site.app.messages.enqueue(ME, [draft])
        page = await who.open(f"/dashboard/messages/{sent.messages[0].id}")
        await expect(page.locator("#message")).to_contain_text("failed")
        await page.get_by_role("button", name="Try again now").click()
        await expect(page.locator("#message")).to_contain_text("delivered")


async def test_the_clock_is_moved_and_the_world_forgotten(browser: Browser, site: Site) -> None:
    world_of(site).set_phone(NUMBER)
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/phones")
        await page.get_by_role("button", name="+ 1 hour").click()
        await expect(page.locator("#clock")).to_contain_text("1:00:00")
        await page.locator("#sure-reset summary").click()
        await page.get_by_role("button", name="Forget everything").click()
        await expect(page.get_by_text("There is no phone yet.")).to_be_visible()
        await expect(page.locator("#clock")).to_contain_text("0:00:00")


async def test_the_tour_is_walked_to_its_end(browser: Browser, site: Site) -> None:
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/story")
        await page.get_by_role("button", name="Ask for a code").click()
        await page.get_by_role("button", name="Type it for me").click()
        await page.get_by_role("button", name="Send it").click()
        await page.get_by_text("the ticks turn blue").wait_for()
        await page.locator("#phone-33639980012").get_by_role("button", name="Read all").click()
        await page.locator(".ticks-read").wait_for()
        await page.get_by_role("button", name="Hugo asks").click()
        await who.shot("story-midway")
        assert await who.faults() == []
        await page.get_by_role("button", name="Confirm as Hugo").click()
        await page.get_by_role("button", name="Understood").click()
        await expect(page.locator("#step-5")).to_contain_text("Nadia was told")
        await expect(page.locator("#phone-33639980013")).to_contain_text("Hugo")
        await expect(page.locator(".step-done")).to_have_count(5)
        await who.shot("story-done")
