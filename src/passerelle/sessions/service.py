"""The linked phones of a client: who they are, and the facts that change them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.errors import PasserelleError, Unavailable
from passerelle.records.model import CollectionKey, Record, Source
from passerelle.records.service import Records
from passerelle.sessions.model import (
    COLLECTION,
    NotLinked,
    Proxy,
    Session,
    SessionState,
    UnknownSession,
    UnknownUser,
    from_document,
)
from passerelle.sessions.news import News, key_of
from passerelle.sessions.ports import (
    LinkedPhone,
    LinkListener,
    Number,
    PhoneBook,
    ProxyBook,
    SeenBook,
    Sighting,
    SpeakerBook,
    Voice,
)
from passerelle.webhooks.service import Webhooks
from passerelle.whatsapp.faults import AlreadyLinked
from passerelle.whatsapp.ports import Linker


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsReading:
    """The sessions of a client, from where, and as of when."""

    sessions: list[Session]
    source: Source
    as_of: datetime
    sightings: Mapping[str, Sighting]
    """Who holds which; nothing while SQL is away."""


class Sessions:
    """Linked phones. What happens to them is a fact: never refused, whatever is away."""

    def __init__(
        self,
        *,
        records: Records,
        phones: PhoneBook,
        speakers: SpeakerBook,
        seen: SeenBook,
        proxies: ProxyBook,
        linker: Linker,
        webhooks: Webhooks,
        database: Database,
        clock: Clock,
    ) -> None:
        """Sessions live in `records`; `phones` decides which number is taken, `speakers` who may say something."""
        self._records = records
        self._phones = phones
        self._speakers = speakers
        self._seen = seen
        self._proxies = proxies
        self._linker = linker
        self._news = News(records=records, webhooks=webhooks, clock=clock)
        self._database = database
        self._clock = clock
        self._listener: LinkListener | None = None

    def listen(self, listener: LinkListener) -> None:
        """Tell `listener` of every phone that is linked or unlinked."""
        self._listener = listener

    async def read_all(self, caller: Caller) -> SessionsReading:
        """Every session of the caller's client, oldest first; connected is only what has a connection now."""
        reading = await self._records.read(key_of(caller.client_id))
        sightings = await self.sightings(caller)
        away = {session_id for session_id, sighting in sightings.items() if not sighting.connected}
        found = [from_document(caller.client_id, r.id, r.data) for _, r in sorted(reading.records.items())]
        sessions = [session.without_connection() if session.id in away else session for session in found]
        return SessionsReading(sessions=sessions, source=reading.source, as_of=reading.as_of, sightings=sightings)

    async def get(self, caller: Caller, session_id: str) -> tuple[Session, SessionsReading]:
        """One session, and the reading it comes from.

        Raises:
            UnknownSession: none of this client's has that id.
        """
        reading = await self.read_all(caller)
        for session in reading.sessions:
            if session.id == session_id:
                return session, reading
        raise UnknownSession

    async def end(self, caller: Caller, session_id: str) -> None:
        """Unlink the phone: our own side is ended in any case, WhatsApp is told once, as well as can be.

        Raises:
            UnknownSession: none of this client's has that id.
        """
        session, _ = await self.get(caller, session_id)
        if session.state is SessionState.LOGGED_OUT:
            return
        await self._database.run(partial(self.logged_out, session=session, reason="ended_here"))
        self._records.wake()
        await self._linker.unlink(device=session.device)

    async def forget(self, caller: Caller, session_id: str) -> None:
        """Nothing tells any more that this phone was ever linked; harmless when it is known no more.

        Raises:
            AlreadyLinked: it is linked.
            Unavailable: it could not be saved.
        """

        def gone(record: Record) -> None:
            if record.data and record.data["state"] != SessionState.LOGGED_OUT.value:
                raise AlreadyLinked(session_id=session_id)

        await self._records.change(key_of(caller.client_id), session_id, gone)
        await self._records.memory.flush()

    async def sightings(self, caller: Caller) -> dict[str, Sighting]:
        """Who holds the caller's phones, and when they last proved that they live; nothing while SQL is away."""
        try:
            return await self._database.read(partial(self._seen.sightings, client_id=caller.client_id))
        except Unavailable:
            return {}

    async def reconnect(self, caller: Caller, session_id: str) -> Session:
        """Whoever holds it shall connect it anew.

        Raises:
            UnknownSession: none of this client's has that id.
            NotLinked: it is linked no more.
        """
        session, _ = await self.get(caller, session_id)
        wish = partial(self._seen.wish_reconnect, client_id=caller.client_id, session_id=session_id)
        if not await self._database.run(wish):
            raise NotLinked
        return session

    async def set_proxy(self, session_id: str, proxy: Proxy | None) -> None:
        """Whoever holds this phone, of whichever client, shall connect it anew by `proxy`, or directly.

        Raises:
            UnknownSession: no linked phone has that id.
        """
        if not await self._database.run(partial(self.put_proxy, session_id=session_id, proxy=proxy)):
            raise UnknownSession

    async def put_proxy(self, tx: Tx, *, session_id: str, proxy: Proxy | None) -> bool:
        """The same, inside somebody's unit; whether there is such a phone."""
        return await self._proxies.put(tx, session_id=session_id, proxy=proxy)

    async def taken(self, tx: Tx, numbers: list[Number]) -> dict[Number, LinkedPhone]:
        """What these numbers are linked with, inside somebody's unit."""
        return await self._phones.find(tx, numbers)

    async def linked(self, tx: Tx, session: Session, *, holder: str | None = None) -> str | None:
        """A phone was linked: its number is taken, its session connected, the one before ended; `holder` holds it.

        Call `settled` after the commit with the device that comes back: the one that was replaced.
        """
        number = Number(session.client_id, session.phone_number)
        before = (await self.taken(tx, [number])).get(number)
        if before is not None:
            ended = {
                "state": SessionState.LOGGED_OUT.value,
                "state_reason": "linked_again",
                "ended_at": self._clock.now().isoformat(),
            }
            await self._news.tell(tx, session.client_id, before.session_id, ended)
        linked = LinkedPhone(session.id, session.device)
        await self._phones.put(tx, number, linked, user_id=session.user_id, holder=holder)
        await self._news.begin(tx, session)
        if self._listener is not None:
            await self._listener.linked(tx, session, replaced=None if before is None else before.session_id)
        return None if before is None else before.device

    async def logged_out(self, tx: Tx, *, session: Session, reason: str) -> None:
        """A phone is linked no more: the number is free again; call `wake` after the commit."""
        await self._phones.remove(tx, client_id=session.client_id, session_id=session.id)
        await self._unlinked(tx, session.client_id, session.id)
        ended = replace(session, state=SessionState.LOGGED_OUT, state_reason=reason, ended_at=self._clock.now())
        await self._news.tell(tx, session.client_id, session.id, ended.as_patch())

    async def _unlinked(self, tx: Tx, client_id: str, session_id: str) -> None:
        if self._listener is not None:
            await self._listener.unlinked(tx, client_id=client_id, session_id=session_id)

    async def speakers(self, tx: Tx, voices: Sequence[Voice]) -> dict[Voice, Voice]:
        """Who says it, inside somebody's unit: each wish with user and session, for those that have a linked phone."""
        return await self._speakers.find(tx, voices)

    async def absent(self, caller: Caller, voice: Voice) -> PasserelleError:
        """Why nobody can speak for this user or session: unknown, or linked no more."""
        known = (await self.read_all(caller)).sessions
        if any(voice.session_id == one.id or voice.user_id == one.user_id for one in known):
            return NotLinked()
        return UnknownSession() if voice.session_id else UnknownUser()

    async def paused(
        self, *, client_id: str, session_id: str, until: datetime, reason: str | None, guessed: bool = False
    ) -> None:
        """WhatsApp restricted the account until then: nothing is said meanwhile. `guessed`: it did not say how long."""

        async def pause(tx: Tx) -> None:
            if await self._speakers.pause(tx, session_id=session_id, until=until, guessed=guessed):
                patch = {"state": SessionState.PAUSED.value, "state_reason": reason}
                await self._news.tell(tx, client_id, session_id, patch)

        await self._database.run(pause)
        self._records.wake()

    async def resumed(self, *, client_id: str, session_id: str, until: datetime) -> None:
        """The pause until then is over, unless WhatsApp has made it longer."""

        async def resume(tx: Tx) -> None:
            if await self._speakers.resume(tx, session_id=session_id, until=until):
                patch = {"state": SessionState.CONNECTED.value, "state_reason": None}
                await self._news.tell(tx, client_id, session_id, patch)

        await self._database.run(resume)
        self._records.wake()

    async def gone(self, *, client_id: str, session_id: str) -> None:
        """The phone has removed our device."""

        async def end(tx: Tx) -> None:
            if await self._phones.remove(tx, client_id=client_id, session_id=session_id):
                ended = {"state": SessionState.LOGGED_OUT.value, "ended_at": self._clock.now().isoformat()}
                patch = {**ended, "state_reason": "removed_by_phone"}
                await self._news.tell(tx, client_id, session_id, patch)
            await self._unlinked(tx, client_id, session_id)

        await self._database.run(end)
        self._records.wake()

    async def connection(
        self,
        tx: Tx,
        *,
        client_id: str,
        session_id: str,
        state: SessionState,
        reason: str,
        ends_pause: datetime | None = None,
    ) -> None:
        """Its connection is so now, inside somebody's unit; call `wake` after the commit.

        `ends_pause` is until when it was paused, where that is over by this.
        """
        if ends_pause is not None:
            await self._speakers.resume(tx, session_id=session_id, until=ends_pause)
        patch: dict[str, Any] = {"state": state.value, "state_reason": reason or None}
        if state is SessionState.CONNECTED:
            patch["connected_at"] = self._clock.now().isoformat()
        await self._news.tell(tx, client_id, session_id, patch)

    def wake(self) -> None:
        """Facts were committed: bring them to their records."""
        self._records.wake()

    async def settled(self, *, replaced: str | None) -> None:
        """A link was committed: bring it to its record, and take the device it `replaced` off the phone."""
        self._records.wake()
        if replaced is not None:
            await self._linker.unlink(device=replaced)

    async def given_up(self, key: CollectionKey, ids: set[str]) -> None:
        """Records of linked phones are lost for good: their numbers are free again, nothing can be said by them."""

        async def end(tx: Tx) -> None:
            for session_id in sorted(ids):
                await self._phones.remove(tx, client_id=key.client_id, session_id=session_id)
                await self._unlinked(tx, key.client_id, session_id)

        if key.name == COLLECTION:
            await self._database.run(end)
