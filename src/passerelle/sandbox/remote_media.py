"""Fetching what people have sent from the virtual phones of a world that another process holds."""

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from passerelle.sandbox.media import as_medium
from passerelle.sandbox.remote import Remote
from passerelle.sandbox.samples import Sample
from passerelle.whatsapp.model import Attachment, Medium

_MEDIA = "/sandbox/wire/media"


class RemoteMedia:
    """`whatsapp.ports.IncomingMedia` over the wire; the world's server away means `ProviderUnavailable`."""

    def __init__(self, remote: Remote) -> None:
        """Fetch what came to the phones of the world behind `remote`."""
        self._remote = remote

    def open(
        self,
        attachment: Attachment,
        *,
        session_id: str,  # noqa: ARG002 -- the port's signature
        device: str,
    ) -> AbstractAsyncContextManager[Medium]:
        """See `IncomingMedia.open`."""
        return self._opened(attachment.ref, device)

    @asynccontextmanager
    async def _opened(self, ref: str, device: str) -> AsyncIterator[Medium]:
        found = json.loads(await self._remote.ask("POST", _MEDIA, wish={"ref": ref, "device": device}))
        yield as_medium(Sample(data=b64decode(found["data"]), content_type=found["content_type"], name=found["name"]))
