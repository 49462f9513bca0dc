"""Who gets leads: add, change, remove; whatever makes room gives waiting leads away in the same unit."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from passerelle.clients.model import Caller
from passerelle.clock import Clock
from passerelle.db import Database, Tx
from passerelle.leads.assignment import Assignment
from passerelle.leads.faults import CapacityInUse, InvalidCursor, UnknownContractor
from passerelle.leads.model import Contractor, read_capacity, read_name, read_phone, read_skills
from passerelle.leads.ports import ContractorBook, LeadFinder


class Contractors:
    """The verbs of contractors."""

    def __init__(
        self,
        *,
        book: ContractorBook,
        finder: LeadFinder,
        assignment: Assignment,
        database: Database,
        clock: Clock,
    ) -> None:
        """`finder` tells which leads a contractor has."""
        self._book = book
        self._finder = finder
        self._assignment = assignment
        self._database = database
        self._clock = clock

    async def add(
        self,
        caller: Caller,
        *,
        name: str,
        phone: str,
        trades: Sequence[str] = (),
        areas: Sequence[str] = (),
        capacity: int,
        active: bool = True,
    ) -> Contractor:
        """Somebody who gets leads from now on; no trades or areas: all of them. He as he stands, perhaps with leads.

        Raises:
            InvalidPhone, InvalidContractor: what was sent cannot be taken.
        """
        contractor = Contractor(
            id=self._clock.new_id("contractor"),
            client_id=caller.client_id,
            name=read_name(name),
            phone=read_phone(phone),
            skills=read_skills(trades, areas),
            capacity=read_capacity(capacity),
            created_at=self._clock.now(),
            active=active,
        )

        async def add(tx: Tx) -> Contractor:
            await self._assignment.hold(tx, [caller.client_id])
            await self._book.insert(tx, contractor)
            return await self._after_pick_up(tx, contractor)

        return await self._database.run(add)

    async def page(self, caller: Caller, *, limit: int, cursor: str = "") -> tuple[list[Contractor], str | None]:
        """At most `limit`, oldest first, those after `cursor`; where the next page begins.

        Raises:
            InvalidCursor: it was not made here.
        """
        if not cursor.isprintable():
            raise InvalidCursor
        page = partial(self._book.page, client_id=caller.client_id, after=cursor, limit=limit + 1)
        found = await self._database.read(page)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def change(
        self,
        caller: Caller,
        contractor_id: str,
        *,
        name: str | None = None,
        phone: str | None = None,
        trades: Sequence[str] | None = None,
        areas: Sequence[str] | None = None,
        capacity: int | None = None,
        active: bool | None = None,
    ) -> Contractor:
        """Change what is given. Who is not active keeps the leads he has and gets no others.

        Raises:
            UnknownContractor: none of this client's has that id.
            InvalidPhone, InvalidContractor: what was sent cannot be taken.
            CapacityInUse: more leads are open than that.
        """

        async def change(tx: Tx) -> Contractor:
            before = await self._held(tx, caller, contractor_id)
            skills = before.skills
            after = replace(
                before,
                name=before.name if name is None else read_name(name),
                phone=before.phone if phone is None else read_phone(phone),
                skills=read_skills(
                    skills.trades if trades is None else trades, skills.areas if areas is None else areas
                ),
                capacity=before.capacity if capacity is None else read_capacity(capacity),
                active=before.active if active is None else active,
            )
            if after.capacity < before.open_leads:
                raise CapacityInUse(open_leads=before.open_leads)
            await self._book.save(tx, after)
            return await self._after_pick_up(tx, after)

        return await self._database.run(change)

    async def remove(self, caller: Caller, contractor_id: str) -> None:
        """Forget him; the leads he has open wait for others, or go to them at once.

        Raises:
            UnknownContractor: none of this client's has that id.
        """

        async def remove(tx: Tx) -> None:
            contractor = await self._held(tx, caller, contractor_id)
            leads = await self._finder.of_contractor(tx, contractor.id)
            now = self._clock.now()
            await self._assignment.take_back(tx, leads)
            await self._assignment.set_down(tx, [lead.waiting(now) for lead in leads])
            await self._book.remove(tx, contractor)
            await self._assignment.pick_up(tx, caller.client_id)

        await self._database.run(remove)

    async def _after_pick_up(self, tx: Tx, contractor: Contractor) -> Contractor:
        await self._assignment.pick_up(tx, contractor.client_id)
        found = await self._book.find(tx, client_id=contractor.client_id, contractor_id=contractor.id)
        return found or contractor

    async def _held(self, tx: Tx, caller: Caller, contractor_id: str) -> Contractor:
        await self._assignment.hold(tx, [caller.client_id])
        if not contractor_id.isprintable():
            raise UnknownContractor
        contractor = await self._book.find(tx, client_id=caller.client_id, contractor_id=contractor_id)
        if contractor is None:
            raise UnknownContractor
        return contractor
