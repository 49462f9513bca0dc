"""Addresses of files in Supabase Storage, as people have written them down."""

import re
from urllib.parse import unquote, urlsplit

# Public ones, signed ones, those of who is logged in, and pictures that were made small.
_PATH = re.compile(r"/storage/v1/(?:object|render/image)/(?:(?:public|sign|authenticated)/)?([^/]+)/(.+)")


def key_of(address: str, *, url: str, bucket: str) -> str | None:
    """The key of the file in `bucket` of the project at `url`; nothing where the address is about something else."""
    try:
        asked = urlsplit(address)
    except ValueError:
        return None
    found = _PATH.fullmatch(asked.path)
    if _host(asked.netloc) != _host(urlsplit(url).netloc) or found is None or unquote(found[1]) != bucket:
        return None
    return unquote(found[2])


def _host(name: str) -> str:
    """A project answers under a second name that is made for large files."""
    return name.lower().replace(".storage.supabase.", ".supabase.")
