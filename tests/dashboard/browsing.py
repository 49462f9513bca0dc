"""A gateway on a port of its own, and a real browser that looks at its pages and misses nothing."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright

from passerelle.app import App
from passerelle.server import listening

from apps import gateway
from servers import HOST, free_port, missing

CHROMIUM = "/usr/bin/chromium"
SHOTS = Path(__file__).parent.parent.parent / "build" / "dashboard"
AXE = Path(__file__).parent.parent / "peers" / "axe"
WIDE, NARROW = (1440, 900), (375, 812)
LIMIT_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A gateway that serves its pages."""

    app: App
    url: str

    def http(self, **settings: Any) -> httpx.AsyncClient:
        """A client that follows no redirects and keeps cookies."""
        return httpx.AsyncClient(base_url=self.url, timeout=20, **settings)


@asynccontextmanager
async def served(data_dir: Path, **settings: Any) -> AsyncIterator[Site]:
    """A gateway with its worker, on a port."""
    port = free_port()
    async with gateway(data_dir, port=port, **settings) as app, listening(app, on_port=True):
        yield Site(app=app, url=f"http://{HOST}:{port}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's browser."""
    if shutil.which(CHROMIUM) is None:
        missing("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(slots=True, kw_only=True)
class Reader:
    """Somebody at a browser; `wrong` collects what no page may do: break a rule of its policy, ask another host."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    async def open(self, path: str) -> Page:
        """The page at `path`."""
        await self.page.goto(self.url + path)
        return self.page

    async def shot(self, name: str) -> None:
        """A picture of the whole page, to be looked at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    async def faults(self) -> list[str]:
        """What a person who cannot see, or sees differently, would stumble over; and what is wider than the page."""
        await self.page.evaluate(axe_source())
        found = await self.page.evaluate("axe.run()")
        told = [f"{one['id']}: {json.dumps([node['html'] for node in one['nodes']])}" for one in found["violations"]]
        if await self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            told.append("it scrolls sideways")
        return told


@asynccontextmanager
async def reader(
    browser: Browser, site: Site, *, lang: str = "en", size: tuple[int, int] = WIDE, dark: bool = False, **more: Any
) -> AsyncIterator[Reader]:
    """Somebody with a browser of his own; at the end no page may have done what none may do."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, locale=lang, color_scheme="dark" if dark else "light", **more
    )
    context.set_default_timeout(LIMIT_MS)
    page = await context.new_page()
    who = Reader(page=page, url=site.url)
    page.on("request", lambda request: _note_foreign(who, request.url))
    page.on("pageerror", lambda error: who.wrong.append(f"script: {error}"))
    page.on("console", lambda said: who.wrong.append(said.text) if "Content Security Policy" in said.text else None)
    try:
        yield who
    finally:
        await context.close()
    assert who.wrong == []


def _note_foreign(who: Reader, url: str) -> None:
    if not url.startswith((who.url, "data:")):
        who.wrong.append(f"asked for {url}")


@cache
def axe_source() -> str:
    """axe-core, installed by its lock; an earlier run may have done it."""
    if shutil.which("npm") is None:
        missing("npm")
    script = AXE / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        if subprocess.run(command, cwd=AXE, capture_output=True, check=False, timeout=120).returncode:
            missing("axe-core from npm")
    return script.read_text("utf-8")


async def until(look: Any, what: str, limit_s: float = 5.0) -> Any:
    """The first true answer of `look`."""
    async with asyncio.timeout(limit_s):
        while not (found := await look()):  # noqa: ASYNC110 -- rows in SQL ring no bell
            await asyncio.sleep(0.02)
    assert found, what
    return found
