"""Sends messages by the Cloud API."""

import mimetypes
from collections.abc import Callable

import structlog

from passerelle.errors import Invalid, NotFound
from passerelle.whatsapp.adapters.cloud_api import CloudApi
from passerelle.whatsapp.adapters.cloud_bodies import body_of, media_limit, prepared_of
from passerelle.whatsapp.adapters.cloud_faults import Refusal, Severed
from passerelle.whatsapp.adapters.cloud_limits import Limits
from passerelle.whatsapp.model import Medium, Outgoing
from passerelle.whatsapp.ports import OutgoingMedia
from passerelle.whatsapp.sending import AnswerLost, Remedy, SendRefused

UNKNOWN_TYPE = "application/octet-stream"
log = structlog.get_logger()


class CloudSender:
    """`whatsapp.ports.Sender`; the device of a message is Meta's id of the number that says it."""

    def __init__(self, api: CloudApi, *, media: OutgoingMedia, limits: Limits, heard: Callable[[str], None]) -> None:
        """Media come from `media`; `heard` is told of every device for which Meta has answered well."""
        self._api = api
        self._media = media
        self._limits = limits
        self._heard = heard

    async def prepare(self, outgoing: Outgoing) -> str | None:
        """Upload its medium, in pieces. It lasts 30 days at WhatsApp; one uploaded twice costs nothing."""
        most_bytes = media_limit(outgoing)
        if most_bytes is None:
            return None
        try:
            async with self._media.open(outgoing) as medium:
                return await self._upload(outgoing.device, medium, most_bytes)
        except (NotFound, Invalid) as fault:  # gone, forbidden, too large to fetch: for good
            raise SendRefused(fault.code, Remedy.PERMANENT) from fault
        except Refusal as refused:
            raise self._refused(refused, outgoing) from None

    async def send(self, outgoing: Outgoing, *, prepared: str | None) -> str:
        """Hand it over; WhatsApp's id of it."""
        body = body_of(outgoing, prepared)
        await self._limits.admit(outgoing.device, outgoing.to)
        try:
            told = await self._api.post(outgoing.device, "messages", wish=body)
            message_id = str(told["messages"][0]["id"])
        except Refusal as refused:
            raise self._refused(refused, outgoing) from None
        except (Severed, LookupError, TypeError):  # it was written, or even taken
            raise AnswerLost from None
        self._limits.taken(outgoing.device, outgoing.to)
        self._heard(outgoing.device)
        return message_id

    async def _upload(self, device: str, medium: Medium, most_bytes: int) -> str:
        size_bytes = medium.size_bytes
        if size_bytes is None or not 0 < size_bytes <= most_bytes:
            raise SendRefused(f"media_size: {size_bytes} bytes, WhatsApp takes {most_bytes}", Remedy.PERMANENT)
        kind = medium.content_type or mimetypes.guess_type(medium.name or "")[0] or UNKNOWN_TYPE
        told = await self._api.upload(device, "media", medium=medium, size_bytes=size_bytes, content_type=kind)
        self._heard(device)
        return prepared_of(str(told["id"]), medium.name)

    def _refused(self, refused: Refusal, outgoing: Outgoing) -> SendRefused:
        remedy = refused.error.verdict.remedy
        if remedy is Remedy.PAUSE_ACCOUNT:
            log.error("❌ Meta refuses to let this number speak", number=outgoing.device, reason=refused.error.reason)
        if remedy is Remedy.THROTTLE_RECIPIENT:
            return refused.of_message(wait=self._limits.penalty(outgoing.device, outgoing.to))
        return refused.of_message()
