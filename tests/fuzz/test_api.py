"""The whole HTTP interface against its own description: no request breaks it, and every answer is what it says."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fuzz.budget import cases
from fuzz.house import ADMIN_KEY, GOOD, Case, House, furnished

# the gateway beside us draws lots too, and hypothesis thinks that it was its strategy
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
Operation = schemathesis.APIOperation[Any, Any, Any, Any]
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_headers_conformance, response_schema_conformance),
]
PUBLIC = ("/api/health", "/healthz", "/readyz", "/api/confirm", "/media/", "/webhooks/")
"""What a stranger may ask."""
LEFT_OUT = frozenset({"/sandbox/clock/advance", "/api/whatsapp/pairing-code/{attempt_id}/events"})
"""What would let every link and key run out, centuries from now; what ends when somebody works on it."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with furnished(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="module")
def calm_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One in which nobody has unlinked the phone."""
    with furnished(tmp_path_factory.mktemp("calm")) as house:
        yield house


def operations(house: House) -> Iterator[Operation]:
    for found in schemathesis.openapi.from_dict(house.schema).get_all_operations():
        operation: Operation = found.ok()  # type: ignore[union-attr]  # ours can be read
        if operation.path not in LEFT_OUT:
            yield operation


def can_be_wrong(operation: Operation) -> bool:
    """Whether a request could break the description: by its body or its query, since any text may be an id."""
    return bool(operation.body or operation.query)


def turned_away(answer: httpx.Response) -> bool:
    """Whether a stranger learns nothing: no key, no JSON, or no route at all at an odd path."""
    return answer.status_code in {400, 401} or (answer.status_code, answer.json()["code"]) == (404, "not_found")


class Ids:
    """What the answers have named, for the paths of requests to come: so that most of them find something."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {}

    def learn(self, path: str, answer: Any) -> None:
        found = answer.get("items", [answer]) if isinstance(answer, dict) else []
        ids = [one.get("id") or one.get("attempt_id") or one.get("number") for one in found if isinstance(one, dict)]
        self._known.setdefault(path, []).extend(str(one) for one in ids if one)

    def fill(self, case: Case, back: int) -> None:
        """Put the last but `back` known ids in the path; 0: leave what was made up."""
        for name in case.path_parameters if back else ():
            known = self._known.get(case.path.partition(f"/{{{name}}}")[0], [])
            if known:
                case.path_parameters[name] = known[-min(back, len(known))]


@pytest.mark.parametrize("who", ["admin", "client", "nobody"])
def test_no_request_breaks_the_gateway_and_every_answer_is_as_described(house: House, who: str) -> None:
    keys = {"admin": {"X-API-Key": ADMIN_KEY}, "client": {"X-API-Key": house.client_key}, "nobody": {}}
    wrong: dict[tuple[str, str], str] = {}
    ids = Ids()

    def check(case: Case, back: int) -> None:
        ids.fill(case, back)
        answer = house.answer(case, keys[who])
        if answer.is_success and answer.content and answer.headers.get("content-type") == "application/json":
            ids.learn(case.path, answer.json())
        # in a form all is text, so there nothing is of a wrong type
        strict = [negative_data_rejection] if answer.is_success and case.media_type != "multipart/form-data" else []
        try:
            case.validate_response(answer, checks=[*CHECKS, *strict])
        except BaseExceptionGroup as group:
            for fault in group.exceptions:
                wrong.setdefault((case.operation.label, type(fault).__name__), str(group))
        if who == "nobody" and not case.path.startswith(PUBLIC) and not turned_away(answer):
            wrong.setdefault((case.operation.label, "let in"), f"{answer.status_code} {case.as_curl_command()}")

    for operation in operations(house):
        modes = [*([GenerationMode.NEGATIVE] if can_be_wrong(operation) else []), GenerationMode.POSITIVE]
        for mode in modes:
            made = operation.as_strategy(generation_mode=mode)
            tried = cases(5 if who == "nobody" else 15, smaller=False)
            tried(given(case=made, back=st.integers(0, 3))(check))()
    assert not wrong, "\n\n".join(wrong.values())


def below(house: House, made: str) -> tuple[str, list[Operation]]:
    """The name that paths give to what is made at `made`, and all that can be done with one."""
    found = [one for one in operations(house) if one.path.startswith(f"{made}/{{") and one.path.count("{") == 1]
    return found[0].path.partition("{")[2].partition("}")[0], found


@pytest.mark.parametrize("made", ["leads", "contractors", "messages", "webhooks", "clients", "whatsapp/pairing-code"])
def test_what_was_made_can_be_used_until_it_is_removed_and_never_after(calm_house: House, made: str) -> None:
    path, key = f"/api/{made}", {"X-API-Key": ADMIN_KEY}
    name, uses = below(calm_house, path)
    new: list[str] = []

    def use(case: Case) -> httpx.Response:
        case.path_parameters[name] = new[-1]
        answer = calm_house.answer(case, key)
        case.validate_response(answer, checks=CHECKS)
        return answer

    @cases(25, smaller=False)
    @given(steps=st.lists(st.sampled_from(uses).flatmap(lambda one: one.as_strategy()), max_size=4))
    def play(steps: list[Case]) -> None:
        asking = {"Prefer": "respond-async", "Idempotency-Key": uuid4().hex}
        told = calm_house.portal.call(lambda: calm_house.api.post(path, json=GOOD[path], headers=key | asking))
        assert told.is_success, told.text
        new.append(told.json().get("attempt_id") or told.json()["id"])
        gone = False
        for case in steps:
            answer = use(case)
            missing = answer.is_client_error if gone else answer.status_code == 404 and not case.body
            assert missing == gone, (case.method, case.path, answer.text)
            gone = gone or answer.status_code == 204

    play()
