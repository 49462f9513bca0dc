"""How WhatsApp writes who somebody is: ``33639980001@s.whatsapp.net``, with ``:12`` before the ``@`` for a device."""

import re
from typing import Any

PEOPLE, LIDS, GROUPS, BROADCAST = "s.whatsapp.net", "lid", "g.us", "broadcast"
LID_PREFIX = "lid:"
_DEVICE = re.compile(r"[0-9]{1,20}(\.[0-9]{1,3})?(:[0-9]{1,5})?")  # a number, an agent, a device


def jid_text(jid: Any) -> str:
    """A ``JID`` of neonize's as whatsmeow writes it."""
    agent = f".{jid.RawAgent}" if jid.RawAgent else ""
    device = f":{jid.Device}" if jid.Device else ""
    return f"{jid.User}{agent}{device}@{jid.Server}" if jid.User else str(jid.Server)


def read_jid(text: str) -> dict[str, Any]:
    """The members of the ``JID`` that `text` names."""
    name, _, server = text.rpartition("@")
    name, _, device = name.partition(":")
    user, _, agent = name.partition(".")
    return {
        "User": user,
        "Server": server,
        "Device": int(device or 0),
        "RawAgent": int(agent or 0),
        "Integrator": 0,
        "IsEmpty": False,
    }


def is_device(text: str) -> bool:
    """Whether `text` can be the name of a linked device of ours."""
    name, _, server = text.rpartition("@")
    return server == PEOPLE and _DEVICE.fullmatch(name) is not None


def phone_number(device: str) -> str:
    """Whose the linked device is, in E.164."""
    return f"+{read_jid(device)['User']}"


def recipient(to: str) -> str:
    """The JID for E.164, for ``lid:…``, or for what is a JID already."""
    if to.startswith(LID_PREFIX):
        return f"{to.removeprefix(LID_PREFIX)}@{LIDS}"
    return to if "@" in to else f"{to.removeprefix('+')}@{PEOPLE}"
