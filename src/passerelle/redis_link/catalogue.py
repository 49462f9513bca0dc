"""Every fault of Redis by its code: whose fault it is, why it comes about, and what to do (reference/redis.md §5)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class FaultKind(StrEnum):
    """What a fault means for the link."""

    AWAY = "away"  # nothing works until it is mended: the link is down
    UNWRITABLE = "unwritable"  # reads go on, writes do not
    BUSY = "busy"  # no connection left for us; Redis itself is well
    REFUSED = "refused"  # this command is wrong or forbidden; Redis is well


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFault:
    """Why Redis did not do it; `message` is the driver's own text, redacted."""

    code: str
    kind: FaultKind
    cause: str
    fix: str
    message: str
    maybe_applied: bool = False  # the command may have been carried out all the same
    heals: bool = True  # trying again soon may help

    @property
    def needs_second_look(self) -> bool:
        """Whether one silence is not enough to believe it."""
        return self.kind is FaultKind.AWAY or self.code == "REDIS_WRITE_PAUSED"


class Known(NamedTuple):
    """What is known about a code."""

    kind: FaultKind
    cause: str
    fix: str
    maybe_applied: bool = False
    heals: bool = True


_AWAY, _UNWRITABLE, _BUSY, _REFUSED = FaultKind

CATALOGUE: dict[str, Known] = {
    # --- the way there
    "REDIS_REFUSED": Known(
        _AWAY,
        "Nothing listens at this host and port: Redis is stopped, not started yet, or the address is wrong.",
        "Start Redis or correct host and port; in Docker use the name of the service, not localhost.",
    ),
    "REDIS_DNS": Known(
        _AWAY,
        "The host name does not resolve: a typing error, or an internal name used from outside its network.",
        "Correct the name; outside the provider's network use the public address, inside it the internal one.",
    ),
    "REDIS_CONNECT_TIMEOUT": Known(
        _AWAY,
        "The connection was not accepted in time: a firewall or allow-list drops it, or rediss:// meets a plain port.",
        "Allow this machine's address, check region and network, and write redis:// if the port has no TLS.",
    ),
    "REDIS_SILENT": Known(
        _AWAY,
        "The port is open but no answer comes: the server is frozen, or something else listens there.",
        "Look at the Redis process and its machine; check that host and port belong to Redis.",
        maybe_applied=True,
    ),
    "REDIS_SLOW": Known(
        _AWAY,
        "Redis did not answer within the time that one request may take.",
        "Look at SLOWLOG and at the load of the server; commands over large keys are the usual reason.",
        maybe_applied=True,
    ),
    "REDIS_CLOSED_EARLY": Known(
        _AWAY,
        "The connection was closed before the answer: the server went away, or a port for TLS was called without it.",
        "Look at the provider's status page or the server's log; if the port wants TLS write rediss://.",
        maybe_applied=True,
    ),
    "REDIS_AMBIGUOUS": Known(
        _AWAY,
        "The connection was lost after a write was sent: whether it was carried out is not known.",
        "Nothing to do by hand: callers resolve it when Redis is back; look why the connection was lost.",
        maybe_applied=True,
    ),
    "REDIS_NOT_REDIS": Known(
        _AWAY,
        "What answers at this address is not Redis (a web or SSH server).",
        "Use the redis:// address and port; for an https:// address set KV_REST_API_URL and KV_REST_API_TOKEN.",
        heals=False,
    ),
    "REDIS_BAD_PONG": Known(
        _AWAY,
        "PING was answered with something else than PONG: not Redis, or a proxy without a server behind it.",
        "Check that host and port belong to Redis.",
    ),
    "REDIS_NOT_OPEN": Known(
        _AWAY,
        "The link to Redis is not open: it was not started yet, or it is closing.",
        "Wait until the server has started.",
    ),
    "REDIS_UNREACHABLE": Known(
        _AWAY,
        "The connection to Redis failed in a way that is not known to us.",
        "The message says more; check the address and the server.",
        maybe_applied=True,
    ),
    # --- TLS
    "REDIS_TLS_TO_PLAIN": Known(
        _AWAY,
        "rediss:// was used on a port that does not speak TLS.",
        "Write redis:// or use the TLS port.",
        heals=False,
    ),
    "REDIS_PLAIN_TO_TLS": Known(
        _AWAY,
        "redis:// was used on a port that speaks TLS.",
        "Write rediss:// instead.",
        heals=False,
    ),
    "REDIS_TLS_CA": Known(
        _AWAY,
        "The server's certificate is signed by an authority that is not trusted here, or its file is missing.",
        "Add ?ssl_ca_certs=/path/ca.pem to the address; never switch the check off in production.",
        heals=False,
    ),
    "REDIS_TLS_NAME": Known(
        _AWAY,
        "The server's certificate is for another name (an IP address or an alias was used).",
        "Use the host name that stands in the certificate.",
        heals=False,
    ),
    "REDIS_TLS_EXPIRED": Known(
        _AWAY,
        "The server's certificate has expired.",
        "Renew the certificate of the server.",
        heals=False,
    ),
    "REDIS_TLS_CLIENT_CERT": Known(
        _AWAY,
        "The server wants a client certificate.",
        "Add ?ssl_certfile=…&ssl_keyfile=… to the address.",
        heals=False,
    ),
    "REDIS_TLS": Known(
        _AWAY,
        "The TLS handshake failed.",
        "Check that the port speaks TLS, and the certificates on both sides.",
        heals=False,
    ),
    # --- who we are
    "REDIS_NOAUTH": Known(
        _AWAY,
        "The server asks for a password and none is set.",
        "Write redis://default:PASSWORD@host:port or set REDIS_PASSWORD.",
        heals=False,
    ),
    "REDIS_WRONGPASS": Known(
        _AWAY,
        "Wrong or changed password, unknown user, or special characters that are not percent-encoded.",
        "Copy the address again; percent-encode # / ? @ % [ in the password; a password alone is written :PASSWORD@.",
        heals=False,
    ),
    "REDIS_OPEN_SERVER": Known(
        _AWAY,
        "A password is set here, but the server has none: it is open to anyone who reaches it.",
        "Set a password on the server (requirepass), or take it out of the address.",
        heals=False,
    ),
    "REDIS_PROTECTED": Known(
        _AWAY,
        "The server has no password and therefore refuses clients from other machines (protected mode).",
        "Set a password on the server (requirepass) and use it in the address.",
        heals=False,
    ),
    "REDIS_NOPERM": Known(
        _REFUSED,
        "The Redis user may not run this command or touch this key.",
        "Give the user the command and the key pattern (ACL SETUSER … +@all ~*), or use another user.",
    ),
    "REDIS_BAD_DB": Known(
        _AWAY,
        "The database number does not exist on this server (a cluster has only 0).",
        "Write /0 at the end of the address.",
        heals=False,
    ),
    # --- the server's own troubles
    "REDIS_OOM": Known(
        _UNWRITABLE,
        "Redis has reached its memory limit (maxmemory) and takes no more writes.",
        "Raise the memory, delete keys or give them a lifetime; keep the policy noeviction.",
    ),
    "REDIS_READONLY": Known(
        _UNWRITABLE,
        "This is a read-only replica: the address names a reader, or a failover took place.",
        "Use the address of the primary; after a failover we reconnect by ourselves.",
    ),
    "REDIS_NOREPLICAS": Known(
        _UNWRITABLE,
        "Redis has fewer replicas than min-replicas-to-write and takes no writes.",
        "Bring the replica back.",
    ),
    "REDIS_MISCONF": Known(
        _UNWRITABLE,
        "Redis cannot write its data to disk (disk full, folder not writable) and takes no writes.",
        "Free the disk or mend the folder's rights; the server's log says which.",
    ),
    "REDIS_WRITE_PAUSED": Known(
        _UNWRITABLE,
        "Redis answers reads but not writes: writes are paused, usually during a failover.",
        "Wait for the failover to end; CLIENT UNPAUSE if somebody paused it by hand.",
        maybe_applied=True,
    ),
    "REDIS_MASTERDOWN": Known(
        _AWAY,
        "The replica has lost its primary and may not serve stale data.",
        "Wait for the failover, or bring the primary back.",
    ),
    "REDIS_LOADING": Known(
        _AWAY,
        "Redis is reading its data into memory after a start.",
        "Wait; INFO persistence shows loading_eta_seconds.",
    ),
    "REDIS_BUSY": Known(
        _AWAY,
        "A script has been running for too long and blocks everything else.",
        "SCRIPT KILL on the server, then look for the script.",
    ),
    "REDIS_QUOTA": Known(
        _AWAY,
        "The provider's quota of requests is used up.",
        "Take a larger plan or wait for the next period.",
        heals=False,
    ),
    "REDIS_CLUSTERDOWN": Known(_AWAY, "The cluster has slots that nobody serves.", "Mend the cluster."),
    "REDIS_NEEDS_CLUSTER": Known(
        _AWAY,
        "The address names one node of a cluster; Passerelle speaks to a single Redis.",
        "Use the provider's proxy address, or a Redis without cluster mode.",
        heals=False,
    ),
    "REDIS_IS_SENTINEL": Known(
        _AWAY,
        "The address names a Sentinel, which holds no data.",
        "Use the address and port of the Redis primary (usually 6379, not 26379).",
        heals=False,
    ),
    # --- no connection left
    "REDIS_MAXCLIENTS": Known(
        _BUSY,
        "The server's limit of connections is reached: too many workers, a leak, or a small plan.",
        "Run fewer processes, close other clients, or raise maxclients.",
    ),
    "REDIS_POOL_BUSY": Known(
        _BUSY,
        "All our connections to Redis were in use for too long.",
        "Look for slow commands (SLOWLOG); otherwise the load is more than this process can ask of Redis.",
    ),
    # --- the command
    "REDIS_WRONGTYPE": Known(
        _REFUSED,
        "The key holds a value of another type: another program uses the same key.",
        "Give Passerelle a Redis database of its own.",
    ),
    "REDIS_CROSSSLOT": Known(
        _REFUSED,
        "A command touches keys of several cluster slots.",
        "Use a Redis without cluster mode.",
    ),
    "REDIS_UNKNOWN_CMD": Known(
        _REFUSED,
        "The server does not know this command: it is too old, lacks a module, or is a Sentinel.",
        "Use Redis 6.2 or newer, at its data port.",
    ),
    "REDIS_ERROR": Known(
        _REFUSED,
        "Redis refused the command.",
        "The message says why.",
    ),
}


def known_fault(code: str, message: str) -> RedisFault:
    """The fault with this `code`; `message` must be free of secrets."""
    known = CATALOGUE[code]
    return RedisFault(
        code=code,
        kind=known.kind,
        cause=known.cause,
        fix=known.fix,
        message=message,
        maybe_applied=known.maybe_applied,
        heals=known.heals,
    )
