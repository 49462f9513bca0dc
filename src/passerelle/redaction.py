"""Keeps secrets out of every text that leaves the process."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import unquote

MASK = "***"
# Below 4 characters a secret stands in half of all words: only the patterns below hide it.
SHORTEST = 4
# Texts that give a secret away by their form, also one that nobody told us.
# The last three are what urllib, redis-py and HTTP clients write around part of a secret (measured).
PATTERNS = (
    (re.compile(r'(?<=//)[^\s"]*@'), f"{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b(password|passwd|pwd|token|secret|api_?key|signature)=[^\s&\"',;]+"), rf"\1={MASK}"),
    (
        re.compile(r"(?i)(could not be cast to integer value as |illegal header value |with args beginning with: ).*"),
        rf"\1{MASK}",
    ),
)
# Nearly no line holds one of these, and looking for them costs a tenth of trying the patterns.
SIGNS = (
    *("//", "bearer", "basic", "passw", "pwd", "token", "secret", "key", "signature"),
    *("integer value as", "illegal header", "args beginning"),
)


class Redactor:
    """Knows the secrets of the settings and takes them out of texts, in any of their usual spellings."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know `secrets` from the start; `add` takes more."""
        self._secrets: set[str] = set()
        self._known: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str, *, user: str = "") -> None:
        """Hide `secret` from now on, and the base64 form of ``user:secret`` (HTTP Basic)."""
        pairs = (f"{user}:{secret}", f":{secret}", f"default:{secret}", secret)
        spellings = {secret, unquote(secret), *(_base64(pair) for pair in pairs)}
        self._secrets |= {spelling for spelling in spellings if len(spelling) >= SHORTEST}
        longest_first = sorted(self._secrets, key=len, reverse=True)
        if longest_first:
            self._known = re.compile("|".join(map(_any_spelling, longest_first)), re.IGNORECASE)

    def redact(self, text: str) -> str:
        """`text` without any secret."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        lower = text.lower()
        if any(sign in lower for sign in SIGNS):
            for pattern, instead in PATTERNS:
                text = pattern.sub(instead, text)
        return text


def _any_spelling(secret: str) -> str:
    return "".join(map(_any_spelling_of, secret))


def _any_spelling_of(char: str) -> str:
    """One character as itself, percent-encoded (once or twice), or escaped by Python, JSON or a form."""
    encoded = "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
    spellings = {char, encoded, encoded.replace("%", "%25"), repr(char)[1:-1], json.dumps(char)[1:-1]}
    spellings |= {"\\'"} if char == "'" else set()
    spellings |= {"+"} if char == " " else set()
    return f"(?:{'|'.join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))})"


def _base64(text: str) -> str:
    """Without the padding, so that it is found with and without."""
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")
