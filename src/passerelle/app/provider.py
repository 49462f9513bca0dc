"""The way to WhatsApp that the settings choose, and whose time it is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from importlib.util import find_spec

from passerelle.app.base import Ground
from passerelle.clock import Clock
from passerelle.db import Database
from passerelle.errors import Misconfigured
from passerelle.sandbox.host import Sandbox, open_sandbox
from passerelle.sandbox.provider import sandbox_provider
from passerelle.settings import Settings
from passerelle.whatsapp.http import Webhook
from passerelle.whatsapp.ports import OutgoingMedia, Provider

CONNECT_EVERY = {"multidevice": timedelta(milliseconds=200)}
"""A host that dials for many phones at once is what WhatsApp blocks; five a second is a restart of 300 in a minute."""
ProviderFor = Callable[[Ground, OutgoingMedia], AbstractAsyncContextManager[Provider]]
CLOUD = ("whatsapp_cloud_token", "whatsapp_cloud_phone_number_id", "whatsapp_cloud_app_secret")


@asynccontextmanager
async def open_time(settings: Settings, database: Database) -> AsyncIterator[tuple[Clock, Sandbox | None]]:
    """Business time: that of the sandbox where it is the provider, which comes with it, else the world's."""
    if settings.provider_name != "sandbox":
        yield Clock(), None
        return
    async with open_sandbox(
        settings.data_dir,
        url=settings.sandbox_url,
        key=settings.secret("admin_key"),
        shared=database.shared,
        latency=settings.sandbox_latency,
    ) as sandbox:
        yield sandbox.clock, sandbox


@asynccontextmanager
async def open_provider(ground: Ground, sandbox: Sandbox | None, media: OutgoingMedia) -> AsyncIterator[Provider]:
    """The provider, which takes the media of messages from `media`.

    Raises:
        Misconfigured: a setting that it needs is missing, or its library is.
    """
    if sandbox is not None:
        yield sandbox_provider(sandbox)
    elif ground.settings.provider_name == "cloud_api":
        async with _cloud_api(ground, media) as provider:
            yield provider
    else:
        async with _multidevice(ground, media) as provider:
            yield provider


def cloud_session_id(phone_number_id: str) -> str:
    """The session of a number of the Cloud API: it is linked by the settings, so its id is made of them."""
    return f"sess_cloud_{phone_number_id}"


def account_of(provider: Provider) -> Callable[[str], Awaitable[str]] | None:
    """Asks which number (E.164) a device is, where the settings link it and nobody types a code."""
    if provider.name != "cloud_api":
        return None
    from passerelle.whatsapp.adapters.cloud_provider import CloudProvider  # noqa: PLC0415 -- as below

    return provider.phone_number if isinstance(provider, CloudProvider) else None


def webhook_of(provider: Provider) -> Webhook | None:
    """What reads the calls of a provider that calls us."""
    return getattr(provider, "webhook", None)


@asynccontextmanager
async def _cloud_api(ground: Ground, media: OutgoingMedia) -> AsyncIterator[Provider]:
    from passerelle.whatsapp.adapters.cloud_api import BASE_URL  # noqa: PLC0415 -- only where it is the provider
    from passerelle.whatsapp.adapters.cloud_provider import (  # noqa: PLC0415 -- the same
        CloudSetting,
        OurSessions,
        open_cloud_provider,
    )

    settings = ground.settings
    missing = [name.upper() for name in CLOUD if not getattr(settings, name)]
    if missing:
        raise Misconfigured(f"PASSERELLE_PROVIDER=cloud_api needs {', '.join(missing)}.")
    number, account = settings.whatsapp_cloud_phone_number_id or "", settings.whatsapp_cloud_account_id
    setting = CloudSetting(
        token=settings.secret("whatsapp_cloud_token") or "",
        app_secret=settings.secret("whatsapp_cloud_app_secret") or "",
        verify_token=settings.secret("whatsapp_cloud_verify_token") or "",
        base_url=settings.whatsapp_cloud_base_url or BASE_URL,
        coexistence=settings.whatsapp_cloud_coexistence,
    )
    sessions = OurSessions(
        of_number=lambda told: cloud_session_id(told) if told == number else None,
        of_account=lambda told: [cloud_session_id(number)] if told == account else [],
    )
    async with open_cloud_provider(
        setting, media=media, sessions=sessions, clock=ground.clock, redactor=ground.redactor
    ) as provider:
        yield provider


@asynccontextmanager
async def _multidevice(ground: Ground, media: OutgoingMedia) -> AsyncIterator[Provider]:
    if find_spec("neonize") is None:
        raise Misconfigured("PASSERELLE_PROVIDER=multidevice needs its library: pip install 'passerelle[multidevice]'.")
    from passerelle.whatsapp.adapters.multidevice.child import Setup  # noqa: PLC0415 -- as above
    from passerelle.whatsapp.adapters.multidevice.provider import MultideviceProvider, Place  # noqa: PLC0415
    from passerelle.whatsapp.adapters.multidevice.store import device_store  # noqa: PLC0415

    settings = ground.settings
    store = device_store(settings.secret("database_url"), data_dir=settings.data_dir)
    place = Place(store=store, folder=settings.data_dir / "multidevice")
    setup = Setup(store=store.name, spool=place.spool, proxy=settings.secret("proxy"))
    async with MultideviceProvider(place, setup, media) as multidevice:
        yield multidevice.provider()
