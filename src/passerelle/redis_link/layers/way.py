"""The way there: the name of the host, and the connection."""

import asyncio
import ipaddress
import time

from passerelle.diagnostics.model import Finding
from passerelle.errors import Text
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import RedisFault, known_fault
from passerelle.redis_link.layers.layer import Layer, because, took
from passerelle.redis_link.layers.raw import Line, addresses

# So many addresses of a name are tried, within the time of one.
ADDRESSES = 3
CONNECT_LIMIT = 0.8
INSIDE = (".internal", ".local", ".lan", ".localdomain")
INTERNAL_NAME = Text(
    "This is an internal name (.internal, .local or without a dot), used from outside its network.",
    "C'est un nom interne (.internal, .local ou sans point), utilisé hors de son réseau.",
)
PRIVATE_ADDRESS = Text(
    "This is a private address and nothing answers there: an internal address used from outside its network.",
    "C'est une adresse privée et rien n'y répond : une adresse interne utilisée hors de son réseau.",
)


class NameLayer(Layer):
    """Does the host have an address?"""

    name = "redis_name"
    after = ("redis_setting",)
    title = Text("The name of Redis' host", "Le nom d'hôte de Redis")
    well = Text("The host of Redis has an address.", "L'hôte de Redis a une adresse.")
    ill = Text("The host of {at} cannot be found.", "L'hôte de {at} est introuvable.")
    late = "REDIS_DNS"

    @property
    def needs(self) -> tuple[str, ...]:
        """A setting that can be used in spite of its findings is used."""
        return () if self.patient.absent or self.patient.usable else self.after

    async def look(self) -> list[Finding]:
        """See `Layer.look`."""
        began, host = time.monotonic(), self.patient.setting.host
        try:
            self.patient.addresses = await addresses(host, self.patient.setting.port)
        except OSError as error:
            raise Faulted(fault_of_name(host, str(error))) from None
        return [self.fine(f"{', '.join(self.patient.addresses)} ({took(began)})")]


class TcpLayer(Layer):
    """Is the connection accepted?"""

    name = "redis_tcp"
    after = ("redis_name",)
    title = Text("The connection to Redis", "La connexion à Redis")
    well = Text("{at} accepts connections.", "{at} accepte les connexions.")
    ill = Text("Redis at {at} cannot be reached.", "Redis ({at}) est injoignable.")
    late = "REDIS_CONNECT_TIMEOUT"

    async def look(self) -> list[Finding]:
        """See `Layer.look`."""
        patient, faults = self.patient, []
        tried = patient.addresses[:ADDRESSES]
        for address in tried:
            began = time.monotonic()
            try:
                async with asyncio.timeout(patient.left(CONNECT_LIMIT) / len(tried)):
                    line = await Line.open(address, patient.setting.port)
            except TimeoutError:
                faults.append(fault_of_silence(address, took(began)))
            except OSError as error:
                faults.append(patient.fault(error))
            else:
                self._keep(address, line)
                return [self.fine(f"{address}, connect {took(began)}")]
        # No route for IPv6 says little where IPv4 was tried too.
        raise Faulted(min(faults, key=lambda fault: fault.code == "REDIS_NO_ROUTE"))

    def _keep(self, address: str, line: Line) -> None:
        self.patient.place = address
        if self.patient.setting.tls or self.patient.setting.is_rest:
            line.close()
        else:
            self.patient.line = line


def fault_of_name(host: str, message: str) -> RedisFault:
    """The host has no address, or nobody could say."""
    fault = known_fault("REDIS_DNS", message)
    inside = host.rstrip(".").endswith(INSIDE) or "." not in host
    return because(fault, INTERNAL_NAME) if inside else fault


def fault_of_silence(address: str, after: str) -> RedisFault:
    """The connection to `address` was not accepted."""
    fault = known_fault("REDIS_CONNECT_TIMEOUT", f"{address}: not accepted within {after}")
    place = ipaddress.ip_address(address.partition("%")[0])
    outside = place.is_global or place.is_loopback
    return fault if outside else because(fault, PRIVATE_ADDRESS)
