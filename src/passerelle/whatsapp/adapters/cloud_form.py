"""A file on its way to the Graph API."""

import secrets
from collections.abc import AsyncIterator

from passerelle.whatsapp.model import Medium
from passerelle.whatsapp.sending import NotHandedOver


class Form:
    """A form with one file, of which no more than a piece is in memory."""

    def __init__(self, medium: Medium, size_bytes: int, content_type: str) -> None:
        """Of `medium`, which has `size_bytes`; its `headers` go with it."""
        boundary = secrets.token_hex(16)
        fields = {"messaging_product": "whatsapp", "type": content_type}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()
        ]
        # The name in the form is nobody's business; that of a document goes with its message.
        file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        self._head = "".join((*parts, file, f"Content-Type: {content_type}\r\n\r\n")).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._medium = medium
        self._size_bytes = size_bytes
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + size_bytes + len(self._tail)),
        }
        self.fault: Exception | None = None  # aiohttp would tell it as a connection that broke

    async def body(self) -> AsyncIterator[bytes]:
        """All of it, once. What the medium raises is kept in `fault`.

        Raises:
            NotHandedOver: the medium has more or less bytes than it should.
        """
        yield self._head
        try:
            async for piece in self._pieces():
                yield piece
        except Exception as fault:
            self.fault = fault
            raise
        yield self._tail

    async def _pieces(self) -> AsyncIterator[bytes]:
        left = self._size_bytes
        async for piece in self._medium.chunks:
            left -= len(piece)
            if left < 0:
                raise NotHandedOver
            yield piece
        if left:
            raise NotHandedOver
