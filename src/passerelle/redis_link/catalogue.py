"""Every fault of Redis by its code: whose fault it is, why it comes about, and what to do (reference/redis.md §5)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from passerelle.errors import Text


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
    cause: Text
    fix: Text
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
    cause: Text
    fix: Text
    maybe_applied: bool = False
    heals: bool = True


_AWAY, _UNWRITABLE, _BUSY, _REFUSED = FaultKind

CATALOGUE: dict[str, Known] = {
    # --- the way there
    "REDIS_REFUSED": Known(
        _AWAY,
        Text("Nothing listens at this host and port: Redis is stopped, not started yet, or the address is wrong.", ""),
        Text("Start Redis or correct host and port; in Docker use the name of the service, not localhost.", ""),
    ),
    "REDIS_DNS": Known(
        _AWAY,
        Text("The host name does not resolve: a typing error, or an internal name used from outside its network.", ""),
        Text(
            "Correct the name; outside the provider's network use the public address, inside it the internal one.", ""
        ),
    ),
    "REDIS_CONNECT_TIMEOUT": Known(
        _AWAY,
        Text(
            "The connection was not accepted in time: a firewall or allow-list drops it, or rediss:// meets a plain port.",
            "",
        ),
        Text("Allow this machine's address, check region and network, and write redis:// if the port has no TLS.", ""),
    ),
    "REDIS_SILENT": Known(
        _AWAY,
        Text("The port is open but no answer comes: the server is frozen, or something else listens there.", ""),
        Text("Look at the Redis process and its machine; check that host and port belong to Redis.", ""),
        maybe_applied=True,
    ),
    "REDIS_SLOW": Known(
        _AWAY,
        Text("Redis did not answer within the time that one request may take.", ""),
        Text("Look at SLOWLOG and at the load of the server; commands over large keys are the usual reason.", ""),
        maybe_applied=True,
    ),
    "REDIS_CLOSED_EARLY": Known(
        _AWAY,
        Text(
            "The connection was closed before the answer: the server went away, or a port for TLS was called without it.",
            "",
        ),
        Text("Look at the provider's status page or the server's log; if the port wants TLS write rediss://.", ""),
        maybe_applied=True,
    ),
    "REDIS_AMBIGUOUS": Known(
        _AWAY,
        Text("The connection was lost after a write was sent: whether it was carried out is not known.", ""),
        Text("Nothing to do by hand: callers resolve it when Redis is back; look why the connection was lost.", ""),
        maybe_applied=True,
    ),
    "REDIS_NOT_REDIS": Known(
        _AWAY,
        Text("What answers at this address is not Redis (a web or SSH server).", ""),
        Text(
            "Use the redis:// address and port; for an https:// address set KV_REST_API_URL and KV_REST_API_TOKEN.", ""
        ),
        heals=False,
    ),
    "REDIS_BAD_PONG": Known(
        _AWAY,
        Text("PING was answered with something else than PONG: not Redis, or a proxy without a server behind it.", ""),
        Text("Check that host and port belong to Redis.", ""),
    ),
    "REDIS_NOT_OPEN": Known(
        _AWAY,
        Text("The link to Redis is not open: it was not started yet, or it is closing.", ""),
        Text("Wait until the server has started.", ""),
    ),
    "REDIS_UNREACHABLE": Known(
        _AWAY,
        Text("The connection to Redis failed in a way that is not known to us.", ""),
        Text("The message says more; check the address and the server.", ""),
        maybe_applied=True,
    ),
    # --- TLS
    "REDIS_TLS_TO_PLAIN": Known(
        _AWAY,
        Text("rediss:// was used on a port that does not speak TLS.", ""),
        Text("Write redis:// or use the TLS port.", ""),
        heals=False,
    ),
    "REDIS_PLAIN_TO_TLS": Known(
        _AWAY,
        Text("redis:// was used on a port that speaks TLS.", ""),
        Text("Write rediss:// instead.", ""),
        heals=False,
    ),
    "REDIS_TLS_CA": Known(
        _AWAY,
        Text(
            "The server's certificate is signed by an authority that is not trusted here, or its file is missing.", ""
        ),
        Text("Add ?ssl_ca_certs=/path/ca.pem to the address; never switch the check off in production.", ""),
        heals=False,
    ),
    "REDIS_TLS_NAME": Known(
        _AWAY,
        Text("The server's certificate is for another name (an IP address or an alias was used).", ""),
        Text("Use the host name that stands in the certificate.", ""),
        heals=False,
    ),
    "REDIS_TLS_EXPIRED": Known(
        _AWAY,
        Text("The server's certificate has expired.", ""),
        Text("Renew the certificate of the server.", ""),
        heals=False,
    ),
    "REDIS_TLS_CLIENT_CERT": Known(
        _AWAY,
        Text("The server wants a client certificate.", ""),
        Text("Add ?ssl_certfile=…&ssl_keyfile=… to the address.", ""),
        heals=False,
    ),
    "REDIS_TLS": Known(
        _AWAY,
        Text("The TLS handshake failed.", ""),
        Text("Check that the port speaks TLS, and the certificates on both sides.", ""),
        heals=False,
    ),
    # --- who we are
    "REDIS_NOAUTH": Known(
        _AWAY,
        Text("The server asks for a password and none is set.", ""),
        Text("Write redis://default:PASSWORD@host:port or set REDIS_PASSWORD.", ""),
        heals=False,
    ),
    "REDIS_WRONGPASS": Known(
        _AWAY,
        Text("Wrong or changed password, unknown user, or special characters that are not percent-encoded.", ""),
        Text(
            "Copy the address again; percent-encode # / ? @ % [ in the password; a password alone is written :PASSWORD@.",
            "",
        ),
        heals=False,
    ),
    "REDIS_OPEN_SERVER": Known(
        _AWAY,
        Text("A password is set here, but the server has none: it is open to anyone who reaches it.", ""),
        Text("Set a password on the server (requirepass), or take it out of the address.", ""),
        heals=False,
    ),
    "REDIS_PROTECTED": Known(
        _AWAY,
        Text("The server has no password and therefore refuses clients from other machines (protected mode).", ""),
        Text("Set a password on the server (requirepass) and use it in the address.", ""),
        heals=False,
    ),
    "REDIS_NOPERM": Known(
        _REFUSED,
        Text("The Redis user may not run this command or touch this key.", ""),
        Text("Give the user the command and the key pattern (ACL SETUSER … +@all ~*), or use another user.", ""),
    ),
    "REDIS_BAD_DB": Known(
        _AWAY,
        Text("The database number does not exist on this server (a cluster has only 0).", ""),
        Text("Write /0 at the end of the address.", ""),
        heals=False,
    ),
    # --- the server's own troubles
    "REDIS_OOM": Known(
        _UNWRITABLE,
        Text("Redis has reached its memory limit (maxmemory) and takes no more writes.", ""),
        Text("Raise the memory, delete keys or give them a lifetime; keep the policy noeviction.", ""),
    ),
    "REDIS_READONLY": Known(
        _UNWRITABLE,
        Text("This is a read-only replica: the address names a reader, or a failover took place.", ""),
        Text("Use the address of the primary; after a failover we reconnect by ourselves.", ""),
    ),
    "REDIS_NOREPLICAS": Known(
        _UNWRITABLE,
        Text("Redis has fewer replicas than min-replicas-to-write and takes no writes.", ""),
        Text("Bring the replica back.", ""),
    ),
    "REDIS_MISCONF": Known(
        _UNWRITABLE,
        Text("Redis cannot write its data to disk (disk full, folder not writable) and takes no writes.", ""),
        Text("Free the disk or mend the folder's rights; the server's log says which.", ""),
    ),
    "REDIS_WRITE_PAUSED": Known(
        _UNWRITABLE,
        Text("Redis answers reads but not writes: writes are paused, usually during a failover.", ""),
        Text("Wait for the failover to end; CLIENT UNPAUSE if somebody paused it by hand.", ""),
        maybe_applied=True,
    ),
    "REDIS_MASTERDOWN": Known(
        _AWAY,
        Text("The replica has lost its primary and may not serve stale data.", ""),
        Text("Wait for the failover, or bring the primary back.", ""),
    ),
    "REDIS_LOADING": Known(
        _AWAY,
        Text("Redis is reading its data into memory after a start.", ""),
        Text("Wait; INFO persistence shows loading_eta_seconds.", ""),
    ),
    "REDIS_BUSY": Known(
        _AWAY,
        Text("A script has been running for too long and blocks everything else.", ""),
        Text("SCRIPT KILL on the server, then look for the script.", ""),
    ),
    "REDIS_QUOTA": Known(
        _AWAY,
        Text("The provider's quota of requests is used up.", ""),
        Text("Take a larger plan or wait for the next period.", ""),
        heals=False,
    ),
    "REDIS_CLUSTERDOWN": Known(
        _AWAY,
        Text("The cluster has slots that nobody serves.", ""),
        Text("Mend the cluster.", ""),
    ),
    "REDIS_NEEDS_CLUSTER": Known(
        _AWAY,
        Text("The address names one node of a cluster; Passerelle speaks to a single Redis.", ""),
        Text("Use the provider's proxy address, or a Redis without cluster mode.", ""),
        heals=False,
    ),
    "REDIS_IS_SENTINEL": Known(
        _AWAY,
        Text("The address names a Sentinel, which holds no data.", ""),
        Text("Use the address and port of the Redis primary (usually 6379, not 26379).", ""),
        heals=False,
    ),
    # --- no connection left
    "REDIS_MAXCLIENTS": Known(
        _BUSY,
        Text("The server's limit of connections is reached: too many workers, a leak, or a small plan.", ""),
        Text("Run fewer processes, close other clients, or raise maxclients.", ""),
    ),
    "REDIS_POOL_BUSY": Known(
        _BUSY,
        Text("All our connections to Redis were in use for too long.", ""),
        Text("Look for slow commands (SLOWLOG); otherwise the load is more than this process can ask of Redis.", ""),
    ),
    # --- the command
    "REDIS_WRONGTYPE": Known(
        _REFUSED,
        Text("The key holds a value of another type: another program uses the same key.", ""),
        Text("Give Passerelle a Redis database of its own.", ""),
    ),
    "REDIS_CROSSSLOT": Known(
        _REFUSED,
        Text("A command touches keys of several cluster slots.", ""),
        Text("Use a Redis without cluster mode.", ""),
    ),
    "REDIS_UNKNOWN_CMD": Known(
        _REFUSED,
        Text("The server does not know this command: it is too old, lacks a module, or is a Sentinel.", ""),
        Text("Use Redis 6.2 or newer, at its data port.", ""),
    ),
    "REDIS_REST": Known(
        _AWAY,
        Text(
            "The REST interface answered, but not with an answer of Redis: its server is away or it is another site.",
            "",
        ),
        Text("Check KV_REST_API_URL, and the status page of the provider.", ""),
        maybe_applied=True,
    ),
    "REDIS_REST_ONLY": Known(
        _REFUSED,
        Text("Only the REST interface of Redis is configured; it has no blocking commands and no queue.", ""),
        Text("Nothing to mend: jobs use SQL. Set REDIS_URL to use the queue.", ""),
        heals=False,
    ),
    "REDIS_EVICTION": Known(
        _UNWRITABLE,
        Text("The server deletes keys without a word when its memory is full (maxmemory-policy).", ""),
        Text("Set maxmemory-policy noeviction.", ""),
        heals=False,
    ),
    "REDIS_ERROR": Known(
        _REFUSED,
        Text("Redis refused the command.", ""),
        Text("The message says why.", ""),
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
