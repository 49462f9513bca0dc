"""What WhatsApp tells, by either provider: events whose every part is what it says, or a known error."""

import asyncio
import dataclasses
import hashlib
import hmac
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neonize.events import ConnectFailureEv, LoggedOutEv, ReceiptEv, TemporaryBanEv
from neonize.proto.Neonize_pb2 import JID
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message
from pydantic import TypeAdapter

from fuzz.budget import cases
from fuzz.nonsense import BODIES, JSON, TEXTS, mangled, wire
from graph_server import APP_SECRET
from passerelle.errors import PasserelleError
from passerelle.whatsapp.adapters.cloud_faults import GraphError
from passerelle.whatsapp.adapters.cloud_webhook import CloudWebhook, Unreadable
from passerelle.whatsapp.adapters.multidevice import answers
from passerelle.whatsapp.adapters.multidevice.changes import change_of
from passerelle.whatsapp.adapters.multidevice.frames import Frames
from passerelle.whatsapp.adapters.multidevice.incoming import message_events, receipt_events, unavailable_events
from passerelle.whatsapp.adapters.multidevice.jids import is_device, jid_text, read_jid
from passerelle.whatsapp.adapters.multidevice.members import event_members, read_event
from passerelle.whatsapp.model import SessionEvent
from whatsapp.cloud import payloads
from whatsapp.cloud.parts import make_webhook
from whatsapp.multidevice import wire as multidevice

WEBHOOKS = [
    payloads.written("text", {"body": "Bonjour"}),
    payloads.written("image", {"id": "1", "mime_type": "image/jpeg", "caption": "Voilà", "filename": "a.jpg"}),
    payloads.written("location", {"latitude": 48.85, "longitude": 2.35, "name": "Paris"}, group_id="g"),
    payloads.written("contacts", [{"name": {"formatted_name": "Camille"}}]),
    payloads.written("interactive", {"type": "button_reply", "button_reply": {"id": "1", "title": "Oui"}}),
    payloads.written("reaction", {"emoji": "👍", "message_id": "wamid.1"}),
    payloads.written("revoke", {"original_message_id": "wamid.1"}),
    payloads.told("failed", errors=[{"code": 131031, "title": "locked", "error_data": {"details": "why"}}]),
    payloads.told("read"),
    payloads.of_account({"event": "ACCOUNT_RESTRICTION", "restriction_info": [
        {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1749416383}
    ]}),
    payloads.of_account({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}),
]  # fmt: skip


@cache
def _adapters(kind: Any) -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in get_type_hints(kind).items()}


def is_sound(event: Any) -> None:
    """Every field holds what its type says, and what SQL and JSON can keep."""
    kind: Any = type(event)
    for name, adapter in _adapters(kind).items():
        value = getattr(event, name)
        adapter.validate_python(value, strict=True)
        if isinstance(value, datetime):
            assert value.tzinfo is not None, name
        if dataclasses.is_dataclass(value):
            is_sound(value)
    json.dumps(dataclasses.asdict(event), default=str)


def heard(webhook: CloudWebhook, body: bytes) -> list[SessionEvent]:
    signature = "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    try:
        return webhook.read(body, signature=signature)
    except Unreadable:
        return []


@cases(1500)
@given(value=st.sampled_from(WEBHOOKS).flatmap(mangled))
def test_a_webhook_of_meta_that_is_not_as_described_brings_sound_events_or_none(value: Any) -> None:
    for event in heard(make_webhook(), wire(value)):
        is_sound(event)
        assert "\x00" not in repr(event)


@cases(300)
@given(body=BODIES)
def test_anything_signed_is_read_or_refused(body: bytes) -> None:
    heard(make_webhook(), body)


@cases(200)
@given(body=BODIES, signature=TEXTS)
def test_nothing_is_believed_without_its_signature(body: bytes, signature: str) -> None:
    with pytest.raises(PasserelleError):
        make_webhook().read(body, signature=signature)


@cases(200)
@given(mode=TEXTS, token=TEXTS, challenge=TEXTS)
def test_nobody_else_proves_that_an_address_is_ours(mode: str, token: str, challenge: str) -> None:
    with pytest.raises(PasserelleError):
        make_webhook().answer(mode=mode, token=token, challenge=challenge)


@cases(300)
@given(error=mangled({"code": 131047, "error_subcode": 33, "message": "x", "is_transient": True, "error_data": {}}))
def test_an_error_of_meta_is_read_or_is_none(error: Any) -> None:
    if isinstance(error, dict):
        try:
            read = GraphError.read(error)
        except (KeyError, OverflowError, TypeError, ValueError):
            return
        assert read.verdict.remedy
        assert read.reason


STAMPS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, multidevice.AT_S, multidevice.AT_S * 1000])
UTF8 = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = UTF8 | st.just("\x00")


@st.composite
def contents(draw: st.DrawFn) -> Message:
    """Bytes that are a message of WhatsApp's by chance, or one with some of its fields filled."""
    content = Message()
    kind = draw(st.sampled_from(sorted(Message.DESCRIPTOR.fields_by_name)))
    field = Message.DESCRIPTOR.fields_by_name[kind]
    if field.message_type is None or field.is_repeated:
        if field.type == field.TYPE_STRING and not field.is_repeated:
            setattr(content, kind, draw(WORDS))
        return content
    part = getattr(content, kind)
    part.SetInParent()
    for inner in part.DESCRIPTOR.fields:
        if inner.is_repeated or draw(st.booleans()):
            continue
        values = {inner.TYPE_STRING: WORDS, inner.TYPE_BYTES: st.binary(max_size=20), inner.TYPE_BOOL: st.booleans()}
        numbers = {inner.TYPE_UINT64: 2**64, inner.TYPE_UINT32: 2**32, inner.TYPE_INT64: 2**63, inner.TYPE_INT32: 2**31}
        if inner.type in values:
            setattr(part, inner.name, draw(values[inner.type]))
        elif inner.type in numbers:
            setattr(part, inner.name, draw(st.integers(0, numbers[inner.type] - 1)))
        elif inner.type in {inner.TYPE_DOUBLE, inner.TYPE_FLOAT}:
            setattr(part, inner.name, draw(st.floats(width=32)))
    return content


@cases(600)
@given(content=contents(), stamp=STAMPS, sender=WORDS, name=WORDS, group=st.booleans())
def test_a_message_to_a_linked_device_becomes_sound_events_that_travel(
    content: Message, stamp: int, sender: str, name: str, *, group: bool
) -> None:
    where = multidevice.source(IsGroup=group, Sender=multidevice.jid(f"{sender.replace(':', '').replace('.', '')}@lid"))
    about = multidevice.info(where=where, Timestamp=stamp, Pushname=name)
    made = [
        *message_events(multidevice.message(content, about=about), session_id="s1", number_of=lambda _: None),
        *unavailable_events(multidevice.unavailable(Info=about), session_id="s1", number_of=lambda _: None),
    ]
    for event in made:
        is_sound(event)
        assert read_event(json.loads(json.dumps(event_members(event)))) == event


@cases(300)
@given(kind=st.integers(1, 9), stamp=STAMPS, ids=st.lists(WORDS, max_size=3))
def test_a_receipt_for_a_linked_device_becomes_sound_events_that_travel(kind: int, stamp: int, ids: list[str]) -> None:
    told = ReceiptEv(MessageSource=multidevice.source(), MessageIDs=ids, Timestamp=stamp, Type=kind)
    for event in receipt_events(told, session_id="s1", number_of=lambda _: None, told_to=lambda _: None):
        is_sound(event)
        assert read_event(json.loads(json.dumps(event_members(event)))) == event


@cases(300)
@given(number=st.integers(-(2**31), 2**31 - 1), wait=STAMPS)
def test_whatever_ends_a_connection_has_a_meaning(number: int, wait: int) -> None:
    now = datetime.now(UTC)
    ends = [LoggedOutEv(), ConnectFailureEv(), TemporaryBanEv()]
    for event in ends:
        for name, value in (("Reason", number), ("Code", number), ("Expire", wait)):
            if name in event.DESCRIPTOR.fields_by_name:
                try:
                    setattr(event, name, value)
                except ValueError:  # an enumeration that has no such value
                    continue
        assert change_of(event, now=now) is not None


@cases(300)
@given(
    words=st.sampled_from(
        ["info query returned status {}: x", "server returned error {}", "failed with status code {}", "{}"]
    ),
    number=st.integers(0, 10**6).map(str) | st.just("9" * 5000) | TEXTS,
)
def test_every_error_of_a_linked_device_has_its_kind(words: str, number: str) -> None:
    error = words.format(number)
    for read in (answers.pairing_fault, answers.sending_fault, answers.upload_fault, answers.download_fault):
        assert isinstance(read(error), PasserelleError)


@cases(300)
@given(user=st.from_regex(r"[0-9]{1,15}", fullmatch=True), device=st.integers(0, 255), agent=st.integers(0, 255))
def test_the_name_of_a_device_survives_its_reading(user: str, device: int, agent: int) -> None:
    text = jid_text(JID(**read_jid(f"{user}.{agent}:{device}@s.whatsapp.net")))
    assert is_device(text)
    assert jid_text(JID(**read_jid(text))) == text


@cases(300)
@given(text=TEXTS.map(lambda text: f"{text}@s.whatsapp.net") | TEXTS)
def test_what_passes_for_a_device_can_be_read(text: str) -> None:
    if is_device(text):
        JID(**read_jid(text))


@cases(300)
@given(data=st.binary(max_size=40) | JSON.map(wire).map(lambda body: len(body).to_bytes(4, "big") + body))
def test_a_frame_is_an_object_or_the_end(data: bytes) -> None:
    async def read() -> Any:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await Frames(reader, writer=None).read()  # type: ignore[arg-type]  # nothing is written

    with asyncio.Runner() as runner:
        assert isinstance(runner.run(read()), dict | None)
