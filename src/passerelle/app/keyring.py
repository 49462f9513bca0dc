"""The gateway's own keys, and what is sealed with them."""

from passerelle.app.base import Ground
from passerelle.app.secret import secret_keys
from passerelle.keyring.model import key_id
from passerelle.keyring.service import Keyring
from passerelle.sessions.adapters.sealed import SqlSealedProxies
from passerelle.sessions.sealing import ProxySeal
from passerelle.webhooks.adapters.sealed import SqlSealedSecrets
from passerelle.webhooks.keys import EndpointKeys


def compose_keyring(base: Ground) -> Keyring:
    """All that is sealed in SQL."""
    keys = secret_keys(base.settings)
    return Keyring(
        key_id=key_id(keys[0]),
        sealed=(SqlSealedProxies(ProxySeal(*keys)), SqlSealedSecrets(EndpointKeys(*keys))),
        database=base.database,
    )
