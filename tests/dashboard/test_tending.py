"""What an operator does on the pages: leads, contractors, media, webhooks, clients, linked phones."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, expect

from dashboard.browsing import NARROW, Site, reader, served, until
from dashboard.seeds import CUSTOMER, PLUMBER

from apps import ME, linked

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z9")]


async def test_a_lead_goes_over_the_board(browser: Browser, site: Site) -> None:
    await linked(site.app)
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/contractors")
        await page.get_by_label("Name").fill("Bruno")
        await page.get_by_label("Phone", exact=True).fill(PLUMBER)
        await page.get_by_label("Trades").fill("plumbing, heating")
        await page.get_by_role("button", name="Add").click()
        await expect(page.locator("#contractors")).to_contain_text("plumbing, heating · everywhere")
        page = await who.open("/dashboard/leads")
        await page.get_by_text("New lead").click()
        for field, value in (("Name", "Chloé"), ("Phone", CUSTOMER), ("Trade", "Plumbing"), ("Area", "Lyon")):
            await page.get_by_label(field, exact=True).fill(value)
        await page.get_by_role("button", name="Write it down").click()
        link = await page.locator("#confirm-url").text_content() or ""
        lead = page.url
        await site.app.leads.confirm(link.partition("token=")[2])
        await expect(page.locator("#lead")).to_contain_text("told by WhatsApp")
        await page.get_by_role("button", name="Take it away").click()
        await expect(page.locator("#lead")).to_contain_text("waiting")
        await page.get_by_role("button", name="Hand over").click()
        await expect(page.locator("#lead")).to_contain_text("Bruno")
        page = await who.open("/dashboard/leads")
        await expect(page.locator("#column-assigned")).to_contain_text("Chloé")
        await page.goto(lead)
        await page.get_by_role("button", name="Close it").click()
        page = await who.open("/dashboard/leads")
        await expect(page.locator("#column-closed")).to_contain_text("Chloé")


async def test_a_file_is_kept_shown_and_deleted(browser: Browser, site: Site) -> None:
    picture = io.BytesIO()
    Image.effect_noise((1600, 1600), 90).convert("RGB").save(picture, "PNG")
    assert len(picture.getvalue()) > 1_000_000  # more than other bodies may hold
    async with reader(browser, site, size=NARROW) as who:
        page = await who.open("/dashboard/media")
        await page.get_by_text("Keep a file").click()
        await page.locator("#upload-user").fill("anna")
        payload = {"name": "noise.png", "mimeType": "image/png", "buffer": picture.getvalue()}
        await page.locator("#upload-file").set_input_files(payload)  # type: ignore[arg-type]
        await page.get_by_role("button", name="Keep it").click()
        await expect(page.get_by_role("status").get_by_text("The file is kept.")).to_be_visible()
        await until(lambda: page.locator("img.picture").evaluate("(shown) => shown.naturalWidth > 0"), "the picture")
        await page.locator("#sure-remove summary").click()
        await page.get_by_role("button", name="Delete it").click()
        await expect(page.get_by_text("No file here.")).to_be_visible()


async def test_an_upload_that_is_not_believed_keeps_nothing(site: Site) -> None:
    async with site.http() as http:
        await http.get("/dashboard/media")
        form = {"csrf": "0" * 64, "user": "anna", "category": "view-once"}
        refused = await http.post("/dashboard/media", data=form, files={"file": ("a.pdf", b"%PDF-1.4\n%%EOF\n")})
        assert refused.status_code == 403
        assert (await http.get("/api/media")).json()["items"] == []
        spool = site.app.settings.data_dir / "spool"
        assert not spool.exists() or list(spool.iterdir()) == []


async def test_a_webhook_is_tested_and_its_secret_shown_once(browser: Browser, site: Site) -> None:
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/webhooks")
        await page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
        await page.get_by_label("message.read").check()
        await page.get_by_role("button", name="Add a webhook").click()
        secret = await page.locator("#secret").text_content() or ""
        assert secret.startswith("whsec_")
        await who.shot("secret")
        await page.get_by_role("link", name="I have it").click()
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#deliveries")).to_contain_text("connection_refused")
        assert secret not in await page.content()
        await page.get_by_role("button", name="Send again").click()
        await expect(page.get_by_role("status").get_by_text("It is sent again.")).to_be_visible()


async def test_the_first_client_closes_an_open_gateway_only_if_that_is_wanted(browser: Browser, site: Site) -> None:
    async with reader(browser, site) as who:
        page = await who.open("/dashboard/clients")
        await page.get_by_label("Name").fill("Back office")
        await page.get_by_role("button", name="Make a client").click()
        await expect(page.get_by_role("alert")).to_contain_text("closes the dashboard")
        found, _ = await site.app.clients.read_all()
        assert found == []


async def test_a_key_is_shown_once_and_revoked(browser: Browser, tmp_path: Path) -> None:
    async with served(tmp_path / "data", admin_key="the-admin-key") as site, reader(browser, site) as who:
        page = await who.open("/dashboard/clients")
        await page.get_by_label("Admin key").fill("the-admin-key")
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url("**/dashboard/clients")
        await page.get_by_label("Name").fill("Back office")
        await page.get_by_role("button", name="Make a client").click()
        key = await page.locator("#secret").text_content() or ""
        assert await site.app.clients.caller(key) is not None
        await page.get_by_role("link", name="I have it").click()
        assert key not in await page.content()
        await page.get_by_text("Revoke", exact=True).click()
        await page.get_by_role("button", name="Revoke it").click()
        await expect(page.locator("#clients")).to_contain_text("good no more")
        assert await site.app.clients.caller(key) is None
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/dashboard/login")
        await who.shot("login")
        assert await who.faults() == []


async def test_a_phone_is_told_what_to_keep_then_unlinked(browser: Browser, site: Site) -> None:
    session = await linked(site.app)
    async with reader(browser, site, size=NARROW) as who:
        page = await who.open(f"/dashboard/sessions/{session.id}")
        await page.get_by_label("Messages that can be viewed once").check()
        await page.get_by_label("Kept for so many days").fill("7")
        await page.get_by_role("button", name="Save").click()
        capture = await site.app.inbox.capture(ME, session.id)
        assert (capture.deleted, capture.view_once, capture.retention_days) == (False, True, 7)
        await page.locator("#sure-unlink summary").click()
        await page.get_by_role("button", name="Unlink it").click()
        await expect(page.locator("#sessions")).to_contain_text("unlinked here")
        await page.get_by_role("link", name="Link again").click()
        assert await page.locator("#number").input_value() == "+33639980001"
