"""One simulated WhatsApp for all processes: served by one of them, taken over when that one dies."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from acceptance.gateway import Gateway, all_started, somebody

from servers import HOST, wait_for

SERVES = "This process serves the sandbox's world"


@pytest.mark.mission("Z3")
def test_another_process_takes_the_world_over_when_its_holder_is_killed(data_dir: Path, database_url: str) -> None:
    settings = {"DATABASE_URL": database_url}
    with all_started([Gateway(data_dir, env=settings) for _ in range(2)]) as (one, other):
        holder, heir = (one, other) if SERVES in one.log else (other, one)
        linked = holder.link(*somebody())
        heir.link(*somebody())  # through the holder
        heir.advance(1000)
        wait_for(lambda: holder.http.get("/sandbox/clock").json()["offset_s"] == 1000, "one clock for all", 5)
        holder.kill()
        heir.until_log(SERVES)
        heir.link(*somebody())
        assert heir.http.get("/sandbox/clock").json()["offset_s"] == 1000
        links = {p["number"]: len(p["links"]) for p in heir.http.get("/sandbox/phones?limit=1000").json()["items"]}
        assert len(links) == 3
        assert set(links.values()) == {1}
        heir.until_connected(linked["session_id"])
        holder.start()
        holder.link(*somebody())


@pytest.mark.mission("Z3")
def test_a_code_that_was_out_when_the_worlds_holder_died_is_followed_by_another(
    data_dir: Path, database_url: str
) -> None:
    user, phone = somebody()
    settings = {"DATABASE_URL": database_url}
    with ExitStack() as stack:
        holder = stack.enter_context(Gateway(data_dir, "serve", "--no-worker", env=settings))
        stack.enter_context(Gateway(data_dir, "worker", env=settings))
        api = stack.enter_context(Gateway(data_dir, "serve", "--no-worker", env=settings))
        assert SERVES in holder.log
        first = api.code_for(user, phone)
        holder.kill()
        second = api.until_attempt(first["attempt_id"], lambda found: found["codes_issued"] == 2, limit=5)
        assert api.type_code(phone, second["code"]).status_code == 200
        api.until_attempt(first["attempt_id"], "linked")


@pytest.mark.mission("Z3")
def test_a_world_of_its_own_process_serves_gateways_elsewhere(data_dir: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Gateway(data_dir, "sandbox") as world:
        url = f"http://{HOST}:{world.port}"
        with Gateway(elsewhere, env={"PASSERELLE_SANDBOX_URL": url}) as gateway:
            user, phone = somebody()
            gateway.link(user, phone)
            assert [one["number"] for one in world.http.get("/sandbox/phones").json()["items"]] == [phone]
            code = gateway.code_for(*somebody())
            world.kill()
            refused = gateway.ask(*somebody())
            assert (refused.status_code, refused.json()["code"]) == (503, "provider_unavailable")
            world.start()
            again = gateway.until_attempt(code["attempt_id"], lambda found: found["codes_issued"] == 2)
            assert again["code"] != code["code"]
            gateway.link(*somebody())
            world.terminate(within=5)  # though a gateway follows it


@pytest.mark.mission("Z3")
def test_a_world_that_somebody_holds_is_not_served_twice(data_dir: Path) -> None:
    with Gateway(data_dir, "sandbox"):
        second = Gateway(data_dir, "sandbox").launch()
        try:
            code = second.exit_code()
        finally:
            second.stop()
        assert code == 2
        assert second.log.strip().splitlines()[-1].startswith("passerelle: ")
        assert "Traceback" not in second.log
