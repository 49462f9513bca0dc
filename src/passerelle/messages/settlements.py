"""What has become of messages, told to whoever asked to hear of them."""

from collections.abc import Sequence

from passerelle.db import Tx
from passerelle.messages.model import Settled
from passerelle.messages.ports import SettleListener


class Settlements:
    """Hands on what concerns the listener: messages that carry a reference."""

    def __init__(self, listener: SettleListener | None = None) -> None:
        """Tell `listener`, if there is one."""
        self._listener = listener

    async def record(self, tx: Tx, settled: Sequence[Settled]) -> Sequence[Settled]:
        """Let the listener write down what follows, in the same transaction; `settled` comes back for `announce`."""
        meant = [one for one in settled if one.reference is not None]
        if meant and self._listener is not None:
            await self._listener.settled(tx, meant)
        return settled

    def announce(self, settled: Sequence[Settled]) -> None:
        """It is committed."""
        meant = [one for one in settled if one.reference is not None]
        if meant and self._listener is not None:
            self._listener.told(meant)
