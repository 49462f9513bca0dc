"""The link that lets a customer confirm: signed, so that nobody can make one; made again from what is kept."""

import hashlib
import re
import secrets
from collections.abc import Sequence

from itsdangerous import BadSignature, Signer

from passerelle.leads.faults import LinkForged

_TOKEN = re.compile(r"[\w-]{1,64}\.[\w-]{1,64}", re.ASCII)
NONCE_BYTES = 16  # 128 bits: nobody guesses one, not even who knows the key


class ConfirmLinks:
    """Makes links and reads their tokens."""

    def __init__(self, *, secret: str, public_url: str, earlier: Sequence[str] = ()) -> None:
        """Sign with `secret`, believe what `earlier` ones signed too; `public_url` is where customers reach us."""
        keys = [*reversed(earlier), secret]  # the last one signs
        self._signer = Signer(keys, salt="passerelle.leads.confirm", digest_method=hashlib.sha256)
        self._base = f"{public_url.rstrip('/')}/api/confirm?token="

    def new_nonce(self) -> str:
        """A fresh unguessable one."""
        return secrets.token_urlsafe(NONCE_BYTES)

    def url(self, nonce: str) -> str:
        """Where to confirm: always the same for one `nonce`."""
        return self._base + self._signer.sign(nonce).decode()

    def read(self, token: str) -> str:
        """The nonce of a token.

        Raises:
            LinkForged: we did not make it.
        """
        if not _TOKEN.fullmatch(token):
            raise LinkForged
        try:
            return self._signer.unsign(token).decode()
        except BadSignature:
            raise LinkForged from None
