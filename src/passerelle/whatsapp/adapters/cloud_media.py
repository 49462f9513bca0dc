"""Fetches media that came in by the Cloud API."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from passerelle.whatsapp.adapters.cloud_api import CloudApi
from passerelle.whatsapp.adapters.cloud_faults import Away, GraphError, Refusal
from passerelle.whatsapp.faults import MediumGone
from passerelle.whatsapp.model import Attachment, Medium

GONE = frozenset({404, 410})


class CloudMedia:
    """`whatsapp.ports.IncomingMedia`: the address of a medium lives five minutes, so it is asked for each time."""

    def __init__(self, api: CloudApi) -> None:
        """Ask `api`."""
        self._api = api

    @asynccontextmanager
    async def open(self, attachment: Attachment, *, session_id: str, device: str) -> AsyncIterator[Medium]:  # noqa: ARG002  # the port's signature
        """As the port says; every byte is counted."""
        async with AsyncExitStack() as stack:
            try:
                told = await self._api.get(attachment.ref, params={"phone_number_id": device})
                response = await stack.enter_async_context(self._api.open(str(told.get("url"))))
            except Refusal as refused:
                raise _fault(refused.error) from None
            size_bytes = _size(told.get("file_size"), response.content_length)
            yield Medium(
                chunks=self._pieces(response, size_bytes),
                content_type=told.get("mime_type") or attachment.content_type,
                size_bytes=size_bytes,
                name=attachment.name,
            )

    async def _pieces(self, response: aiohttp.ClientResponse, size_bytes: int | None) -> AsyncIterator[bytes]:
        came = 0
        while True:
            piece = await self._api.piece(response)
            came += len(piece)
            if size_bytes is not None and (came > size_bytes or (not piece and came < size_bytes)):
                raise Away(f"it sent {came} bytes of {size_bytes}")
            if not piece:
                return
            yield piece


def _fault(error: GraphError) -> MediumGone | Away:
    return MediumGone() if error.status in GONE or error.is_no_such_object else Away(error.reason)


def _size(told: object, announced: int | None) -> int | None:
    return int(str(told)) if str(told).isdecimal() else announced
