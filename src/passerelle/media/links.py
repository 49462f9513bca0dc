"""Passerelle's own links to media: signed, expiring, the same whatever store the file lies in."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from passerelle.errors import Denied, NotFound, Text

EXPIRES = re.compile(r"[1-9][0-9]{0,11}")  # till the year 33658; one way to write it


class LinkUnsigned(Denied):
    """A link that we did not make, or that somebody changed."""

    code = "link_not_signed"
    text = Text("This link is not signed by the gateway.", "Ce lien n'est pas signé par la passerelle.")
    hint = Text("Ask for a fresh one: GET /api/media/{id}.", "Demandez-en un nouveau : GET /api/media/{id}.")


class LinkExpired(NotFound):
    """A link whose time is over."""

    code = "link_expired"
    text = Text("This link has expired.", "Ce lien a expiré.")
    hint = Text("Ask for a fresh one: GET /api/media/{id}.", "Demandez-en un nouveau : GET /api/media/{id}.")


class MediaLinks:
    """Makes links and checks them."""

    def __init__(self, *, secret: str, public_url: str, ttl: timedelta, earlier: Sequence[str] = ()) -> None:
        """Sign with `secret`, believe what `earlier` ones signed too; strangers reach us at `public_url`.

        A link lives for `ttl`.
        """
        self._keys = [hashlib.sha256(f"passerelle.media.links:{one}".encode()).digest() for one in (secret, *earlier)]
        self._base = f"{public_url.rstrip('/')}/media/"
        self._ttl = ttl

    def url(self, media_id: str, *, now: datetime, variant: str = "") -> str:
        """Where the file, or its `variant` (a thumbnail), can be had."""
        expires = int((now + self._ttl).timestamp())
        query = f"expires={expires}&signature={_sign(self._keys[0], media_id, variant, expires)}"
        return f"{self._base}{quote(media_id)}?{query}" + (f"&variant={variant}" if variant else "")

    def check(self, media_id: str, *, expires: str, signature: str, variant: str, now: datetime) -> None:
        """Let it pass.

        Raises:
            LinkUnsigned: we did not make it.
            LinkExpired: its time is over.
        """
        if not EXPIRES.fullmatch(expires):
            raise LinkUnsigned
        shown = signature.encode()
        ours = [_sign(key, media_id, variant, int(expires)).encode() for key in self._keys]
        if not any(hmac.compare_digest(one, shown) for one in ours):
            raise LinkUnsigned
        if now.timestamp() > int(expires):
            raise LinkExpired


def _sign(key: bytes, media_id: str, variant: str, expires: int) -> str:
    return hmac.new(key, f"{media_id}\n{variant}\n{expires}".encode(), hashlib.sha256).hexdigest()
