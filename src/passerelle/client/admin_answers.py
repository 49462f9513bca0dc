"""What the gateway answers to its admin, and to whoever asks how it is; see `answers`."""

from typing import Literal, NotRequired, TypedDict

from passerelle.client.answers import Source

ActOutcome = Literal["begun", "done", "refused", "failed"]
HealthStatus = Literal["healthy", "degraded", "unhealthy"]
CheckStatus = Literal["passed", "failed", "warning", "skipped"]


class Key(TypedDict):
    """What lets a client in, without its secret."""

    id: str
    prefix: str
    label: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked: bool


class ClientShown(TypedDict):
    """Who may use the gateway."""

    id: str
    name: str
    created_at: str
    keys: list[Key]


class NewKey(TypedDict):
    """A key of the client `id`, shown this once."""

    id: str
    key_id: str
    api_key: str


class NewClient(NewKey):
    """A client and its first key, shown this once."""

    name: str


class Replaced(TypedDict):
    """The old key, and until when it is good."""

    key_id: str
    expires_at: str | None


class RotatedKey(NewKey):
    """A key in place of another one."""

    replaces: Replaced


class Act(TypedDict):
    """What somebody did, as the audit log tells it."""

    id: str
    at: str
    client_id: str
    who: str
    address: str
    what: str
    target: str
    outcome: ActOutcome
    request_id: str | None


class Standing(TypedDict):
    """One sort of data: how many there are, and whether all of it is in Redis."""

    key: str
    in_redis: bool
    count: int


class RecordsCheck(TypedDict):
    """Where records are."""

    all_in_redis: bool
    source: Source
    keys: list[Standing]


class Counted(TypedDict):
    """How many records of one sort."""

    key: str
    count: int


class RecordsTended(TypedDict):
    """How many records of each sort an operator's wish was about."""

    source: Source
    keys: list[Counted]


class RecordsBrought(TypedDict):
    """How many were saved, how many were there already, and the ids of those that are there with other data."""

    saved: int
    same: int
    different: list[str]


class Tally(TypedDict):
    """How many are sealed with the key of today, with an earlier one, and with none that is known."""

    current: int
    earlier: int
    lost: int


class Sealed(TypedDict):
    """The name of the key in use, and what is sealed."""

    key: str
    sealed: dict[str, Tally]


class Check(TypedDict):
    """The worst that was found in one group, with its cause and what helps."""

    status: CheckStatus
    message: str
    finding: str | None
    cause: str | None
    fix: str | None


class HealthSummary(TypedDict):
    """How many groups are how."""

    total: int
    passed: int
    failed: int
    warnings: int
    skipped: int


class Health(TypedDict):
    """How the gateway is; `checks` and `summary` for the admin."""

    status: HealthStatus
    checks: NotRequired[dict[str, Check]]
    summary: NotRequired[HealthSummary]


class Alive(TypedDict):
    """``ok``."""

    status: str
