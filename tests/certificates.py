"""Authorities and certificates of our own, made in memory: valid for a day, trusted by nobody else."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where a certificate and its key are."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; `file` is what who believes it must have."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = self._built(self._name, self._key.public_key())
        signed = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
        )
        self.file = self._written(f"{name}.pem", signed)

    def signed(self, name: str, *hosts: str, ends: timedelta = DAY) -> Files:
        """A certificate called `name` for `hosts`, which ends in so long (or has ended), and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._built(_named(name), key.public_key(), ends=ends)
        if hosts:
            built = built.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        where = self._folder / f"{name}.key"
        where.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        where.chmod(0o600)
        return Files(certificate=self._written(f"{name}.crt", built), key=where)

    def _built(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ends: timedelta = DAY
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 9 * DAY)
            .not_valid_after(now + ends)
        )

    def _written(self, name: str, built: x509.CertificateBuilder) -> Path:
        where = self._folder / name
        where.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return where


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
