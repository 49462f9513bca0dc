"""What is raised when the gateway says no, or nothing at all."""

from typing import Any

import httpx

UNREACHABLE = {
    "code": "gateway_unreachable",
    "detail": "The gateway does not answer.",
    "hint": "Look at PASSERELLE_URL, or start one: passerelle serve",
}
NO_GATEWAY = {
    "code": "answer_unreadable",
    "detail": "What answers there does not speak as a gateway does.",
    "hint": "Look at the address: PASSERELLE_URL.",
}


class ApiProblem(Exception):
    """The gateway said no: `code`, `detail` and `hint` as it sent them; status 0 when it did not answer at all."""

    def __init__(self, status: int, members: dict[str, Any]) -> None:
        self.status = status
        """Of HTTP; 0: nobody answered."""
        self.members = dict(members)
        """All that was sent, for instance `attempt_url`, `index` or `errors`."""
        self.code = str(members.get("code", "error"))
        """Stable: programs may rely on it."""
        self.detail = str(members.get("detail", f"HTTP {status}"))
        self.hint = str(members.get("hint", ""))
        after = members.get("retry_after")
        self.retry_after = float(after) if isinstance(after, int | float) else None
        """In how many seconds it is worth asking again, where the gateway knows."""
        super().__init__(self.detail)


def refusal(response: httpx.Response) -> ApiProblem:
    """Why `response` is no answer. It must have been read."""
    told = _members(response)
    header = response.headers.get("Retry-After", "")
    if header.isdecimal():  # as a date it comes from somebody between, and then it is a guess
        told.setdefault("retry_after", int(header))
    return ApiProblem(response.status_code, told)


def is_report(response: httpx.Response) -> bool:
    """Whether it tells how somebody is who is unwell, and not why it cannot be told."""
    unwell = response.status_code == httpx.codes.SERVICE_UNAVAILABLE
    return unwell and response.headers.get("Content-Type") == "application/json"


def read_answer(response: httpx.Response) -> Any:
    """The JSON object that was answered.

    Raises:
        ApiProblem: it is none: something else listens there.
    """
    try:
        told = response.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ApiProblem(response.status_code, NO_GATEWAY)
    return told


def _members(response: httpx.Response) -> dict[str, Any]:
    try:
        told = response.json()
    except ValueError:
        told = None
    if isinstance(told, dict):
        return told
    plain = response.headers.get("Content-Type", "").startswith("text/plain")
    return {"detail": response.text[:200] if plain else f"HTTP {response.status_code} {response.reason_phrase}".strip()}
