"""Files as the spool hands them to the stores."""

import hashlib
import io
import secrets
from pathlib import Path

from passerelle.media.model import Spooled


class _Unnamed(io.FileIO):
    """Closed without a word when nobody holds it any more."""

    def __del__(self) -> None:
        self.close()


def spooled(tmp_path: Path, data: bytes, content_type: str = "image/png", extension: str = "png") -> Spooled:
    """`data` in a file in `tmp_path` that has no name any more."""
    path = tmp_path / f"spooled-{secrets.token_hex(8)}"
    path.write_bytes(data)
    file = _Unnamed(path)
    path.unlink()
    return Spooled(
        file=file,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        content_type=content_type,
        extension=extension,
    )
