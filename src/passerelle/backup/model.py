"""What is copied, and what a copy says of itself."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from passerelle.backup.faults import MadeByNewer, NotWhole, OtherKey
from passerelle.db.url import PostgresTarget, SqliteTarget
from passerelle.migrations import HEAD

FORMAT = 1
UNREADABLE = (AttributeError, KeyError, RecursionError, TypeError, ValueError)


class Kind(StrEnum):
    """The sort of a database."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Home(StrEnum):
    """Where records live."""

    REDIS = "redis"  # the copy has their shadow
    SQL = "sql"
    FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a gateway keeps where, by its settings."""

    data_dir: Path
    database: SqliteTarget | PostgresTarget
    devices: Path
    """Keys of linked devices; on PostgreSQL they are tables of the database."""
    home: Home
    keys: tuple[str, ...]
    """Ids of the keys that seal and open, that of today first; none where there is none yet."""
    control: Path
    """The lock of a gateway that runs in the data directory."""

    @property
    def kind(self) -> Kind:
        """The sort of its database."""
        return Kind.SQLITE if isinstance(self.database, SqliteTarget) else Kind.POSTGRESQL

    @property
    def locks(self) -> tuple[Path, ...]:
        """All that a gateway holds that runs here."""
        if isinstance(self.database, PostgresTarget):
            return (self.control,)
        return (self.control, self.database.path.with_name(f"{self.database.path.name}.lock"))

    @property
    def records(self) -> Path:
        """The folder of the records, where files are their home."""
        return self.data_dir / "records"

    @property
    def media(self) -> Path:
        """The folder of the media that are kept on this machine."""
        return self.data_dir / "media"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a copy says of itself."""

    kind: str
    revision: str
    version: str
    made_at: str
    keys: Sequence[str]
    home: str
    media: bool = False
    """Whether media of the local disk are inside."""

    def as_json(self, name: str) -> str:
        """One line; `name` tells what sort of copy it is."""
        return json.dumps({name: FORMAT} | asdict(self))

    @classmethod
    def read(cls, text: bytes | str, name: str) -> "Manifest":
        """The manifest of such a line.

        Raises:
            NotWhole: it is none.
            MadeByNewer: of a format, or of tables, that this program does not know.
        """
        try:
            members = json.loads(text)
            made_as = int(members.pop(name))
            if made_as > FORMAT:
                raise MadeByNewer(f"format {made_as}, this program knows {FORMAT}")
            told = cls(**members)
            if not (told.revision.isdecimal() and told.keys and all(isinstance(key, str) for key in told.keys)):
                raise NotWhole(name)
        except UNREADABLE:
            raise NotWhole(f"it does not begin as a {name.replace('_', ' ')} does") from None
        if told.revision > HEAD:
            raise MadeByNewer(f"Passerelle {told.version}, tables {told.revision}; this program knows {HEAD}")
        return told

    def check_key(self, keys: Sequence[str]) -> None:
        """Raise `OtherKey` where none of `keys` is the one that sealed it."""
        if self.keys[0] not in keys:
            raise OtherKey(f"its id is {self.keys[0]}, here: {', '.join(keys) or 'none'}")
