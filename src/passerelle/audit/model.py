"""An act, and what the log tells of it."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What was done."""

    CLIENT_MADE = "client.made"
    CLIENT_REMOVED = "client.removed"
    KEY_MADE = "key.made"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    WEBHOOK_MADE = "webhook.made"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105 -- the name of an act
    WEBHOOK_REMOVED = "webhook.removed"
    SESSIONS_EXPORTED = "sessions.exported"
    SESSION_IMPORTED = "session.imported"
    SESSION_UNLINKED = "session.unlinked"
    PROXY_SET = "proxy.set"
    RECORDS_RESTORED = "records.restored"
    RECORDS_ACCEPTED = "records.accepted"
    RECORDS_IMPORTED = "records.imported"
    MEDIA_MIGRATED = "media.migrated"  # a promotion too: files move to another store
    MEDIA_MIGRATION_STOPPED = "media.migration_stopped"
    SECRETS_SEALED_ANEW = "secrets.sealed_anew"
    PERSON_ERASED = "person.erased"
    LOGGED_IN = "dashboard.logged_in"
    LOGGED_OUT = "dashboard.logged_out"


class Outcome(StrEnum):
    """How it ended."""

    BEGUN = "begun"  # it goes on, or the gateway died over it: look whether it was done
    DONE = "done"
    REFUSED = "refused"  # nothing was changed
    FAILED = "failed"  # something was away or broke: look whether it was done


@dataclass(slots=True, kw_only=True)
class Act:
    """A request that does something worth remembering. `id` and `who` are known once it may be done."""

    action: Action
    target: str = ""
    """Ids of what it is about; never a secret, nor a number."""
    address: str = ""
    request_id: str | None = None
    id: str = ""
    client_id: str = ""
    who: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act, as the log tells of it. `who`: admin, anybody, dashboard, command line, or how a client's key begins."""

    id: str
    at: datetime
    client_id: str
    who: str
    address: str
    action: str
    target: str
    outcome: Outcome
    request_id: str | None


class Wanted(NamedTuple):
    """Which acts are wanted; nothing: all."""

    action: str | None = None
    who: str | None = None
    since: datetime | None = None
    until: datetime | None = None


UNDER_WAY: ContextVar[Act | None] = ContextVar("act", default=None)
"""The act of the request that is being served."""


def is_about(target: str) -> None:
    """The act under way made, or changed, this; harmless where there is none."""
    act = UNDER_WAY.get()
    if act is not None:
        act.target = target
