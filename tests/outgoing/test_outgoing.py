"""Requests to strangers' addresses: within limits, whatever the other side does."""

import asyncio
import gzip
import shutil
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from passerelle.outgoing import Opened, Outgoing, UrlRefused, UrlTooLarge, UrlUnreachable
from passerelle.outgoing.names import SystemNames

from .receiver import Receiver, Reply
from servers import HOST, free_port, missing

pytestmark = [pytest.mark.anyio, pytest.mark.mission("Z6")]


class AtHome:
    """Every name is this machine."""

    async def numbers(self, _host: str, /) -> list[str]:
        return [HOST]

    def close(self) -> None:
        pass


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def outgoing() -> AsyncIterator[Outgoing]:
    outgoing = Outgoing(allow_private=True, names=AtHome())
    yield outgoing
    await outgoing.close()


async def post(outgoing: Outgoing, url: str, *, limit_s: float = 5, keep_bytes: int = 1024) -> tuple[int, str]:
    answer = await outgoing.post(url, body=b"{}", headers={"a": "b"}, limit_s=limit_s, keep_bytes=keep_bytes)
    return answer.status, answer.text


async def taken(outgoing: Outgoing, url: str, *, limit_bytes: int = 1000, limit_s: float = 5) -> tuple[Opened, bytes]:
    async with outgoing.open(url, limit_bytes=limit_bytes, limit_s=limit_s) as opened:
        return opened, b"".join([chunk async for chunk in opened.chunks])


async def test_an_answer_is_a_status_and_the_beginning_of_its_body(outgoing: Outgoing, receiver: Receiver) -> None:
    receiver.reply = Reply(status=503, body=b"x" * 5000)
    assert await post(outgoing, receiver.url, keep_bytes=1024) == (503, "x" * 1024)
    (request,) = receiver.requests
    assert (request.method, request.body, request.headers["a"]) == ("POST", b"{}", "b")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("Passerelle/")
    assert "cookie" not in request.headers


@pytest.mark.parametrize("reply", [Reply(status=202, drips=True), Reply(status=202, stops_short=True)])
async def test_a_body_that_never_ends_does_not_undo_its_status(
    outgoing: Outgoing, receiver: Receiver, reply: Reply
) -> None:
    receiver.reply = reply
    status, text = await post(outgoing, receiver.url)
    assert (status, text[:2]) == (202, "ok")


async def test_a_redirect_of_a_post_is_an_answer_and_not_followed(outgoing: Outgoing, receiver: Receiver) -> None:
    receiver.reply = Reply(status=307, headers=(("Location", "/elsewhere"),))
    assert (await post(outgoing, receiver.url))[0] == 307
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(hangs=True), "timeout"),
        (Reply(resets=True), "connection_lost"),
        (Reply(dawdles=True), "timeout"),
        (Reply(headers=(("X-Long", "x" * 10_000),)), "broken_answer"),
        (Reply(headers=tuple((f"X-{n}", "x") for n in range(500))), "broken_answer"),
        (Reply(headers=(("Content-Length", "many"),)), "broken_answer"),
    ],
)
async def test_what_comes_to_nothing_says_why(
    outgoing: Outgoing, receiver: Receiver, reply: Reply, reason: str
) -> None:
    receiver.reply = reply
    with pytest.raises(UrlUnreachable) as away:
        await post(outgoing, receiver.url, limit_s=0.3)
    assert away.value.reason == reason
    assert away.value.__cause__ is None
    assert away.value.__suppress_context__, "the chain holds the address, and what may stand in it"


async def test_nobody_there_is_told_at_once(outgoing: Outgoing) -> None:
    with pytest.raises(UrlUnreachable, match="Nothing") as away:
        await post(outgoing, f"http://{HOST}:{free_port()}/")
    assert away.value.reason == "connection_refused"


async def test_a_file_is_taken_as_it_comes(outgoing: Outgoing, receiver: Receiver) -> None:
    receiver.replies["/a/caf%C3%A9.png"] = Reply(body=b"bytes", headers=(("Content-Type", "image/png"),))
    opened, data = await taken(outgoing, f"{receiver.url}/a/café.png")
    assert (opened.content_type, opened.size_bytes, opened.name, data) == ("image/png", 5, "café.png", b"bytes")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename*=UTF-8''%e2%82%ac.pdf", "€.pdf"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\y.exe"', "y.exe"),
        ('attachment; filename=".."', None),
        (f'attachment; filename="{"n" * 500}"', "n" * 200),
    ],
)
async def test_a_name_is_one_part_without_tricks(
    outgoing: Outgoing, receiver: Receiver, header: str, name: str | None
) -> None:
    receiver.reply = Reply(headers=(("Content-Disposition", header),))
    assert (await taken(outgoing, f"{receiver.url}/"))[0].name == name


async def test_three_redirects_are_followed_and_no_fourth(outgoing: Outgoing, receiver: Receiver) -> None:
    for step in range(4):
        receiver.replies[f"/{step}"] = Reply(status=302, headers=(("Location", f"{step + 1}"),))
    receiver.replies["/4"] = Reply(body=b"there")
    assert (await taken(outgoing, f"{receiver.url}/1"))[1] == b"there"
    with pytest.raises(UrlRefused) as refused:
        await taken(outgoing, f"{receiver.url}/0")
    assert refused.value.reason == "too_many_redirects"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest", "private_address"),
        ("http://[fd00:ec2::254]/", "private_address"),
        ("//0x7f.1/", "odd_address"),
        ("file:///etc/passwd", "scheme"),
        ("http://a:b@example.com/", "credentials"),
    ],
)
async def test_every_step_of_a_redirect_is_looked_at(
    outgoing: Outgoing, receiver: Receiver, location: str, reason: str
) -> None:
    receiver.reply = Reply(status=301, headers=(("Location", location),))
    with pytest.raises(UrlRefused) as refused:
        await taken(outgoing, receiver.url)
    assert refused.value.reason == reason
    assert receiver.connections == 1


@pytest.mark.parametrize("status", [204, 400, 404, 500, 503])
async def test_only_a_200_is_a_file(outgoing: Outgoing, receiver: Receiver, status: int) -> None:
    receiver.reply = Reply(status=status, body=b"")
    with pytest.raises(UrlUnreachable) as away:
        await taken(outgoing, receiver.url)
    assert away.value.reason == f"status_{status}"


async def test_a_file_too_large_is_refused_before_its_first_byte(outgoing: Outgoing, receiver: Receiver) -> None:
    receiver.reply = Reply(body=b"x" * 1001)
    with pytest.raises(UrlTooLarge):
        await taken(outgoing, receiver.url, limit_bytes=1000)


async def test_a_file_that_hides_its_size_is_refused_at_the_first_byte_too_many(
    outgoing: Outgoing, receiver: Receiver
) -> None:
    receiver.reply = Reply(body=b"x" * 1001, headers=(("Content-Length", ""),))
    with pytest.raises(UrlTooLarge):
        await taken(outgoing, receiver.url, limit_bytes=1000)
    assert len((await taken(outgoing, receiver.url, limit_bytes=1001))[1]) == 1001


async def test_a_packed_answer_is_never_unpacked(outgoing: Outgoing, receiver: Receiver) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    receiver.reply = Reply(body=bomb, headers=(("Content-Encoding", "gzip"),))
    assert len((await post(outgoing, receiver.url, keep_bytes=100_000))[1]) <= len(bomb)
    with pytest.raises(UrlUnreachable) as away:
        await taken(outgoing, receiver.url, limit_bytes=100_000)
    assert away.value.reason == "content_encoding"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(Reply(body=b"x", drips=True), "timeout"), (Reply(body=b"half", stops_short=True), "broken_answer")],
)
async def test_a_file_that_stops_or_never_ends_is_given_up(
    outgoing: Outgoing, receiver: Receiver, reply: Reply, reason: str
) -> None:
    receiver.reply = reply
    began = asyncio.get_running_loop().time()
    with pytest.raises(UrlUnreachable) as away:
        await taken(outgoing, receiver.url, limit_bytes=2_000_000, limit_s=0.4)
    assert away.value.reason == reason
    assert asyncio.get_running_loop().time() - began < 2


async def test_no_name_is_looked_up_for_longer_than_the_limit(receiver: Receiver) -> None:
    class Silent(AtHome):
        async def numbers(self, _host: str, /) -> list[str]:
            await asyncio.sleep(60)
            return []

    outgoing = Outgoing(allow_private=True, names=Silent())
    with pytest.raises(UrlUnreachable) as away:
        await post(outgoing, "http://slow.example/", limit_s=0.2)
    assert away.value.reason == "timeout"
    await outgoing.close()


async def test_a_name_is_looked_up_anew_for_every_request(receiver: Receiver) -> None:
    class Counting(AtHome):
        asked = 0

        async def numbers(self, _host: str, /) -> list[str]:
            self.asked += 1
            return [HOST]

    names = Counting()
    outgoing = Outgoing(allow_private=True, names=names)
    for _ in range(3):
        await post(outgoing, f"http://again.example:{receiver.port}/")
    assert (names.asked, receiver.connections) == (3, 3), "what was looked at before may be another today"
    await outgoing.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """How the receiver shows who it is, and how we believe it."""
    if shutil.which("openssl") is None:
        missing("openssl")
    key, shown = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(shown), "-subj", "/CN=tls.example", "-days", "1"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:tls.example"], check=True, capture_output=True)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(shown, key)
    return theirs, ssl.create_default_context(cafile=str(shown))


async def test_no_redirect_leads_from_https_to_http(certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    theirs, ours = certificate
    async with Receiver(tls=theirs) as secure, Receiver() as plain:
        secure.replies["/down"] = Reply(status=302, headers=(("Location", f"http://tls.example:{plain.port}/"),))
        plain.reply = Reply(status=302, headers=(("Location", f"https://tls.example:{secure.port}/"),))
        outgoing = Outgoing(allow_private=True, names=AtHome(), tls=ours)
        with pytest.raises(UrlRefused) as refused:
            await taken(outgoing, f"https://tls.example:{secure.port}/down")
        assert refused.value.reason == "redirect_to_plain_http"
        assert plain.connections == 0
        assert (await taken(outgoing, f"http://tls.example:{plain.port}/"))[1] == b"ok", "up is allowed"
        await outgoing.close()


async def test_a_certificate_is_checked_against_the_name(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    theirs, ours = certificate
    async with Receiver(tls=theirs) as secure:
        for tls, name in ((None, "tls.example"), (ours, "other.example")):
            outgoing = Outgoing(allow_private=True, names=AtHome(), tls=tls)
            with pytest.raises(UrlUnreachable) as away:
                await post(outgoing, f"https://{name}:{secure.port}/")
            assert away.value.reason == "certificate"
            await outgoing.close()
        assert secure.requests == []


async def test_a_name_server_that_hangs_holds_one_thread_for_each_name_and_nobody_else() -> None:
    goes_on, asked = threading.Event(), list[str]()

    def look_up(host: str) -> list[str]:
        asked.append(host)
        if host == "hangs.example":
            assert goes_on.wait(10)
        return ["8.8.8.8"]

    names = SystemNames(look_up)
    hanging = [asyncio.create_task(names.numbers("hangs.example")) for _ in range(500)]
    async with asyncio.timeout(5):
        assert await names.numbers("good.example") == ["8.8.8.8"]
    hanging[0].cancel()
    goes_on.set()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*hanging[1:]) == [["8.8.8.8"]] * 499
    assert sorted(asked) == ["good.example", "hangs.example"]
    await names.numbers("good.example")
    assert asked.count("good.example") == 2, "nothing is remembered"
    names.close()


async def test_names_and_numbers_of_this_machine_are_known() -> None:
    names = SystemNames()
    assert HOST in await names.numbers("localhost")
    assert await names.numbers(HOST) == [HOST]
    names.close()
