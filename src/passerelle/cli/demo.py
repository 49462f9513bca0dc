"""``passerelle demo``: a short story on a simulated WhatsApp, nothing installed and nothing set."""

import contextlib
import threading
import time
from collections.abc import Callable

from rich.console import Console

from passerelle.cli.prepare import on_known_port
from passerelle.cli.reach import running
from passerelle.client import ApiProblem, Client
from passerelle.redaction import Redactor
from passerelle.server import CONTROL_SOCKET
from passerelle.settings import Settings

USER, PHONE, FRIEND = "anna", "+33639980001", "+33639980002"
PLUMBER, CUSTOMER = "+33639980003", "+33639980004"
GREETING = "Bonjour de Passerelle !"
LINK_LIMIT_S = 15.0
FAILED = 1


class StoryBrokeError(Exception):
    """A step of the story did not happen."""


def play(settings: Settings, redactor: Redactor, *, once: bool) -> int:
    """Play the story on a gateway started for it, then serve until Ctrl-C unless `once`; the exit code."""
    settings = on_known_port(settings)
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n[bold]Passerelle demo[/] · SANDBOX: a simulated WhatsApp; nothing leaves this machine\n")
    with running(settings, redactor, on_port=True):
        try:
            with Client(socket=settings.data_dir / CONTROL_SOCKET) as client:
                _tell(client, console)
        except (StoryBrokeError, ApiProblem) as broke:
            console.print(f"❌ {broke}")
            return FAILED
        address = f"http://{settings.host}:{settings.port}"
        console.print(f"\n✅ The story is told. Play it yourself: [bold]{address}/dashboard/story[/]")
        console.print(f"   All pages: {address}/dashboard · the interface for programs: {address}/docs")
        if not once:
            console.print("It goes on serving until Ctrl-C.")
            _wait_for_interrupt()
    return 0


def _tell(client: Client, console: Console) -> None:
    say: Callable[[str], None] = console.print
    client.sandbox.set_phone(number=PHONE, name="Anna")
    say(f"1. Anna's phone {PHONE} exists, in the sandbox.")
    attempt = client.pairing.request_code(USER, PHONE, force=True)
    code = attempt.get("code") or ""
    say(f"2. She asks to link it and gets a code:  [bold green]{code}[/]")
    client.sandbox.enter_code(PHONE, code)
    say("3. She types it on her phone …")
    _wait_until_linked(client, attempt["attempt_id"])
    session = client.sessions.get(attempt["session_id"])
    say(f"4. … and the phone is linked: session {session['id']} is [bold]{session['state']}[/].")
    sent = client.messages.send(user_id=USER, to=FRIEND, type="text", text=GREETING)
    say(f"5. She writes to {FRIEND}: the message is [bold]{sent['status']}[/], written down before it is tried.")
    if not client.sandbox.arrived(FRIEND, wait_s=LINK_LIMIT_S)["items"]:
        raise StoryBrokeError("The message did not arrive.")
    _wait_until(client, sent["id"], "delivered")
    say(f"6. It arrives there: “{GREETING}” is [bold]delivered[/].")
    client.sandbox.read(FRIEND)
    _wait_until(client, sent["id"], "read")
    say("7. Somebody looks at it: the message is [bold green]read[/].")
    _tell_lead(client, say)


def _tell_lead(client: Client, say: Callable[[str], None]) -> None:
    client.contractors.add(name="Bruno", phone=PLUMBER, trades=["plumbing"], areas=["Lyon"], capacity=5)
    lead = client.leads.ask(name="Chloé", phone=CUSTOMER, trade="plumbing", area="Lyon")
    say("8. Chloé needs a plumber in Lyon: a lead is written down, and she gets a link.")
    client.leads.confirm(lead["confirm_url"] or "")
    if not client.sandbox.arrived(PLUMBER, wait_s=LINK_LIMIT_S)["items"]:
        raise StoryBrokeError("The plumber was not told.")
    _wait_for_notice(client, lead["id"])
    say("9. She confirms: Bruno the plumber has it, and reads so on WhatsApp: [bold green]whatsapp_sent[/].")


def _wait_for_notice(client: Client, lead_id: str) -> None:
    end = time.monotonic() + LINK_LIMIT_S
    while (status := client.leads.get(lead_id)["notification_status"]) != "whatsapp_sent":
        if time.monotonic() > end:
            raise StoryBrokeError(f"The lead's notification is {status}.")
        time.sleep(0.05)


def _wait_until(client: Client, message_id: str, status: str) -> None:
    end = time.monotonic() + LINK_LIMIT_S
    while (seen := client.messages.get(message_id)["status"]) != status:
        if time.monotonic() > end:
            raise StoryBrokeError(f"The message is {seen}, not {status}.")
        time.sleep(0.05)


def _wait_until_linked(client: Client, attempt_id: str) -> None:
    end = time.monotonic() + LINK_LIMIT_S
    while (status := client.pairing.get(attempt_id)["status"]) != "linked":
        if status in {"failed", "expired", "cancelled"} or time.monotonic() > end:
            raise StoryBrokeError(f"The phone was not linked: {status}.")
        time.sleep(0.1)


def _wait_for_interrupt() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
