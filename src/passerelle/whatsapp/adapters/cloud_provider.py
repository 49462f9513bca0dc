"""The Cloud API as a provider, whole."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from passerelle.clock import Clock
from passerelle.redaction import Redactor
from passerelle.whatsapp.adapters.cloud_api import BASE_URL, CloudApi
from passerelle.whatsapp.adapters.cloud_bodies import OFFERED
from passerelle.whatsapp.adapters.cloud_connections import CloudAccounts, CloudConnections, CloudLinker
from passerelle.whatsapp.adapters.cloud_limits import PER_SECOND, PER_SECOND_COEXISTENCE, Limits
from passerelle.whatsapp.adapters.cloud_media import CloudMedia
from passerelle.whatsapp.adapters.cloud_sender import CloudSender
from passerelle.whatsapp.adapters.cloud_webhook import CloudWebhook
from passerelle.whatsapp.ports import Abilities, OutgoingMedia, Provider

NAME = "cloud_api"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudProvider(Provider):
    """A provider that is called by Meta."""

    webhook: CloudWebhook
    phone_number: Callable[[str], Awaitable[str]]
    """Which number has this id of Meta's: `CloudAccounts.find`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudSetting:
    """One app of Meta's. Empty secrets of the webhook mean: nobody who calls is believed."""

    token: str = field(repr=False)
    """The access token of a system user, which does not expire."""
    app_secret: str = field(repr=False)
    """What Meta signs its calls with."""
    verify_token: str = field(repr=False)
    """What Meta shows once, when the address of the webhook is set."""
    base_url: str = BASE_URL
    """Of the Graph API, with its version."""
    coexistence: bool = False
    """The WhatsApp Business app uses the number too: it is slower, and deleted messages are told."""
    per_second: int | None = None
    """Messages of one number; nothing: what Meta allows at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OurSessions:
    """Which of our sessions speak by this app."""

    of_number: Callable[[str], str | None]
    """By Meta's id of the number."""
    of_account: Callable[[str], Sequence[str]] = lambda _: ()
    """By Meta's id of the business account, whose restrictions concern all its numbers."""


@asynccontextmanager
async def open_cloud_provider(
    setting: CloudSetting,
    *,
    media: OutgoingMedia,
    sessions: OurSessions,
    clock: Clock,
    redactor: Redactor,
    session: aiohttp.ClientSession | None = None,
) -> AsyncIterator[CloudProvider]:
    """The provider, as long as the block lasts; `redactor` learns the secrets, an HTTP `session` given stays open."""
    usual = PER_SECOND_COEXISTENCE if setting.coexistence else PER_SECOND
    async with CloudApi(token=setting.token, redactor=redactor, base_url=setting.base_url, session=session) as api:
        accounts = CloudAccounts(api)
        connections = CloudConnections(accounts, clock=clock)
        limits = Limits(clock, per_second=setting.per_second or usual)
        abilities = Abilities(types=OFFERED, linking=False, deletions=setting.coexistence, view_once=False)
        try:
            yield CloudProvider(
                name=NAME,
                abilities=abilities,
                linker=CloudLinker(),
                sender=CloudSender(api, media=media, limits=limits, heard=connections.heard),
                events=connections,
                connections=connections,
                incoming_media=CloudMedia(api),
                reach=api.hello,
                webhook=_webhook(setting, sessions, connections, redactor),
                phone_number=accounts.find,
            )
        finally:
            await connections.close()


def _webhook(
    setting: CloudSetting, sessions: OurSessions, connections: CloudConnections, redactor: Redactor
) -> CloudWebhook:
    return CloudWebhook(
        app_secret=setting.app_secret,
        verify_token=setting.verify_token,
        redactor=redactor,
        session_of=sessions.of_number,
        sessions_of_account=sessions.of_account,
        heard=connections.heard,
    )
