"""Fetching what people have sent from virtual phones, in the process that holds the world."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from passerelle.sandbox.faults import HITS_A_MEDIUM
from passerelle.sandbox.samples import Sample, sample_of
from passerelle.sandbox.world import World
from passerelle.whatsapp.faults import MediumGone, ProviderUnavailable
from passerelle.whatsapp.model import Attachment, Medium
from passerelle.whatsapp.sending import DeviceGone

PIECE_BYTES = 65_536


class SandboxMedia:
    """`whatsapp.ports.IncomingMedia` over a world in this process."""

    def __init__(self, world: World) -> None:
        """Fetch what came to the phones of `world`."""
        self._world = world

    def open(
        self,
        attachment: Attachment,
        *,
        session_id: str,  # noqa: ARG002 -- the port's signature
        device: str,
    ) -> AbstractAsyncContextManager[Medium]:
        """See `IncomingMedia.open`."""
        return self._opened(attachment.ref, device)

    def find(self, ref: str, *, device: str) -> Sample:
        """The whole medium; raises as `IncomingMedia.open`."""
        try:
            number = self._world.mail.speaker(device)
        except DeviceGone as gone:
            raise MediumGone from gone
        if self._world.faults.take(HITS_A_MEDIUM, number) is not None:
            raise ProviderUnavailable
        media = self._world.mail.medium(ref)
        if media is None:
            raise MediumGone
        return sample_of(media)

    @asynccontextmanager
    async def _opened(self, ref: str, device: str) -> AsyncIterator[Medium]:
        yield as_medium(self.find(ref, device=device))


def as_medium(sample: Sample) -> Medium:
    """`sample` as it comes."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sample.data), PIECE_BYTES):
            yield sample.data[start : start + PIECE_BYTES]

    return Medium(chunks=pieces(), content_type=sample.content_type, size_bytes=len(sample.data), name=sample.name)
