"""What every answer tells the browser that reads it: the one place for it; a route that knows better has said so."""

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

# An answer that names one of these itself (pages, media, assets) keeps its own.
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",  # nearly all we say is somebody's, or a key
}
# The framework's description of the interface loads its reader from there, with a script within the page.
DOCS = frozenset({"/docs", "/redoc"})
DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; worker-src blob:; connect-src 'self'; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HSTS = (b"strict-transport-security", b"max-age=31536000")  # of this host alone: its neighbours may speak plain http
_RAW = {name.lower().encode(): (name.lower().encode(), value.encode()) for name, value in SAFE.items()}


def protect(scope: Scope, headers: MutableHeaders) -> None:
    """Add to the `headers` of the answer to `scope` what they do not say themselves."""
    if scope["path"] in DOCS:
        headers.setdefault("Content-Security-Policy", DOCS_POLICY)
    said = {name for name, _ in headers.raw}
    headers.raw.extend(field for name, field in _RAW.items() if name not in said)
    if scope["scheme"] == "https":
        headers.raw.append(HSTS)
