"""A real PostgreSQL that speaks TLS."""

import os
import pwd
from pathlib import Path
from urllib.parse import urlencode

from certificates import Files

from servers import PostgresServer

HBA = """
local all all trust
hostssl all certified 127.0.0.1/32 cert
hostssl all postgres 127.0.0.1/32 trust
host plain postgres 127.0.0.1/32 trust
"""


class TlsPostgres(PostgresServer):
    """Over the network it speaks TLS only, to the user ``certified`` with a client certificate only."""

    def __init__(self, files: Files, clients: Path) -> None:
        super().__init__()
        lines = [f"{name} = '{self._own(path)}'" for name, path in self._named(files, clients)]
        (self._data / "postgresql.auto.conf").write_text("\n".join(["ssl = on", *lines]))
        (self._data / "pg_hba.conf").write_text(HBA)

    def url(self, host: object = "localhost", user: object = "postgres", **options: object) -> str:
        return f"postgresql://{user}@{host}:{self.port}/postgres?{urlencode(options)}"

    @staticmethod
    def _named(files: Files, clients: Path) -> list[tuple[str, Path]]:
        return [("ssl_cert_file", files.certificate), ("ssl_key_file", files.key), ("ssl_ca_file", clients)]

    def _own(self, path: Path) -> Path:
        """A copy that the server's user may read, and nobody else."""
        copy = self._folder / path.name
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o600)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(copy, user.pw_uid, user.pw_gid)
        return copy
