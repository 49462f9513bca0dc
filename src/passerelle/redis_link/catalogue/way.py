"""The way to Redis: name, connection, TLS, and whether it is Redis that answers."""

from passerelle.errors import Text
from passerelle.redis_link.catalogue.model import FaultKind, Known

_AWAY = FaultKind.AWAY

WAY: dict[str, Known] = {
    "REDIS_REFUSED": Known(
        _AWAY,
        Text(
            "Nothing listens at this host and port: Redis is stopped, not started yet, or the address is wrong.",
            "Rien n'écoute sur cet hôte et ce port : Redis est arrêté, pas encore démarré, ou l'adresse est fausse.",
        ),
        Text(
            "Start Redis or correct host and port; in Docker use the name of the service, not localhost.",
            "Démarrez Redis ou corrigez l'hôte et le port ; sous Docker, mettez le nom du service, pas localhost.",
        ),
    ),
    "REDIS_DNS": Known(
        _AWAY,
        Text(
            "The host name does not resolve: a typing error, or an internal name used from outside its network.",
            "Le nom d'hôte est introuvable : faute de frappe, ou nom interne utilisé hors de son réseau.",
        ),
        Text(
            "Correct the name; outside the provider's network use the public address, inside it the internal one.",
            "Corrigez le nom ; hors du réseau de l'hébergeur, prenez l'adresse publique, dedans l'adresse interne.",
        ),
    ),
    "REDIS_CONNECT_TIMEOUT": Known(
        _AWAY,
        Text(
            "The connection was not accepted in time: a firewall or allow-list drops it, or rediss:// meets a plain"
            " port.",
            "La connexion n'a pas été acceptée à temps : un pare-feu ou une liste d'adresses la rejette, ou rediss://"
            " vise un port sans TLS.",
        ),
        Text(
            "Allow this machine's address, check region and network, and write redis:// if the port has no TLS.",
            "Autorisez cette machine, vérifiez région et réseau, écrivez redis:// si le port n'a pas TLS.",
        ),
    ),
    "REDIS_NO_ROUTE": Known(
        _AWAY,
        Text(
            "This machine has no route to the address: another network, a VPN that is down, or IPv6 on one side only.",
            "Cette machine n'a pas de route vers l'adresse : autre réseau, VPN coupé, ou IPv6 d'un seul côté.",
        ),
        Text(
            "Use an address that this machine can reach (the public one, or one with IPv4), or mend its network.",
            "Prenez une adresse joignable d'ici (la publique, ou une en IPv4), ou réparez le réseau de la machine.",
        ),
    ),
    "REDIS_SILENT": Known(
        _AWAY,
        Text(
            "The port is open but no answer comes: the server is frozen, or something else listens there; from outside"
            " the two cannot be told apart.",
            "Le port est ouvert mais rien ne répond : le serveur est figé, ou autre chose écoute là ; de l'extérieur,"
            " on ne peut pas les distinguer.",
        ),
        Text(
            "Look at the Redis process and its machine; check that host and port belong to Redis.",
            "Regardez le processus Redis et sa machine ; vérifiez que l'hôte et le port sont bien ceux de Redis.",
        ),
        maybe_applied=True,
    ),
    "REDIS_SLOW": Known(
        _AWAY,
        Text(
            "Redis did not answer within the time that one request may take.",
            "Redis n'a pas répondu dans le temps accordé à une requête.",
        ),
        Text(
            "Look at SLOWLOG and at the load of the server; commands over large keys are the usual reason.",
            "Regardez SLOWLOG et la charge du serveur ; ce sont souvent des commandes sur de grosses clés.",
        ),
        maybe_applied=True,
    ),
    "REDIS_CLOSED_EARLY": Known(
        _AWAY,
        Text(
            "The connection was closed before the answer: the server went away, or a port for TLS was called"
            " without it.",
            "La connexion a été fermée avant la réponse : le serveur est parti, ou un port TLS a été appelé sans TLS.",
        ),
        Text(
            "Look at the provider's status page or the server's log; if the port wants TLS write rediss://.",
            "Regardez la page d'état de l'hébergeur ou le journal du serveur ; si le port veut TLS, écrivez rediss://.",
        ),
        maybe_applied=True,
    ),
    "REDIS_AMBIGUOUS": Known(
        _AWAY,
        Text(
            "The connection was lost after a write was sent: whether it was carried out is not known.",
            "La connexion a été perdue après l'envoi d'une écriture : on ne sait pas si elle a eu lieu.",
        ),
        Text(
            "Nothing to do by hand: callers resolve it when Redis is back; look why the connection was lost.",
            "Rien à faire à la main : tout se règle au retour de Redis ; cherchez pourquoi la connexion a été perdue.",
        ),
        maybe_applied=True,
    ),
    "REDIS_NOT_REDIS": Known(
        _AWAY,
        Text(
            "What answers at this address is not Redis (a web or SSH server).",
            "Ce qui répond à cette adresse n'est pas Redis (un serveur web ou SSH).",
        ),
        Text(
            "Use the redis:// address and port; for an https:// address set KV_REST_API_URL and KV_REST_API_TOKEN.",
            "Prenez l'adresse et le port redis:// ; pour une adresse https://, réglez KV_REST_API_URL et"
            " KV_REST_API_TOKEN.",
        ),
        heals=False,
    ),
    "REDIS_BAD_PONG": Known(
        _AWAY,
        Text(
            "PING was answered with something else than PONG: not Redis, or a proxy without a server behind it.",
            "PING a reçu autre chose que PONG : ce n'est pas Redis, ou c'est un relais sans serveur derrière.",
        ),
        Text("Check that host and port belong to Redis.", "Vérifiez que l'hôte et le port sont bien ceux de Redis."),
    ),
    "REDIS_NOT_OPEN": Known(
        _AWAY,
        Text(
            "The link to Redis is not open: it was not started yet, or it is closing.",
            "Le lien avec Redis n'est pas ouvert : pas encore démarré, ou en cours de fermeture.",
        ),
        Text("Wait until the server has started.", "Attendez que le serveur ait démarré."),
    ),
    "REDIS_UNREACHABLE": Known(
        _AWAY,
        Text(
            "The connection to Redis failed in a way that is not known to us.",
            "La connexion à Redis a échoué d'une manière que nous ne connaissons pas.",
        ),
        Text(
            "The message says more; check the address and the server.",
            "Le message en dit plus ; vérifiez l'adresse et le serveur.",
        ),
        maybe_applied=True,
    ),
    "REDIS_TLS_TO_PLAIN": Known(
        _AWAY,
        Text(
            "rediss:// was used on a port that does not speak TLS.",
            "rediss:// est utilisé sur un port qui ne parle pas TLS.",
        ),
        Text("Write redis:// or use the TLS port.", "Écrivez redis:// ou prenez le port TLS."),
        heals=False,
    ),
    "REDIS_PLAIN_TO_TLS": Known(
        _AWAY,
        Text("redis:// was used on a port that speaks TLS.", "redis:// est utilisé sur un port qui parle TLS."),
        Text("Write rediss:// instead.", "Écrivez rediss:// à la place."),
        heals=False,
    ),
    "REDIS_TLS_CA": Known(
        _AWAY,
        Text(
            "The server's certificate is signed by an authority that is not trusted here, or its file is missing.",
            "Le certificat du serveur est signé par une autorité inconnue ici, ou le fichier de celle-ci manque.",
        ),
        Text(
            "Add ?ssl_ca_certs=/path/ca.pem to the address; never switch the check off in production.",
            "Ajoutez ?ssl_ca_certs=/chemin/ca.pem à l'adresse ; ne désactivez jamais la vérification en production.",
        ),
        heals=False,
    ),
    "REDIS_TLS_NAME": Known(
        _AWAY,
        Text(
            "The server's certificate is for another name (an IP address or an alias was used).",
            "Le certificat du serveur porte un autre nom (une adresse IP ou un alias a été utilisé).",
        ),
        Text("Use the host name that stands in the certificate.", "Utilisez le nom d'hôte inscrit dans le certificat."),
        heals=False,
    ),
    "REDIS_TLS_EXPIRED": Known(
        _AWAY,
        Text(
            "The server's certificate has expired, or is not valid yet by the clock of this machine.",
            "Le certificat du serveur a expiré, ou n'est pas encore valable d'après l'horloge de cette machine.",
        ),
        Text(
            "Renew the certificate of the server, and look at the clock of this machine.",
            "Renouvelez le certificat du serveur, et vérifiez l'horloge de cette machine.",
        ),
        heals=False,
    ),
    "REDIS_TLS_CLIENT_CERT": Known(
        _AWAY,
        Text(
            "The server wants a client certificate, or the one named in the address cannot be read.",
            "Le serveur demande un certificat client, ou celui que cite l'adresse est illisible.",
        ),
        Text(
            "Add ?ssl_certfile=…&ssl_keyfile=… to the address, with paths that can be read here.",
            "Ajoutez ?ssl_certfile=…&ssl_keyfile=… à l'adresse, avec des chemins lisibles ici.",
        ),
        heals=False,
    ),
    "REDIS_TLS": Known(
        _AWAY,
        Text("The TLS handshake failed.", "La négociation TLS a échoué."),
        Text(
            "Check that the port speaks TLS, and the certificates on both sides.",
            "Vérifiez que le port parle TLS, et les certificats des deux côtés.",
        ),
        heals=False,
    ),
}
