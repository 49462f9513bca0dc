"""A user asks for a code and ends with a linked phone, whatever WhatsApp does meanwhile."""

import json
import threading
import time
from pathlib import Path

import pytest

from acceptance.gateway import CODE, PAIRING, Gateway, at_once, events_of, somebody, timed

from servers import RedisServer


@pytest.mark.mission("A1")
@pytest.mark.mission("Z3")
def test_a_code_typed_on_the_phone_links_it(embedded: Gateway) -> None:
    user, phone = somebody()
    answer, took = timed(lambda: embedded.ask(user, phone))
    assert answer.status_code == 200
    code = answer.json()
    assert set(code) == {"attempt_id", "session_id", "status", "code", "expires_at"}
    assert code["status"] == "code_issued"
    assert CODE.match(code["code"])
    assert took < 1.0
    assert embedded.type_code(phone, code["code"]).status_code == 200
    embedded.until_attempt(code["attempt_id"], "linked", limit=3)
    session = embedded.session(code["session_id"])
    assert (session["user_id"], session["phone_number"], session["state"]) == (user, phone, "connected")
    assert session["provider"] == "sandbox"


@pytest.mark.mission("A9")
@pytest.mark.mission("A7")
def test_every_step_is_told_in_the_log(with_redis: Gateway) -> None:
    user, phone = somebody()
    attempt = with_redis.link(user, phone)
    job = attempt["attempt_id"]
    with_redis.until_log(f"[SessionLock] Lock released for user {user}")
    for line in (
        "Worker started",
        f"[SessionLock] Lock acquired for user {user}",
        f"[PairingQueue] Job {job} started for user {user}",
        f"[PairingQueue] Job {job} completed for user {user}",
    ):
        assert with_redis.log.count(line) == 1, line
    other, number = somebody()
    with_redis.fault("passkey_required", number)
    failed = with_redis.ask(other, number).json()["attempt_id"]
    with_redis.until_log(f"[PairingQueue] Job {failed} failed for user {other}")


@pytest.mark.mission("A5")
def test_with_redis_the_request_goes_through_its_queue(with_redis: Gateway, calm_redis: RedisServer) -> None:
    user, phone = somebody()
    job = with_redis.code_for(user, phone)["attempt_id"]
    assert f"bull:passerelle-pairing:{job}" in calm_redis.ask("KEYS", "bull:passerelle-pairing:*")
    assert f"lock:pairing:{user}" in calm_redis.ask("KEYS", "passerelle:*")


@pytest.mark.mission("A8")
@pytest.mark.parametrize("home", ["embedded", "with_redis", "on_postgresql"])
def test_60_users_at_once_get_one_code_each(home: str, request: pytest.FixtureRequest) -> None:
    gateway: Gateway = request.getfixturevalue(home)
    people = [somebody() for _ in range(60)]
    answers = at_once(60, lambda number: gateway.ask(*people[number]))
    assert {answer.status_code for answer in answers} == {200}, [a.text for a in answers if a.status_code != 200][:3]
    assert len({answer.json()["code"] for answer in answers}) == 60
    for answer in answers:
        attempt = gateway.attempt(answer.json()["attempt_id"])
        assert (attempt["codes_issued"], attempt["status"]) == (1, "code_issued")
        assert attempt["code"] == answer.json()["code"]


@pytest.mark.mission("A1")
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"user_id": "u"}', 422, "invalid_request"),
        ('{"user_id": "u", "phone_number": "letters"}', 422, "invalid_phone"),
        ('{"user_id": "u", "phone_number": "+33"}', 422, "invalid_phone"),
        ('{"user_id": "u", "phone_number": "0612345678"}', 422, "invalid_phone"),
        ('{"user_id": "", "phone_number": "+33639980001"}', 422, "invalid_user_id"),
        ('{"user_id": "u", "phone_number": 5}', 422, "invalid_request"),
        ('{"user_id": "u", "phone_number": "+33639980001", "more": 1}', 422, "invalid_request"),
        ('{"user_id": ', 400, "not_json"),
        ("[]", 422, "invalid_request"),
        ("", 422, "invalid_request"),
        (f'{{"user_id": "{"x" * 10_000_000}"}}', 413, "body_too_large"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_bad_input_is_a_clear_problem(embedded: Gateway, body: str, status: int, code: str) -> None:
    answer = embedded.http.post(PAIRING, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "hint"} <= set(answer.json())


@pytest.mark.mission("A1")
@pytest.mark.parametrize("home", ["embedded", "on_postgresql"])
def test_a_user_id_that_sql_cannot_keep_is_refused(home: str, request: pytest.FixtureRequest) -> None:
    gateway: Gateway = request.getfixturevalue(home)
    for user in ("a\0b", "\ud800"):
        body = json.dumps({"user_id": user, "phone_number": somebody()[1]})
        answer = gateway.http.post(PAIRING, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text


@pytest.mark.mission("A1")
def test_camel_case_and_spaces_are_understood(embedded: Gateway) -> None:
    user, phone = somebody()
    spaced = f"{phone[:3]} {phone[3:6]} {phone[6:]}"
    answer = embedded.http.post(PAIRING, json={"userId": user, "phoneNumber": spaced})
    assert answer.status_code == 200
    assert embedded.attempt(answer.json()["attempt_id"])["phone_number"] == phone


@pytest.mark.mission("A1")
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("invalid_phone", 422, "invalid_phone"),
        ("already_linked", 409, "already_linked"),
        ("pairing_in_progress", 429, "pairing_in_progress"),
        ("passkey_required", 409, "passkey_required"),
        ("bad_display_name", 500, "provider_misconfigured"),
    ],
)
def test_what_whatsapp_refuses_is_told_by_its_name(embedded: Gateway, fault: str, status: int, code: str) -> None:
    user, phone = somebody()
    embedded.fault(fault, phone)
    answer = embedded.ask(user, phone)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["detail"]
    assert answer.json()["hint"]
    french = embedded.http.get(PAIRING + "/none", headers={"accept-language": "fr"}).json()["detail"]
    assert french == "Cette tentative de liaison n'existe pas."
    # the user is free at once
    embedded.code_for(user, phone)


@pytest.mark.mission("A1")
def test_whatsapp_away_is_503_and_blocks_nobody(embedded: Gateway) -> None:
    user, phone = somebody()
    embedded.fault("provider_unavailable", phone, times=2)
    answer = embedded.ask(user, phone)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
    embedded.code_for(user, phone)


@pytest.mark.mission("A1")
def test_a_number_that_whatsapp_throttles_cools_down_alone(embedded: Gateway) -> None:
    user, phone = somebody()
    embedded.fault("rate_overlimit", phone)
    for _ in range(2):  # the second is refused by ourselves: the fault is used up
        answer = embedded.ask(user, phone)
        assert (answer.status_code, answer.json()["code"]) == (429, "provider_rate_limited")
        assert 800 < int(answer.headers["retry-after"]) <= 900
    _, other = somebody()
    embedded.code_for(user, other)
    embedded.advance(901)
    embedded.code_for(*(somebody()[0], phone))


@pytest.mark.mission("A1")
def test_a_linked_number_is_refused_until_it_is_forced(embedded: Gateway) -> None:
    user, phone = somebody()
    first = embedded.link(user, phone)
    answer = embedded.ask(user, phone)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_linked")
    assert answer.json()["session_id"] == first["session_id"]
    second = embedded.link(user, phone, force=True)
    assert embedded.session(second["session_id"])["state"] == "connected"
    before = embedded.session(first["session_id"])
    assert (before["state"], before["state_reason"]) == ("logged_out", "linked_again")


@pytest.mark.mission("E2")
@pytest.mark.parametrize("home", ["embedded", "with_redis"])
def test_a_session_once_seen_is_never_missing_from_the_list(home: str, request: pytest.FixtureRequest) -> None:
    """While what happened moves from SQL to its home, readers see it in one place or the other."""
    gateway: Gateway = request.getfixturevalue(home)
    codes = []
    for _ in range(10):
        user, phone = somebody()
        codes.append((phone, gateway.code_for(user, phone)))
    lost: list[str] = []
    linked = threading.Event()

    def look(number: int) -> None:
        if number == 0:
            for phone, code in codes:
                assert gateway.type_code(phone, code["code"]).status_code == 200
            for _, code in codes:
                gateway.until_attempt(code["attempt_id"], "linked")
            linked.set()
            return
        seen: set[str] = set()
        while not linked.is_set():
            now = {one["id"] for one in gateway.sessions()["items"]}
            lost.extend(seen - now)
            seen |= now

    at_once(5, look)
    assert lost == []
    assert {code["session_id"] for _, code in codes} <= {one["id"] for one in gateway.sessions()["items"]}


@pytest.mark.mission("E2")
@pytest.mark.parametrize("home", ["embedded", "with_redis"])
def test_a_linked_phone_is_in_the_list_at_once(home: str, request: pytest.FixtureRequest) -> None:
    gateway: Gateway = request.getfixturevalue(home)
    people = [somebody() for _ in range(20)]

    def link(number: int) -> str:
        attempt = gateway.link(*people[number])
        return str(gateway.session(attempt["session_id"])["state"])

    assert set(at_once(20, link)) == {"connected"}


@pytest.mark.mission("A1")
def test_a_number_can_be_linked_again_more_often_than_whatsapp_has_places(embedded: Gateway) -> None:
    user, phone = somebody()
    for _ in range(6):
        embedded.link(user, phone, force=True)


@pytest.mark.mission("A1")
def test_an_answer_that_never_comes_ends_in_504(embedded: Gateway) -> None:
    user, phone = somebody()
    embedded.fault("no_code", phone)
    first = embedded.ask(user, phone, headers={"Prefer": "respond-async"})
    assert first.status_code == 202
    embedded.until_attempt(first.json()["attempt_id"], "connecting")

    def ask_or_advance(number: int) -> int:
        if number == 0:
            key = {"Prefer": "wait", "Idempotency-Key": "no-code-key"}
            return embedded.ask("somebody-else", other, headers=key).status_code
        embedded.until_log(waits)
        embedded.advance(21)
        return 0

    other = somebody()[1]
    embedded.fault("no_code", other)
    waits = "started for user somebody-else"
    assert at_once(2, ask_or_advance)[0] == 504
    ended = embedded.until_attempt(first.json()["attempt_id"], "failed")
    assert ended["reason"] == "pairing_timeout"
    embedded.code_for(user, phone)


@pytest.mark.mission("A1")
def test_a_slow_code_is_followed_and_comes(embedded: Gateway) -> None:
    user, phone = somebody()
    embedded.fault("slow_code", phone)
    answer, took = timed(lambda: embedded.ask(user, phone, headers={"Prefer": "respond-async"}))
    assert answer.status_code == 202
    assert took < 1.0
    body = answer.json()
    assert set(body) == {"attempt_id", "session_id", "status"}
    assert answer.headers["location"] == f"{PAIRING}/{body['attempt_id']}"
    embedded.until_attempt(body["attempt_id"], "connecting")
    until = time.monotonic() + 5
    while embedded.attempt(body["attempt_id"])["status"] != "code_issued":
        assert time.monotonic() < until
        embedded.advance(16)
    found = embedded.attempt(body["attempt_id"])
    assert CODE.match(found["code"])
    assert found["codes_issued"] == 1


@pytest.mark.mission("Z1")
def test_a_connection_lost_while_pairing_brings_a_second_code_by_itself(embedded: Gateway) -> None:
    user, phone = somebody()
    embedded.fault("disconnect_while_pairing", phone)
    first = embedded.code_for(user, phone)
    second = embedded.until_attempt(first["attempt_id"], lambda found: found["codes_issued"] == 2)
    assert second["code"] != first["code"]
    assert embedded.type_code(phone, first["code"]).status_code == 409
    assert embedded.type_code(phone, second["code"]).status_code == 200
    embedded.until_attempt(first["attempt_id"], "linked")


@pytest.mark.mission("Z1")
def test_a_link_that_whatsapp_takes_back_is_not_believed(data_dir: Path) -> None:
    user, phone = somebody()
    with Gateway(data_dir, env={"PASSERELLE_PROBATION": "2s"}) as gateway:
        gateway.fault("logged_out_after_link", phone)
        code = gateway.code_for(user, phone)
        assert gateway.type_code(phone, code["code"]).status_code == 200
        ended = gateway.until_attempt(code["attempt_id"], lambda found: found["status"] in {"failed", "linked"})
        assert (ended["status"], ended["reason"]) == ("failed", "logged_out")
        assert gateway.sessions()["items"] == []
        gateway.link(user, phone)


@pytest.mark.mission("A1")
def test_the_same_key_repeats_the_first_answer(embedded: Gateway) -> None:
    user, phone = somebody()
    key = {"Idempotency-Key": f"key-of-{user}"}
    first = embedded.ask(user, phone, headers=key)
    again = embedded.ask(user, phone, headers=key)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    other = embedded.ask(user, somebody()[1], headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.mission("A1")
def test_the_same_key_at_the_same_time_is_one_attempt(embedded: Gateway) -> None:
    user, phone = somebody()
    key = {"Idempotency-Key": f"key-of-{user}"}
    answers = at_once(20, lambda _: embedded.ask(user, phone, headers=key))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.mission("Z1")
def test_an_answer_of_200_always_has_a_code(embedded: Gateway) -> None:
    """An attempt that ended before its code came, or since, is told in another way than 200 without a code."""
    user, phone = somebody()
    embedded.fault("no_code", phone)

    def ask_or_cancel(number: int) -> int:
        if number == 0:
            answer = embedded.ask(user, phone)
            assert answer.status_code != 200 or answer.json()["code"], answer.text
            return answer.status_code
        embedded.until_log(f"started for user {user}")
        job = embedded.log.rpartition(f" started for user {user}")[0].rpartition("Job ")[2]
        return embedded.http.delete(f"{PAIRING}/{job}").status_code

    assert at_once(2, ask_or_cancel)[1] == 200


@pytest.mark.mission("A2")
def test_a_cancel_frees_the_user_at_once_and_kills_the_code(embedded: Gateway) -> None:
    user, phone = somebody()
    first = embedded.code_for(user, phone)
    cancelled = embedded.http.delete(f"{PAIRING}/{first['attempt_id']}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert embedded.type_code(phone, first["code"]).status_code == 409
    second = embedded.code_for(user, phone)
    assert embedded.type_code(phone, second["code"]).status_code == 200
    assert embedded.http.delete(f"{PAIRING}/{first['attempt_id']}").json()["code"] == "attempt_ended"
    assert embedded.http.delete(f"{PAIRING}/pair_unknown").status_code == 404


@pytest.mark.mission("A2")
def test_force_gives_up_the_open_attempt(embedded: Gateway) -> None:
    user, phone = somebody()
    first = embedded.code_for(user, phone)
    second = embedded.code_for(user, phone, force=True)
    assert embedded.attempt(first["attempt_id"])["status"] == "cancelled"
    assert embedded.type_code(phone, first["code"]).status_code == 409
    assert embedded.type_code(phone, second["code"]).status_code == 200


@pytest.mark.mission("A2")
def test_two_users_cannot_pair_one_number_at_the_same_time(embedded: Gateway) -> None:
    user, phone = somebody()
    first = embedded.code_for(user, phone)
    for force in (False, True):
        refused = embedded.ask(f"not-{user}", phone, force=force)
        assert (refused.status_code, refused.json()["code"]) == (429, "pairing_in_progress")
        assert refused.json()["attempt_id"] == first["attempt_id"]


@pytest.mark.mission("A1")
@pytest.mark.parametrize(
    "home",
    [
        "embedded",
        "on_postgresql",
    ],
)
def test_the_events_tell_every_state_once_and_end(home: str, request: pytest.FixtureRequest) -> None:
    gateway: Gateway = request.getfixturevalue(home)
    user, phone = somebody()
    first = gateway.code_for(user, phone)
    told = []
    typing = threading.Timer(0.7, gateway.type_code, (phone, first["code"]))  # meanwhile there is nothing to tell
    with gateway.http.stream("GET", f"{PAIRING}/{first['attempt_id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        typing.start()
        for name, data in events_of(stream.iter_lines()):
            told.append((name, data["status"]))
            assert name != "code" or data["code"] == first["code"]
    typing.join()
    expected = [("status", "code_issued"), ("code", "code_issued"), ("status", "confirming"), ("status", "linked")]
    # the two steps of confirming may be told, or one of them, or none where another process works
    assert sorted(set(told), key=told.index) in (expected, [*expected[:2], expected[3]])
    assert told.count(("status", "code_issued")) == told.count(("code", "code_issued")) == 1
    assert told[-1] == ("status", "linked")  # and then the stream ended
    with gateway.http.stream("GET", f"{PAIRING}/{first['attempt_id']}/events") as stream:
        assert [name for name, _ in events_of(stream.iter_lines())] == ["status"]
    assert gateway.http.get(f"{PAIRING}/pair_unknown/events").status_code == 404
