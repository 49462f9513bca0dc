"""The addresses of Cloudinary that carry a signature instead of a password."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose files they are, and where Cloudinary answers (no slash at the end of the prefixes)."""

    cloud_name: str
    api_key: str
    api_secret: str = field(repr=False)
    upload_prefix: str
    delivery_prefix: str

    def address(self, *path: str) -> str:
        """Of the interface."""
        return "/".join((self.upload_prefix, "v1_1", quote(self.cloud_name, safe=""), *path))

    def login(self) -> str:
        """For the Authorization header; Basic is what Cloudinary recommends between servers."""
        return "Basic " + base64.b64encode(f"{self.api_key}:{self.api_secret}".encode()).decode()

    def download_link(self, kind: str, params: Mapping[str, str]) -> str:
        """Where anybody may read an original until ``expires_at``; it says nothing that could be changed."""
        signed = {**params, "signature": self.signature(params), "api_key": self.api_key}
        return f"{self.address(kind, 'download')}?{urlencode(signed)}"

    def delivery_link(self, kind: str, transformation: str, *, version: str, public_id: str) -> str:
        """Where Cloudinary delivers, changed on the fly, for as long as the file is there."""
        path = quote(public_id, safe="/:")
        digest = self._sha1(f"{transformation}/{path}").digest()
        mark = f"s--{base64.urlsafe_b64encode(digest)[:8].decode()}--"
        cloud = quote(self.cloud_name, safe="")
        parts = (self.delivery_prefix, cloud, kind, "authenticated", mark, transformation, f"v{version}", path)
        return "/".join(parts)

    def signature(self, params: Mapping[str, str]) -> str:
        """Version 2: an ``&`` inside a value does not begin another parameter."""
        pairs = sorted(f"{name}={value}".replace("&", "%26") for name, value in params.items())
        return self._sha1("&".join(pairs)).hexdigest()

    def _sha1(self, text: str) -> "hashlib._Hash":
        # Cloudinary's own default; accounts that want SHA-256 only must ask for it.
        return hashlib.sha1((text + self.api_secret).encode(), usedforsecurity=False)
