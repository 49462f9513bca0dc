"""Who may come in, and whose forms are believed: over plain HTTP, as an attacker would try."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from dashboard.browsing import Site, served

from apps import NUMBER

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E1")]
KEY = "a-long-admin-key-for-tests"
FORM = re.compile(r'name="csrf" value="(\w+)"')


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Site]:
    """A gateway that asks for a key."""
    async with served(tmp_path / "data", admin_key=KEY) as site:
        yield site


async def csrf_of(http: httpx.AsyncClient, path: str) -> str:
    found = FORM.search((await http.get(path)).text)
    assert found, path
    return found[1]


async def logged_in(http: httpx.AsyncClient) -> httpx.Response:
    token = await csrf_of(http, "/dashboard/login")
    return await http.post("/dashboard/login", data={"csrf": token, "key": KEY})


async def test_a_closed_gateway_shows_nothing_without_a_login(closed: Site) -> None:
    async with closed.http() as http:
        for path in ("", "/link", "/sessions", "/health"):
            answer = await http.get(f"/dashboard{path}")
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/dashboard/login")
        assert (await http.get("/")).headers["location"] == "/dashboard"
        assert (await http.get("/dashboard/link/pair_1/events")).status_code == 204


async def test_the_key_opens_and_the_cookie_keeps_it_open_until_the_log_out(closed: Site) -> None:
    async with closed.http() as http:
        answer = await logged_in(http)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("passerelle_login=")
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert (await http.get("/dashboard")).status_code == 200
        stolen = http.cookies["passerelle_login"]
        assert KEY not in cookie
        out = await http.post("/dashboard/logout", data={"csrf": await csrf_of(http, "/dashboard")})
        assert (out.status_code, out.headers["location"]) == (303, "/dashboard/login")
        http.cookies.set("passerelle_login", stolen)
        assert (await http.get("/dashboard")).status_code == 303


async def test_over_https_the_cookies_are_for_this_host_and_https_only(closed: Site) -> None:
    async with closed.http(headers={"X-Forwarded-Proto": "https"}) as http:
        page = await http.get("/dashboard/login")
        visitor = page.headers["set-cookie"]
        assert visitor.startswith("__Host-passerelle_visitor=")
        assert {"Secure", "HttpOnly", "Path=/"} <= set(visitor.split("; "))
        found = FORM.search(page.text)
        assert found
        cookies = {"Cookie": visitor.split(";")[0]}
        answer = await http.post("/dashboard/login", data={"csrf": found[1], "key": KEY}, headers=cookies)
        assert answer.headers["set-cookie"].startswith("__Host-passerelle_login=")
        assert "Secure" in answer.headers["set-cookie"]


async def test_whoever_is_wrong_too_often_has_to_wait(closed: Site) -> None:
    async with closed.http() as http:
        token = await csrf_of(http, "/dashboard/login")
        for _ in range(5):
            assert (await http.post("/dashboard/login", data={"csrf": token, "key": "no"})).status_code == 403
        for key in ("no", KEY):
            answer = await http.post("/dashboard/login", data={"csrf": token, "key": key})
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 60
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}],
    ids=str,
)
async def test_a_form_from_elsewhere_is_not_believed(closed: Site, headers: dict[str, str]) -> None:
    async with closed.http() as http:
        await logged_in(http)
        form = {"csrf": await csrf_of(http, "/dashboard/link"), "number": NUMBER, "user": "anna"}
        refused = await http.post("/dashboard/link", data=form, headers=headers)
        assert refused.status_code == 403
        assert "comes from elsewhere" in refused.text


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "a" * 10_000])
async def test_a_form_without_its_token_changes_nothing(site: Site, token: str) -> None:
    async with site.http() as http:
        refused = await http.post("/dashboard/link", data={"csrf": token, "number": NUMBER, "user": "anna"})
        assert refused.status_code == 403


async def test_the_token_of_one_login_is_worth_nothing_to_another(closed: Site) -> None:
    async with closed.http() as one, closed.http() as other:
        await logged_in(one)
        await logged_in(other)
        form = {"csrf": await csrf_of(one, "/dashboard/link"), "number": NUMBER, "user": "anna"}
        assert (await other.post("/dashboard/link", data=form)).status_code == 403
        assert (await one.post("/dashboard/link", data=form)).status_code == 303


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/api", "/dashboard//evil", "/dashboard/\\e"])
async def test_a_login_leads_nowhere_else(closed: Site, to: str) -> None:
    async with closed.http() as http:
        token = await csrf_of(http, "/dashboard/login")
        answer = await http.post("/dashboard/login", data={"csrf": token, "key": KEY, "to": to})
        assert answer.headers["location"] == "/dashboard"


async def test_an_open_gateway_answers_to_its_own_names_only(site: Site) -> None:
    async with site.http() as http:
        assert (await http.get("/dashboard")).status_code == 200
        refused = await http.get("/dashboard", headers={"Host": "rebound.example"})
        assert refused.status_code == 421
        assert refused.json()["code"] == "host_unknown"


async def test_a_body_that_is_no_form_is_refused_in_words(site: Site) -> None:
    async with site.http() as http:
        headers = {"Content-Type": "multipart/form-data"}
        refused = await http.post("/dashboard/link", content=b"--nothing", headers=headers)
        assert refused.status_code == 422
        assert "cannot be read" in refused.text


async def test_where_only_clients_have_keys_the_page_says_what_is_missing(site: Site) -> None:
    await site.app.clients.add("Back office")
    async with site.http() as http:
        assert (await http.get("/dashboard")).status_code == 303
        assert "PASSERELLE_ADMIN_KEY" in (await http.get("/dashboard/login")).text


async def test_every_page_forbids_what_it_does_not_need(site: Site) -> None:
    async with site.http() as http:
        for path in ("/dashboard", "/dashboard/link", "/dashboard/nowhere"):
            headers = (await http.get(path)).headers
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert headers["x-frame-options"] == "DENY"


async def test_files_are_kept_for_a_year_under_the_hash_of_what_they_hold(site: Site) -> None:
    async with site.http() as http:
        found = re.search(r'href="(/dashboard/static/\w+/dashboard\.css)"', (await http.get("/dashboard")).text)
        assert found
        answer = await http.get(found[1])
        assert "immutable" in answer.headers["cache-control"]
        assert (await http.get(found[1].replace("/static/", "/static/0"))).status_code == 404
