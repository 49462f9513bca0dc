"""The style, the script and the sign of the pages: served under the hash of what they hold, so kept for a year."""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "static"
BASE = "/dashboard/static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",  # of an image that is opened by itself
}


class Assets:
    """Read once, when the pages are made."""

    def __init__(self) -> None:
        """What lies in the folder `static`."""
        self._files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
        self._digests = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in self._files.items()}

    def url(self, name: str) -> str:
        """Where the file `name` is served; another one as soon as it holds something else."""
        return f"{BASE}/{self._digests[name]}/{name}"

    def route(self) -> Route:
        """The files; an address of an earlier version is gone, so that nobody keeps the wrong one."""

        async def serve(request: Request) -> Response:
            name, digest = request.path_params["name"], request.path_params["digest"]
            if self._digests.get(name) != digest:
                return PlainTextResponse("Not found", 404)
            return Response(self._files[name], media_type=TYPES[Path(name).suffix], headers=HEADERS)

        return Route(BASE + "/{digest}/{name}", serve, include_in_schema=False)
