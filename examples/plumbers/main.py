"""A customer asks for a plumber and confirms; the plumber is told on WhatsApp, at the second try."""

import os
import sys
import time
from collections.abc import Callable

from passerelle.client import ApiProblem, Client

OFFICE, PLUMBER, CUSTOMER = "+33639980021", "+33639980022", "+33639980023"
LIMIT_S = 60.0  # the second try comes after PASSERELLE_RETRY_DELAY, 30 s unless set


def let_a_send_fail(client: Client) -> None:
    """Sandbox: the next message is refused, once. A gateway with the real WhatsApp has no such route: it stops here."""
    client.sandbox.add_fault(kind="send_error", times=1)


def run(client: Client, say: Callable[[str], None]) -> None:
    """Play it, and `say` each step.

    Raises:
        ApiProblem: the gateway said no.
        TimeoutError: a step did not happen in time.
    """
    if not any(session["state"] == "connected" for session in client.sessions.list()):
        link_the_office(client)
    say("The office has a linked phone: it tells the contractors.")
    client.contractors.add(name="Nadia", phone=PLUMBER, trades=["plumbing"], areas=["Annecy"], capacity=1)
    lead = client.leads.ask(name="Paul", phone=CUSTOMER, trade="plumbing", area="Annecy", description="A tap drips.")
    say(f"Paul asks for a plumber in Annecy: lead {lead['id']} is {lead['status']}.")
    client.leads.confirm(lead["confirm_url"] or "")
    say(f"Paul confirms: the lead is {client.leads.get(lead['id'])['status']}, whatever WhatsApp does.")
    until_told(client, lead["id"], say)
    text = client.sandbox.arrived(PLUMBER, wait_s=LIMIT_S / 2)["items"][-1]["text"]
    say(f"On Nadia's phone:\n{text}")


def link_the_office(client: Client) -> None:
    """Link a virtual phone, as somebody who types the code."""
    client.sandbox.set_phone(number=OFFICE, name="Office")
    attempt = client.pairing.request_code("office", OFFICE, force=True)
    client.sandbox.enter_code(OFFICE, attempt.get("code") or "")
    until(lambda: client.pairing.get(attempt["attempt_id"])["status"] == "linked", "the phone is linked")


def until_told(client: Client, lead_id: str, say: Callable[[str], None]) -> None:
    """Say what becomes of the notification, until the contractor is told."""
    heard: tuple[str, int] = ("pending", 0)

    def is_told() -> bool:
        nonlocal heard
        lead = client.leads.get(lead_id)
        now = lead["notification_status"], lead["notification_attempts"]
        if now != heard:
            say(f"Telling Nadia: {now[0]} after attempt {now[1]}.")
            heard = now
        return heard[0] == "whatsapp_sent"

    until(is_told, "Nadia is told")


def until(happened: Callable[[], bool], what: str) -> None:
    """Return once it has `happened`."""
    end = time.monotonic() + LIMIT_S
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"{LIMIT_S:g} s have passed, and not yet: {what}.")
        time.sleep(0.1)


def main() -> int | str:
    """Play it on the gateway at PASSERELLE_URL; 0, or what went wrong."""
    url, key = os.environ.get("PASSERELLE_URL", "http://127.0.0.1:8000"), os.environ.get("PASSERELLE_ADMIN_KEY")
    try:
        with Client(url, key=key) as client:
            let_a_send_fail(client)
            run(client, print)
    except (ApiProblem, TimeoutError) as problem:
        return f"❌ {problem}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
