"""The client over httpx: plain HTTP, or the control socket of a gateway on this machine."""

import json
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import httpx

ANSWER_LIMIT_S = 40.0  # a code may take 25 s
STORES, SLOWEST_STORE = 4, 256 * 1024  # bytes a second: what a store may take for a file before the next one is tried
Json = dict[str, Any]
UNREACHABLE: Json = {
    "code": "gateway_unreachable",
    "detail": "The gateway does not answer.",
    "hint": "Look at PASSERELLE_URL, or start one: passerelle serve",
}


class ApiProblem(Exception):
    """The gateway said no: `code`, `detail` and `hint` as it sent them; status 0 when it did not answer at all."""

    def __init__(self, status: int, members: Json) -> None:
        self.status = status
        self.members = dict(members)
        self.code = str(members.get("code", "error"))
        self.hint = str(members.get("hint", ""))
        super().__init__(str(members.get("detail", f"HTTP {status}")))


class Client:
    """Talks to one gateway. A context manager."""

    def __init__(
        self, base_url: str = "http://passerelle", *, socket: Path | None = None, key: str | None = None
    ) -> None:
        """Reach `base_url`, through the control socket `socket` when given."""
        transport = None if socket is None else httpx.HTTPTransport(uds=str(socket))
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=base_url, transport=transport, headers=headers, timeout=ANSWER_LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def request_code(self, user_id: str, phone_number: str, *, force: bool = False) -> Json:
        """Ask for a pairing code; waits for it up to 25 s.

        Raises:
            ApiProblem: why there is none.
        """
        wish = {"user_id": user_id, "phone_number": phone_number, "force": force}
        return self._ask("POST", "/api/whatsapp/pairing-code", json=wish)

    def attempt(self, attempt_id: str) -> Json:
        """The attempt as it stands."""
        return self._ask("GET", f"/api/whatsapp/pairing-code/{attempt_id}")

    def cancel(self, attempt_id: str) -> Json:
        """Give the attempt up."""
        return self._ask("DELETE", f"/api/whatsapp/pairing-code/{attempt_id}")

    def sessions(self) -> Json:
        """Every linked phone, and where that is known from."""
        return self._ask("GET", "/api/whatsapp/sessions")

    def send(self, wish: Json, *, key: str | None = None) -> Json:
        """Write a message down; with the `key` of an earlier request that one's message comes back.

        Raises:
            ApiProblem: it was not taken.
        """
        return self._ask("POST", "/api/messages", json=wish, headers=_keyed(key))

    def send_all(self, wishes: list[Json], *, key: str | None = None) -> list[Json]:
        """Write up to 1,000 messages down: all of them, or none. Raises as `send`."""
        items: list[Json] = self._ask("POST", "/api/messages/batch", json={"messages": wishes}, headers=_keyed(key))[
            "items"
        ]
        return items

    def message(self, message_id: str) -> Json:
        """The message as it stands."""
        return self._ask("GET", f"/api/messages/{message_id}")

    def add_contractor(self, wish: Json) -> Json:
        """Somebody who gets leads: name, phone, trades, areas, capacity."""
        return self._ask("POST", "/api/contractors", json=wish)

    def ask_lead(self, wish: Json) -> Json:
        """A customer asks: name, phone, trade, area, description; with it the link that confirms."""
        return self._ask("POST", "/api/leads", json=wish)

    def lead(self, lead_id: str) -> Json:
        """The lead as it stands."""
        return self._ask("GET", f"/api/leads/{quote(lead_id)}")

    def confirm(self, confirm_url: str) -> None:
        """Press the button on the customer's page."""
        token = parse_qs(urlsplit(confirm_url).query)["token"][0]
        response = self._http.post("/api/confirm", data={"token": token})
        if response.is_error:
            raise ApiProblem(response.status_code, {"detail": "The page does not confirm."})

    def arrived(self, phone_number: str, *, count: int, wait_s: float) -> list[Json]:
        """Sandbox: what has arrived at the virtual phone, once there are `count`, or after `wait_s`."""
        query = {"count": count, "wait": wait_s}
        items: list[Json] = self._ask("GET", f"/sandbox/phones/{quote(phone_number)}/messages", params=query)["items"]
        return items

    def read_all(self, phone_number: str) -> None:
        """Sandbox: somebody looks at everything on the virtual phone."""
        self._ask("POST", f"/sandbox/phones/{quote(phone_number)}/read")

    def enter_code(self, phone_number: str, code: str) -> Json:
        """Sandbox: type `code` on the virtual phone."""
        return self._ask("POST", f"/sandbox/phones/{quote(phone_number)}/enter-code", json={"code": code})

    def add_phone(self, phone_number: str, *, name: str) -> Json:
        """Sandbox: make a virtual phone."""
        return self._ask("POST", "/sandbox/phones", json={"number": phone_number, "name": name})

    def add_client(self, name: str, *, label: str = "") -> Json:
        """Somebody who may use the gateway; the key in the answer is shown this once."""
        return self._ask("POST", "/api/clients", json={"name": name, "label": label})

    def clients(self) -> list[Json]:
        """Every client with its keys, not their secrets."""
        items: list[Json] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self._ask("GET", f"/api/clients?limit=1000&cursor={quote(cursor, safe='')}")
            items += page["items"]
            cursor = page["next_cursor"]
        return items

    def keys(self, client_id: str) -> list[Json]:
        """The keys of a client, not their secrets."""
        items: list[Json] = self._ask("GET", f"{_client(client_id)}/keys")["items"]
        return items

    def add_key(self, client_id: str, *, label: str = "") -> Json:
        """One more key for a client, shown this once."""
        return self._ask("POST", f"{_client(client_id)}/keys", json={"label": label})

    def rotate_key(self, client_id: str, key_id: str, *, overlap_s: int) -> Json:
        """A new key, shown this once; the old one is good for `overlap_s` more."""
        wish = {"overlap_s": overlap_s}
        return self._ask("POST", f"{_client(client_id)}/keys/{quote(key_id, safe='')}/rotate", json=wish)

    def revoke_key(self, client_id: str, key_id: str) -> None:
        """The key is good no more."""
        self._ask("DELETE", f"{_client(client_id)}/keys/{quote(key_id, safe='')}")

    def remove_client(self, client_id: str) -> None:
        """Its keys are good no more; its data goes soon."""
        self._ask("DELETE", _client(client_id))

    def acts(self, **wanted: str | int) -> list[Json]:
        """Who did what, newest first: `what`, `who`, `since`, `until`, `limit`."""
        items: list[Json] = self._ask("GET", "/api/audit", params=wanted)["items"]
        return items

    def person(self, phone: str) -> Json:
        """How much is kept of a person."""
        return self._ask("GET", f"/api/people/{quote(phone, safe='')}")

    def erase_person(self, phone: str) -> Json:
        """Erase what is kept of a person: what went, and what goes later by itself."""
        return self._ask("DELETE", f"/api/people/{quote(phone, safe='')}")

    def export_sessions(self, passphrase: str) -> Iterator[str]:
        """The sealed lines of every linked phone, the head first. Raises `ApiProblem`."""
        wish = {"passphrase": passphrase}
        with self._http.stream("POST", "/api/whatsapp/sessions/export", json=wish, timeout=None) as response:
            if response.is_error:
                raise ApiProblem(response.status_code, json.loads(response.read()))
            yield from response.iter_lines()

    def import_session(self, passphrase: str, *, head: str, line: str) -> Json:
        """Bring one of them: its session, and what became of it. Raises `ApiProblem`."""
        wish = {"passphrase": passphrase, "head": head, "line": line}
        return self._ask("POST", "/api/whatsapp/sessions/import", json=wish)

    def tend_records(self, verb: str) -> Json:
        """``reload``, ``restore`` or ``accept``: how many records of each sort that was about."""
        return self._ask("POST", f"/api/records/{verb}")

    def sealed(self, *, rotate: bool = False) -> Json:
        """Which key the gateway uses, and how much is sealed with which; `rotate`: with that key alone from now on."""
        return self._ask("POST", "/api/secrets/rotate") if rotate else self._ask("GET", "/api/secrets")

    def import_records(self, client_id: str, collection: str, records: list[Json]) -> Json:
        """Save records that are not there yet: how many were saved, were there, and which are there with other data."""
        wish = {"client_id": client_id, "collection": collection, "records": records}
        return self._ask("POST", "/api/records/import", json=wish)

    def add_media(self, file: FileIO, *, name: str, user_id: str, category: str) -> Json:
        """Keep a file; it is read piece by piece. Waits for as long as four stores may take, one after the other.

        Raises:
            ApiProblem: it was not kept.
        """
        limit_s = ANSWER_LIMIT_S + STORES * os.fstat(file.fileno()).st_size / SLOWEST_STORE
        fields = {"user_id": user_id, "category": category}
        return self._ask("POST", "/api/media", data=fields, files={"file": (name, file)}, timeout=limit_s)

    def start_migration(self, wish: Json) -> Json:
        """Begin to move media from store to store. Raises `ApiProblem`, for instance ``migration_running``."""
        return self._ask("POST", "/api/media/migrations", json=wish)

    def migration(self) -> Json:
        """How far the migration is, or how the last one ended."""
        return self._ask("GET", "/api/media/migrations/current")

    def stop_migration(self) -> Json:
        """Finish the files in hand and take no more."""
        return self._ask("DELETE", "/api/media/migrations/current")

    def health(self) -> Json:
        """How the gateway is; everything about it for the admin."""
        return self._ask("GET", "/api/health")

    def _ask(self, method: str, path: str, **parts: Any) -> Json:
        try:
            response = self._http.request(method, path, **parts)
        except httpx.HTTPError as error:
            raise ApiProblem(0, UNREACHABLE) from error
        try:
            body = response.json() if response.content else {}
        except ValueError:
            body = {"detail": response.text[:200]}
        if response.is_error:
            raise ApiProblem(response.status_code, body)
        return dict(body)


def _client(client_id: str) -> str:
    return f"/api/clients/{quote(client_id, safe='')}"


def _keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}
