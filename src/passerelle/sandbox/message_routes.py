"""What is on the phones, and what people do with it: write, delete, read; for a test, wait until something is there."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, status
from pydantic import AwareDatetime, BaseModel, Field

from passerelle.sandbox.message_bodies import MessageAnswer, MessageBody, MessagesAnswer, MessageWish, ReadAnswer
from passerelle.sandbox.messages import Search
from passerelle.sandbox.phones import e164
from passerelle.sandbox.world import World
from passerelle.whatsapp.model import STATUS_RECIPIENT

LONGEST_WAIT_S = 30


class Page(BaseModel):
    """The query of a list of messages."""

    text: str | None = Field(default=None, max_length=1000, description="Only those that contain this")
    sender: str | None = Field(default=None, alias="from", description="Only those of this phone")
    since: AwareDatetime | None = Field(default=None, description="Only those that arrived then or later")
    count: int | None = Field(default=None, ge=1, description="Wait until so many match")
    wait: float = Field(default=0, ge=0, le=LONGEST_WAIT_S, description="At most so many real seconds")
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str = Field(default="", pattern=r"^[0-9]{0,18}$")

    def search(self, recipient: str) -> Search:
        """What is looked for, among the messages for `recipient`."""
        sender = None if self.sender is None else e164(self.sender)
        since = None if self.since is None else _in_utc(self.since)
        return Search(recipient=recipient, text=self.text, sender=sender, since=since)


def _in_utc(when: datetime) -> datetime:
    """The time in UTC; at either end of the calendar, where there is none, as it stands."""
    with suppress(OverflowError):
        return when.astimezone(UTC)
    return when.replace(tzinfo=UTC)


def add_messages(router: APIRouter, world: World) -> None:
    """The messages of `world` on `router`."""

    async def found(recipient: str, page: Page) -> MessagesAnswer:
        search = page.search(recipient)
        if page.count is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(page.wait):
                    await world.mail.until_there_are(search, page.count)
        return MessagesAnswer.of(world.mail.find(search, after=int(page.cursor or 0), limit=page.limit))

    @router.get("/phones/{number}/messages", summary="What arrived on a phone, doubles too; or wait until it did")
    async def list_messages(number: str, page: Annotated[Page, Query()]) -> MessagesAnswer:
        return await found(e164(number), page)

    @router.get("/statuses", summary="The statuses that linked phones have shown; or wait until there are some")
    async def list_statuses(page: Annotated[Page, Query()]) -> MessagesAnswer:
        return await found(STATUS_RECIPIENT, page)

    @router.post("/phones/{number}/messages", summary="Write on a phone", status_code=status.HTTP_201_CREATED)
    async def write(number: str, wish: MessageWish) -> MessageAnswer:
        ends = e164(number), e164(wish.to)
        message = world.mail.write(*ends, text=wish.text, media=wish.media, view_once=wish.view_once)
        return MessageAnswer(**dict(MessageBody.of(message)))

    @router.delete("/phones/{number}/messages/{id_}", summary="Delete for everybody what was written on a phone")
    async def revoke(number: str, id_: str) -> MessageAnswer:
        return MessageAnswer(**dict(MessageBody.of(world.mail.revoke(e164(number), id_))))

    @router.post("/phones/{number}/read", summary="Read all messages on a phone")
    async def read(number: str) -> ReadAnswer:
        return ReadAnswer(read=world.read(e164(number)))
