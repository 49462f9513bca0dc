"""Which addresses may be asked, read as text, as numbers, and after their names were looked up."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis.strategies import from_regex, integers, text

from passerelle.outgoing import Outgoing, UrlRefused
from passerelle.outgoing.asking import GuardedResolver
from passerelle.outgoing.guard import Guard

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]
STRICT, LOCAL = Guard(allow_private=False), Guard(allow_private=True)
PRIVATE = (
    *("127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
    *("100.100.100.200", "::1", "fc00::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1"),
)
NEVER = (
    *("0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "168.63.129.16", "192.0.0.192", "192.0.2.1"),  # noqa: S104
    *("192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    *("255.255.255.255", "::", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254"),
    *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1"),
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1", "100::1", "::127.0.0.1"),
    *("5f00::1", "4000::1"),
)
PUBLIC = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
ODD = (
    *("http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://127.1/"),
    *("http://127.0.1/", "http://0/", "http://017700000001/", "http://0x7f.1:8080/", "http://3232235777/"),
    *("http://0x08080808/", "http://010.8.8.8/", "http://2852039166/latest"),
)
# Signs that are read as digits and dots; on one's own machine these are neighbours, oddly written.
DISGUISED = (
    *(
        "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
        "http://127\u30020\u30020\u30021/",
        "http://\uff11\uff10.0.0.1/",
    ),
    *("http://127.0.0.1./", "http://[0:0:0:0:0:ffff:127.0.0.1]/", "http://[::FFFF:7F00:1]/"),
)
WRONG = {
    "ftp://example.com/": "scheme",
    "file:///etc/passwd": "scheme",
    "gopher://example.com/": "scheme",
    "example.com/x": "scheme",
    "": "scheme",
    "http://": "not_an_address",
    "http:///x": "not_an_address",
    "http://user@example.com/": "credentials",
    "http://user:word@example.com/": "credentials",
    "http://:word@example.com/": "credentials",
    "http://example.com:22/": "port",
    "http://example.com:25/": "port",
    "https://example.com:0/": "port",
    "http://example.com:99999/": "not_an_address",
    "http://localhost/": "local_name",
    "http://LOCALHOST:8080/": "local_name",
    "http://localhost./": "local_name",
    "http://a.localhost/": "local_name",
    "http://metadata.google.internal/": "local_name",
    "http://printer.local/": "local_name",
    "http://intranet/": "local_name",
    "http://exa mple.com/": "not_an_address",
    "http://example.com\\@127.0.0.1/": "not_an_address",
    "http://example.com/\r\nHost: x": "not_an_address",
    "http://example.com/\t": "not_an_address",
    "http://[::1/": "not_an_address",
    "http://[fe80::1%25eth0]/": "private_address",
    f"http://example.com/{'x' * 8000}": "not_an_address",
}


class Fixed:
    """Names that somebody's name server gives, one answer after the other; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def numbers(self, host: str) -> list[str]:
        self.asked.append(host)
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "nobody knows")
        return found

    def close(self) -> None:
        pass


def host_of(number: str) -> str:
    return f"[{number.replace('%', '%25')}]" if ":" in number else number


@pytest.mark.parametrize("number", [*PRIVATE, *NEVER])
def test_no_number_leads_into_our_own_network(number: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        STRICT.check(number)
    assert refused.value.reason == "private_address"
    with pytest.raises(UrlRefused):
        STRICT.read(f"http://{host_of(number)}/hook")


@pytest.mark.parametrize("number", PUBLIC)
def test_public_numbers_pass(number: str) -> None:
    STRICT.check(number)
    assert str(STRICT.read(f"https://{host_of(number)}:8443/hook"))


@pytest.mark.parametrize("number", PRIVATE)
def test_a_gateway_on_ones_own_machine_may_ask_its_neighbours(number: str) -> None:
    LOCAL.check(number)
    assert LOCAL.read(f"http://{host_of(number)}:22/hook").host


@pytest.mark.parametrize("number", NEVER)
def test_not_even_that_one_may_ask_for_metadata_or_everybody(number: str) -> None:
    with pytest.raises(UrlRefused):
        LOCAL.check(number)


@pytest.mark.parametrize("url", ODD)
@pytest.mark.parametrize("guard", [STRICT, LOCAL], ids=["strict", "local"])
def test_numbers_in_forms_that_only_resolvers_read_are_refused(url: str, guard: Guard) -> None:
    with pytest.raises(UrlRefused):
        guard.read(url)


@pytest.mark.parametrize("url", DISGUISED)
def test_numbers_in_disguise_are_seen_through(url: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        STRICT.read(url)
    assert refused.value.reason == "private_address"


@pytest.mark.parametrize(("url", "reason"), WRONG.items())
def test_what_else_is_refused_says_why(url: str, reason: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        STRICT.read(url)
    assert refused.value.reason == reason
    assert refused.value.members == {"reason": reason}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "HTTPS://Example.COM:443/a?b=c#d",
        "http://example.com:8080/@x",
        "https://münchen.example/ü",
        "https://127.0.0.1.nip.example/",
    ],
)
def test_plain_addresses_pass(url: str) -> None:
    assert STRICT.read(url).scheme in {"http", "https"}


@pytest.mark.parametrize(
    "numbers",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1111", "::1"], ["169.254.169.254"], ["::ffff:127.0.0.1"]],
)
async def test_one_private_number_spoils_a_name(numbers: list[str]) -> None:
    outgoing = Outgoing(allow_private=False, names=Fixed(numbers))
    with pytest.raises(UrlRefused):
        await outgoing.check("https://example.com/hook")
    with pytest.raises(UrlRefused) as refused:
        await outgoing.post("https://example.com/hook", body=b"", headers={}, limit_s=2, keep_bytes=10)
    assert refused.value.reason == "private_address"
    await outgoing.close()


async def test_a_name_that_changes_between_check_and_use_is_caught() -> None:
    names = Fixed(["8.8.8.8"], ["127.0.0.1"])
    outgoing = Outgoing(allow_private=False, names=names)
    await outgoing.check("http://rebind.example:8000/")
    with pytest.raises(UrlRefused):
        await outgoing.post("http://rebind.example:8000/", body=b"", headers={}, limit_s=2, keep_bytes=10)
    with pytest.raises(UrlRefused):
        async with outgoing.open("http://rebind.example:8000/", limit_bytes=10, limit_s=2):
            pass
    assert names.asked == ["rebind.example"] * 3, "looked up once for each use, and used as it was looked at"
    await outgoing.close()


async def test_the_last_look_is_at_the_number_that_is_connected_to() -> None:
    """Also where the HTTP client would read a number out of an address by itself."""
    factory = GuardedResolver(Fixed(["8.8.8.8"]), Guard(allow_private=False)).open_socket
    with pytest.raises(UrlRefused):
        factory((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with pytest.raises(UrlRefused):
        factory((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 80, 0, 0)))
    factory((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 80))).close()


async def test_a_name_that_nobody_knows_just_now_may_be_kept() -> None:
    outgoing = Outgoing(allow_private=False, names=Fixed([]))
    async with asyncio.timeout(2):
        await outgoing.check("https://not-yet.example/hook")
    await outgoing.close()


@given(integers(0, 2**32 - 1))
@settings(max_examples=500)
def test_no_ipv4_number_passes_that_the_registries_call_special(number: int) -> None:
    address = IPv4Address(number)
    if passes(str(address)):
        assert address.is_global
        assert not address.is_multicast


@given(integers(0, 2**128 - 1) | integers(0x2000 << 112, (0x2003 << 112) - 1) | integers(0, 2**32 - 1))
@settings(max_examples=500)
def test_no_ipv6_number_passes_that_the_registries_call_special(number: int) -> None:
    address = IPv6Address(number)
    if passes(str(address)):
        assert address.is_global
        assert not any((address.is_multicast, address.sixtofour, address.teredo))


@given(text(max_size=60) | from_regex(r"\Ahttps?://[a-z0-9.:@\[\]%\\/?#-]{0,40}\Z"))
@settings(max_examples=1000)
def test_any_text_is_refused_or_an_address_that_may_be_looked_up(url: str) -> None:
    try:
        read = STRICT.read(url)
    except UrlRefused:
        return
    assert read.scheme in {"http", "https"}
    assert read.raw_host
    assert read.user is None


def passes(number: str) -> bool:
    try:
        STRICT.check(number)
    except UrlRefused:
        return False
    return True
