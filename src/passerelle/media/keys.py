"""Which names a kept file may have."""

import re

from passerelle.media.model import BadKey

# An allow-list: no dot but the last one, so no way up, nothing hidden, nothing absolute, nothing a shell or URL minds.
_KEY = re.compile(r"[a-z-]{1,32}/[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}\.[a-z0-9]{1,5}", re.ASCII)


def is_key(text: str) -> bool:
    """Whether it is of the form ``{category}/{user}/{timestamp}-{id}.{ext}``."""
    return _KEY.fullmatch(text) is not None


def check(key: str) -> None:
    """Raise `BadKey` for what could lead elsewhere."""
    if not is_key(key):
        raise BadKey
