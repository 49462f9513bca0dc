"""Reads what Meta tells by webhook: is it Meta, and what has happened?"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from passerelle.errors import Denied, Invalid, Text
from passerelle.redaction import Redactor
from passerelle.whatsapp.adapters.cloud_about import about
from passerelle.whatsapp.adapters.cloud_accounts import account_changes
from passerelle.whatsapp.adapters.cloud_incoming import UNREADABLE, by_identifier, read_message
from passerelle.whatsapp.adapters.cloud_receipts import read_status
from passerelle.whatsapp.model import SessionEvent

SIGNED_BY = "sha256="
log = structlog.get_logger()


class NotMeta(Denied):
    """Not signed with the app's secret, or not with the token that was agreed on."""

    code = "webhook_denied"
    text = Text("This call does not come from Meta.", "Cet appel ne vient pas de Meta.")
    hint = Text(
        "Compare the app secret and the verify token here and in Meta's app dashboard.",
        "Comparez le secret de l'application et le jeton de vérification ici et dans le tableau de bord de Meta.",
    )


class Unreadable(Invalid):
    """Signed, and yet no webhook."""

    code = "webhook_unreadable"
    text = Text("This is not a webhook of WhatsApp.", "Ceci n'est pas un webhook de WhatsApp.")
    hint = Text("Subscribe the app to whatsapp_business_account.", "Abonnez l'application à whatsapp_business_account.")


class CloudWebhook:
    """What Meta calls with, believed and read; keeping it is the route's business."""

    def __init__(
        self,
        *,
        app_secret: str,
        verify_token: str,
        redactor: Redactor,
        session_of: Callable[[str], str | None],
        sessions_of_account: Callable[[str], Sequence[str]],
        heard: Callable[[str], None],
    ) -> None:
        """`session_of` knows our session by Meta's id of the number, `sessions_of_account` those of a business account.

        Without `app_secret` or `verify_token` nobody is believed.
        """
        for secret in (app_secret, verify_token):
            if secret:
                redactor.add(secret)
        self._app_secret = app_secret.encode()
        self._verify_token = verify_token.encode()
        self._session_of = session_of
        self._sessions_of_account = sessions_of_account
        self._heard = heard
        self._strangers: set[str] = set()

    def answer(self, *, mode: str, token: str, challenge: str) -> str:
        """What Meta wants to read when it asks whether this address is ours.

        Raises:
            NotMeta: the token is not the agreed one, or none was agreed on.
        """
        same = hmac.compare_digest(token.encode("utf-8", "replace"), self._verify_token)
        if mode != "subscribe" or not self._verify_token or not same:
            raise NotMeta
        return challenge

    def read(self, body: bytes, *, signature: str) -> list[SessionEvent]:
        """What has happened, in Meta's order, which may be any; it may come twice. What nobody can read is left out.

        Raises:
            NotMeta: the signature (of the header ``X-Hub-Signature-256``) is not that of `body`.
            Unreadable: it is no webhook at all.
        """
        expected = SIGNED_BY + hmac.new(self._app_secret, body, hashlib.sha256).hexdigest()
        if not self._app_secret or not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            raise NotMeta
        return [event for entry, change in _changes(_parsed(body)) for event in self._events(entry, change)]

    def _events(self, entry: dict[str, Any], change: Any) -> Iterator[SessionEvent]:
        try:
            field, value = str(change["field"]), change["value"]
            device = str(value["metadata"]["phone_number_id"]) if field == "messages" else None
            account, at = str(entry.get("id")), datetime.fromtimestamp(int(entry.get("time") or time.time()), UTC)
        except UNREADABLE:
            _leave_out(change)
            return
        # What is not Meta's doing (who owns a number) stands outside: its faults make Meta call again.
        if device is not None:
            yield from self._messages(device, value)
        else:
            sessions = self._sessions_of_account(account)
            yield from _read(lambda one: list(account_changes(field, one, at=at, sessions=sessions)), value)

    def _messages(self, device: str, value: dict[str, Any]) -> Iterator[SessionEvent]:
        session_id = self._session_of(device)
        if session_id is None:
            self._tell_stranger(device)
            return
        self._heard(device)
        contacts = by_identifier(value.get("contacts"))
        for status in _list(value, "statuses"):
            yield from _read(lambda one: read_status(one, session_id=session_id), status)
        for message in _list(value, "messages"):
            yield from _read(lambda one: [read_message(one, contacts, session_id=session_id)], message)
        for error in _list(value, "errors"):
            log.warning("⚠️ Meta tells of an error of this number", number=device, **about(error))

    def _tell_stranger(self, device: str) -> None:
        if device not in self._strangers and len(self._strangers) < 1000:  # noqa: PLR2004 -- more would be a leak
            self._strangers.add(device)
            log.warning("⚠️ Meta tells of a number that is not ours; it is not told again", number=device)


def _read(reader: Callable[[Any], Sequence[SessionEvent]], part: Any) -> Sequence[SessionEvent]:
    try:
        return reader(part)
    except UNREADABLE:
        _leave_out(part)
        return ()


def _leave_out(part: Any) -> None:
    log.error("❌ A part of a webhook of Meta cannot be read and is left out", **about(part))


def _parsed(body: bytes) -> Any:
    try:
        return _clean(json.loads(body, parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        raise Unreadable from None


def _changes(value: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    if not isinstance(value, dict) or value.get("object") != "whatsapp_business_account":
        raise Unreadable
    for entry in _list(value, "entry"):
        if not isinstance(entry, dict):
            _leave_out(entry)
            continue
        for change in _list(entry, "changes"):
            yield entry, change


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _clean(value: Any) -> Any:
    """Without what no text in SQL may hold: one such letter would make Meta repeat the whole call for days."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_clean(part) for part in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(part) for name, part in value.items()}
    return value
