"""TLS, where the address asks for it."""

import os
import ssl
import time

from passerelle.diagnostics.model import Finding
from passerelle.errors import Text
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import RedisFault, known_fault
from passerelle.redis_link.layers.layer import Layer, took
from passerelle.redis_link.layers.raw import TLS_RECORDS, Line, plain_words
from passerelle.redis_link.layers.second_look import doubted, is_redis, quoted


class TlsLayer(Layer):
    """Does the TLS handshake succeed, where the address asks for TLS?"""

    name = "redis_tls"
    after = ("redis_tcp",)
    title = Text("TLS to Redis", "TLS vers Redis")
    well = Text("The way to {at} is as the address says.", "Le chemin vers {at} est bien celui de l'adresse.")
    ill = Text("No TLS connection to Redis at {at}.", "Pas de connexion TLS à Redis ({at}).")

    async def look(self) -> list[Finding]:
        """See `Layer.look`."""
        if not self.patient.setting.tls:
            return [self.fine("without TLS")]
        began = time.monotonic()
        context = self._context()
        line = await doubted(self._handshake(context), self._what_else, self._named)
        self.patient.line = line
        findings = [self.fine(f"{_certificate(line)}, handshake {took(began)}")]
        if self.patient.setting.is_rest:
            await self.patient.close()
        return findings

    def _context(self) -> ssl.SSLContext:
        try:
            return self.patient.tls_context()
        except OSError as error:
            options = self.patient.address.options
            mine = {name: path for name, path in options.items() if name in {"ssl_certfile", "ssl_keyfile"}}
            ours = {name: path for name, path in options.items() if name.startswith("ssl_ca")}
            code = (
                "REDIS_TLS_CA"
                if ours and all(os.access(path, os.R_OK) for path in mine.values())
                else "REDIS_TLS_CLIENT_CERT"
            )
            files = ", ".join(f"{name}={path}" for name, path in (mine | ours).items())
            raise Faulted(known_fault(code, f"{error.strerror or error}: {files}")) from None

    async def _handshake(self, context: ssl.SSLContext) -> Line:
        return await Line.open(self.patient.place, self.patient.setting.port, context, self.patient.setting.host)

    def _named(self, error: Exception) -> RedisFault | None:
        """What the other side said in TLS leaves nothing open."""
        said = isinstance(error, ssl.SSLCertVerificationError) or "ALERT" in str(error).upper()
        return self.patient.fault(error) if said else None

    async def _what_else(self, error: Exception | None) -> RedisFault | None:
        """What the port says without TLS."""
        words = await plain_words(self.patient.place, self.patient.setting.port)
        if words and not words.startswith(TLS_RECORDS):
            expected = is_redis(words) or (self.patient.setting.is_rest and words.startswith(b"HTTP/"))
            code = "REDIS_TLS_TO_PLAIN" if expected else "REDIS_NOT_REDIS"
            return known_fault(code, f"without TLS it says {quoted(words)}")
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
            return known_fault("REDIS_CLOSED_EARLY", "closed during the TLS handshake")
        return None if error is None else self.patient.fault(error)


def _certificate(line: Line) -> str:
    try:
        certificate = line.tls.getpeercert() or {}
        return f"{line.tls.version()}, certificate until {certificate.get('notAfter', '?')}"
    except ValueError:  # the server has hung up by now; the next layer hears why
        return "TLS"
