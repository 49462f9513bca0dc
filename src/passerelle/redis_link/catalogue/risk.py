"""What works today and loses data or time one day; no command fails because of it."""

from passerelle.errors import Text
from passerelle.redis_link.catalogue.model import FaultKind, Known

_RISK = FaultKind.RISK

RISK: dict[str, Known] = {
    "REDIS_FAR": Known(
        _RISK,
        Text(
            "Every answer takes long: Redis is far away, probably in another region than this service.",
            "Chaque réponse est lente : Redis est loin, sans doute dans une autre région que ce service.",
        ),
        Text(
            "Put Redis and this service into the same region.",
            "Placez Redis et ce service dans la même région.",
        ),
        heals=False,
    ),
    "REDIS_EVICTION": Known(
        _RISK,
        Text(
            "The server deletes keys without a word when its memory is full (maxmemory-policy).",
            "Le serveur supprime des clés sans rien dire quand sa mémoire est pleine (maxmemory-policy).",
        ),
        Text("Set maxmemory-policy noeviction.", "Réglez maxmemory-policy noeviction."),
        heals=False,
    ),
    "REDIS_MEMORY_NEARLY_FULL": Known(
        _RISK,
        Text(
            "More than 90 % of the memory that Redis may use (maxmemory) is taken; then it refuses writes.",
            "Plus de 90 % de la mémoire permise à Redis (maxmemory) est prise ; ensuite il refusera les écritures.",
        ),
        Text(
            "Raise maxmemory or take a larger plan, or delete keys that nobody needs.",
            "Augmentez maxmemory ou prenez une offre plus grande, ou supprimez les clés inutiles.",
        ),
        heals=False,
    ),
    "REDIS_NO_PERSISTENCE": Known(
        _RISK,
        Text(
            "Redis writes neither an append-only file nor snapshots: a restart loses everything in it.",
            "Redis n'écrit ni fichier AOF ni instantanés : un redémarrage perd tout son contenu.",
        ),
        Text(
            "Set appendonly yes (appendfsync everysec), or ask the provider for persistence.",
            "Réglez appendonly yes (appendfsync everysec), ou demandez la persistance à l'hébergeur.",
        ),
        heals=False,
    ),
    "REDIS_SAVE_FAILED": Known(
        _RISK,
        Text(
            "The last write of the data to disk failed; a restart would lose what came since.",
            "La dernière écriture des données sur le disque a échoué ; un redémarrage perdrait la suite.",
        ),
        Text(
            "Free the disk or mend the folder's rights; the server's log says which.",
            "Libérez le disque ou corrigez les droits du dossier ; le journal du serveur dit lequel.",
        ),
        heals=False,
    ),
}
