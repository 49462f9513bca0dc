"""Sending by the Cloud API: what goes over the wire, what every answer means, and what is never said."""

import asyncio
import hashlib
import json
import logging
import socket
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from graph_server import ERRORS, PHONE_ID, THEIR_NUMBER, TOKEN, Mishap
from passerelle.errors import Invalid, NotFound, Unavailable
from passerelle.whatsapp.adapters.cloud_bodies import InvalidTemplate, check_template
from passerelle.whatsapp.adapters.cloud_limits import LONGEST_PENALTY
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import STATUS_RECIPIENT, MessageType, Outgoing
from passerelle.whatsapp.sending import AnswerLost, NotHandedOver, Remedy, SendRefused

from .parts import House, outgoing
from servers import HOST, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z4")]
LEAD = {
    "name": "new_lead",
    "language": {"code": "fr", "policy": "deterministic"},
    "components": [
        {"type": "body", "parameters": [{"type": "text", "text": "Fuite"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "TOKEN"}]},
    ],
}
R, N, P, A, X = (
    *(Remedy.RETRY, Remedy.THROTTLE_NUMBER, Remedy.THROTTLE_RECIPIENT),
    *(Remedy.PAUSE_ACCOUNT, Remedy.PERMANENT),
)
REMEDIES = {
    **dict.fromkeys((1, 2, 131000, 131016, 131057, 132069, 133004, 135000), R),
    **dict.fromkeys((4, 80007, 130429), N),
    131056: P,
    **dict.fromkeys((0, 3, 10, 33, 190, 200, 368, 131005, 131031, 131042, 131045, 131048, 131064, 133010), A),
    **dict.fromkeys((100, 131008, 131009, 131021, 131030, 131037, 131047, 131051, 131053, 131062, 131063), X),
    **dict.fromkeys((132000, 132001, 132005, 132007, 132012, 132015, 132016, 132068), X),
    **dict.fromkeys((130472, 130497, 131026, 131049, 131050, 137000), X),
}


class Other(NotFound):
    code = "media_not_found"
    text = hint = InvalidTemplate.text


class Forbidden(Invalid):
    code = "address_refused"
    text = hint = InvalidTemplate.text


class StoreAway(Unavailable):
    code = "store_away"
    text = hint = InvalidTemplate.text


async def sent(house: House, message: Outgoing) -> dict[str, Any]:
    """The body that Meta got for it."""
    prepared = await house.sender.prepare(message)
    message_id = await house.sender.send(message, prepared=prepared)
    assert message_id.startswith("wamid.")
    return house.graph.messages[-1]


async def refused(house: House, message: Outgoing | None = None) -> SendRefused:
    with pytest.raises(SendRefused) as caught:
        await house.sender.send(message or outgoing(), prepared="1")
    return caught.value


async def test_a_text_goes_as_meta_wants_it(house: House) -> None:
    assert await sent(house, outgoing(text="Bonjour https://example.org")) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": THEIR_NUMBER,
        "type": "text",
        "text": {"body": "Bonjour https://example.org", "preview_url": False},
        "biz_opaque_callback_data": "msg_1",
    }
    assert house.graph.asked == [f"POST /v23.0/{PHONE_ID}/messages"]
    assert house.graph.logins == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize(
    ("type_", "content_type", "said"),
    [
        (MessageType.IMAGE, "image/jpeg", {"caption": "Avant"}),
        (MessageType.VIDEO, "video/mp4", {"caption": "Avant"}),
        (MessageType.AUDIO, "audio/ogg; codecs=opus", {}),
        (MessageType.DOCUMENT, "application/pdf", {"caption": "Avant", "filename": "Devis d'été n°1.pdf"}),
    ],
)
async def test_a_medium_is_uploaded_once_and_named_in_its_message(
    house: House, type_: MessageType, content_type: str, said: dict[str, str]
) -> None:
    house.shelf.content_type, house.shelf.name, house.shelf.size = content_type, "Devis d'été n°1.pdf", 200_000
    body = await sent(house, outgoing(type_, caption="Avant", media_url="https://example.org/1"))
    ((media_id, upload),) = house.graph.uploads.items()
    assert body[type_.value] == {"id": media_id, **said}
    assert body["biz_opaque_callback_data"] == "msg_1"
    assert upload.fields == {"messaging_product": "whatsapp", "type": content_type}
    assert upload.content_type == content_type
    assert upload.sha256 == hashlib.sha256(bytes(200_000)).hexdigest()


async def test_a_medium_without_a_type_gets_that_of_its_name(house: House) -> None:
    house.shelf.content_type, house.shelf.name = None, "devis.pdf"
    await sent(house, outgoing(MessageType.DOCUMENT, media_url="https://example.org/1"))
    assert [one.content_type for one in house.graph.uploads.values()] == ["application/pdf"]


async def test_a_template_goes_through_as_it_is(house: House) -> None:
    body = await sent(house, outgoing(MessageType.TEMPLATE, template=LEAD))
    assert body["template"] == LEAD
    assert body["type"] == "template"


@pytest.mark.parametrize(
    ("template", "field"),
    [
        (None, "name"),
        ({"name": "new_lead"}, "language.code"),
        ({"name": "new_lead", "language": "fr"}, "language.code"),
        ({"name": "new_lead", "language": {"code": ""}}, "language.code"),
        ({"name": 7, "language": {"code": "fr"}}, "name"),
        ({"name": "new_lead", "language": {"code": "fr"}, "components": {}}, "components"),
        ({"name": "new_lead", "language": {"code": "fr"}, "components": ["body"]}, "components"),
    ],
)
async def test_a_template_that_is_none_is_refused_before_meta_sees_it(
    house: House, template: dict[str, Any] | None, field: str
) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        check_template(template)
    assert caught.value.members == {"field": field}
    error = await refused(house, outgoing(MessageType.TEMPLATE, template=template))
    assert (error.reason, error.remedy) == (f"invalid_template: {field}", X)
    assert not house.graph.asked


@pytest.mark.parametrize("recipient", ["FR.13491208655302741918", "US.ENT.11815799212886844830"])
async def test_somebody_without_a_number_is_written_to_by_their_id(house: House, recipient: str) -> None:
    body = await sent(house, outgoing(to=recipient))
    assert body["recipient"] == recipient
    assert "to" not in body


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (outgoing(MessageType.STATUS, text="Bonjour", to=STATUS_RECIPIENT), "not_offered"),
        (outgoing(to="plumber@example.org"), "invalid_recipient"),
        (outgoing(to="FR."), "invalid_recipient"),
    ],
)
async def test_what_the_api_has_not_is_refused_for_good(house: House, message: Outgoing, reason: str) -> None:
    error = await refused(house, message)
    assert (error.reason, error.remedy) == (reason, X)
    if message.type is MessageType.STATUS:
        with pytest.raises(SendRefused, match="refused"):
            await house.sender.prepare(message)
    assert not house.graph.asked


async def test_a_medium_that_was_not_prepared_is_refused(house: House) -> None:
    with pytest.raises(SendRefused) as caught:
        await house.sender.send(outgoing(MessageType.IMAGE), prepared=None)
    assert caught.value.reason == "media_missing"


@pytest.mark.parametrize(
    ("type_", "most"),
    [
        (MessageType.IMAGE, 5 << 20),
        (MessageType.VIDEO, 16 << 20),
        (MessageType.AUDIO, 16 << 20),
        (MessageType.DOCUMENT, 100 << 20),
    ],
)
async def test_a_medium_too_large_for_its_type_is_refused_before_it_goes(
    house: House, type_: MessageType, most: int
) -> None:
    house.shelf.size = most + 1
    with pytest.raises(SendRefused) as caught:
        await house.sender.prepare(outgoing(type_, media_url="https://example.org/1"))
    assert caught.value.remedy is X
    assert str(most) in caught.value.reason
    assert not house.graph.asked


def test_every_scripted_code_of_meta_has_its_remedy_here() -> None:
    assert REMEDIES.keys() == ERRORS.keys()


@pytest.mark.parametrize("code", sorted(REMEDIES))
async def test_each_code_of_meta_has_its_remedy(house: House, code: int) -> None:
    house.graph.script(code)
    error = await refused(house)
    assert error.remedy is REMEDIES[code]
    assert error.reason.startswith(str(code))
    assert len(house.graph.asked) == 1  # never twice


async def test_a_closed_window_says_use_a_template(house: House) -> None:
    house.graph.script(131047)
    error = await refused(house)
    assert error.reason.startswith("131047: use a template: More than 24 hours")


async def test_a_number_that_is_not_ours_pauses_instead_of_failing_every_message(house: House) -> None:
    house.graph.script(100, subcode=33, message="Unsupported post request. Object with ID '1' does not exist")
    assert (await refused(house)).remedy is A


@pytest.mark.parametrize(("code", "status_of", "remedy"), [(999_999, 400, X), (999_998, 503, R), (999_997, 401, A)])
async def test_a_code_that_nobody_knows_is_judged_by_its_status(
    house: House, code: int, status_of: int, remedy: Remedy
) -> None:
    ERRORS[code] = (status_of, "New", "An error of next year")
    try:
        house.graph.script(code)
        assert (await refused(house)).remedy is remedy
    finally:
        del ERRORS[code]


@pytest.mark.parametrize(
    ("mishap", "wait", "remedy"), [(Mishap.BARE_401, None, A), (Mishap.BARE_429, timedelta(seconds=17), N)]
)
async def test_a_bare_401_pauses_and_a_bare_429_throttles_as_long_as_it_says(
    house: House, mishap: Mishap, wait: timedelta | None, remedy: Remedy
) -> None:
    house.graph.script(mishap)
    error = await refused(house)
    assert (error.remedy, error.wait) == (remedy, wait)


@pytest.mark.parametrize(
    ("mishap", "taken"),
    [
        (Mishap.HANG_BEFORE, 0),
        (Mishap.HANG_AFTER, 1),
        (Mishap.RESET_BEFORE, 0),
        (Mishap.RESET_AFTER, 1),
        (Mishap.BARE_500, 0),
        (Mishap.PAGE_502, 0),
        (Mishap.ODD_200, 0),
    ],
)
async def test_once_the_request_is_written_nobody_says_that_it_was_not_sent(
    house: House, mishap: Mishap, taken: int
) -> None:
    house.hurry()
    house.graph.script(mishap)
    with pytest.raises(AnswerLost):
        await house.sender.send(outgoing(), prepared=None)
    assert len(house.graph.messages) == taken
    assert len(house.graph.asked) == 1


@pytest.mark.parametrize("mishap", [Mishap.PAGE_403, Mishap.REDIRECT])
async def test_a_proxy_that_lets_nothing_through_means_away(house: House, mishap: Mishap) -> None:
    house.graph.script(mishap)
    with pytest.raises(ProviderUnavailable):
        await house.sender.send(outgoing(), prepared=None)


@pytest.mark.parametrize("host", [HOST, "nowhere.invalid"])
async def test_a_connection_that_is_refused_means_away_and_no_attempt_is_lost(host: str) -> None:
    url = f"http://{host}:{free_port()}/v23.0"
    async with House(base_url=url) as house:
        with pytest.raises(ProviderUnavailable):
            await house.sender.send(outgoing(), prepared=None)
        with pytest.raises(ProviderUnavailable):
            await house.sender.prepare(outgoing(MessageType.IMAGE, media_url="https://example.org/1"))


async def test_a_listener_that_never_speaks_loses_the_answer_within_the_limit() -> None:
    with socket.create_server((HOST, 0)) as deaf:
        async with House(base_url=f"http://{HOST}:{deaf.getsockname()[1]}/v23.0") as house, asyncio.timeout(9):
            house.hurry()
            with pytest.raises(AnswerLost):
                await house.sender.send(outgoing(), prepared=None)


@pytest.mark.parametrize(
    "mishap", [Mishap.HANG_BEFORE, Mishap.RESET_AFTER, Mishap.PAGE_502, Mishap.BARE_500, Mishap.REDIRECT]
)
async def test_an_upload_whose_answer_is_lost_is_done_again(house: House, mishap: Mishap) -> None:
    message = outgoing(MessageType.IMAGE, media_url="https://example.org/1")
    house.graph.script(mishap, on="/media")
    patience = house.api._answer_limit
    house.hurry()
    with pytest.raises(ProviderUnavailable):
        await house.sender.prepare(message)
    house.api._answer_limit = patience
    assert (await house.sender.prepare(message) or "").split(" ")[0] in house.graph.uploads


async def test_a_refused_upload_is_judged_by_the_same_table(house: House) -> None:
    for code in (131053, 130429, 190):
        house.graph.script(code, on="/media")
        with pytest.raises(SendRefused) as caught:
            await house.sender.prepare(outgoing(MessageType.IMAGE, media_url="https://example.org/1"))
        assert caught.value.remedy is REMEDIES[code]


@pytest.mark.parametrize(("fault", "reason"), [(Other(), "media_not_found"), (Forbidden(), "address_refused")])
async def test_a_medium_that_nobody_can_fetch_ends_its_message(
    house: House, fault: NotFound | Invalid, reason: str
) -> None:
    house.shelf.fault = fault
    with pytest.raises(SendRefused) as caught:
        await house.sender.prepare(outgoing(MessageType.IMAGE, media_url="https://example.org/1"))
    assert (caught.value.reason, caught.value.remedy) == (reason, X)


async def test_a_store_that_goes_away_in_the_middle_is_named_and_not_taken_for_meta(house: House) -> None:
    house.shelf.size, house.shelf.fault_in_bytes = 1_000_000, StoreAway()
    with pytest.raises(StoreAway):
        await house.sender.prepare(outgoing(MessageType.IMAGE, media_url="https://example.org/1"))
    assert not house.graph.uploads


@pytest.mark.parametrize("missing", [500, -500])
async def test_a_medium_of_another_size_than_promised_is_not_sent(house: House, missing: int) -> None:
    house.shelf.size, house.shelf.missing = 200_000, missing
    with pytest.raises(NotHandedOver):
        await house.sender.prepare(outgoing(MessageType.IMAGE, media_url="https://example.org/1"))
    assert not house.graph.uploads


async def test_the_token_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "EAAGwrongwrongwrongwrong"
    async with House(token=wrong) as house:
        with capture_logs() as lines:
            faults: list[BaseException] = [await refused(house)]  # Meta repeats the token in its answer
            house.hurry()
            for mishap in Mishap:
                house.graph.script(mishap)
                with pytest.raises((AnswerLost, ProviderUnavailable, SendRefused)) as caught:
                    await house.sender.send(outgoing(), prepared=None)
                faults.append(caught.value)
            house.connections.evidence()
            await house.connections.hold(session_id="s", device=PHONE_ID, proxy=None)
            await asyncio.sleep(0.1)
        shown = [repr(house.api), repr(house.sender), repr(lines), caplog.text]
        async with House(token=wrong, base_url=f"http://{HOST}:{free_port()}/v23.0") as nowhere:
            with pytest.raises(ProviderUnavailable) as unreached:
                await nowhere.sender.send(outgoing(), prepared=None)
            faults.append(unreached.value)
        for fault in faults:
            # What aiohttp raises holds the request, and in it the token.
            assert fault.__cause__ is None
            assert fault.__suppress_context__ or fault.__context__ is None
            shown += [repr(fault), str(fault), repr(vars(fault))]
    assert any("190" in text for text in shown)
    assert not [text for text in shown if wrong in text]


async def test_what_is_sent_is_json_that_any_letter_survives(house: House) -> None:
    text = "Ça fuit 💧 \u2028 \"'\\ \x7f"
    assert (await sent(house, outgoing(text=text)))["text"]["body"] == text
    assert json.loads(json.dumps(text)) == text


async def test_a_recipient_of_whom_meta_had_enough_waits_four_times_longer_each_time(house: House) -> None:
    waits = []
    for _ in range(7):
        house.graph.script(131056)
        waits.append((await refused(house)).wait)
    assert waits == [timedelta(seconds=4**x) for x in range(1, 6)] + [LONGEST_PENALTY] * 2
    await house.sender.send(outgoing(), prepared=None)
    house.graph.script(131056)
    assert (await refused(house)).wait == timedelta(seconds=4)
