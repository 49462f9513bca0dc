"""The QR code beside a linking code, where the provider has one: a picture of our own, never kept."""

import hashlib
from io import BytesIO

import segno
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from passerelle.clients.model import Caller
from passerelle.dashboard.desk import Desk
from passerelle.dashboard.words import BASE
from passerelle.errors import PasserelleError
from passerelle.pairing.model import Attempt
from passerelle.pairing.service import Pairing

SCALE, BORDER = 5, 4  # pixels of a module; a border of four modules is the standard's (ISO 18004)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def route(desk: Desk, pairing: Pairing) -> Route:
    """``/dashboard/link/{id}/qr``."""

    async def draw(request: Request) -> Response:
        try:
            visit = await desk.entry.visit(request)
            attempt = await pairing.get(visit.who, visit.part("id"))
            shown = await pairing.qr(visit.who, attempt.session_id)
        except PasserelleError:
            return Response(status_code=404)
        drawn = BytesIO()
        segno.make_qr(shown.qr).save(drawn, kind="svg", scale=SCALE, border=BORDER, light="#fff")
        return Response(drawn.getvalue(), media_type="image/svg+xml", headers=HEADERS)

    return Route(f"{BASE}/link/{{id}}/qr", draw, methods=["GET"], include_in_schema=False)


async def address(pairing: Pairing, caller: Caller, attempt: Attempt) -> str:
    """Where the picture is; another address for each code, and none while there is no code to scan."""
    try:
        shown = await pairing.qr(caller, attempt.session_id)
    except PasserelleError:
        return ""
    return f"{BASE}/link/{attempt.id}/qr?{hashlib.sha256(shown.qr.encode()).hexdigest()[:12]}"
