"""The sandbox as a person sees it, in the world's process and through another one's API."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from passerelle.sandbox.faults import FaultKind
from passerelle.sandbox.linker import SandboxLinker
from passerelle.sandbox.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z3")]

NUMBER = "+33639980001"


async def code_for(world: World, number: str = NUMBER) -> str:
    linking = await SandboxLinker(world).connect(session_id="mine", phone_number=number)
    return (await linking.request_code()).code


async def test_a_phone_is_made_and_changed(api: httpx.AsyncClient) -> None:
    made = await api.post("/sandbox/phones", json={"number": "+33 6 39 98 00 01", "name": "Ada"})
    assert made.status_code == 201
    assert made.json() == {
        "sandbox": True,
        "number": NUMBER,
        "name": "Ada",
        "online": True,
        "read_receipts": True,
        "links": [],
        "pending_code": None,
    }
    changed = (await api.post("/sandbox/phones", json={"number": NUMBER, "readReceipts": False})).json()
    assert (changed["name"], changed["read_receipts"]) == ("Ada", False)
    changed = (await api.post("/sandbox/phones", json={"number": NUMBER[1:], "read_receipts": True})).json()
    assert changed["read_receipts"] is True
    listed = (await api.get("/sandbox/phones")).json()
    assert [phone["number"] for phone in listed["items"]] == [NUMBER]
    assert listed["sandbox"] is True


@pytest.mark.parametrize("written", ["%2B33639980001", "+33639980001", "33639980001", "33%206%2039980001"])
async def test_a_code_is_typed_however_the_number_is_written(
    api: httpx.AsyncClient, world: World, written: str
) -> None:
    code = await code_for(world)
    answer = await api.post(f"/sandbox/phones/{written}/enter-code", json={"code": code})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["sandbox"] is True
    assert (body["number"], body["session_id"]) == (NUMBER, "mine")
    (phone,) = (await api.get("/sandbox/phones")).json()["items"]
    assert phone["links"] == [{key: body[key] for key in ("device", "session_id", "linked_at")}]


async def test_a_phone_shows_that_a_code_waits_but_not_which(api: httpx.AsyncClient, world: World) -> None:
    code = await code_for(world)
    answer = await api.get("/sandbox/phones")
    (phone,) = answer.json()["items"]
    left = datetime.fromisoformat(phone["pending_code"]["expires_at"]) - world.clock.now()
    assert timedelta(seconds=155) < left <= timedelta(seconds=160)
    assert code not in answer.text
    await api.post("/sandbox/clock/advance", json={"seconds": 160})
    (phone,) = (await api.get("/sandbox/phones")).json()["items"]
    assert phone["pending_code"] is None


async def test_a_wrong_code_says_so(api: httpx.AsyncClient, world: World) -> None:
    await code_for(world)
    answer = await api.post(f"/sandbox/phones/{NUMBER}/enter-code", json={"code": "AAAA-AAAA"})
    assert (answer.status_code, answer.json()["code"]) == (409, "code_not_valid")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_many_phones_come_page_by_page(api: httpx.AsyncClient, world: World) -> None:
    for n in range(7):
        world.phone(f"+3363998000{n}")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get("/sandbox/phones", params={"limit": 3, "cursor": cursor})).json()
        seen += [phone["number"] for phone in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"+3363998000{n}" for n in range(7)]


async def test_every_kind_of_fault_can_be_scripted_listed_and_cleared(api: httpx.AsyncClient) -> None:
    for kind in FaultKind:
        made = await api.post("/sandbox/faults", json={"kind": kind, "number": NUMBER[1:], "times": 2})
        assert made.status_code == 201
        assert made.json()["what"] == kind.sentence
    listed = (await api.get("/sandbox/faults")).json()
    assert [(f["kind"], f["number"], f["times"]) for f in listed["items"]] == [(kind, NUMBER, 2) for kind in FaultKind]
    assert (await api.delete("/sandbox/faults")).json() == {"sandbox": True, "removed": len(FaultKind)}
    assert (await api.get("/sandbox/faults")).json()["items"] == []


async def test_the_api_promises_these_faults(api: httpx.AsyncClient) -> None:
    promised = (
        "invalid_phone already_linked pairing_in_progress rate_overlimit passkey_required bad_display_name no_code"
        " slow_code disconnect_while_pairing provider_unavailable logged_out_after_link send_error send_timeout_before"
        " send_timeout_after restricted_463 not_on_whatsapp temporary_ban hang duplicate_event reordered_receipts"
        " media_unavailable"
    )
    assert sorted(promised.split()) == sorted(FaultKind)


async def test_a_fault_hits_once_and_any_phone_unless_told_otherwise(api: httpx.AsyncClient) -> None:
    fault = (await api.post("/sandbox/faults", json={"kind": "no_code"})).json()
    assert (fault["number"], fault["times"], fault["sandbox"]) == (None, 1, True)


async def test_the_clock_is_read_and_moved(api: httpx.AsyncClient) -> None:
    before = (await api.get("/sandbox/clock")).json()
    assert (before["sandbox"], before["offset_s"]) == (True, 0)
    moved = (await api.post("/sandbox/clock/advance", json={"seconds": 3600.5})).json()
    assert moved["offset_s"] == 3600.5
    ahead = datetime.fromisoformat(moved["now"]) - datetime.now(UTC)
    assert timedelta(seconds=3590) < ahead <= timedelta(seconds=3600.5)


async def test_reset_goes_back_to_the_beginning(api: httpx.AsyncClient, world: World) -> None:
    code = await code_for(world)
    await api.post("/sandbox/faults", json={"kind": "hang"})
    await api.post("/sandbox/clock/advance", json={"seconds": 60})
    assert (await api.post("/sandbox/reset")).json() == {"sandbox": True}
    assert (await api.get("/sandbox/phones")).json()["items"] == []
    assert (await api.get("/sandbox/faults")).json()["items"] == []
    assert (await api.get("/sandbox/clock")).json()["offset_s"] == 0
    answer = await api.post(f"/sandbox/phones/{NUMBER}/enter-code", json={"code": code})
    assert answer.json()["code"] == "code_not_valid"


NO_NUMBERS = ["", " ", "+", "abc", "+33abc", "+33639980001x", "+0639980001", "+12", "+999123456789", "+" + "1" * 40]
NO_NUMBERS += ["+٣٣٦٣٩٩٨٠٠٠١", "+33639980001\x00", "00 33 639980001", "+1 800 FLOWERS"]


async def test_what_is_no_number_is_refused(api: httpx.AsyncClient, world: World) -> None:
    for number in NO_NUMBERS:
        answers = [
            await api.post("/sandbox/phones", json={"number": number}),
            await api.post("/sandbox/faults", json={"kind": "hang", "number": number}),
        ]
        if number.strip():
            answers.append(await api.post(f"/sandbox/phones/{quote(number)}/enter-code", json={"code": "AAAA-AAAA"}))
        assert {(answer.status_code, answer.json().get("code")) for answer in answers} == {(422, "invalid_phone")}
    assert world.phones() == []
    assert list(world.faults) == []


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("/sandbox/phones", [{}, {"number": 33}, {"number": None}, {"number": NUMBER, "nmae": "Ada"}]),
        ("/sandbox/phones", [{"number": NUMBER, "name": "A" * 101}, {"number": NUMBER, "online": "perhaps"}, []]),
        (f"/sandbox/phones/{NUMBER}/enter-code", [{}, {"code": None}, {"code": 12345678}, {"code": "A" * 101}, "A"]),
        ("/sandbox/faults", [{}, {"kind": "flood"}, {"kind": "hang", "times": 0}, {"kind": "hang", "times": 1.5}]),
        ("/sandbox/faults", [{"kind": "hang", "times": 10**30}, {"kind": ["hang"]}, {"kind": "hang", "phone": "x"}]),
        ("/sandbox/clock/advance", [{}, {"seconds": -1}, {"seconds": "soon"}, {"seconds": 1e300}, {"seconds": None}]),
    ],
)
async def test_wrong_fields_are_refused(api: httpx.AsyncClient, world: World, path: str, bad: list[object]) -> None:
    answers = [await api.post(path, json=body) for body in bad]
    assert [answer.status_code for answer in answers] == [422] * len(bad)
    assert world.phones() == []
    assert world.clock.offset == timedelta(0)


@pytest.mark.parametrize("path", ["phones", f"phones/{NUMBER}/enter-code", "faults", "clock/advance"])
async def test_what_is_no_json_is_refused(api: httpx.AsyncClient, path: str) -> None:
    for content in (b"", b"{", b"\xff\xfe", b'{"seconds": NaN}', b"null"):
        answer = await api.post(f"/sandbox/{path}", content=content, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500


async def test_wrong_pages_and_methods_are_refused(api: httpx.AsyncClient) -> None:
    for query in ("limit=0", "limit=1001", "limit=x"):
        assert (await api.get(f"/sandbox/phones?{query}")).status_code == 422
    assert (await api.get("/sandbox/nowhere")).status_code == 404
    assert (await api.put("/sandbox/clock/advance")).status_code == 405


async def test_the_clock_cannot_be_advanced_out_of_range_in_steps(api: httpx.AsyncClient) -> None:
    century = {"seconds": 36_525 * 86_400}
    assert (await api.post("/sandbox/clock/advance", json=century)).status_code == 200
    answer = await api.post("/sandbox/clock/advance", json={"seconds": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "clock_out_of_range")
