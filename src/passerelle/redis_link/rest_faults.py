"""Names what goes wrong over the REST interface: Redis' own words by the one table, HTTP and the way there by these."""

from dataclasses import replace
from http import HTTPStatus

import aiohttp

from passerelle.errors import Text
from passerelle.redaction import Redactor
from passerelle.redis_link.catalogue import RedisFault, known_fault
from passerelle.redis_link.faults import BY_WORD, code_of

# What a status means where nothing else says it.
BY_STATUS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "REDIS_WRONGPASS",
    HTTPStatus.FORBIDDEN: "REDIS_WRONGPASS",
    HTTPStatus.TOO_MANY_REQUESTS: "REDIS_QUOTA",
}
# Where the text says nothing, by class; the first that fits.
BY_CLASS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "REDIS_CONNECT_TIMEOUT"),
    (TimeoutError, "REDIS_SILENT"),
    (aiohttp.ClientConnectorError, "REDIS_UNREACHABLE"),
    (aiohttp.ServerDisconnectedError, "REDIS_CLOSED_EARLY"),
    (aiohttp.ClientPayloadError, "REDIS_CLOSED_EARLY"),
    (aiohttp.ClientConnectionResetError, "REDIS_CLOSED_EARLY"),
    (aiohttp.ClientResponseError, "REDIS_NOT_REDIS"),  # not even HTTP
    (aiohttp.ClientError, "REDIS_UNREACHABLE"),
)
# What to say instead of the text of these; the first that fits.
TEXTS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "Timeout connecting to server"),
    (TimeoutError, "Timeout reading from server"),
    (aiohttp.ClientPayloadError, "Connection lost in the middle of the answer"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
)
# Cause and fix, where those for TCP would mislead.
WORDS: dict[str, tuple[Text, Text]] = {
    "REDIS_WRONGPASS": (
        Text(
            "The REST interface refuses the token: it is wrong, or was changed at the provider.",
            "L'interface REST refuse le jeton : il est faux, ou il a été changé chez le fournisseur.",
        ),
        Text("Copy KV_REST_API_TOKEN again.", "Recopiez KV_REST_API_TOKEN."),
    ),
    "REDIS_NOAUTH": (
        Text("The REST interface asks for a token.", "L'interface REST demande un jeton."),
        Text("Set KV_REST_API_TOKEN.", "Réglez KV_REST_API_TOKEN."),
    ),
    "REDIS_NOT_REDIS": (
        Text(
            "What answers at KV_REST_API_URL is not the REST interface of Redis.",
            "Ce qui répond à KV_REST_API_URL n'est pas l'interface REST de Redis.",
        ),
        Text(
            "Copy the https:// address of the REST interface again, as the provider shows it.",
            "Recopiez l'adresse https:// de l'interface REST telle que le fournisseur l'affiche.",
        ),
    ),
    "REDIS_CONNECT_TIMEOUT": (
        Text(
            "The connection was not accepted in time: a firewall drops it, or https:// meets a port without TLS.",
            "La connexion n'a pas été acceptée à temps : un pare-feu l'écarte, ou https:// vise un port sans TLS.",
        ),
        Text(
            "Let this machine reach the host in KV_REST_API_URL; check its port.",
            "Laissez cette machine atteindre l'hôte de KV_REST_API_URL ; vérifiez son port.",
        ),
    ),
    "REDIS_CLOSED_EARLY": (
        Text(
            "The connection was closed before the answer: the REST interface went away, or http:// meets a TLS port.",
            "La connexion a été fermée avant la réponse : l'interface REST est partie, ou http:// vise un port TLS.",
        ),
        Text(
            "Look at the provider's status page; write https:// in KV_REST_API_URL.",
            "Consultez la page d'état du fournisseur ; écrivez https:// dans KV_REST_API_URL.",
        ),
    ),
    "REDIS_TLS_TO_PLAIN": (
        Text(
            "https:// was used on a port that does not speak TLS.",
            "https:// est utilisé sur un port qui ne parle pas TLS.",
        ),
        Text("Write http:// or use the TLS port.", "Écrivez http:// ou utilisez le port TLS."),
    ),
    "REDIS_TLS_CA": (
        Text(
            "The certificate of the REST interface is signed by an authority that is not trusted here.",
            "Le certificat de l'interface REST est signé par une autorité qui n'est pas reconnue ici.",
        ),
        Text(
            "Name the authority's file in SSL_CERT_FILE, or use a certificate that everybody trusts.",
            "Indiquez le fichier de l'autorité dans SSL_CERT_FILE, ou utilisez un certificat reconnu de tous.",
        ),
    ),
}


def fault_of_error(error: BaseException, redactor: Redactor) -> RedisFault:
    """No answer came; `error` is what aiohttp or the system says of it."""
    text = _text_of(error)
    otherwise = next((code for kind, code in BY_CLASS if isinstance(error, kind)), "REDIS_UNREACHABLE")
    fault = known_fault(code_of(text, otherwise=otherwise), redactor.redact(text) or type(error).__name__)
    # What was not connected was not asked.
    never_sent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return _over_rest(replace(fault, maybe_applied=False) if never_sent else fault)


def fault_of_words(words: str, *, status: int, redactor: Redactor) -> RedisFault:
    """An error in words of Redis. With 5xx the words are the proxy's own, about its own troubles."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        code = BY_WORD.get(words.partition(" ")[0], "REDIS_REST")
    else:
        code = code_of(words, otherwise=BY_STATUS.get(status, "REDIS_ERROR"))
    return _over_rest(known_fault(code, redactor.redact(words) or f"HTTP {status}"))


def fault_of_status(status: int) -> RedisFault:
    """An answer that is none of Redis; what it says is not repeated."""
    otherwise = "REDIS_REST" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "REDIS_NOT_REDIS"
    return _over_rest(known_fault(BY_STATUS.get(status, otherwise), f"HTTP {status}, not an answer of Redis"))


def _over_rest(fault: RedisFault) -> RedisFault:
    cause, fix = WORDS.get(fault.code, (fault.cause, fault.fix))
    return replace(fault, cause=cause, fix=fix)


def _text_of(error: BaseException) -> str:
    """What happened, in the TCP driver's way where it has one, so that one table names both; never an address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"Error 1 connecting to {error.host}:{error.port}. {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"name resolution of {error.host} failed: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"Error {error.os_error.errno} connecting to {error.host}:{error.port}. {error.os_error}"
    return next((text for kind, text in TEXTS if isinstance(error, kind)), str(error))
