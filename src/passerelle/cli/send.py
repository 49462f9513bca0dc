"""``passerelle send``: one message, or a file of them, and what became of each."""

import csv
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from passerelle.cli.bar import bar
from passerelle.cli.reach import gateway
from passerelle.client import ApiProblem, Client
from passerelle.client.answers import Message
from passerelle.client.types import MessageWish
from passerelle.errors import Misconfigured
from passerelle.redaction import Redactor
from passerelle.settings import Settings

LOOK_EVERY_S = 0.05
FOLLOW_LIMIT_S = 30.0
IN_ONE_REQUEST = 500
UNDER_WAY = frozenset({"pending", "sending"})
WENT_WRONG = frozenset({"failed", "unknown", "cancelled"})
SIGNS = {"sent": "✅", "delivered": "✅", "read": "✅", "failed": "❌", "unknown": "⚠️", "cancelled": "⚠️"}
LinedWish = tuple[int, MessageWish]
"""What a line of a file asks for, and which line that is."""


def send_one(
    settings: Settings, redactor: Redactor, user: str, to: str, text: str, *, at: str | None, as_json: bool
) -> int:
    """Send it and follow it until WhatsApp has it (scheduled: until it is written down); the exit code."""
    with gateway(settings, redactor) as client:
        try:
            message = client.messages.send(**_wish(user, to, text, at))
            if at is None:
                message = _followed(client, message, until=time.monotonic() + FOLLOW_LIMIT_S)
        except ApiProblem as problem:
            return _refused(problem)
    print(json.dumps(message) if as_json else _line(message))  # noqa: T201 -- the command line speaks
    return 1 if message["status"] in WENT_WRONG else 0


def send_file(settings: Settings, redactor: Redactor, user: str, path: Path, *, at: str | None, as_json: bool) -> int:
    """Send every line of a CSV file, following them all; the exit code. What was sent before is not repeated."""
    wishes = list(read_file(path, user, at))
    with gateway(settings, redactor) as client:
        try:
            messages = _send_all(client, wishes)
        except ApiProblem as problem:
            return _refused(problem)
        for message in messages if as_json else ():
            print(json.dumps(message))  # noqa: T201 -- the command line speaks
    counts = Counter(message["status"] for message in messages)
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    print(f"{len(messages)} messages: {told}", file=sys.stderr)  # noqa: T201 -- the same
    return 1 if WENT_WRONG & counts.keys() else 0


def _send_all(client: Client, wishes: list[LinedWish]) -> list[Message]:
    messages: list[Message] = []
    with bar("written down", len(wishes)) as advance:
        for start in range(0, len(wishes), IN_ONE_REQUEST):
            part = wishes[start : start + IN_ONE_REQUEST]
            messages += _write_down(client, part)
            advance(len(part))
    _follow(client, [message for message in messages if message["send_at"] is None])
    return messages


def _write_down(client: Client, part: list[LinedWish]) -> list[Message]:
    """In one request; a problem that is about one of them names its line."""
    wishes = [wish for _, wish in part]
    try:
        return client.messages.send_all(wishes, idempotency_key=f"csv:{_digest(wishes)}")["items"]
    except ApiProblem as problem:
        if "index" in problem.members:
            problem.members["line"] = part[int(problem.members["index"])][0]
        raise


def _follow(client: Client, messages: list[Message]) -> None:
    """Bring them to how they stand once they are sent; as long as it goes on it is worth waiting."""
    until = time.monotonic() + FOLLOW_LIMIT_S
    with bar("sent", len(messages)) as advance:
        for message in messages:
            before = message["status"]
            message.update(_followed(client, message, until=until))
            if message["status"] != before:
                until = time.monotonic() + FOLLOW_LIMIT_S
            advance(1)


def _followed(client: Client, message: Message, *, until: float) -> Message:
    """The message once WhatsApp took it or it is given up; as it stands when its phone keeps us waiting."""
    message = client.messages.get(message["id"])
    while message["status"] in UNDER_WAY and time.monotonic() < until and not _waits(message):
        time.sleep(LOOK_EVERY_S)
        message = client.messages.get(message["id"])
    return message


def _waits(message: Message) -> bool:
    """Whether its next try comes so late that nobody would sit and wait for it."""
    return bool(message["last_error"]) and message["attempts"] == 0


def read_file(path: Path, user: str, at: str | None) -> Iterator[LinedWish]:
    """The wishes of a CSV file, each with the line where it ends. Raises `Misconfigured`, which names the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not {"to", "text"} <= set(rows.fieldnames or ()):
                raise Misconfigured(f"{path} needs a first line with the columns to and text.")
            for row in rows:
                if not row["to"] or not row["text"]:
                    raise Misconfigured(f"{path}, line {rows.line_num}: to or text is missing.")
                yield rows.line_num, _wish(user, row["to"], row["text"], row.get("at") or at)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured(f"{path} cannot be read: {error}.") from None


def _wish(user: str, to: str, text: str, at: str | None) -> MessageWish:
    wish: MessageWish = {"user_id": user, "to": to, "type": "text", "text": text}
    return wish if at is None else {**wish, "send_at": _time(at)}


def _time(at: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone().isoformat()
    except ValueError:
        raise Misconfigured(f"{at} is not a time; write it as 2026-12-24T18:00:00+01:00.") from None


def _digest(part: list[MessageWish]) -> str:
    """What these wishes ask for: the same part of a file again is the same request, however the rest was corrected."""
    return hashlib.sha256(json.dumps(part).encode()).hexdigest()[:32]


def _line(message: Message) -> str:
    sign, status = SIGNS.get(message["status"], "🔄"), message["status"]
    why = f" ({message['last_error']})" if message["last_error"] else ""
    when = f", due {message['due_at']}" if status == "pending" else ""
    return f"{sign} {message['id']} to {message['to']}: {status}{why}{when}"


def _refused(problem: ApiProblem) -> int:
    line = f"line {problem.members['line']}: " if "line" in problem.members else ""
    print(f"passerelle: {line}{problem} {problem.hint}", file=sys.stderr)  # noqa: T201 -- the command line speaks
    _say_errors(problem.members.get("errors", []))
    return 1


def _say_errors(errors: list[Any]) -> None:
    for error in errors:
        print(f"  {error['field']}: {error['what']}", file=sys.stderr)  # noqa: T201 -- the same
