"""Every way to write the setting of the REST interface wrongly, as findings. No text quotes the value."""

from passerelle.diagnostics.model import Level
from passerelle.errors import Text

FORM = "https://….upstash.io"
Words = tuple[Level, Text, Text, Text]

# By finding id and form: level, what, cause, fix. `mistakes` reads it with its own.
REST_MISTAKES: dict[tuple[str, str], Words] = {
    ("REDIS_REST_ONLY", ""): (
        Level.OK,
        Text(
            "Only the REST interface of Redis is configured: jobs use SQL.",
            "Seule l'interface REST de Redis est configurée : les tâches passent par SQL.",
        ),
        Text(
            "The REST interface has no blocking commands, so no queue.",
            "L'interface REST n'a pas de commandes bloquantes, donc pas de file d'attente.",
        ),
        Text(
            "Nothing to mend; set REDIS_URL if jobs shall be announced over Redis.",
            "Rien à corriger ; réglez REDIS_URL pour annoncer les tâches par Redis.",
        ),
    ),
    ("REDIS_URL_SEVERAL", "url"): (
        Level.WARNING,
        Text(
            "Redis is configured more than once: REDIS_URL is used.",
            "Redis est configuré plusieurs fois : c'est REDIS_URL qui sert.",
        ),
        Text(
            "REDIS_URL wins over REDIS_HOST, and both win over KV_REST_API_URL.",
            "REDIS_URL l'emporte sur REDIS_HOST, et les deux sur KV_REST_API_URL.",
        ),
        Text(
            "Take away those that are not meant.",
            "Retirez celles qui ne sont pas voulues.",
        ),
    ),
    ("REDIS_URL_SEVERAL", "parts"): (
        Level.WARNING,
        Text(
            "Redis is configured more than once: REDIS_HOST is used.",
            "Redis est configuré plusieurs fois : c'est REDIS_HOST qui sert.",
        ),
        Text(
            "REDIS_URL wins over REDIS_HOST, and both win over KV_REST_API_URL.",
            "REDIS_URL l'emporte sur REDIS_HOST, et les deux sur KV_REST_API_URL.",
        ),
        Text(
            "Take away those that are not meant.",
            "Retirez celles qui ne sont pas voulues.",
        ),
    ),
    ("REDIS_URL_EMPTY", "rest"): (
        Level.ERROR,
        Text(
            "KV_REST_API_URL is there but empty.",
            "KV_REST_API_URL existe mais elle est vide.",
        ),
        Text(
            "It is set to nothing, often because a secret was not filled in.",
            "Elle ne contient rien, souvent parce qu'un secret n'a pas été rempli.",
        ),
        Text(
            f"Fill it in (KV_REST_API_URL={FORM}), or take the variable away.",
            f"Remplissez-la (KV_REST_API_URL={FORM}), ou retirez la variable.",
        ),
    ),
    ("REDIS_URL_SPACES", "rest around"): (
        Level.WARNING,
        Text(
            "KV_REST_API_URL or KV_REST_API_TOKEN has spaces or a line end around it; they were ignored.",
            "KV_REST_API_URL ou KV_REST_API_TOKEN est entourée d'espaces ou d'un saut de ligne ; ils ont été ignorés.",
        ),
        Text(
            "It was copied with a space or a newline.",
            "Elle a été copiée avec une espace ou un saut de ligne.",
        ),
        Text(
            "Take them away: other programs that read the same variable may fail.",
            "Retirez-les : d'autres programmes qui lisent cette variable peuvent échouer.",
        ),
    ),
    ("REDIS_URL_SPACES", "rest inside"): (
        Level.ERROR,
        Text(
            "KV_REST_API_URL or KV_REST_API_TOKEN has a space, a line break or a strange character inside.",
            "KV_REST_API_URL ou KV_REST_API_TOKEN contient une espace, un saut de ligne ou un caractère étrange.",
        ),
        Text(
            "It was broken over two lines, mistyped, or a whole command was copied.",
            "Elle a été coupée sur deux lignes, mal recopiée, ou une commande entière a été copiée.",
        ),
        Text("Copy each of the two again, in one piece.", "Recopiez chacune des deux, d'un seul tenant."),
    ),
    ("REDIS_URL_QUOTED", "rest"): (
        Level.WARNING,
        Text(
            "KV_REST_API_URL or KV_REST_API_TOKEN has quotes around it; they were ignored.",
            "KV_REST_API_URL ou KV_REST_API_TOKEN est entre guillemets ; ils ont été ignorés.",
        ),
        Text(
            "Docker's --env-file, systemd and most dashboards keep quotes as part of the value.",
            "Docker (--env-file), systemd et la plupart des tableaux de bord gardent les guillemets dans la valeur.",
        ),
        Text("Write the value without quotes.", "Écrivez la valeur sans guillemets."),
    ),
    ("REDIS_URL_SCHEME", "rest none"): (
        Level.ERROR,
        Text("KV_REST_API_URL does not begin with https://.", "KV_REST_API_URL ne commence pas par https://."),
        Text(
            "Only the host was written, or the beginning was lost when it was copied.",
            "Seul l'hôte a été écrit, ou le début s'est perdu à la copie.",
        ),
        Text(f"Write {FORM}.", f"Écrivez {FORM}."),
    ),
    ("REDIS_URL_SCHEME", "rest redis"): (
        Level.ERROR,
        Text(
            "KV_REST_API_URL holds the address of Redis itself.",
            "KV_REST_API_URL contient l'adresse de Redis lui-même.",
        ),
        Text(
            "An address that begins with redis:// or rediss:// is not that of the REST interface.",
            "Une adresse qui commence par redis:// ou rediss:// n'est pas celle de l'interface REST.",
        ),
        Text(
            "Put it into REDIS_URL (nothing else is needed then), or copy the address that begins with https://.",
            "Mettez-la dans REDIS_URL (rien d'autre n'est alors nécessaire), ou copiez celle qui commence par https://.",
        ),
    ),
    ("REDIS_URL_SCHEME", "rest other"): (
        Level.ERROR,
        Text(
            "KV_REST_API_URL begins with something else than https://.",
            "KV_REST_API_URL commence par autre chose que https://.",
        ),
        Text("It is the address of another service.", "C'est l'adresse d'un autre service."),
        Text(f"Write {FORM}.", f"Écrivez {FORM}."),
    ),
    ("REDIS_URL_SCHEME", "rest plain"): (
        Level.WARNING,
        Text(
            "KV_REST_API_URL begins with http://: the token and all data travel unencrypted.",
            "KV_REST_API_URL commence par http:// : le jeton et les données circulent sans chiffrement.",
        ),
        Text(
            "Without TLS everybody on the way can read and change them.",
            "Sans TLS, n'importe qui sur le chemin peut les lire et les modifier.",
        ),
        Text(
            "Write https://, unless the REST server stands in a network of your own.",
            "Écrivez https://, sauf si le serveur REST est dans un réseau à vous.",
        ),
    ),
    ("REDIS_URL_HOST", "rest"): (
        Level.ERROR,
        Text("The host in KV_REST_API_URL is not a host name.", "L'hôte de KV_REST_API_URL n'est pas un nom d'hôte."),
        Text(
            "It is empty, or holds a character that no host name has.",
            "Il est vide, ou contient un caractère qu'aucun nom d'hôte n'a.",
        ),
        Text(f"Write {FORM}.", f"Écrivez {FORM}."),
    ),
    ("REDIS_URL_HOST", "rest token"): (
        Level.ERROR,
        Text(
            "KV_REST_API_TOKEN is set, but KV_REST_API_URL is not.",
            "KV_REST_API_TOKEN est réglée, mais pas KV_REST_API_URL.",
        ),
        Text("The address was forgotten.", "L'adresse a été oubliée."),
        Text(
            f"Set KV_REST_API_URL={FORM}, or take the token away.",
            f"Réglez KV_REST_API_URL={FORM}, ou retirez le jeton.",
        ),
    ),
    ("REDIS_URL_TEMPLATE", "rest"): (
        Level.ERROR,
        Text(
            "KV_REST_API_URL or KV_REST_API_TOKEN still holds a placeholder.",
            "KV_REST_API_URL ou KV_REST_API_TOKEN contient encore un champ à remplacer.",
        ),
        Text(
            "A reference such as ${KV_REST_API_URL} or <token> was not replaced by its value.",
            "Une référence comme ${KV_REST_API_URL} ou <token> n'a pas été remplacée par sa valeur.",
        ),
        Text(
            "Put the real value in, or correct the reference to the other variable.",
            "Mettez la vraie valeur, ou corrigez la référence à l'autre variable.",
        ),
    ),
    ("REDIS_URL_MALFORMED", "rest name"): (
        Level.ERROR,
        Text(
            "The value of KV_REST_API_URL or KV_REST_API_TOKEN begins with the name of a variable.",
            "La valeur de KV_REST_API_URL ou de KV_REST_API_TOKEN commence par le nom d'une variable.",
        ),
        Text(
            "A whole line of an .env file was pasted as the value.",
            "Une ligne entière d'un fichier .env a été collée comme valeur.",
        ),
        Text("Keep only what stands after the equals sign.", "Ne gardez que ce qui suit le signe égal."),
    ),
    ("REDIS_URL_MALFORMED", "rest extra"): (
        Level.ERROR,
        Text(
            "KV_REST_API_URL holds more than an address.",
            "KV_REST_API_URL contient plus qu'une adresse.",
        ),
        Text(
            "There is a user or password before @, or something after ? or #.",
            "Il y a un utilisateur ou un mot de passe avant @, ou quelque chose après ? ou #.",
        ),
        Text(
            "Keep only https:// and the host; the token belongs into KV_REST_API_TOKEN.",
            "Ne gardez que https:// et l'hôte ; le jeton va dans KV_REST_API_TOKEN.",
        ),
    ),
    ("REDIS_URL_MALFORMED", "rest url"): (
        Level.ERROR,
        Text(
            "KV_REST_API_URL is set, but KV_REST_API_TOKEN is not.",
            "KV_REST_API_URL est réglée, mais pas KV_REST_API_TOKEN.",
        ),
        Text("The token was forgotten, or is empty.", "Le jeton a été oublié, ou il est vide."),
        Text(
            "Set KV_REST_API_TOKEN; the provider shows it beside the address.",
            "Réglez KV_REST_API_TOKEN ; le fournisseur l'affiche à côté de l'adresse.",
        ),
    ),
}
