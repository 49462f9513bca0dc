"""Which addresses may be asked: the text of an address first, then every number that its name stands for."""

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from yarl import URL

from passerelle.outgoing.faults import UrlRefused

URL_LIMIT = 8000  # links signed by clouds, and where these redirect to, have up to 3,000 characters
_FIRST_FREE_PORT = 1024  # below it live mail, SSH, databases' elders: of these only the two of HTTP are asked
_HTTP_PORTS = frozenset({80, 443})
# The registries of special addresses (IANA), and what clouds answer on: 168.63.129.16 is Azure's, fd00:ec2:: Amazon's,
# fd20:ce:: Google's. Nobody has a receiver there, so these stay refused where private addresses are allowed.
_NEVER = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_PRIVATE_6 = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
_NEVER_6 = tuple(
    map(
        IPv6Network,
        # within 2000::/3: Teredo and its neighbours, documentation, 6to4; outside: the metadata of clouds
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fd00:ec2::/32", "fd20:ce::/32"),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAME = re.compile(r"(?:.*\.)?(?:localhost|localdomain|local|internal)", re.IGNORECASE)
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*", re.IGNORECASE)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")  # what one reader of addresses skips and another does not


class Guard:
    """Says no to addresses that lead back into our own network."""

    def __init__(self, *, allow_private: bool) -> None:
        """`allow_private` lets loopback and private networks pass (a gateway on somebody's own machine)."""
        self._allow_private = allow_private

    def read(self, url: str) -> URL:
        """The address, if its text may pass; its name is not looked up.

        Raises:
            UrlRefused: it may not.
        """
        if len(url) > URL_LIMIT or _FORBIDDEN.search(url):
            raise UrlRefused("not_an_address")
        try:
            read = URL(url)
            port = read.port
        except ValueError:
            raise UrlRefused("not_an_address") from None
        if read.scheme not in {"http", "https"}:
            raise UrlRefused("scheme")
        if read.user is not None or read.password is not None:
            raise UrlRefused("credentials")
        self._check_host(read.raw_host or "")
        if not self._allow_private and port not in _HTTP_PORTS and (port or 0) < _FIRST_FREE_PORT:
            raise UrlRefused("port")
        return read

    def check(self, address: str) -> None:
        """Let a number pass that is about to be connected to.

        Raises:
            UrlRefused: it may not be.
        """
        try:
            number = _unwrapped(ip_address(address.partition("%")[0]))
        except ValueError:
            raise UrlRefused("not_an_address") from None
        if not self._passes(number):
            raise UrlRefused("private_address")

    def _check_host(self, host: str) -> None:
        name = host.rstrip(".")
        if not name:
            raise UrlRefused("not_an_address")
        if ":" in name or _is_plain(name):
            self.check(name)
        elif _NUMBERS.fullmatch(name):  # 2130706433, 0x7f.1, 0177.0.0.1: forms that only resolvers read
            raise UrlRefused("odd_address")
        elif not self._allow_private and ("." not in name or _LOCAL_NAME.fullmatch(name)):
            raise UrlRefused("local_name")

    def _passes(self, number: IPv4Address | IPv6Address) -> bool:
        if isinstance(number, IPv4Address):
            refused = _NEVER if self._allow_private else (*_NEVER, *_PRIVATE)
            return not any(number in network for network in refused)
        if any(number in network for network in _NEVER_6):
            return False
        return number in _GLOBAL_6 or (self._allow_private and any(number in network for network in _PRIVATE_6))


def _is_plain(name: str) -> bool:
    try:
        return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, name)) == name
    except (OSError, ValueError):
        return False


def _unwrapped(number: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 number inside, where the packets would go there (mapped; NAT64, by which IPv6-only hosts live)."""
    if isinstance(number, IPv6Address):
        if number.ipv4_mapped is not None:
            return number.ipv4_mapped
        if number in _NAT64:
            return IPv4Address(int(number) & 0xFFFFFFFF)
    return number
