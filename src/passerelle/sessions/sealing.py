"""Seals what leaves the gateway under a passphrase; nobody without it can read or change it."""

import base64
import hashlib
import os

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from passerelle.errors import Invalid, Text
from passerelle.sessions.model import Proxy, ProxyLost

LEAST_PASSPHRASE = 12
SALT_BYTES, KEY_BYTES = 16, 32
COST, BLOCK, LANES = 2**16, 8, 1  # 64 MiB and about 0.2 s for each guess (RFC 7914's own advice is 2**14 of 2016)


class PassphraseTooShort(Invalid):
    """A passphrase that could be guessed."""

    code = "passphrase_too_short"
    text = Text("The passphrase is too short.", "La phrase secrète est trop courte.")
    hint = Text("Use at least 12 characters.", "Utilisez au moins 12 caractères.")


class CannotUnseal(Invalid):
    """Another passphrase, or not what was sealed."""

    code = "cannot_unseal"
    text = Text("This cannot be read with that passphrase.", "Ceci ne peut pas être lu avec cette phrase secrète.")
    hint = Text(
        "Use the passphrase of the export, and the file as it was written.",
        "Utilisez la phrase secrète de l'export, et le fichier tel qu'il a été écrit.",
    )


def new_salt() -> str:
    """A fresh one, as text."""
    return base64.urlsafe_b64encode(os.urandom(SALT_BYTES)).decode()


class Seal:
    """What a passphrase and a salt make. Making it takes 0.2 s: in a thread."""

    def __init__(self, passphrase: str, salt: str) -> None:
        """Raises `PassphraseTooShort`, or `CannotUnseal` for a salt that is none."""
        if len(passphrase) < LEAST_PASSPHRASE:
            raise PassphraseTooShort
        try:
            known = base64.urlsafe_b64decode(salt)
        except ValueError:
            raise CannotUnseal from None
        derived = Scrypt(salt=known, length=KEY_BYTES, n=COST, r=BLOCK, p=LANES).derive(passphrase.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def close(self, data: bytes) -> str:
        """`data`, sealed."""
        return self._fernet.encrypt(data).decode()

    def open(self, sealed: str) -> bytes:
        """What `close` sealed. Raises `CannotUnseal`."""
        try:
            return self._fernet.decrypt(sealed.encode())
        except (InvalidToken, ValueError):
            raise CannotUnseal from None


class ProxySeal:
    """Seals proxies for their rows under the gateway's own key: who has the database alone has no password."""

    def __init__(self, secret: str, *earlier: str) -> None:
        """Under a key of its own, made of `secret`; what `earlier` ones sealed is opened too."""
        self._current, *others = (_proxy_key(one) for one in (secret, *earlier))
        self._fernet = MultiFernet([self._current, *others])

    def close(self, proxy: Proxy) -> str:
        """`proxy`, sealed."""
        return self._fernet.encrypt(proxy.url.encode()).decode()

    def open(self, sealed: str) -> Proxy:
        """What `close` sealed. Raises `ProxyLost`."""
        try:
            return Proxy(self._fernet.decrypt(sealed.encode()).decode())
        except (InvalidToken, ValueError):
            raise ProxyLost from None

    def renewed(self, sealed: str) -> str | None:
        """The same under the key of today; nothing where it is. Raises `ProxyLost`."""
        try:
            self._current.decrypt(sealed.encode())
        except (InvalidToken, ValueError):
            return self.close(self.open(sealed))
        return None


def _proxy_key(secret: str) -> Fernet:
    derived = hashlib.sha256(f"passerelle.sessions.proxies:{secret}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(derived))
