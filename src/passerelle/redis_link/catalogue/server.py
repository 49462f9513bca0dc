"""The server's own troubles, and servers of another kind."""

from passerelle.errors import Text
from passerelle.redis_link.catalogue.model import FaultKind, Known

_AWAY, _UNWRITABLE = FaultKind.AWAY, FaultKind.UNWRITABLE

SERVER: dict[str, Known] = {
    "REDIS_OOM": Known(
        _UNWRITABLE,
        Text(
            "Redis has reached its memory limit (maxmemory) and takes no more writes.",
            "Redis a atteint sa limite de mémoire (maxmemory) et n'accepte plus d'écritures.",
        ),
        Text(
            "Raise the memory, delete keys or give them a lifetime; keep the policy noeviction.",
            "Augmentez la mémoire, supprimez des clés ou limitez leur durée de vie ; gardez noeviction.",
        ),
    ),
    "REDIS_READONLY": Known(
        _UNWRITABLE,
        Text(
            "This is a read-only replica: the address names a reader, or a failover took place.",
            "C'est un réplica en lecture seule : l'adresse vise un lecteur, ou une bascule a eu lieu.",
        ),
        Text(
            "Use the address of the primary; after a failover we reconnect by ourselves.",
            "Prenez l'adresse du primaire ; après une bascule, la reconnexion est automatique.",
        ),
    ),
    "REDIS_NOREPLICAS": Known(
        _UNWRITABLE,
        Text(
            "Redis has fewer replicas than min-replicas-to-write and takes no writes.",
            "Redis a moins de réplicas que min-replicas-to-write et refuse les écritures.",
        ),
        Text("Bring the replica back.", "Remettez le réplica en service."),
    ),
    "REDIS_MISCONF": Known(
        _UNWRITABLE,
        Text(
            "Redis cannot write its data to disk (disk full, folder not writable) and takes no writes.",
            "Redis ne peut pas écrire sur le disque (disque plein, dossier protégé) et refuse les écritures.",
        ),
        Text(
            "Free the disk or mend the folder's rights; the server's log says which.",
            "Libérez le disque ou corrigez les droits du dossier ; le journal du serveur dit lequel.",
        ),
    ),
    "REDIS_WRITE_PAUSED": Known(
        _UNWRITABLE,
        Text(
            "Redis answers reads but not writes: writes are paused, usually during a failover.",
            "Redis répond aux lectures mais pas aux écritures : elles sont suspendues, souvent pendant une bascule.",
        ),
        Text(
            "Wait for the failover to end; CLIENT UNPAUSE if somebody paused it by hand.",
            "Attendez la fin de la bascule ; CLIENT UNPAUSE si quelqu'un les a suspendues à la main.",
        ),
        maybe_applied=True,
    ),
    "REDIS_WRITE_LOST": Known(
        _UNWRITABLE,
        Text(
            "A value just written could not be read back: a full memory evicts it, or reads go to a late replica.",
            "Une valeur à peine écrite est introuvable : la mémoire pleine l'évince, ou la lecture va à un réplica en"
            " retard.",
        ),
        Text(
            "Use the address of the primary, and set maxmemory-policy noeviction.",
            "Prenez l'adresse du primaire, et réglez maxmemory-policy noeviction.",
        ),
    ),
    "REDIS_MASTERDOWN": Known(
        _AWAY,
        Text(
            "The replica has lost its primary and may not serve stale data.",
            "Le réplica a perdu son primaire et ne peut pas servir de données périmées.",
        ),
        Text(
            "Wait for the failover, or bring the primary back.",
            "Attendez la bascule, ou remettez le primaire en service.",
        ),
    ),
    "REDIS_LOADING": Known(
        _AWAY,
        Text(
            "Redis is reading its data into memory after a start.",
            "Redis charge ses données en mémoire après un démarrage.",
        ),
        Text(
            "Wait; INFO persistence shows loading_eta_seconds.",
            "Patientez ; INFO persistence donne loading_eta_seconds.",
        ),
    ),
    "REDIS_BUSY": Known(
        _AWAY,
        Text(
            "A script has been running for too long and blocks everything else.",
            "Un script tourne depuis trop longtemps et bloque tout le reste.",
        ),
        Text(
            "SCRIPT KILL on the server, then look for the script.",
            "SCRIPT KILL sur le serveur, puis cherchez le script en cause.",
        ),
    ),
    "REDIS_QUOTA": Known(
        _AWAY,
        Text("The provider's quota of requests is used up.", "Le quota de requêtes de l'hébergeur est épuisé."),
        Text(
            "Take a larger plan or wait for the next period.",
            "Prenez une offre plus grande ou attendez la période suivante.",
        ),
        heals=False,
    ),
    "REDIS_CLUSTERDOWN": Known(
        _AWAY,
        Text("The cluster has slots that nobody serves.", "Le cluster a des slots que personne ne sert."),
        Text("Mend the cluster (redis-cli --cluster fix).", "Réparez le cluster (redis-cli --cluster fix)."),
    ),
    "REDIS_NEEDS_CLUSTER": Known(
        _AWAY,
        Text(
            "The address names one node of a cluster; Passerelle speaks to a single Redis.",
            "L'adresse vise un nœud de cluster ; Passerelle parle à un Redis unique.",
        ),
        Text(
            "Use the provider's proxy address, or a Redis without cluster mode.",
            "Prenez l'adresse du relais de l'hébergeur, ou un Redis sans mode cluster.",
        ),
        heals=False,
    ),
    "REDIS_IS_SENTINEL": Known(
        _AWAY,
        Text(
            "The address names a Sentinel, which holds no data.",
            "L'adresse vise un Sentinel, qui ne contient aucune donnée.",
        ),
        Text(
            "Use the address and port of the Redis primary (usually 6379, not 26379).",
            "Prenez l'adresse et le port du Redis primaire (en général 6379, pas 26379).",
        ),
        heals=False,
    ),
    "REDIS_MAXCLIENTS": Known(
        FaultKind.BUSY,
        Text(
            "The server's limit of connections is reached: too many workers, a leak, or a small plan.",
            "La limite de connexions du serveur est atteinte : trop de processus, une fuite, ou une petite offre.",
        ),
        Text(
            "Run fewer processes, close other clients, or raise maxclients.",
            "Lancez moins de processus, fermez d'autres clients, ou augmentez maxclients.",
        ),
    ),
}
