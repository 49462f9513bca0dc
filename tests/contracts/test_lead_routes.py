"""The routes and pages of leads as back offices and customers meet them, on both databases."""

import asyncio
import base64
import hashlib
import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from passerelle.db import Database, DatabaseAway
from passerelle.leads.words import request_text

from .lead_parts import ME, WISH, Shop, open_shop

pytestmark = pytest.mark.anyio
FRENCH = {"Accept-Language": "fr-FR,fr;q=0.9"}
NASTY = "<script>alert('x')</script> & \"co\""
SHOWN = {
    *("id", "status", "name", "phone", "trade", "area", "description", "contractor_id", "notification_status"),
    *("notification_attempts", "confirm_url", "confirmed_at", "created_at", "adopted"),
}


@pytest.fixture
async def shop(database: Database) -> Shop:
    return await open_shop(database)


@pytest.fixture
async def http(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with shop.http() as client:
        yield client


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert body["detail"]
    assert body["hint"]
    return body


def text_of(page: httpx.Response) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page.text.partition("<body>")[2]))


async def post(http: httpx.AsyncClient, path: str, **body: object) -> dict[str, Any]:
    answer = await http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def confirm(http: httpx.AsyncClient, url: str, **headers: str) -> httpx.Response:
    return await http.post("/api/confirm", data={"token": url.partition("token=")[2]}, headers=headers)


# --- the back office


@pytest.mark.mission("C1")
async def test_a_lead_goes_from_the_wish_to_its_contractor(http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    assert set(lead) == SHOWN
    assert (lead["status"], lead["notification_status"], lead["notification_attempts"]) == ("new", "pending", 0)
    assert lead["confirm_url"].startswith("http://test/api/confirm?token=")
    assert lead["created_at"].endswith("Z")
    contractor = await post(
        http, "/api/contractors", name="Marc", phone="+33639980100", capacity=2, trades=["plumbing"]
    )
    expected = {"id", "name", "phone", "trades", "areas", "capacity", "open_leads", "active", "created_at"}
    assert set(contractor) == expected
    assert (await confirm(http, lead["confirm_url"])).status_code == 200
    after = (await http.get(f"/api/leads/{lead['id']}")).json()
    assert (after["status"], after["contractor_id"], after["confirm_url"]) == ("assigned", contractor["id"], None)
    assert (await http.get("/api/leads")).json() == {"items": [after], "next_cursor": None}
    (listed,) = (await http.get("/api/contractors")).json()["items"]
    assert listed == contractor | {"open_leads": 1}


async def test_the_key_repeats_the_answer_and_refuses_another_body(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = await http.post("/api/leads", json=WISH, headers=key)
    await confirm(http, first.json()["confirm_url"])
    again = await http.post("/api/leads", json=WISH, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["confirm_url"] == first.json()["confirm_url"]
    assert again.json()["status"] == "unassigned"
    is_problem(await http.post("/api/leads", json=WISH | {"area": "x"}, headers=key), 409, "idempotency_conflict")
    is_problem(
        await http.post("/api/leads", json=WISH, headers={"Idempotency-Key": "k" * 201}), 422, "invalid_idempotency_key"
    )


async def test_camel_case_is_understood(http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", name="A", phoneNumber="33639980001", trade="x", area="y", description="z")
    assert lead["phone"] == "+33639980001"
    await confirm(http, lead["confirm_url"])
    contractor = await post(http, "/api/contractors", name="M", phoneNumber="+33639980100", capacity=1, active=False)
    await http.patch(f"/api/contractors/{contractor['id']}", json={"active": True, "phoneNumber": "+33639980101"})
    answer = await http.patch(f"/api/leads/{lead['id']}", json={"contractorId": contractor["id"]})
    assert (answer.status_code, answer.json()["status"]) == (200, "assigned")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/leads", {}, 422, "invalid_request"),
        ("POST", "/api/leads", WISH | {"more": 1}, 422, "invalid_request"),
        ("POST", "/api/leads", WISH | {"name": 5}, 422, "invalid_request"),
        ("POST", "/api/leads", WISH | {"name": ""}, 422, "invalid_lead"),
        ("POST", "/api/leads", WISH | {"phone": "12"}, 422, "invalid_phone"),
        ("POST", "/api/leads", WISH | {"phone": "9" * 65}, 422, "invalid_request"),
        ("GET", "/api/leads?limit=0", None, 422, "invalid_request"),
        ("GET", "/api/leads?limit=1001", None, 422, "invalid_request"),
        ("GET", "/api/leads?cursor=x", None, 422, "invalid_cursor"),
        ("GET", "/api/leads/none", None, 404, "lead_not_found"),
        ("PATCH", "/api/leads/none", {"status": "closed"}, 404, "lead_not_found"),
        ("PATCH", "/api/leads/none", {"status": "new"}, 422, "invalid_request"),
        ("PATCH", "/api/leads/none", {}, 422, "invalid_request"),
        ("PATCH", "/api/leads/none", {"status": "closed", "contractor_id": "x"}, 422, "invalid_request"),
        ("DELETE", "/api/leads/none", None, 404, "lead_not_found"),
        ("POST", "/api/contractors", {"name": "M", "phone": "+33639980100"}, 422, "invalid_request"),
        ("POST", "/api/contractors", {"name": "M", "phone": "+33639980100", "capacity": 0}, 422, "invalid_contractor"),
        ("POST", "/api/contractors", {"name": "M", "phone": "+33639980100", "capacity": True}, 422, "invalid_request"),
        ("POST", "/api/contractors", {"name": "M", "phone": "+33639980100", "capacity": 1.5}, 422, "invalid_request"),
        ("POST", "/api/contractors", {"name": "M", "phone": "x", "capacity": 1}, 422, "invalid_phone"),
        ("GET", "/api/contractors?cursor=%00", None, 422, "invalid_cursor"),
        ("PATCH", "/api/contractors/none", {"capacity": 3}, 404, "contractor_not_found"),
        ("DELETE", "/api/contractors/none", None, 404, "contractor_not_found"),
    ],
)
async def test_what_cannot_be_done_is_said_as_a_problem(
    http: httpx.AsyncClient, method: str, path: str, body: object, status: int, code: str
) -> None:
    is_problem(await http.request(method, path, json=body), status, code)


async def test_every_conflict_has_its_own_name(http: httpx.AsyncClient) -> None:
    full = await post(http, "/api/contractors", name="M", phone="+33639980100", capacity=1)
    off = await post(http, "/api/contractors", name="O", phone="+33639980101", capacity=1, active=False)
    first, second, new = [await post(http, "/api/leads", **WISH) for _ in range(3)]
    for lead in (first, second):
        await confirm(http, lead["confirm_url"])

    async def patched(lead: dict[str, Any], **body: str) -> httpx.Response:
        return await http.patch(f"/api/leads/{lead['id']}", json=body)

    is_problem(await patched(second, contractor_id=full["id"]), 409, "contractor_full")
    is_problem(await patched(second, contractor_id=off["id"]), 409, "contractor_inactive")
    is_problem(await patched(second, contractor_id="none"), 404, "contractor_not_found")
    is_problem(await patched(new, status="unassigned"), 409, "lead_not_confirmed")
    assert (await patched(first, status="closed")).json()["status"] == "closed"
    is_problem(await patched(first, status="unassigned"), 409, "lead_closed")
    await http.patch(f"/api/contractors/{full['id']}", json={"capacity": 2})
    third = await post(http, "/api/leads", **WISH)
    await confirm(http, third["confirm_url"])
    answer = await http.patch(f"/api/contractors/{full['id']}", json={"capacity": 1})
    assert is_problem(answer, 409, "capacity_in_use")["open_leads"] == 2
    assert (await http.delete(f"/api/contractors/{full['id']}")).status_code == 204
    assert (await http.delete(f"/api/leads/{third['id']}")).status_code == 204


async def test_another_clients_lead_is_not_there(http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    theirs = {"X-Client": "client_other"}
    is_problem(await http.get(f"/api/leads/{lead['id']}", headers=theirs), 404, "lead_not_found")
    assert (await http.get("/api/leads", headers=theirs)).json()["items"] == []


async def test_contractors_come_in_pages(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await post(http, "/api/contractors", name=f"C{number}", phone="+33639980100", capacity=1)
    page = (await http.get("/api/contractors", params={"limit": 2})).json()
    rest = (await http.get("/api/contractors", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [one["name"] for one in page["items"] + rest["items"]] == ["C0", "C1", "C2"]
    assert rest["next_cursor"] is None


# --- the customer


@pytest.mark.mission("C3")
async def test_opening_the_link_changes_nothing_and_confirming_answers_at_once(http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    for _ in range(3):
        page = await http.get(lead["confirm_url"])
        assert page.status_code == 200
        assert "Confirm your request" in text_of(page)
    assert (await http.get(f"/api/leads/{lead['id']}")).json()["status"] == "new"
    first = await confirm(http, lead["confirm_url"])
    assert (first.status_code, "Your request is confirmed" in text_of(first)) == (200, True)
    again = await asyncio.gather(*(confirm(http, lead["confirm_url"]) for _ in range(20)))
    assert {(page.status_code, page.text) for page in again} == {(200, first.text)}
    assert (await http.get(lead["confirm_url"])).text == first.text, "whoever opens it again sees that it is done"


@pytest.mark.mission("Z10")
async def test_pages_speak_the_readers_language(shop: Shop, http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    page = await http.get(lead["confirm_url"], headers=FRENCH)
    assert '<html lang="fr">' in page.text
    assert page.headers["content-language"] == "fr"
    for words in ("Confirmez votre demande", "Confirmer ma demande", "Métier", "Secteur", "Anna Martin"):
        assert words in text_of(page)
    assert "Votre demande est confirmée" in text_of(await confirm(http, lead["confirm_url"], **FRENCH))
    forged = await http.get("/api/confirm?token=x", headers=FRENCH)
    assert "Ce lien ne fonctionne pas" in text_of(forged)
    late = await post(http, "/api/leads", **WISH)
    shop.later(timedelta(days=8))
    assert "Ce lien a expiré" in text_of(await http.get(late["confirm_url"], headers=FRENCH))


@pytest.mark.mission("C3")
@pytest.mark.parametrize("language", [{}, FRENCH])
async def test_forged_and_expired_links_have_pages_of_their_own(
    shop: Shop, http: httpx.AsyncClient, language: dict[str, str]
) -> None:
    lead = await post(http, "/api/leads", **WISH)
    token = lead["confirm_url"].partition("token=")[2]
    for wrong in ("", "x", token[:-2], "é", "\x00"):
        for answer in (
            await http.get("/api/confirm", params={"token": wrong}, headers=language),
            await http.post("/api/confirm", data={"token": wrong}, headers=language),
        ):
            assert answer.status_code == 400
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for answer in (
        await http.get("/api/confirm"),
        await http.post("/api/confirm"),
        await http.post("/api/confirm", json={"token": token}),
        await http.post("/api/confirm", content=b"\xff\x00", headers={"Content-Type": "multipart/form-data"}),
        await http.post("/api/confirm", files={"token": b"x"}),
    ):
        assert answer.status_code == 400
    shop.later(timedelta(days=7))
    for answer in (await http.get(lead["confirm_url"]), await confirm(http, lead["confirm_url"])):
        assert answer.status_code == 410
    assert (await http.get(f"/api/leads/{lead['id']}")).json()["status"] == "new"


async def test_both_kinds_of_form_are_read(http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    token = lead["confirm_url"].partition("token=")[2]
    part = f'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\n{token}\r\n--b--\r\n'
    assert (await http.post("/api/confirm", content=part, headers=boundary)).status_code == 200


async def test_what_people_write_is_shown_and_never_run(http: httpx.AsyncClient) -> None:
    wish = {
        "name": NASTY,
        "trade": NASTY,
        "area": NASTY,
        "description": f"{NASTY}\n{{{{ 7 * 7 }}}}",
        "phone": "+33639980001",
    }
    lead = await post(http, "/api/leads", **wish)
    for page in (await http.get(lead["confirm_url"]), await confirm(http, lead["confirm_url"])):
        assert "<script" not in page.text
        assert text_of(page).count(NASTY) == 4
        assert "{{ 7 * 7 }}" in text_of(page)
        title = page.text.partition("<title>")[2].partition("</title>")[0]
        assert "script" not in title, "a preview shows nobody's name"


async def test_pages_let_nothing_in_and_nothing_out(http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    page = await http.get(lead["confirm_url"])
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    for rule in ("form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "style=" not in page.text, "the policy would drop it"
    assert "http" not in page.text, "nothing is loaded from anywhere"


async def test_head_is_answered_as_get(http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    assert (await http.head(lead["confirm_url"])).status_code == 200
    assert (await http.head("/api/confirm?token=x")).status_code == 400
    described = (await http.get("/openapi.json")).json()["paths"]["/api/confirm"]
    assert set(described) == {"get", "post"}


class Away:
    """A database that is down for the pages."""

    shared = True

    async def run(self, _unit: object) -> None:
        raise DatabaseAway("down")

    read = run


@pytest.mark.mission("C3")
async def test_while_sql_is_away_the_page_says_later(shop: Shop, http: httpx.AsyncClient) -> None:
    lead = await post(http, "/api/leads", **WISH)
    away: Any = Away()
    shop.leads._database = away
    for answer in (await http.get(lead["confirm_url"]), await confirm(http, lead["confirm_url"], **FRENCH)):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Un instant" in text_of(answer)
    assert (await http.get("/api/confirm?token=x")).status_code == 400, "what needs no table is told all the same"


@pytest.mark.mission("Z10")
@pytest.mark.parametrize("lang", ["en", "fr"])
async def test_contractors_are_told_in_the_gateways_language(database: Database, lang: str) -> None:
    shop = await open_shop(database, lang=lang)
    await shop.contractor()
    lead = await shop.confirmed(description="Leak\n{brace} %s")
    (message,) = await shop.messages.page(ME)
    assert message.content.text == request_text(lead.inquiry, lang)
    first = {"en": "*New request: Plumbing*", "fr": "*Nouvelle demande : Plumbing*"}[lang]
    lines = (message.content.text or "").split("\n")
    assert lines[0] == first
    assert "{brace} %s" in lines
