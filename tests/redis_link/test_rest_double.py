"""Our double of Upstash's REST interface is true: both of Upstash's own clients agree with it."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from upstash_redis.asyncio import Redis
from upstash_redis.errors import UpstashError

from rest_double import TOKEN, RestDouble
from servers import RedisServer, missing

pytestmark = [pytest.mark.anyio, pytest.mark.mission("E3")]
PEER = Path(__file__).parent.parent / "peers" / "upstash"
WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
WRONGPASS = "WRONGPASS invalid or missing auth token"


@pytest.fixture
async def double(redis_server: RedisServer) -> AsyncIterator[RestDouble]:
    async with RestDouble(redis_server) as double:
        yield double


@pytest.fixture(scope="session")
def node_peer() -> Path:
    """Upstash's client for Node, installed by its lock; an earlier run may have done it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node with npm")
    if not (PEER / "node_modules" / "@upstash" / "redis").exists():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        if subprocess.run(command, cwd=PEER, capture_output=True, check=False, timeout=120).returncode:
            missing("@upstash/redis from npm")
    return PEER / "play.mjs"


@pytest.mark.parametrize("encoding", ["base64", None])
async def test_the_official_python_client_agrees(double: RestDouble, encoding: Literal["base64"] | None) -> None:
    async with Redis(double.url, TOKEN, rest_encoding=encoding, allow_telemetry=False) as redis:
        assert await redis.set("k", "v é ☎")
        assert await redis.get("k") == "v é ☎"
        assert await redis.get("nope") is None
        assert await redis.hset("h", values={"a": "1", "b": "2"}) == 2
        assert await redis.hgetall("h") == {"a": "1", "b": "2"}
        for together in (redis.pipeline(), redis.multi()):
            together.set("p", "1")
            together.incr("p")
            together.get("p")
            assert await together.exec() == [True, 2, "2"]
        assert await redis.eval("return {KEYS[1], ARGV[1], 7}", ["k"], ["x"]) == ["k", "x", 7]
        assert await redis.scan(0, match="h*") == (0, ["h"])
        with pytest.raises(UpstashError, match=WRONGTYPE):
            await redis.lpush("k", "x")
    async with Redis(double.url, "wrong", rest_encoding=encoding, allow_telemetry=False) as stranger:
        with pytest.raises(UpstashError, match=WRONGPASS):
            await stranger.get("k")


@pytest.mark.parametrize("encoding", ["base64", "plain"])
async def test_the_official_node_client_agrees(double: RestDouble, node_peer: Path, encoding: str) -> None:
    told = await _play(node_peer, URL=double.url, TOKEN=TOKEN, ENCODING=encoding)
    assert told == {
        "set": "OK",
        "get": "v é ☎",
        "none": None,
        "hset": 2,
        "hgetall": ["a", "1", "b", "2"],
        "pipeline": ["OK", 2, "2"],
        "multi": ["OK", 2, "2"],
        "eval": ["k", "x", 7],
        "scan": ["0", ["h"]],
        "wrongtype": WRONGTYPE,
        "discarded": told["discarded"],
        "kept": "2",
        "tokenOfMulti": WRONGPASS,
        "token": WRONGPASS,
    }
    assert "unknown command 'JSON.GET'" in told["discarded"]


async def _play(script: Path, **environment: str) -> dict[str, Any]:
    play = await asyncio.create_subprocess_exec(
        *("node", str(script)),
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        told, wrong = await play.communicate()
    assert play.returncode == 0, wrong.decode()
    return dict(json.loads(told))


@pytest.mark.parametrize("words", ["BLPOP", "WATCH", "CLIENT", "AUTH", "SELECT", "SUBSCRIBE", "MULTI"])
async def test_what_upstash_refuses_is_refused(double: RestDouble, words: str) -> None:
    status, body = await _post(double, "/", [words, "a", "1"])
    assert (status, body["error"].split(":")[0]) == (400, "ERR Command is not available")


async def test_a_command_may_stand_in_the_path(double: RestDouble) -> None:
    assert await _post(double, "/set/k", "v") == (200, {"result": "OK"})
    assert await _post(double, "/get/k", None) == (200, {"result": "v"})


async def test_without_a_token_nothing_is_done_by_any_way(double: RestDouble) -> None:
    for path, body in (("/", ["SET", "k", "v"]), ("/pipeline", [["SET", "k", "v"]]), ("/multi-exec", [["PING"]])):
        assert await _post(double, path, body, token="wrong") == (401, {"error": WRONGPASS})
    assert double.asked == []


async def _post(double: RestDouble, path: str, body: Any, *, token: str = TOKEN) -> tuple[int, Any]:
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.request("POST", double.url + path, data=text, headers=headers) as response:
        return response.status, await response.json()
