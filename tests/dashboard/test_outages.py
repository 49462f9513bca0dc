"""Something is away while a page is open: it says so, shows what is known, and comes back by itself."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from dashboard.browsing import NARROW, reader, served

from apps import linked
from servers import RedisServer, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9")]


async def test_redis_is_killed_while_a_page_is_open(
    browser: Browser, tmp_path: Path, lasting_redis: RedisServer
) -> None:
    async with served(tmp_path / "data", redis_url=lasting_redis.url) as site:
        await eventually(lambda: site.app.link.is_up)
        await linked(site.app)
        async with reader(browser, site, size=NARROW) as who:
            page = await who.open("/dashboard/sessions")
            await expect(page.locator("#sessions")).to_contain_text("From Redis")
            lasting_redis.kill()
            await expect(page.locator("#warnings")).to_contain_text("Redis is away")
            await expect(page.locator("#sessions")).to_contain_text("From memory")
            await expect(page.locator("#sessions")).to_contain_text("+33639980001")
            await who.shot("redis-away")
            assert await who.faults() == []
            for path in ("", "/link", "/messages", "/leads", "/media", "/inbox", "/webhooks", "/clients", "/health"):
                page = await who.open(f"/dashboard{path}")
                await expect(page.locator("#warnings")).to_contain_text("Redis is away")
                await expect(page.locator("h1")).not_to_have_text("Not just now")
            page = await who.open("/dashboard/link?number=%2B33639980007&user=ben")
            await page.get_by_role("button", name="Get a code").click()
            await expect(page.locator("#code")).to_be_visible()  # as the tour says: linking goes on
            page = await who.open("/dashboard/sessions")
            lasting_redis.start()
            await expect(page.locator("#sessions")).to_contain_text("From Redis")
            await expect(page.locator("#warnings")).to_be_empty()


async def test_a_gateway_that_is_gone_is_told_and_found_again(browser: Browser, tmp_path: Path) -> None:
    async with served(tmp_path / "data") as site, reader(browser, site) as who:
        page = await who.open("/dashboard/sessions")
        await page.context.set_offline(True)
        await expect(page.locator("#offline")).to_be_visible()
        await page.context.set_offline(False)
        await expect(page.locator("#offline")).to_be_hidden()


async def test_a_login_lasts_while_redis_is_away(tmp_path: Path, lasting_redis: RedisServer) -> None:
    async with served(tmp_path / "data", redis_url=lasting_redis.url, admin_key="the-key-of-this-test") as site:
        await eventually(lambda: site.app.link.is_up)
        token = await site.app.logins.begin()
        async with site.http(cookies={"passerelle_login": token}) as http:
            assert (await http.get("/dashboard")).status_code == 200
            lasting_redis.kill()
            await eventually(lambda: not site.app.link.is_up)
            answer = await http.get("/dashboard")
            assert answer.status_code == 200
            assert "Redis is away" in answer.text
