"""Status saver: phones of many users keep the pictures that people send them and then delete."""

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from passerelle.client import ApiProblem, Client
from passerelle.client.answers import KeptMessage, Medium
from passerelle.client.types import MessageAnswer

USERS = 60
AT_ONCE = 16  # people who ask at the same moment
FRIEND = "+33639982999"
PICTURE = "holiday.jpg"  # the sandbox makes a small real picture of the name
LIMIT_S = 60.0
ENDED = frozenset({"failed", "expired", "cancelled"})
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A user with a linked phone."""

    user_id: str
    phone: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A deleted message as the inbox shows it, and its medium as ``/api/media`` does."""

    message: KeptMessage
    medium: Medium


def run(client: Client, users: int, say: Say) -> list[Saved]:
    """Let `users` (at most 900) save what a friend deletes.

    Raises:
        ApiProblem: the gateway said no.
        TimeoutError: something did not happen in time.
    """
    with ThreadPoolExecutor(AT_ONCE) as people:
        linked = list(people.map(lambda number: _link(client, number), range(users)))
        say(f"1. {len(linked)} users have linked their phones: {linked[0].phone} to {linked[-1].phone}.")
        list(people.map(lambda one: _agree(client, one), linked))
        say("2. Each agrees to keep what is deleted, for 30 days.")
        sent = list(people.map(lambda one: _write(client, one), linked))
        say(f"3. {FRIEND} sends a picture to each: “{sent[0]['text']}”, {PICTURE} …")
        list(people.map(lambda message: client.sandbox.revoke(FRIEND, message["id"]), sent))
        say("4. … and deletes it again for everybody.")
        messages = _until_saved(client, linked)
        saved = list(people.map(lambda message: _with_medium(client, message), messages))
    say(f"5. The inbox has kept {len(saved)} deleted messages:")
    for one in saved:
        say(f"   {_line(one)}")
    say(f"6. {client.health()['checks']['media']['message']}")
    stores = Counter(one.medium["store"] for one in saved)
    said = ", ".join(f"{store} ({count})" for store, count in stores.items())
    say(f"7. These media lie there now: {said}.")
    return saved


def _link(client: Client, number: int) -> Linked:
    user_id, phone = f"saver_{number + 1}", f"+3363998{2000 + number}"
    attempt = client.pairing.request_code(user_id, phone, force=True)
    client.sandbox.enter_code(phone, attempt.get("code") or "")
    end = time.monotonic() + LIMIT_S
    while (status := client.pairing.get(attempt["attempt_id"])["status"]) != "linked":
        if status in ENDED or time.monotonic() > end:
            raise TimeoutError(f"{phone} was not linked: {status}.")
        time.sleep(0.1)
    return Linked(user_id=user_id, phone=phone, session_id=attempt["session_id"])


def _agree(client: Client, one: Linked) -> None:
    client.sessions.set_capture(one.session_id, deleted=True, view_once=False, retention_days=30)


def _write(client: Client, one: Linked) -> MessageAnswer:
    return client.sandbox.write(FRIEND, to=one.phone, text=f"Look, {one.user_id}!", media=PICTURE)


def _until_saved(client: Client, linked: list[Linked]) -> list[KeptMessage]:
    """The deleted messages of these phones once all are there with their media, in the same order."""
    end = time.monotonic() + LIMIT_S
    while True:
        deleted = client.inbox.deleted(sender=FRIEND, page_size=1000)
        kept = {one["session_id"]: one for one in deleted if one["media"] and one["media"]["state"] == "kept"}
        saved = [kept[one.session_id] for one in linked if one.session_id in kept]
        if len(saved) == len(linked):
            return saved
        if time.monotonic() > end:
            raise TimeoutError(f"Only {len(saved)} of {len(linked)} messages were kept.")
        time.sleep(0.1)


def _with_medium(client: Client, message: KeptMessage) -> Saved:
    media_id = message["media"] and message["media"]["media_id"]
    return Saved(message=message, medium=client.media.get(media_id or ""))


def _line(saved: Saved) -> str:
    message, medium = saved.message, saved.medium
    where = f"{medium['store']}:{medium['key']}"
    return f"{message['user_id']}: “{message['text']}” from {message['from']}, {medium['size_bytes']} bytes in {where}"


def main() -> None:
    """Play it on the gateway of ``PASSERELLE_URL``, else on the one that ``passerelle serve`` starts here."""
    url = os.environ.get("PASSERELLE_URL", "http://127.0.0.1:8000")
    with Client(url) as client:
        try:
            run(client, USERS, print)
        except (ApiProblem, TimeoutError) as broke:
            raise SystemExit(f"❌ {broke}") from broke


if __name__ == "__main__":
    main()
