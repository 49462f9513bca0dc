"""A command that cannot be sent, or that Redis refuses while it is well; the REST interface."""

from passerelle.errors import Text
from passerelle.redis_link.catalogue.model import FaultKind, Known

_REFUSED = FaultKind.REFUSED

COMMAND: dict[str, Known] = {
    "REDIS_POOL_BUSY": Known(
        FaultKind.BUSY,
        Text(
            "All our connections to Redis were in use for too long.",
            "Toutes nos connexions à Redis sont restées occupées trop longtemps.",
        ),
        Text(
            "Look for slow commands (SLOWLOG); otherwise the load is more than this process can ask of Redis.",
            "Cherchez des commandes lentes (SLOWLOG) ; sinon, la charge dépasse ce que ce processus peut demander.",
        ),
    ),
    "REDIS_WRONGTYPE": Known(
        _REFUSED,
        Text(
            "The key holds a value of another type: another program uses the same key.",
            "La clé contient une valeur d'un autre type : un autre programme utilise la même clé.",
        ),
        Text("Give Passerelle a Redis database of its own.", "Donnez à Passerelle une base Redis pour elle seule."),
    ),
    "REDIS_CROSSSLOT": Known(
        _REFUSED,
        Text(
            "A command touches keys of several cluster slots.",
            "Une commande touche des clés de plusieurs slots du cluster.",
        ),
        Text("Use a Redis without cluster mode.", "Prenez un Redis sans mode cluster."),
    ),
    "REDIS_UNKNOWN_CMD": Known(
        _REFUSED,
        Text(
            "The server does not know this command: it is too old, lacks a module, or is a Sentinel.",
            "Le serveur ne connaît pas cette commande : trop ancien, sans le module, ou c'est un Sentinel.",
        ),
        Text("Use Redis 6.2 or newer, at its data port.", "Prenez Redis 6.2 ou plus récent, sur son port de données."),
    ),
    "REDIS_REST": Known(
        FaultKind.AWAY,
        Text(
            "The REST interface answered, but not with an answer of Redis: its server is away or it is another site.",
            "L'interface REST a répondu, mais pas avec une réponse de Redis : son serveur est absent, ou c'est un autre"
            " site.",
        ),
        Text(
            "Check KV_REST_API_URL, and the status page of the provider.",
            "Vérifiez KV_REST_API_URL, et la page d'état de l'hébergeur.",
        ),
        maybe_applied=True,
    ),
    "REDIS_REST_ONLY": Known(
        _REFUSED,
        Text(
            "Only the REST interface of Redis is configured; it has no blocking commands and no queue.",
            "Seule l'interface REST de Redis est réglée ; elle n'a ni commandes bloquantes ni file.",
        ),
        Text(
            "Nothing to mend: jobs use SQL. Set REDIS_URL to use the queue.",
            "Rien à réparer : les tâches passent par SQL. Réglez REDIS_URL pour utiliser la file.",
        ),
        heals=False,
    ),
    "REDIS_ERROR": Known(
        _REFUSED,
        Text("Redis refused the command.", "Redis a refusé la commande."),
        Text("The message says why.", "Le message dit pourquoi."),
    ),
}
