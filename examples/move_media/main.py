"""Files move from Supabase to Cloudinary; the gateway is killed half-way, goes on, and every file is compared."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any

import httpx

FILES, SIZE_BYTES = 24, 20_000
PASSERELLE = (sys.executable, "-m", "passerelle")
MIGRATE = ("media", "migrate", "--from", "supabase", "--to", "cloudinary")
SLOWLY = {"from": "supabase", "to": "cloudinary", "bandwidth": 40_000}  # bytes a second: time enough to kill it
SUPABASE = ("SUPABASE_URL", "SUPABASE_SERVICE_KEY", "SUPABASE_BUCKET")
CLOUDINARY = ("CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET")
LIMIT_S = 60.0
Env = dict[str, str]
Say = Callable[[str], None]


def run(env: Env, say: Say) -> None:
    """Play it with the settings in `env`, and `say` each step.

    Raises:
        httpx.HTTPError: the gateway, or Cloudinary, said no.
        RuntimeError: a command failed, or a file is not what it was.
        TimeoutError: something did not happen in time.
    """
    with gateway(env | dict.fromkeys(CLOUDINARY, "")) as (http, _):
        wanted = {keep(http) for _ in range(FILES)}
    say(f"1. {len(wanted)} files are kept at Supabase. Now Cloudinary is configured, too.")
    with gateway(env) as (http, process):
        say(f"2. A dry run: {passerelle(env, *MIGRATE, '--dry-run')}")
        http.post("/api/media/migrations", json=SLOWLY).raise_for_status()
        until_moved(http, FILES // 3, say)
        process.kill()
    say("3. The gateway was killed in the midst of it. It starts again, and the same command goes on:")
    with gateway(env) as (http, _):
        say(f"   {passerelle(env, *MIGRATE)}")
        compare(http, wanted)
        say(f"4. All {FILES} were downloaded from Cloudinary: each has the SHA-256 that it had.")
        http.post("/api/media/migrations", json=SLOWLY | {"dry_run": True}).raise_for_status()
        until(lambda: current(http)["state"] == "done", "the end of the dry run")
        kept = current(http)["already_there"]
        say(f"5. {kept} originals are still at Supabase. They leave when that is asked for:")
        say(f"   {passerelle(env, *MIGRATE, '--delete-source')}")


@contextmanager
def gateway(env: Env) -> Iterator[tuple[httpx.Client, "subprocess.Popen[bytes]"]]:
    """A gateway with these settings until the block ends."""
    key = {"Authorization": f"Bearer {env['PASSERELLE_ADMIN_KEY']}"} if "PASSERELLE_ADMIN_KEY" in env else {}
    url = f"http://127.0.0.1:{env.get('PASSERELLE_PORT', '8000')}"
    with (
        subprocess.Popen([*PASSERELLE, "serve"], env=env, stdout=DEVNULL, stderr=DEVNULL) as process,  # noqa: S603 -- ours
        httpx.Client(base_url=url, headers=key, timeout=LIMIT_S, follow_redirects=True) as http,
    ):
        try:
            until(lambda: process.poll() is not None or answers(http), "the gateway answers")
            if process.poll() is not None:
                raise RuntimeError("The gateway did not start: `passerelle serve` says why.")
            yield http, process
        finally:
            process.terminate()


def answers(http: httpx.Client) -> bool:
    """Whether it serves by now."""
    try:
        return http.get("/readyz").is_success
    except httpx.TransportError:
        return False


def passerelle(env: Env, *words: str) -> str:
    """The last line that the command says."""
    ended = subprocess.run([*PASSERELLE, *words], env=env, stdout=PIPE, stderr=STDOUT, text=True, check=False)  # noqa: S603
    if ended.returncode:
        raise RuntimeError(ended.stdout)
    return ended.stdout.splitlines()[-1]


def keep(http: httpx.Client) -> str:
    """Upload a file; the SHA-256 of what was sent."""
    data = os.urandom(SIZE_BYTES)
    form = {"category": "view-once", "user_id": "anna"}
    http.post("/api/media", data=form, files={"file": data}).raise_for_status()
    return sha256(data).hexdigest()


def until_moved(http: httpx.Client, count: int, say: Say) -> None:
    """Say how it goes until so many files have moved."""
    heard = 0

    def is_moved() -> bool:
        nonlocal heard
        told = current(http)
        if told["moved"] != heard:
            heard = told["moved"]
            say(f"   {heard} of {told['files']} files, about {told['seconds_left'] or 0:.0f} s left")
        return heard >= count

    until(is_moved, f"{count} files have moved")


def current(http: httpx.Client) -> dict[str, Any]:
    """How the migration goes, or ended."""
    return dict(http.get("/api/media/migrations/current").raise_for_status().json())


def compare(http: httpx.Client, wanted: set[str]) -> None:
    """Download every file by its link, which leads to Cloudinary now."""
    items = http.get("/api/media", params={"limit": 1000, "store": "cloudinary"}).raise_for_status().json()["items"]
    found = {sha256(http.get(one["url"]).raise_for_status().content).hexdigest() for one in items}
    if not wanted <= found:
        raise RuntimeError(f"{len(wanted - found)} of {len(wanted)} files are not what they were.")


def until(happened: Callable[[], bool], what: str) -> None:
    """Return once it has `happened`."""
    end = time.monotonic() + LIMIT_S
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"{LIMIT_S:g} s have passed, and not yet: {what}.")
        time.sleep(0.05)


def main() -> int | str:
    """Play it with the settings of the environment; 0, or what went wrong."""
    missing = [name for name in (*SUPABASE, *CLOUDINARY) if name not in os.environ]
    if missing:
        return f"❌ Set {', '.join(missing)}."
    try:
        run({"PASSERELLE_DATA_DIR": "data/move_media"} | os.environ, print)
    except (httpx.HTTPError, RuntimeError, TimeoutError) as problem:
        return f"❌ {problem}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
