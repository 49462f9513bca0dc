"""``passerelle pair``: the code, its countdown, and how it ended."""

import json
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

from rich.align import Align
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.text import Text

from passerelle.cli.reach import gateway
from passerelle.client import ApiProblem, Client
from passerelle.client.answers import Attempt
from passerelle.redaction import Redactor
from passerelle.settings import Settings

LOOK_EVERY_S = 0.4
CODE_LIFE_S = 160.0  # about as long as WhatsApp lets a code live
OPEN = frozenset({"queued", "connecting", "code_issued", "confirming"})
ENDINGS = {
    "linked": "✅ {phone_number} is linked for {user_id}.",
    "failed": "❌ The phone was not linked: {reason}.",
    "expired": "❌ Nobody typed a code in time. Ask again.",
    "cancelled": "⚠️ The attempt was given up.",
}
HOW = "On the phone: WhatsApp · Linked devices · Link a device · Link with phone number instead"


def follow(settings: Settings, redactor: Redactor, user: str, phone: str, *, force: bool, as_json: bool) -> int:
    """Ask for a code and show it until the attempt has ended; the exit code."""
    with gateway(settings, redactor) as client:
        try:
            attempt_id = client.pairing.request_code(user, phone, force=force)["attempt_id"]
            attempt = _until_ended(client, attempt_id, as_json=as_json)
        except ApiProblem as problem:
            hint = "Add --force to begin anew." if problem.code == "pairing_in_progress" else problem.hint
            print(f"passerelle: {problem} {hint}", file=sys.stderr)  # noqa: T201 -- the command line speaks
            return 1
    return 0 if attempt["status"] == "linked" else 1


def _until_ended(client: Client, attempt_id: str, *, as_json: bool) -> Attempt:
    try:
        if as_json or not sys.stdout.isatty():
            return _lines(client, attempt_id, as_json=as_json)
        return _live(client, attempt_id)
    except KeyboardInterrupt:  # whoever leaves does not want the code any more, and may ask again at once
        with suppress(ApiProblem):
            client.pairing.cancel(attempt_id)
        raise


def _lines(client: Client, attempt_id: str, *, as_json: bool) -> Attempt:
    """One line per change, for pipes and programs."""
    shown = None
    while True:
        attempt = client.pairing.get(attempt_id)
        state = (attempt["status"], attempt["code"])
        if state != shown:
            print(json.dumps(attempt) if as_json else _line(attempt), flush=True)  # noqa: T201 -- the command line speaks
            shown = state
        if attempt["status"] not in OPEN:
            return attempt
        time.sleep(LOOK_EVERY_S)


def _live(client: Client, attempt_id: str) -> Attempt:
    """The code in large letters above its countdown."""
    console = Console()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            attempt = client.pairing.get(attempt_id)
            if attempt["status"] not in OPEN:
                break
            live.update(_picture(attempt))
            time.sleep(LOOK_EVERY_S)
    console.print(_line(attempt))
    return attempt


def _picture(attempt: Attempt) -> Panel:
    left = max(0.0, _seconds_left(attempt))
    body = Group(
        Align.center(Text(f"\n{attempt['code'] or '…'}\n", style="bold bright_green")),
        Align.center(Text(f"{attempt['status']} · {int(left)} s left")),
        ProgressBar(total=CODE_LIFE_S, completed=left),
        Align.center(Text(HOW, style="dim")),
    )
    return Panel(body, title=f"Link {attempt['phone_number']} for {attempt['user_id']}", width=92)


def _line(attempt: Attempt) -> str:
    ending = ENDINGS.get(attempt["status"])
    if ending is not None:
        return ending.format(**attempt)
    if attempt["code"] is None:
        return f"🔄 {attempt['status']}…"
    return f"Code {attempt['code']} · {int(_seconds_left(attempt))} s left · {HOW}"


def _seconds_left(attempt: Attempt) -> float:
    return (datetime.fromisoformat(attempt["expires_at"]) - datetime.now(UTC)).total_seconds()
