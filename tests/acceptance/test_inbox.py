"""What came in, through real servers: shown when its sender deletes it, kept once whatever is killed meanwhile."""

import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from acceptance.gateway import Gateway, Json, all_started, somebody
from media.samples import picture

from servers import wait_for

pytestmark = pytest.mark.mission("B9")
PNG = picture("PNG")
INLINE = "data:image/png;base64," + b64encode(PNG).decode()
BO = "+33639989100"


def linked(gateway: Gateway) -> tuple[str, str]:
    """A linked phone that agrees to everything: its session, its number."""
    user, phone = somebody()
    session_id = gateway.link(user, phone)["session_id"]
    agreed = gateway.http.put(f"/api/whatsapp/sessions/{session_id}/capture", json={"deleted": True, "view_once": True})
    assert agreed.status_code == 200, agreed.text
    return session_id, phone


def write(gateway: Gateway, phone: str, **wish: object) -> str:
    answer = gateway.http.post(f"/sandbox/phones/{BO}/messages", json={"to": phone, **wish})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def listed(gateway: Gateway, which: str = "messages", **query: str) -> list[Json]:
    answer = gateway.http.get(f"/api/inbox/{which}", params={"limit": "1000", **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def until(gateway: Gateway, wanted: Callable[[list[Json]], bool], which: str = "messages", limit: float = 10) -> None:
    wait_for(lambda: wanted(listed(gateway, which)), f"{which} as wanted", limit)


def all_kept(count: int) -> Callable[[list[Json]], bool]:
    return lambda items: [one["media"]["state"] for one in items] == ["kept"] * count


def test_a_deleted_message_is_shown_with_a_link_that_serves_its_medium(data_dir: Path) -> None:
    with Gateway(data_dir) as gateway:
        session_id, phone = linked(gateway)
        id_ = write(gateway, phone, text="look at this", media=INLINE)
        write(gateway, phone, view_once=True)
        write(gateway, phone, view_once=True, media="once.mp4")
        until(gateway, lambda items: len(items) == 3 and not any(_waits(one) for one in items))
        assert gateway.http.delete(f"/sandbox/phones/{BO}/messages/{id_}").status_code == 200
        until(gateway, bool, "deleted")
        (item,) = listed(gateway, "deleted", session_id=session_id)
        assert (item["text"], item["from"]) == ("look at this", BO)
        assert served(gateway, item["media"]["url"]) == PNG
        film, notice = listed(gateway, "view-once")
        assert notice["media"] is None
        assert b"ftyp" in served(gateway, film["media"]["url"])
        gateway.terminate()
        gateway.start()
        assert served(gateway, item["media"]["url"]) == PNG
        assert gateway.http.delete(f"/api/people/{BO}").status_code in {200, 202}
        assert listed(gateway) == []
        assert gateway.http.get(path_of(item["media"]["url"])).status_code == 404


def served(gateway: Gateway, url: str) -> bytes:
    assert urlsplit(url).port == gateway.port
    answer = gateway.http.get(path_of(url))
    assert answer.status_code == 200, answer.text
    return answer.content


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _waits(item: Json) -> bool:
    return item["media"] is not None and item["media"]["state"] == "waiting"


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.1])
def test_media_are_kept_once_though_the_server_is_killed_while_it_fetches_them(data_dir: Path, after_s: float) -> None:
    with Gateway(data_dir) as gateway:
        _, phone = linked(gateway)
        for number in range(20):
            write(gateway, phone, text=f"{number}", media=INLINE)
        time.sleep(after_s)  # wherever it is by then
        gateway.kill()
        gateway.start()
        until(gateway, lambda items: len(items) == 20)
        gateway.advance(60)  # what it died with waits a little
        until(gateway, all_kept(20))
        media = gateway.http.get("/api/media?limit=1000").json()["items"]
        assert {one["media"]["media_id"] for one in listed(gateway)} == {one["id"] for one in media}
        assert len(media) == 20


def test_several_processes_keep_everything_once(data_dir: Path, database_url: str) -> None:
    settings = {"DATABASE_URL": database_url}
    with ExitStack() as stack:
        one, other = stack.enter_context(all_started([Gateway(data_dir, env=settings) for _ in range(2)]))
        phones = [linked(gateway)[1] for gateway in (one, other)]
        for number in range(20):
            ids = [
                write(gateway, phone, text=f"{number}", media=INLINE) for gateway in (one, other) for phone in phones
            ]
            one.http.delete(f"/sandbox/phones/{BO}/messages/{ids[0]}")
        until(one, all_kept(80))
        until(other, lambda items: len(items) == 20, "deleted")
        assert len(one.http.get("/api/media?limit=1000").json()["items"]) == 80
