"""Every page, with hostile words on it: in two languages, two widths, light and dark, for eyes and screen readers."""

import pytest
from playwright.async_api import Browser

from dashboard.browsing import NARROW, WIDE, Site, reader
from dashboard.seeds import seed

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9"), pytest.mark.mission("Z10")]
PAGES = {
    "overview": "",
    "link": "/link",
    "sessions": "/sessions",
    "messages": "/messages",
    "leads": "/leads",
    "contractors": "/contractors",
    "media": "/media",
    "inbox": "/inbox",
    "webhooks": "/webhooks",
    "clients": "/clients",
    "work": "/work",
    "phones": "/phones",
    "story": "/story",
    "health": "/health",
    "nowhere": "/nowhere",
}
SHOWN = [("en", WIDE, False), ("fr", NARROW, True), ("en", NARROW, False), ("fr", WIDE, True)]


@pytest.mark.parametrize(
    ("lang", "size", "dark"), SHOWN, ids=["en-wide", "fr-narrow-dark", "en-narrow", "fr-wide-dark"]
)
async def test_nothing_is_wrong_with_any_page(
    browser: Browser,
    site: Site,
    lang: str,
    size: tuple[int, int],
    dark: bool,  # noqa: FBT001 -- as the table above
) -> None:
    pages = PAGES | await seed(site)
    found = {}
    async with reader(browser, site, lang=lang, size=size, dark=dark) as who:
        for name, path in pages.items():
            page = await who.open(f"/dashboard{path}")
            await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            await who.shot(f"{name}-{lang}-{size[0]}")
            faults = await who.faults()
            if await page.evaluate("document.documentElement.lang") != lang or "broken" in await page.title():
                faults.append("the wrong language, or words that became code")
            if faults:
                found[name] = faults
        assert await page.locator("img[src=x]").count() == 0
    assert found == {}


async def test_pages_that_are_empty_say_what_to_do(browser: Browser, site: Site) -> None:
    found = {}
    async with reader(browser, site, size=NARROW) as who:
        for name, path in PAGES.items():
            await who.open(f"/dashboard{path}")
            await who.shot(f"{name}-empty")
            if faults := await who.faults():
                found[name] = faults
    assert found == {}


async def test_the_language_is_chosen_once_for_all_pages(browser: Browser, site: Site) -> None:
    async with reader(browser, site, lang="en") as who:
        page = await who.open("/dashboard/messages?status=failed")
        await page.get_by_role("link", name="Français").click()
        assert await page.get_by_role("button", name="Filtrer").is_visible()
        assert "status=failed" in page.url
        page = await who.open("/dashboard/health")
        assert await page.get_by_role("heading", name="Santé").is_visible()


async def test_pages_work_without_a_script(browser: Browser, site: Site) -> None:
    async with reader(browser, site, java_script_enabled=False) as who:
        page = await who.open("/dashboard/link?number=%2B33639980001&user=anna")
        await page.get_by_role("button", name="Get a code").click()
        await page.locator("#code").wait_for(timeout=15_000)  # the page asks for itself again


async def test_the_menu_opens_and_closes_on_a_phone(browser: Browser, site: Site) -> None:
    async with reader(browser, site, size=NARROW) as who:
        page = await who.open("/dashboard")
        assert not await page.get_by_role("navigation").is_visible()
        await page.get_by_role("link", name="Menu", exact=True).click()
        await who.shot("menu-narrow")
        assert await who.faults() == []
        await page.keyboard.press("Escape")
        assert not await page.get_by_role("navigation").is_visible()
        await page.get_by_role("link", name="Menu", exact=True).click()
        await page.get_by_role("link", name="Health", exact=True).click()
        await page.get_by_role("heading", name="Health", exact=True).wait_for()
