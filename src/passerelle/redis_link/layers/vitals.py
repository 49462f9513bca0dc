"""What Redis says of itself (INFO), read."""

from collections.abc import Iterator

Vitals = dict[str, str]
NEARLY_FULL = 0.9


def read(text: str) -> Vitals:
    """The lines ``name:value`` of INFO, and of CLUSTER INFO."""
    pairs = (line.strip().partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}


def errors(vitals: Vitals) -> Iterator[tuple[str, str]]:
    """Codes of what makes this Redis unfit, with the lines that show it."""
    if vitals.get("redis_mode") == "sentinel":
        yield "REDIS_IS_SENTINEL", shown(vitals, "redis_mode", "sentinel_masters")
    if vitals.get("loading") == "1":
        yield "REDIS_LOADING", shown(vitals, "loading", "loading_eta_seconds", "loading_loaded_perc")
    if vitals.get("role") == "slave":
        yield "REDIS_READONLY", shown(vitals, "role", "master_host", "master_port", "master_link_status")
    cluster = shown(vitals, "cluster_state", "cluster_slots_assigned", "cluster_size")
    if vitals.get("cluster_state") == "fail":
        yield "REDIS_CLUSTERDOWN", cluster
    elif number(vitals, "cluster_size") > 1:
        yield "REDIS_NEEDS_CLUSTER", cluster


def risks(vitals: Vitals) -> Iterator[tuple[str, str]]:
    """Codes of what loses data one day, with the lines that show it."""
    memory = shown(vitals, "maxmemory_policy", "used_memory", "maxmemory", "evicted_keys")
    used, most = number(vitals, "used_memory"), number(vitals, "maxmemory")
    if deletes_silently(vitals):
        yield "REDIS_EVICTION", memory
    elif most * NEARLY_FULL <= used < most:
        yield "REDIS_MEMORY_NEARLY_FULL", memory
    saves = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
    if any(vitals.get(name) == "err" for name in saves):
        yield "REDIS_SAVE_FAILED", shown(vitals, *saves, "rdb_changes_since_last_save")
    if vitals.get("aof_enabled") == "0" and vitals.get("save") == "":
        yield "REDIS_NO_PERSISTENCE", 'aof_enabled:0, save:""'


def deletes_silently(vitals: Vitals) -> bool:
    """Whether keys vanish when the memory is full: a policy does nothing without a limit."""
    policy = vitals.get("maxmemory_policy", "")
    limited = number(vitals, "maxmemory") > 0 or number(vitals, "evicted_keys") > 0
    return policy.startswith(("allkeys", "volatile")) and limited


def summary(vitals: Vitals) -> str:
    """The lines worth reading when all is well."""
    names = ("redis_version", "redis_mode", "role", "used_memory_human", "maxmemory_policy")
    return shown(vitals, *names, "aof_enabled", "save", "connected_clients", "maxclients", "rejected_connections")


def shown(vitals: Vitals, *names: str) -> str:
    """These lines, as INFO writes them."""
    return ", ".join(f"{name}:{vitals[name]}" for name in names if name in vitals)


def number(vitals: Vitals, name: str) -> int:
    """A line that is a number; 0 where it is not shown."""
    value = vitals.get(name, "")
    return int(value) if value.isdigit() else 0
