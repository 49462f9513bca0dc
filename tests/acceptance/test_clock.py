"""The simulated WhatsApp's clock: what becomes due by moving it is due at once."""

from pathlib import Path

import pytest

from acceptance.gateway import Gateway, somebody


@pytest.mark.mission("Z1")
@pytest.mark.mission("Z3")
def test_a_second_code_comes_by_itself_and_after_it_the_attempt_expires(data_dir: Path) -> None:
    user, phone = somebody()
    with Gateway(data_dir) as gateway:
        first = gateway.code_for(user, phone)
        gateway.advance(161)
        second = gateway.until_attempt(first["attempt_id"], lambda found: found["codes_issued"] == 2)
        assert second["status"] == "code_issued"
        assert second["code"] != first["code"]
        assert gateway.type_code(phone, first["code"]).status_code == 409
        # 161 s of its 300 are gone: the second code lives no longer than its attempt
        gateway.advance(161)
        ended = gateway.until_attempt(first["attempt_id"], "expired")
        assert (ended["codes_issued"], ended["code"]) == (2, None)
        assert gateway.type_code(phone, second["code"]).status_code == 409
        gateway.link(user, phone)
        offset = gateway.http.get("/sandbox/clock").json()["offset_s"]
        assert offset == 322
        gateway.kill()
        gateway.start()
        assert gateway.http.get("/sandbox/clock").json()["offset_s"] == 322
        gateway.link(*somebody())


@pytest.mark.long
@pytest.mark.mission("Z1")
def test_what_became_due_while_it_was_down_is_due_at_its_start(data_dir: Path) -> None:
    user, phone = somebody()
    with Gateway(data_dir, env={"PASSERELLE_JOB_TIMEOUT": "1s"}) as gateway:
        first = gateway.code_for(user, phone)
        gateway.kill()
        gateway.start()  # takes longer than the attempt had left, or not: it ends in any case
        ended = gateway.until_attempt(first["attempt_id"], "expired")
        assert ended["code"] is None
        gateway.code_for(user, phone)
