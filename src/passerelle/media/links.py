"""Passerelle's own links to media: signed, expiring, the same whatever store the file lies in."""

import hashlib
import hmac
import re
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

    def __init__(self, *, secret: str, public_url: str, ttl: timedelta) -> None:
        """Sign with `secret`; `public_url` is where strangers reach us; a link lives for `ttl`."""
        self._secret = hashlib.sha256(f"passerelle.media.links:{secret}".encode()).digest()
        self._base = f"{public_url.rstrip('/')}/media/"
        self._ttl = ttl

    def url(self, media_id: str, *, now: datetime, variant: str = "") -> str:
        """Where the file, or its `variant` (a thumbnail), can be had."""
        expires = int((now + self._ttl).timestamp())
        query = f"expires={expires}&signature={self._sign(media_id, variant, expires)}"
        return f"{self._base}{quote(media_id)}?{query}" + (f"&variant={variant}" if variant else "")

    def check(self, media_id: str, *, expires: str, signature: str, variant: str, now: datetime) -> None:
        """Let it pass.

        Raises:
            LinkUnsigned: we did not make it.
            LinkExpired: its time is over.
        """
        if not EXPIRES.fullmatch(expires):
            raise LinkUnsigned
        if not hmac.compare_digest(self._sign(media_id, variant, int(expires)).encode(), signature.encode()):
            raise LinkUnsigned
        if now.timestamp() > int(expires):
            raise LinkExpired

    def _sign(self, media_id: str, variant: str, expires: int) -> str:
        return hmac.new(self._secret, f"{media_id}\n{variant}\n{expires}".encode(), hashlib.sha256).hexdigest()
