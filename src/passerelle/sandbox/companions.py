"""Which linked phones each process of the gateway keeps connected, and what it hears of them."""

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from passerelle.clock import Clock
from passerelle.whatsapp.faults import ProviderUnavailable
from passerelle.whatsapp.model import Connection, ConnectionChanged
from passerelle.whatsapp.sending import DeviceGone, PhoneOffline

Speaker = Callable[[str], str]


class Companion:
    """One process, and the linked phones that it holds. In memory only: whoever comes back holds its phones anew."""

    def __init__(self, speaker: Speaker, clock: Clock) -> None:
        """Holds nothing; `speaker` is `Mail.speaker`."""
        self._speaker = speaker
        self._clock = clock
        self._devices: dict[str, str] = {}
        self._told: dict[str, Connection] = {}
        self._changes: asyncio.Queue[ConnectionChanged | None] = asyncio.Queue()

    def hold(self, *, session_id: str, device: str) -> None:
        """Tell how this phone is, and whenever that changes; held already: nothing."""
        if session_id not in self._devices:
            self._devices[session_id] = device
            self.look({device})

    def release(self, session_id: str) -> None:
        """Tell nothing of it any more. Not held: nothing."""
        self._devices.pop(session_id, None)
        self._told.pop(session_id, None)

    def connected(self) -> list[str]:
        """The sessions whose phones are connected."""
        return [session_id for session_id, told in self._told.items() if told is Connection.CONNECTED]

    def look(self, devices: AbstractSet[str] | None = None) -> None:
        """Tell what has changed with these devices; with all that are held, when not given."""
        for session_id, device in self._devices.items():
            if devices is None or device in devices:
                self._look(session_id, device)

    async def next_change(self) -> ConnectionChanged:
        """The next change, in order; waits for it.

        Raises:
            ProviderUnavailable: the world is closed.
        """
        change = await self._changes.get()
        if change is None:
            raise ProviderUnavailable
        return change

    def close(self) -> None:
        """The world is closed."""
        self._changes.put_nowait(None)

    def _look(self, session_id: str, device: str) -> None:
        connection, reason = self._state(device)
        if self._told.get(session_id) is connection:
            return
        self._told[session_id] = connection
        self._changes.put_nowait(
            ConnectionChanged(session_id=session_id, connection=connection, at=self._clock.now(), reason=reason)
        )

    def _state(self, device: str) -> tuple[Connection, str | None]:
        try:
            self._speaker(device)
        except DeviceGone:
            return Connection.LOGGED_OUT, "device_removed"
        except PhoneOffline as offline:
            return Connection.DISCONNECTED, offline.code
        return Connection.CONNECTED, None


class Companions:
    """Every process that is there."""

    def __init__(self, speaker: Speaker, clock: Clock) -> None:
        """Nobody yet."""
        self._speaker = speaker
        self._clock = clock
        self._there: set[Companion] = set()

    def join(self) -> Companion:
        """Somebody comes."""
        companion = Companion(self._speaker, self._clock)
        self._there.add(companion)
        return companion

    def leave(self, companion: Companion) -> None:
        """Somebody goes; may be repeated."""
        self._there.discard(companion)

    def look(self, devices: AbstractSet[str] | None = None) -> None:
        """Something has changed with these devices; with any, when not given."""
        for companion in self._there:
            companion.look(devices)

    def close(self) -> None:
        """Let everybody go."""
        for companion in self._there:
            companion.close()
