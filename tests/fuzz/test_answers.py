"""What stores and Redis' REST interface answer, whatever it is: a value, or one of our faults."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fuzz.budget import cases
from fuzz.nonsense import BODIES, TEXTS, mangled, wire
from passerelle.errors import PasserelleError
from passerelle.media.adapters import cloudinary_faults, supabase_faults
from passerelle.media.adapters.cloudinary import CloudinaryStore
from passerelle.media.adapters.cloudinary_faults import fault_of_answer
from passerelle.media.adapters.supabase_faults import refusal
from passerelle.media.adapters.supabase_lists import every_copy
from passerelle.media.adapters.supabase_rest import SupabaseRest
from passerelle.media.adapters.supabase_rows import copy_of_info
from passerelle.media.model import Copy, StoreName
from passerelle.redaction import Redactor
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.rest_answer import Answer, all_replies, one_reply
from passerelle.whatsapp.adapters import cloud_api
from passerelle.whatsapp.adapters.cloud_api import CloudApi
from passerelle.whatsapp.adapters.cloud_faults import Away, Refusal

REDACTOR = Redactor()
STATUSES = st.sampled_from([200, 201, 301, 400, 401, 404, 409, 420, 429, 500, 502, 599])
LATER = (
    st.sampled_from(["", "5", "9" * 4500, "²", "Mon, 01 Jan 99999 00:00:00 GMT", "Wed, 21 Oct 2037 07:28:00 -9999"])
    | TEXTS
)


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


REPLIES = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | st.just("OK"),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


def encoded(reply: Any) -> Any:
    if isinstance(reply, list):
        return [encoded(one) for one in reply]
    return in_base64(reply) if isinstance(reply, str) and reply != "OK" else reply


@cases(500)
@given(reply=REPLIES)
def test_a_reply_of_redis_survives_the_way_over_http(reply: Any) -> None:
    assert one_reply(Answer(200, wire({"result": encoded(reply)})), REDACTOR) == reply


GOOD = st.sampled_from(
    [[{"result": "T0s="}, {"error": "ERR x"}], [{"result": ["T0s=", 1, None]}], {"error": "WRONGPASS"}]
)


@cases(600)
@given(status=STATUSES, body=GOOD.flatmap(mangled).map(wire) | BODIES, count=st.integers(0, 3))
def test_an_answer_of_the_rest_interface_is_read_or_a_fault(status: int, body: bytes, count: int) -> None:
    answer = Answer(status, body)
    with suppress(Faulted):
        one_reply(answer, REDACTOR)
    with suppress(Faulted):
        assert len(all_replies(answer, count, REDACTOR)) == count


@cases(500)
@given(status=STATUSES, body=mangled({"error": {"message": "cloud_name is disabled"}}).map(wire) | BODIES, later=LATER)
def test_an_error_of_cloudinary_is_one_of_ours(status: int, body: bytes, later: str) -> None:
    answer = cloudinary_faults.Answer(status, {"Retry-After": later}, body)
    fault = fault_of_answer(answer, REDACTOR, of_file=True)
    assert fault.retry_after is None or fault.retry_after >= timedelta(0)


@cases(500)
@given(
    status=STATUSES,
    body=mangled({"statusCode": "404", "code": "NoSuchKey", "error": "not_found", "message": "x"}).map(wire) | BODIES,
    later=LATER,
)
def test_an_error_of_supabase_is_one_of_ours(status: int, body: bytes, later: str) -> None:
    answer = supabase_faults.Answer(status=status, headers={"Retry-After": later}, body=body)
    fault = refusal(answer, REDACTOR, of_file=True)
    assert fault.retry_after is None or fault.retry_after >= timedelta(0)


@cases(400)
@given(status=STATUSES, body=mangled({"error": {"code": 190, "error_subcode": 1}}).map(wire) | BODIES, later=LATER)
def test_an_answer_of_meta_is_a_value_or_one_of_ours(status: int, body: bytes, later: str) -> None:
    api = CloudApi(base_url="http://127.0.0.1:9", token="t" * 20, redactor=Redactor())
    with suppress(Refusal, Away):
        assert isinstance(api._judged(cloud_api._Answer(status, later, body)), dict)


ASSET = {
    "public_id": "deleted-messages/a/1",
    "format": "png",
    "bytes": 10,
    "etag": "0" * 32,
    "version": 1,
    "asset_id": "x",
    "created_at": "2026-11-21T12:00:00Z",
}


@cases(400)
@given(page=mangled({"resources": [ASSET, ASSET]}))
def test_a_list_of_cloudinary_brings_files_or_a_fault(page: Any) -> None:
    store = CloudinaryStore(cloud_name="c", api_key="k", api_secret="s" * 20, redactor=Redactor())

    class Says:
        async def get(self, *_path: str, **_: Any) -> dict[str, Any]:
            return page if isinstance(page, dict) else {}

        def limited(self, seconds: float) -> Any:
            return asyncio.timeout(seconds)

    store._api = Says()  # type: ignore[assignment]  # no network between
    _listed(store.list(""))


ROW = {"name": "a.png", "id": "1", "updated_at": "2026-11-21T12:00:00Z", "metadata": {"size": 1, "eTag": '"x"'}}


@cases(500)
@given(
    page=mangled({"objects": [ROW, ROW | {"id": None}], "hasNext": False, "nextCursor": "x"}).map(wire) | BODIES,
    there=st.booleans(),
)
def test_a_list_of_supabase_brings_files_or_a_fault(page: bytes, *, there: bool) -> None:
    class Says(SupabaseRest):
        def __init__(self) -> None:
            self.asked = 0

        async def ask(self, *_: Any, **__: Any) -> supabase_faults.Answer:
            self.asked += 1
            if self.asked == 1 and not there:
                raise supabase_faults.NoSuchRoute(StoreName.SUPABASE, "no second list")
            body = page if self.asked < 4 else b"[]"
            return supabase_faults.Answer(status=200, headers={}, body=body)

    _listed(every_copy(Says(), bucket="b", prefix=""))


@cases(300)
@given(row=mangled({"size": 1, "content_type": "image/png", "etag": '"x"', "last_modified": "2026-11-21T12:00:00Z"}))
def test_what_supabase_tells_of_a_file_is_read_or_a_fault(row: Any) -> None:
    if isinstance(row, dict):
        try:
            copy = copy_of_info(row, key="a")
        except PasserelleError:
            return
        assert copy.modified_at is None or copy.modified_at.tzinfo


def _listed(copies: AsyncIterator[Copy]) -> None:
    async def read() -> None:
        try:
            async for copy in copies:
                assert isinstance(copy.key, str)
                assert copy.size_bytes >= 0
        except PasserelleError:
            return

    with asyncio.Runner() as runner:
        runner.run(read())
