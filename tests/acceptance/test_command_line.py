"""What a person types, and a script: one line where something is wrong, and an exit code that means it."""

import json
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from acceptance.gateway import CODE, Gateway, clean_environment, command_line, launched, somebody

from servers import HOST, free_port

STORY = (r"1\. Anna's phone \+33639980001 exists", r"gets a code:\s+\S{4}-\S{4}", "3. She types it", "is connected")
FAST = {"PASSERELLE_SANDBOX_LATENCY": "50ms", "PASSERELLE_PROBATION": "100ms"}


def settings_of(data_dir: Path, **more: str) -> dict[str, str]:
    return {"PASSERELLE_DATA_DIR": str(data_dir), "PASSERELLE_PORT": str(free_port())} | FAST | more


@pytest.mark.mission("Z3")
def test_the_demo_tells_its_story_and_may_be_told_again(data_dir: Path, tmp_path: Path) -> None:
    for _ in range(2):
        ended = command_line("demo", "--once", cwd=tmp_path, env=settings_of(data_dir))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        for part in STORY:
            assert re.search(part, ended.stdout), part
        assert ended.stderr == ""


@pytest.mark.mission("Z3")
def test_the_demo_goes_on_serving_where_it_says_until_it_is_interrupted(data_dir: Path, tmp_path: Path) -> None:
    with launched("demo", "--port", "0", cwd=tmp_path, env=settings_of(data_dir)) as demo:
        told = ""
        while "until Ctrl-C" not in told:
            line = demo.line(15)
            assert line, told
            told += line
        address = re.search(rf"http://{HOST}:[1-9]\d+(?=/dashboard)", told)
        assert address is not None, told
        assert httpx.get(f"{address[0]}/readyz").status_code == 200
        demo.interrupt()
        assert demo.exit_code() == 0


@pytest.mark.mission("Z3")
def test_a_demo_that_cannot_be_played_says_why_and_fails(embedded: Gateway, data_dir: Path, tmp_path: Path) -> None:
    occupied = {"PASSERELLE_PORT": str(embedded.port)}
    ended = command_line("demo", "--once", cwd=tmp_path, env=settings_of(data_dir, **occupied))
    expect_one_line(ended, code=2)
    assert str(embedded.port) in ended.stderr


@pytest.mark.mission("Z3")
def test_a_demo_whose_story_breaks_fails(data_dir: Path, tmp_path: Path) -> None:
    with Gateway(data_dir) as gateway:
        gateway.fault("passkey_required", "+33639980001")
        gateway.terminate()
    ended = command_line("demo", "--once", cwd=tmp_path, env=settings_of(data_dir))
    assert ended.returncode == 1
    assert "❌" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.mission("A1")
def test_pair_follows_a_running_gateway_until_the_phone_is_linked(embedded: Gateway, tmp_path: Path) -> None:
    user, phone = somebody()
    with launched("pair", user, phone, cwd=tmp_path, env={"PASSERELLE_DATA_DIR": str(embedded.data_dir)}) as pair:
        line = pair.line()
        code = next(word for word in line.split() if CODE.match(word))
        assert " s left" in line
        assert embedded.type_code(phone, code).status_code == 200
        rest = pair.rest()
        assert rest.splitlines()[-1] == f"✅ {phone} is linked for {user}."
        assert pair.exit_code() == 0


@pytest.mark.mission("A1")
def test_pair_can_be_read_by_a_program_and_reach_a_gateway_elsewhere(embedded: Gateway, tmp_path: Path) -> None:
    user, phone = somebody()
    elsewhere = {"PASSERELLE_URL": f"http://{HOST}:{embedded.port}", "PASSERELLE_DATA_DIR": str(tmp_path / "none")}
    with launched("pair", user, phone, "--json", cwd=tmp_path, env=elsewhere) as pair:
        first = json.loads(pair.line())
        assert embedded.type_code(phone, first["code"]).status_code == 200
        last = [json.loads(line) for line in pair.rest().splitlines()][-1]
        assert (last["status"], last["attempt_id"]) == ("linked", first["attempt_id"])
        assert pair.exit_code() == 0


@pytest.mark.mission("A1")
def test_pair_says_how_else_it_ended(embedded: Gateway, tmp_path: Path) -> None:
    user, phone = somebody()
    with launched("pair", user, phone, cwd=tmp_path, env={"PASSERELLE_DATA_DIR": str(embedded.data_dir)}) as pair:
        pair.line()
        again = command_line("pair", user, phone, cwd=tmp_path, env={"PASSERELLE_DATA_DIR": str(embedded.data_dir)})
        expect_one_line(again, code=1)
        assert "An operation is already in progress for your account." in again.stderr
        job = embedded.ask(user, phone).json()["attempt_id"]
        embedded.http.delete(f"/api/whatsapp/pairing-code/{job}")
        assert "given up" in pair.rest()
        assert pair.exit_code() == 1


@pytest.mark.mission("A1")
def test_pair_runs_a_gateway_of_its_own_where_none_runs(data_dir: Path, tmp_path: Path) -> None:
    user, phone = somebody()
    settings = settings_of(data_dir)
    with launched("pair", user, phone, cwd=tmp_path, env=settings) as pair:
        code = next(word for word in pair.line(15).split() if CODE.match(word))
        control = httpx.Client(transport=httpx.HTTPTransport(uds=str(data_dir / "control.sock")))
        with control:
            typed = control.post(f"http://gateway/sandbox/phones/{phone}/enter-code", json={"code": code})
        assert typed.status_code == 200
        assert pair.rest().splitlines()[-1] == f"✅ {phone} is linked for {user}."
        assert pair.exit_code() == 0


@pytest.mark.mission("A1")
def test_pair_needs_no_free_port_where_no_gateway_runs(embedded: Gateway, data_dir: Path, tmp_path: Path) -> None:
    """Whatever else listens there: nobody asked it to serve."""
    user, phone = somebody()
    settings = settings_of(data_dir, PASSERELLE_PORT=str(embedded.port))
    with launched("pair", user, phone, cwd=tmp_path, env=settings) as pair:
        assert "s left" in pair.line(15)


@pytest.mark.mission("A1")
@pytest.mark.parametrize("here", [True, False], ids=["in process", "of a running gateway"])
def test_a_bad_number_is_one_line_and_exit_1(
    here: bool,  # noqa: FBT001
    embedded: Gateway,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    settings = settings_of(data_dir if here else embedded.data_dir)
    expect_one_line(command_line("pair", "anna", "not-a-number", cwd=tmp_path, env=settings), code=1)


@pytest.mark.parametrize("words", [("send", "anna", "+33639980002", "hello"), ("people", "show", "+33639980002")])
def test_a_data_directory_that_is_none_is_one_line_and_exit_2(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = command_line(*words, cwd=tmp_path, env=settings_of(tmp_path / "file"))
    expect_one_line(ended, code=2)
    assert "PASSERELLE_DATA_DIR cannot be used as a folder" in ended.stderr


def test_what_breaks_before_there_is_a_log_is_one_line_too(tmp_path: Path) -> None:
    """A traceback on the screen shows the values around it: secrets, when settings are being read."""
    gone = tmp_path / "gone"
    begin = f"import os; os.mkdir({str(gone)!r}); os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})"
    again = "import sys; os.execv(sys.executable, [sys.executable, '-m', 'passerelle', 'records', 'reload'])"
    env = clean_environment({"PASSERELLE_ADMIN_KEY": "hunter2-and-a-half"})
    ended = subprocess.run(
        [sys.executable, "-c", f"{begin}; {again}"], env=env, capture_output=True, text=True, check=False
    )
    expect_one_line(ended, code=1)
    assert ended.stdout == ""


@pytest.mark.mission("A1")
@pytest.mark.parametrize("name", ["PASSERELLE_URL", "DATABASE_URL"])
def test_pair_says_in_one_line_what_is_away(name: str, data_dir: Path, tmp_path: Path) -> None:
    address = f"{HOST}:{free_port()}"
    away = {name: f"http://{address}" if name == "PASSERELLE_URL" else f"postgresql://postgres@{address}/none"}
    ended = command_line("pair", *somebody(), cwd=tmp_path, env=settings_of(data_dir, **away))
    expect_one_line(ended, code=1)


@pytest.mark.mission("A1")
def test_pair_reaches_whichever_process_still_serves_the_directory(
    data_dir: Path, database_url: str, tmp_path: Path
) -> None:
    user, phone = somebody()
    settings = {"DATABASE_URL": database_url}
    with ExitStack() as stack:
        stays = stack.enter_context(Gateway(data_dir, env=settings))
        goes = stack.enter_context(Gateway(data_dir, env=settings))
        goes.terminate()
        ours = settings_of(data_dir, PASSERELLE_PORT=str(stays.port), **settings)
        with launched("pair", user, phone, "--json", cwd=tmp_path, env=ours) as pair:
            code = json.loads(pair.line(15))["code"]
            assert stays.type_code(phone, code).status_code == 200
            assert '"linked"' in pair.rest().splitlines()[-1]


@pytest.mark.mission("A1")
def test_the_control_socket_is_for_its_owner_alone_and_goes_with_the_gateway(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_ADMIN_KEY": "a-key-of-the-admin"}) as gateway:
        control = data_dir / "control.sock"
        assert control.stat().st_mode & 0o777 == 0o600
        assert data_dir.stat().st_mode & 0o777 == 0o700
        user, phone = somebody()
        refused = gateway.ask(user, phone)
        assert (refused.status_code, refused.json()["code"]) == (401, "key_missing")
        for key in ({"x-api-key": "a-key-of-the-admin"}, {"authorization": "Bearer a-key-of-the-admin"}):
            assert gateway.http.get("/api/whatsapp/sessions", headers=key).status_code == 200
        wrong = {b"authorization": b"Bearer \xe9"}
        assert gateway.http.get("/api/whatsapp/sessions", headers=wrong).status_code == 401
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(control))) as local:
            assert local.get("http://gateway/api/whatsapp/sessions").status_code == 200
        gateway.kill()
        assert control.exists()
        gateway.start()
        gateway.terminate()
        assert not control.exists()
        assert "a-key-of-the-admin" not in gateway.whole_log


@pytest.mark.mission("A1")
@pytest.mark.parametrize("home", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def test_the_database_can_be_upgraded_by_hand(
    home: str, empty_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    more = {}
    if home == "postgresql":
        more = {"DATABASE_URL": request.getfixturevalue("postgres_server").create_database(empty=True)}
    first = command_line("db", "upgrade", cwd=tmp_path, env=settings_of(empty_dir, **more))
    again = command_line("db", "upgrade", cwd=tmp_path, env=settings_of(empty_dir, **more))
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert "upgraded just now" in first.stdout
    assert "already" in again.stdout


@pytest.mark.mission("A1")
def test_the_version_is_told_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = command_line("version", cwd=tmp_path)
    assert re.fullmatch(r"passerelle \d+\.\d+\.\d+\S*\n", ended.stdout)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "command",
    [
        "version",
        *("serve", "worker", "sandbox", "demo", "pair", "db upgrade"),
    ],
)
@pytest.mark.mission("A1")
def test_help_has_an_example(command: str, tmp_path: Path) -> None:
    ended = command_line(*command.split(), "--help", cwd=tmp_path)
    assert ended.returncode == 0
    assert f"Example: passerelle {command}" in " ".join(ended.stdout.split())


@pytest.mark.mission("A1")
def test_a_wrong_word_is_exit_2(tmp_path: Path) -> None:
    for words in (["nonsense"], ["pair", "anna"], ["serve", "--workers", "-1"]):
        ended = command_line(*words, cwd=tmp_path)
        assert ended.returncode == 2, words
        assert "Traceback" not in ended.stderr


def expect_one_line(ended: "subprocess.CompletedProcess[str]", *, code: int) -> None:
    told = ended.stderr.splitlines()
    assert "Traceback" not in ended.stderr, ended.stderr
    assert len(told) == 1, told
    assert told[0].startswith("passerelle: ")
    assert ended.returncode == code
