"""Link a phone in a real browser: by mouse, by keyboard, to every end."""

import re
from datetime import timedelta

import pytest
from playwright.async_api import Browser, expect

from dashboard.browsing import NARROW, Site, reader, until

from apps import NUMBER, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9")]


async def test_a_phone_is_linked_while_somebody_watches(browser: Browser, site: Site) -> None:
    assert site.app.sandbox is not None
    world = site.app.sandbox.world
    assert world is not None
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/link")
        await page.get_by_label("Phone number").fill(NUMBER)
        await page.get_by_label("User").fill("anna")
        await page.get_by_role("button", name="Get a code").click()
        code = page.locator("#code")
        await expect(code).to_have_text(re.compile(r"^\w{4}-\w{4}$"))
        before = await page.locator("[data-clock]").text_content()
        minutes, seconds = (before or "").split(":")
        assert 140 <= int(minutes) * 60 + int(seconds) <= 160  # a code lives 160 s
        await expect(page.locator("[data-clock]")).not_to_have_text(before or "")
        await who.shot("link-code")
        assert await who.faults() == []
        await page.get_by_text("Scan a QR code instead").click()
        qr = page.get_by_role("img", name="QR code that links the phone")
        await until(lambda: qr.evaluate("(shown) => shown.naturalWidth > 100"), "the picture")
        await who.shot("link-qr")
        assert await who.faults() == []
        world.enter_code(NUMBER, await code.text_content() or "")
        await expect(page.get_by_role("heading", name="The phone is linked")).to_be_visible()
        await who.shot("link-linked")
        assert await who.faults() == []


async def test_the_second_code_comes_by_itself_and_then_the_attempt_is_over(browser: Browser, site: Site) -> None:
    assert site.app.sandbox is not None
    world = site.app.sandbox.world
    assert world is not None
    async with reader(browser, site, size=NARROW, lang="fr", dark=True) as who:
        page = await who.open(f"/dashboard/link?number={NUMBER.replace('+', '%2B')}&user=anna")
        await page.get_by_role("button", name="Obtenir un code").click()
        first = await page.locator("#code").text_content()
        world.advance(timedelta(seconds=170))
        await expect(page.locator("#code")).not_to_have_text(first or "")
        await expect(page.get_by_text("Ceci est le deuxième code")).to_be_visible()
        world.advance(timedelta(seconds=170))
        await expect(page.get_by_role("heading", name="Aucun code saisi à temps")).to_be_visible()
        await who.shot("link-expired-fr-narrow-dark")
        assert await who.faults() == []


async def test_a_phone_is_linked_by_keyboard_alone(browser: Browser, site: Site) -> None:
    async with reader(browser, site) as who:
        page = await who.open("/dashboard")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        for _ in range(12):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.getAttribute('href')") == "/dashboard/link":
                break
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dashboard/link")
        for _ in range(30):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.id") == "number":
                break
        await page.keyboard.type(NUMBER)
        await page.keyboard.press("Tab")
        await page.keyboard.type("anna")
        await page.keyboard.press("Enter")
        await expect(page.locator("#code")).to_be_visible()


@pytest.mark.parametrize(
    ("kind", "said", "offered"),
    [
        ("passkey_required", "asks this account for its passkey", "Link another phone"),
        ("rate_overlimit", "Wait 15:00 before you try again", "Get a new code"),
        ("already_linked", "already linked", "Link it again"),
        ("provider_unavailable", "cannot be reached", "Get a new code"),
        ("bad_display_name", "set up wrongly", "Link another phone"),
    ],
)
async def test_a_refusal_says_what_to_do_next(browser: Browser, site: Site, kind: str, said: str, offered: str) -> None:
    async with site.http() as http:
        await http.post("/sandbox/faults", json={"kind": kind, "times": 99})
    async with reader(browser, site, size=NARROW) as who:
        page = await who.open(f"/dashboard/link?number={NUMBER.replace('+', '%2B')}&user=anna")
        await page.get_by_role("button", name="Get a code").click()
        await expect(page.get_by_role("heading", name="The phone was not linked")).to_be_visible()
        await expect(page.locator("#attempt")).to_contain_text(said)
        await expect(page.locator("#attempt").get_by_text(offered)).to_be_visible()
        await who.shot(f"link-{kind}")
        assert await who.faults() == []


async def test_a_number_that_is_linked_can_be_seen_or_linked_again(browser: Browser, site: Site) -> None:
    await linked(site.app)
    async with reader(browser, site) as who:
        page = await who.open(f"/dashboard/link?number={NUMBER.replace('+', '%2B')}&user=anna")
        await page.get_by_role("button", name="Get a code").click()
        await expect(page.get_by_role("alert")).to_contain_text("already linked")
        await who.shot("link-already")
        assert await who.faults() == []
        await page.get_by_role("button", name="Link it again").click()
        await expect(page.locator("#code")).to_be_visible()


async def test_an_open_code_is_shown_to_whoever_asks_for_another(browser: Browser, site: Site) -> None:
    async with reader(browser, site) as who:
        for _ in range(2):
            page = await who.open(f"/dashboard/link?number={NUMBER.replace('+', '%2B')}&user=anna")
            await page.get_by_role("button", name="Get a code").click()
        await page.get_by_role("link", name="Show the code that is open").click()
        await expect(page.locator("#code")).to_be_visible()
        await page.get_by_role("button", name="Give up").click()
        await expect(page.get_by_role("heading", name="Given up")).to_be_visible()
