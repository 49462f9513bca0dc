"""Says in our words what the Graph API answers instead of doing: one table of its codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Self

from passerelle.errors import Rejected, Text
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.sending import Remedy, SendRefused

LONGEST_DETAILS = 300


class Verdict(NamedTuple):
    """What helps, and how long to wait where that is known better than by `messages.policy`."""

    remedy: Remedy
    wait: timedelta | None = None


# Meta's codes, by what reference/whatsapp.md §4 says of them. What is not here is judged by its HTTP status.
VERDICTS: dict[int, Verdict] = {
    # 1, 2: unknown, service down; 131000, 135000: something went wrong; 131016: overloaded; 131057: number is being
    # upgraded; 132069: flow throttled; 133004: server away
    **dict.fromkeys((1, 2, 131000, 131016, 131057, 132069, 133004, 135000), Verdict(Remedy.RETRY)),
    # The app's and the business account's calls of an hour: a minute changes nothing, the hour slides.
    **dict.fromkeys((4, 80007), Verdict(Remedy.THROTTLE_NUMBER, timedelta(minutes=5))),
    130429: Verdict(Remedy.THROTTLE_NUMBER, timedelta(seconds=5)),  # messages of a second
    131056: Verdict(Remedy.THROTTLE_RECIPIENT),  # waits 4^X s, see `cloud_limits`
    # 0, 3, 10, 190, 200-299, 131005: token or permission; 33: the number was deleted; 368, 131031: locked; 131042:
    # payment; 131045: wrong certificate; 131048: spam limit; 131064: messaging limit; 133010: not registered
    **dict.fromkeys(
        (0, 3, 10, 33, 190, *range(200, 300), 368, 131005, 131031, 131042, 131045, 131048, 131064, 133010),
        Verdict(Remedy.PAUSE_ACCOUNT),
    ),
    # The message itself: parameters, type, medium, template, name not approved, identifier not taken, window closed.
    **dict.fromkeys(
        (
            *(100, 131008, 131009, 131021, 131030, 131037, 131047, 131051, 131052, 131053, 131062, 131063),
            *(132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068),
        ),
        Verdict(Remedy.PERMANENT),
    ),
    # Its recipient: unreachable, in an experiment, has had enough for a day, opted out, changed identity, or (130497)
    # in a country that this business may not write to: the others still may be, so the account is not paused.
    **dict.fromkeys((130472, 130497, 131026, 131049, 131050, 137000), Verdict(Remedy.PERMANENT)),
}
# "Unsupported get/post request. Object with ID … does not exist … missing permissions": the number, not the message.
NO_SUCH_OBJECT = (100, 33)
BY_STATUS = {
    401: Verdict(Remedy.PAUSE_ACCOUNT),
    403: Verdict(Remedy.PAUSE_ACCOUNT),
    429: Verdict(Remedy.THROTTLE_NUMBER, timedelta(seconds=30)),
}
# Said in front of Meta's own words, which do not name the way out.
WAYS_OUT = {131047: "use a template"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphError:
    """An error as Meta says it, in an answer or in a webhook; without a `code` it was not the Graph API that spoke."""

    code: int | None
    subcode: int | None = None
    details: str = ""
    status: int = 400
    transient: bool = False

    @classmethod
    def read(cls, error: Mapping[str, Any], *, status: int = 400) -> Self:
        """The object `error` of an answer, or one of a webhook's `errors`.

        Raises:
            KeyError, OverflowError, TypeError, ValueError: it is not one.
        """
        data = error.get("error_data")
        data = data if isinstance(data, dict) else {}
        subcode = error.get("error_subcode")
        return cls(
            code=int(error["code"]),
            subcode=None if subcode is None else int(subcode),
            details=str(data.get("details") or error.get("message") or error.get("title") or ""),
            status=status,
            transient=error.get("is_transient") is True,
        )

    @property
    def verdict(self) -> Verdict:
        """What helps against it."""
        if self.is_no_such_object:
            return Verdict(Remedy.PAUSE_ACCOUNT)
        if self.code in VERDICTS:
            return VERDICTS[self.code]
        if self.transient or self.status >= 500:  # noqa: PLR2004 -- as HTTP has it
            return Verdict(Remedy.RETRY)
        return BY_STATUS.get(self.status, Verdict(Remedy.PERMANENT))

    @property
    def is_no_such_object(self) -> bool:
        """Whether what was asked about is not there, or not ours to see."""
        return (self.code, self.subcode) == NO_SUCH_OBJECT

    @property
    def reason(self) -> str:
        """The code, then the words: what `last_error` and receipts show."""
        head = f"HTTP {self.status}" if self.code is None else str(self.code)
        words = ": ".join(part for part in (WAYS_OUT.get(self.code or 0), self.details) if part)
        return f"{head}: {words}"[:LONGEST_DETAILS] if words else head


class Refusal(Exception):
    """The Graph API said no. Never leaves the adapter: every port has words of its own for it."""

    def __init__(self, error: GraphError, *, wait: timedelta | None = None) -> None:
        """`wait` is its ``Retry-After``."""
        super().__init__(error.reason)
        self.error = error
        self.wait = wait

    def of_message(self, *, wait: timedelta | None = None) -> SendRefused:
        """The refusal of a message; `wait` where we know better than the table."""
        remedy, usual = self.error.verdict
        return SendRefused(self.error.reason, remedy, wait=self.wait or wait or usual)


class Away(ProviderUnavailable):
    """The Graph API did not answer, and has not done what it was asked; `reason` holds no secret."""

    def __init__(self, reason: str) -> None:
        """`reason` is for the log."""
        super().__init__()
        self.reason = reason


class Severed(Away):
    """No answer came that could be understood: perhaps it has done what it was asked."""


class CloudApiRefused(Rejected):
    """Meta does not let us use the number."""

    code = "cloud_api_refused"
    text = Text("Meta refuses the use of this number.", "Meta refuse l'utilisation de ce numéro.")
    hint = Text(
        "Check the access token, its permissions and the phone number id.",
        "Vérifiez le jeton d'accès, ses autorisations et l'identifiant du numéro.",
    )
