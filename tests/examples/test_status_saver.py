"""The example `status_saver`, on a real gateway."""

from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from acceptance.gateway import Gateway
from passerelle.client import Client

from servers import HOST
from tables import copy_tables

MAIN = Path(__file__).parents[2] / "examples" / "status_saver" / "main.py"
USERS = 60


@pytest.fixture
def example() -> ModuleType:
    spec = spec_from_file_location("status_saver", MAIN)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.mission("B9")
def test_what_a_friend_deletes_is_kept_for_every_user_and_lies_in_the_store_that_is_told(
    example: ModuleType, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    copy_tables(data_dir)
    said: list[str] = []
    with Gateway(data_dir) as gateway, Client(f"http://{HOST}:{gateway.port}") as client:
        saved = example.run(client, USERS, said.append)
    users = [f"saver_{number}" for number in range(1, USERS + 1)]
    assert [one.message["user_id"] for one in saved] == users
    for one in saved:
        user = one.message["user_id"]
        assert (one.message["text"], one.message["from"]) == (f"Look, {user}!", example.FRIEND)
        assert one.message["deleted_at"] is not None
        assert one.medium["key"].startswith(f"deleted-messages/{user}/")
        lies = data_dir / "media" / one.medium["key"]
        assert sha256(lies.read_bytes()).hexdigest() == one.medium["sha256"]
        assert any(user in line and f"local:{one.medium['key']}" in line for line in said)
    assert said[-2:] == [
        "6. Media are kept in this order: local disk.",
        f"7. These media lie there now: local ({USERS}).",
    ]
