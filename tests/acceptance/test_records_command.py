"""What an operator types about records and clients: against a running gateway, and where none runs."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from acceptance.gateway import NOTHING, Gateway, command_line, somebody

from servers import HOST, RedisServer, free_port, wait_for

NOBODY = "client_000000000000"


def settings_of(data_dir: Path, **more: str) -> dict[str, str]:
    own = {"PASSERELLE_DATA_DIR": str(data_dir), "PASSERELLE_PORT": str(free_port())}
    return own | {"PASSERELLE_SANDBOX_LATENCY": "50ms"} | more


def done(*words: str, cwd: Path, env: Mapping[str, str] = NOTHING) -> list[str]:
    """The lines that a command printed which did what it was asked for."""
    ended = command_line(*words, cwd=cwd, env=env)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def failed(ended: "subprocess.CompletedProcess[str]", *, code: int) -> str:
    """The one line that says why."""
    told = ended.stderr.splitlines()
    assert (ended.returncode, len(told)) == (code, 1), (ended.returncode, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stdout
    return told[0]


def emptied(redis: RedisServer, gateway: Gateway) -> None:
    """Redis has lost all of it, and the gateway notices as soon as somebody reads."""
    redis.restart()
    assert gateway.sessions()["source"] == "memory"
    gateway.until_log("CRITICAL: Redis lost sessions")


@pytest.fixture
def on_redis(data_dir: Path, redis_server: RedisServer) -> Iterator[Gateway]:
    """A gateway with a linked phone, on a Redis that a test may empty."""
    with Gateway(data_dir, env={"REDIS_URL": redis_server.url}) as gateway:
        gateway.link(*somebody())
        wait_for(lambda: len(in_redis(redis_server)) == 1, "the session in Redis", 5)
        yield gateway


def in_redis(redis: RedisServer) -> list[str]:
    """The ids of the sessions that Redis holds."""
    return re.findall(r"sess_\w+", redis.ask("HKEYS", "passerelle:{default}:records:sessions"))


# --- against a running gateway


@pytest.mark.mission("E9")
@pytest.mark.mission("E10")
def test_reload_tells_how_much_there_is(on_redis: Gateway, tmp_path: Path) -> None:
    lines = done("records", "reload", cwd=tmp_path, env=settings_of(on_redis.data_dir))
    assert lines == [
        "✅ clients reloaded from redis: 0",
        "✅ sessions reloaded from redis: 1",
        "✅ logins reloaded from redis: 0",
    ]
    assert "✅ Sessions reloaded from Redis: 1 session(s)" in on_redis.log


@pytest.mark.mission("E1")
@pytest.mark.mission("E9")
def test_restore_brings_back_what_redis_lost(on_redis: Gateway, redis_server: RedisServer, tmp_path: Path) -> None:
    (session,) = on_redis.sessions()["items"]
    emptied(redis_server, on_redis)
    assert on_redis.session(session["id"])["source"] == "memory"
    lines = done("records", "restore", cwd=tmp_path, env=settings_of(on_redis.data_dir))
    assert "✅ sessions brought back to redis: 1" in lines
    assert in_redis(redis_server) == [session["id"]]
    assert on_redis.session(session["id"])["source"] == "redis"
    assert done("records", "restore", cwd=tmp_path, env=settings_of(on_redis.data_dir)) == [
        f"✅ {name} brought back to redis: 0" for name in ("clients", "sessions", "logins")
    ]


@pytest.mark.mission("E1")
@pytest.mark.mission("E9")
def test_accept_gives_up_what_redis_lost(on_redis: Gateway, redis_server: RedisServer, tmp_path: Path) -> None:
    (session,) = on_redis.sessions()["items"]
    emptied(redis_server, on_redis)
    lines = done("records", "accept", cwd=tmp_path, env=settings_of(on_redis.data_dir))
    assert "✅ sessions given up: 1" in lines
    found = on_redis.sessions()
    assert (found["items"], found["source"]) == ([], "redis")
    on_redis.link(session["user_id"], session["phone_number"])  # its number is free again


@pytest.mark.mission("E1")
def test_a_client_is_made_shown_its_key_once_and_let_in(on_redis: Gateway, tmp_path: Path) -> None:
    settings = settings_of(on_redis.data_dir)
    ended = command_line("clients", "add", "Zoë & Fils", cwd=tmp_path, env=settings)
    assert ended.returncode == 0
    sentence, key = ended.stdout.splitlines()
    found = re.fullmatch(r"✅ (client_\w+) - Zoë & Fils", sentence)
    assert found is not None
    assert "not shown again" in ended.stderr
    assert f"✅ Client created and saved in Redis: {found[1]} - Zoë & Fils" in on_redis.log
    assert on_redis.http.get("/api/whatsapp/sessions").status_code == 401
    assert on_redis.http.get("/api/whatsapp/sessions", headers={"X-API-Key": key}).status_code == 200
    (shown,) = done("clients", "keys", found[1], cwd=tmp_path, env=settings)
    assert shown.split()[-1] == "good"
    assert key.split("_")[2] == shown.split()[0]
    assert key.split("_")[3] not in shown
    (more,) = done("clients", "keys", found[1], "--new", cwd=tmp_path, env=settings)
    assert on_redis.http.get("/api/whatsapp/sessions", headers={"X-API-Key": more}).status_code == 200
    assert len(done("clients", "keys", found[1], cwd=tmp_path, env=settings)) == 2
    assert key not in on_redis.whole_log
    assert more not in on_redis.whole_log
    for path in on_redis.data_dir.rglob("*.log"):
        assert key.split("_")[3] not in path.read_text("utf-8")


# --- where none runs


@pytest.mark.mission("E9")
@pytest.mark.parametrize("home", ["redis", pytest.param("file", marks=pytest.mark.long)])
def test_every_command_works_where_no_gateway_runs(
    home: str, data_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    more = {"REDIS_URL": request.getfixturevalue("redis_server").url} if home == "redis" else {}
    settings = settings_of(data_dir, **more)
    sentence, key = done("clients", "add", "Back office", cwd=tmp_path, env=settings)
    client_id = sentence.split()[1]
    (shown,) = done("clients", "keys", client_id, cwd=tmp_path, env=settings)
    assert shown.startswith(key.split("_")[2])
    assert done("records", "reload", cwd=tmp_path, env=settings)[0] == f"✅ clients reloaded from {home}: 1"


@pytest.mark.mission("E1")
@pytest.mark.mission("E8")
def test_everything_moves_from_files_to_redis(data_dir: Path, redis_server: RedisServer, tmp_path: Path) -> None:
    user, phone = somebody()
    admin = {"PASSERELLE_ADMIN_KEY": "the-admin"}
    settings = settings_of(data_dir)
    with Gateway(data_dir) as before:
        before.link(user, phone)
        (session,) = before.sessions()["items"]
        assert session["source"] == "file"
        _, key = done("clients", "add", "Back office", cwd=tmp_path, env=settings)
        wait_for(lambda: session["id"] in _file(data_dir, "sessions"), "the session in its file", 5)
        before.terminate()
    settings |= {"REDIS_URL": redis_server.url}
    with Gateway(data_dir, env={"REDIS_URL": redis_server.url} | admin) as after:
        lines = done("records", "import", str(data_dir / "records"), cwd=tmp_path, env=settings)
        assert lines == [
            "✅ default clients: 1 saved, 0 there already, 0 different",
            "✅ default sessions: 1 saved, 0 there already, 0 different",
        ]
        again = done("records", "import", str(data_dir / "records"), cwd=tmp_path, env=settings)
        assert [line.partition(": ")[2] for line in again] == ["0 saved, 1 there already, 0 different"] * 2
        after.terminate()
        after.start()
        after.http.headers["X-API-Key"] = "the-admin"
        moved = after.until_connected(session["id"])
        assert (moved["user_id"], moved["state"], moved["source"]) == (user, "connected", "redis")
        wait_for(lambda: verified_in(after)["all_in_redis"], "what the start told, in Redis")
        verified = verified_in(after)
        assert {one["key"]: one["count"] for one in verified["keys"]} == {"clients": 1, "sessions": 1, "logins": 0}
        after.http.headers["X-API-Key"] = key
        assert after.http.get("/api/whatsapp/sessions").status_code == 200


def verified_in(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.http.get("/api/database/verify-redis").json()
    return found


def _file(data_dir: Path, collection: str) -> str:
    path = data_dir / "records" / "default" / f"{collection}.json"
    return path.read_text("utf-8") if path.exists() else ""


# --- when it does not work


@pytest.mark.mission("E1")
def test_an_import_overwrites_nothing_and_names_what_is_different(on_redis: Gateway, tmp_path: Path) -> None:
    (session,) = on_redis.sessions()["items"]
    folder = tmp_path / "elsewhere" / "default"
    folder.mkdir(parents=True)
    records = {session["id"]: {"v": 9, "ops": [], "data": {"user_id": "somebody else"}}}
    gone = {"sess_gone": {"v": 2, "ops": [], "data": None}}
    (folder / "sessions.json").write_text(json.dumps(records | gone))
    ended = command_line("records", "import", str(folder.parent), cwd=tmp_path, env=settings_of(on_redis.data_dir))
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.splitlines() == [
        "✅ default sessions: 0 saved, 0 there already, 1 different",
        f"⚠️ default sessions {session['id']}: there with other data, left as it is",
    ]
    assert on_redis.session(session["id"])["user_id"] == session["user_id"]


@pytest.mark.mission("E1")
@pytest.mark.long
def test_many_and_large_records_are_imported_in_parts(
    data_dir: Path, redis_server: RedisServer, tmp_path: Path
) -> None:
    """The gateway takes 1 MB, and 1,000 records, at a time."""
    folder = tmp_path / "elsewhere" / "client_1"
    folder.mkdir(parents=True)
    small = {f"login_{n}": {"v": 1, "ops": [], "data": {"n": n}} for n in range(2500)}
    large = {f"large_{n}": {"v": 1, "ops": [], "data": {"text": "é" * 150_000}} for n in range(3)}
    (folder / "logins.json").write_text(json.dumps(small | large))
    settings = settings_of(data_dir, REDIS_URL=redis_server.url)
    assert done("records", "import", str(folder.parent), cwd=tmp_path, env=settings) == [
        "✅ client_1 logins: 2503 saved, 0 there already, 0 different"
    ]
    assert ":2503" in redis_server.ask("HLEN", "passerelle:{client_1}:records:logins")


BAD_FOLDERS = {
    "nothing": None,
    "empty": {},
    "no records in it": {"default/notes.txt": "hello"},
    "no JSON": {"default/sessions.json": "hello"},
    "half a file": {"default/sessions.json": '{"a": {"v": 1, "op'},
    "a list": {"default/sessions.json": "[]"},
    "no record": {"default/sessions.json": '{"a": 5}'},
    "half a record": {"default/sessions.json": '{"a": {"v": 1}}'},
    "not text": {"default/sessions.json": b"\xff\xfe"},
    "a folder for a file": {"default/sessions.json/x": ""},
}
QUICK = {"nothing", "half a file", "half a record"}


@pytest.mark.mission("E9")
@pytest.mark.parametrize(
    "what", [one if one in QUICK else pytest.param(one, marks=pytest.mark.long) for one in BAD_FOLDERS]
)
def test_a_folder_that_holds_no_records_is_one_line_and_exit_2(what: str, data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "brought"
    if BAD_FOLDERS[what] is not None:
        folder.mkdir()
    for name, content in (BAD_FOLDERS[what] or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = command_line("records", "import", str(folder), cwd=tmp_path, env=settings_of(data_dir))
    assert failed(ended, code=2).startswith("passerelle: ")
    assert not (data_dir / "control.sock").exists(), "no gateway was started for it"


@pytest.mark.mission("E9")
@pytest.mark.long
def test_a_record_that_cannot_be_kept_is_one_line_and_exit_1(embedded: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / "brought" / "default"
    folder.mkdir(parents=True)
    for name, record in (("logins", {"v": 0}), ("UPPER", {})):
        (folder / f"{name}.json").write_text(json.dumps({"a": {"v": 1, "data": {"n": 1}} | record}))
        settings = settings_of(embedded.data_dir)
        ended = command_line("records", "import", str(folder.parent), cwd=tmp_path, env=settings)
        assert failed(ended, code=1).startswith("❌ ")
        (folder / f"{name}.json").unlink()


@pytest.mark.mission("D4")
@pytest.mark.mission("E7")
def test_with_redis_down_each_says_so_in_one_line(on_redis: Gateway, redis_server: RedisServer, tmp_path: Path) -> None:
    folder = tmp_path / "brought" / "default"
    folder.mkdir(parents=True)
    (folder / "logins.json").write_text('{"a": {"v": 1, "ops": [], "data": {"n": 1}}}')
    redis_server.kill()
    on_redis.until_log("Redis connection failed, using memory cache", 10)
    for words in (["clients", "add", "Back office"], ["records", "reload"], ["records", "import", str(folder.parent)]):
        ended = command_line(*words, cwd=tmp_path, env=settings_of(on_redis.data_dir))
        assert failed(ended, code=1).startswith("❌ "), words
    assert len(on_redis.sessions()["items"]) == 1


@pytest.mark.mission("D4")
def test_with_redis_down_and_no_gateway_running_it_is_said_in_one_line(data_dir: Path, tmp_path: Path) -> None:
    settings = settings_of(data_dir, REDIS_URL=f"redis://{HOST}:{free_port()}/0")
    assert failed(command_line("records", "reload", cwd=tmp_path, env=settings), code=1).startswith("❌ ")


@pytest.mark.mission("E1")
def test_while_redis_is_suspect_a_wish_is_refused_and_the_way_out_is_named(
    on_redis: Gateway, redis_server: RedisServer, tmp_path: Path
) -> None:
    settings = settings_of(on_redis.data_dir)
    sentence, _ = done("clients", "add", "one", cwd=tmp_path, env=settings)
    redis_server.restart()
    line = failed(command_line("clients", "keys", sentence.split()[1], "--new", cwd=tmp_path, env=settings), code=1)
    assert "passerelle records restore" in line


@pytest.mark.mission("E1")
def test_what_is_not_there_or_cannot_be_is_one_line(embedded: Gateway, tmp_path: Path) -> None:
    settings = settings_of(embedded.data_dir)
    for words in (
        ["clients", "keys", NOBODY],
        ["clients", "keys", "../../x y?#", "--new"],
        ["clients", "add", "two\nlines"],
    ):
        assert failed(command_line(*words, cwd=tmp_path, env=settings), code=1).startswith("❌ "), words
    elsewhere = settings | {"PASSERELLE_URL": f"http://{HOST}:{free_port()}"}
    assert "does not answer" in failed(command_line("records", "reload", cwd=tmp_path, env=elsewhere), code=1)


@pytest.mark.mission("E9")
def test_wrong_words_are_exit_2_and_each_command_has_an_example(tmp_path: Path) -> None:
    for words in (["records"], ["records", "import"], ["records", "nonsense"], ["clients", "add"], ["clients", "keys"]):
        ended = command_line(*words, cwd=tmp_path)
        assert ended.returncode == 2, words
        assert "Traceback" not in ended.stderr
    for words in (*(["records", verb] for verb in ("reload", "restore", "accept", "import")), ["clients", "keys"]):
        ended = command_line(*words, "--help", cwd=tmp_path)
        assert f"Example: passerelle {' '.join(words)}" in " ".join(ended.stdout.split())
