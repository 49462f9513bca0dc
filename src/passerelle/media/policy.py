"""What one client may have us keep."""

from collections.abc import Mapping

from passerelle.db import Tx
from passerelle.errors import Invalid, Text
from passerelle.media.ports import Usage


class MediaQuota(Invalid):
    """This client has as much with us as it may."""

    code = "media_quota"
    text = Text("There is no room left for your media.", "Il n'y a plus de place pour vos médias.")
    hint = Text(
        "Delete some (DELETE /api/media/{id}), or ask the operator for more: PASSERELLE_MEDIA_QUOTA.",
        "Supprimez-en (DELETE /api/media/{id}), ou demandez-en plus à l'exploitant : PASSERELLE_MEDIA_QUOTA.",
    )


class Policy:
    """The limits that an operator sets."""

    def __init__(self, usage: Usage, *, limits: Mapping[str, int], quota_bytes: int | None) -> None:
        """`limits`: bytes of one file, by its sort; `quota_bytes`: of all of a client's, none: no limit."""
        self._usage = usage
        self._quota_bytes = quota_bytes
        self.limits = limits

    @property
    def has_quota(self) -> bool:
        """Whether there is anything to ask of the database."""
        return self._quota_bytes is not None

    async def admit(self, tx: Tx, *, client_id: str, size_bytes: int) -> None:
        """Let so much more in; who has called this in a unit is alone with this client's media till it ends.

        Raises:
            MediaQuota: it would be too much.
        """
        if self._quota_bytes is None:
            return
        used_bytes = await self._usage.used_bytes(tx, client_id=client_id)
        if used_bytes + size_bytes > self._quota_bytes:
            raise MediaQuota(used_bytes=used_bytes, quota_bytes=self._quota_bytes)
