"""What can go wrong, by what the caller can do about it.

    PasserelleError
    ├── Invalid       the request is wrong: change it
    ├── NotFound      no such thing, for this caller
    ├── Conflict      true now, perhaps not later: look at what is there already
    ├── Denied        not yours
    ├── Rejected      the other side (WhatsApp, a store) said no: asking again at once does not help
    └── Unavailable   the other side is away: try again later

Leaves live in the feature that raises them, with a stable ``code`` and a ``hint``.
``Misconfigured`` stands outside the tree, so that nothing that handles a request can swallow it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence for people, in the two languages we speak."""

    en: str
    fr: str

    def in_language(self, lang: str) -> str:
        """The sentence in `lang` (``fr``, else English)."""
        return self.fr if lang == "fr" else self.en


class PasserelleError(Exception):
    """Something went wrong that has a name, a sentence and a way out."""

    code: ClassVar[str] = "error"
    text: ClassVar[Text]
    hint: ClassVar[Text]

    def __init__(self, *, retry_after: timedelta | None = None, **members: Any) -> None:
        """`members` are added to the answer beside `code` and `hint` (JSON values only)."""
        super().__init__(self.text.en)
        self.retry_after = retry_after
        self.members = members


class Invalid(PasserelleError):
    """The request is wrong: change it."""


class NotFound(PasserelleError):
    """No such thing, for this caller."""


class Conflict(PasserelleError):
    """True now, perhaps not later: look at what is there already."""


class Denied(PasserelleError):
    """Not yours."""


class Rejected(PasserelleError):
    """The other side said no: asking again at once does not help."""


class Unavailable(PasserelleError):
    """The other side is away: try again later."""


class Misconfigured(Exception):
    """A setting is wrong: the message says which one and what to write instead."""
