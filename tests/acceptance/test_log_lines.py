"""What the log of a real gateway says."""

import json
from pathlib import Path

import pytest

from acceptance.gateway import PAIRING, Gateway, somebody


@pytest.mark.mission("A9")
def test_every_line_about_an_attempt_carries_the_id_of_its_request(data_dir: Path) -> None:
    with Gateway(data_dir, env={"PASSERELLE_LOG": "json"}) as gateway:
        user, phone = somebody()
        wish = {"user_id": user, "phone_number": phone}
        code = gateway.http.post(PAIRING, json=wish, headers={"X-Request-ID": "mine-1"}).json()
        gateway.type_code(phone, code["code"])
        gateway.until_attempt(code["attempt_id"], "linked")
        gateway.terminate()
        lines = [json.loads(line) for line in gateway.whole_log.splitlines()]
    about = [line for line in lines if user in line["event"] or code["attempt_id"] in json.dumps(line)]
    assert len(about) >= 4
    assert {line["request"] for line in about} == {"mine-1"}
