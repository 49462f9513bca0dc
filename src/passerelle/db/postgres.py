"""PostgreSQL: units awaited on the loop, one transaction each, behind a link that knows whether it is up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlencode

from asyncpg.exceptions import ClientConfigurationError
from sqlalchemy import NullPool, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from passerelle.db.ear import Ear
from passerelle.db.link import DbLink
from passerelle.db.text import for_postgres, postgres_values
from passerelle.db.tls import tls_fault
from passerelle.db.units import DatabaseAway, DatabaseBusy, Row, StorageFull, TablesInUse, Unit, UnitMisuse
from passerelle.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

CONNECT_LIMIT_S, COMMAND_LIMIT_S, POOL_LIMIT_S = 2, 3, 2  # nobody waits longer for a database
POOL_SIZE = 8
# SQLSTATE classes: connection lost, shutting down, too many connections, read-only after a failover
_AWAY_STATES = ("08", "57P", "53300", "25006")
_WRONG_SETTINGS = {
    "28P01": "the password is wrong",
    "28000": "the server does not let this user in",
    "3D000": "there is no database of that name",
}
_in_unit: ContextVar[bool] = ContextVar("in_unit", default=False)


class PostgresTx:
    """A transaction on one pooled connection."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, connection: AsyncConnection) -> None:
        """Work on `connection`, inside the transaction it is in."""
        self._connection = connection

    async def sql(self, text: str, /, **params: object) -> list[Row]:
        """See `Tx.sql`."""
        text, names, as_json = for_postgres(text)
        result = await self._connection.exec_driver_sql(text, postgres_values(names, as_json, params))
        return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def many(self, text: str, rows: Sequence[Mapping[str, object]], /) -> None:
        """See `Tx.many`."""
        text, names, as_json = for_postgres(text)
        if rows:
            await self._connection.exec_driver_sql(text, [postgres_values(names, as_json, row) for row in rows])

    async def notify(self, channel: str, text: str, /) -> None:
        """See `Tx.notify`."""
        await self.sql("SELECT pg_notify(:channel, :text)", channel=channel, text=text)

    async def run_sync(self, call: "Callable[[Connection], T]", /) -> T:
        """See `Tx.run_sync`."""
        driver: Any = (await self._connection.get_raw_connection()).driver_connection
        limited = driver._config  # noqa: SLF001 -- SQLAlchemy passes no limit of its own, so the connection's has to go
        driver._config = limited._replace(command_timeout=None)  # noqa: SLF001
        try:
            return await self._connection.run_sync(call)
        finally:
            driver._config = limited  # noqa: SLF001


class PostgresDatabase:
    """A pool of connections; while the link is down every unit is refused at once."""

    shared = True

    def __init__(
        self, url: str, *, pooled_by_transaction: bool = False, tls: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Connect lazily to `url` (``postgresql+asyncpg://``); a transaction pooler forbids cached statements.

        The files of `tls` (libpq's words) are read at each connection, so that a renewed certificate is used at once.
        """
        limits: dict[str, Any] = {"timeout": CONNECT_LIMIT_S, "command_timeout": COMMAND_LIMIT_S}
        if tls:
            limits["dsn"] = f"postgresql://?{urlencode(tls)}"
        self._tls = tls
        if pooled_by_transaction:
            limits |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        else:  # measured: compiling a claim took 25 to 400 ms, each time; a pooler may refuse the parameter
            limits["server_settings"] = {"jit": "off"}
        self._engine = create_async_engine(
            url,
            hide_parameters=True,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_LIMIT_S,
            connect_args=limits,
        )
        event.listen(self._engine.sync_engine, "invalidate", _hang_up)
        self._ear = (
            None if pooled_by_transaction else Ear(create_async_engine(url, poolclass=NullPool, connect_args=limits))
        )
        self.link = DbLink(self._probe)
        self._running: set[asyncio.Task[Any]] = set()
        self._answered = False

    async def run(self, unit: Unit[T]) -> T:
        """See `Database.run`."""
        if _in_unit.get():
            raise UnitMisuse("A unit may not run another unit: give it the same tx.")
        task = asyncio.create_task(self._transact(unit))
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def read(self, unit: Unit[T]) -> T:
        """See `Database.read`."""
        return await self.run(unit)

    async def look(self, unit: Unit[T]) -> T:
        """See `Database.look`."""
        return await self.run(unit)

    def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """See `Database.listen`; through a transaction pooler nothing can be heard."""
        if self._ear is not None:
            self._ear.listen(channel, heard)

    async def close(self) -> None:
        """See `Database.close`."""
        if self._ear is not None:
            await self._ear.close()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.link.close()
        await self._engine.dispose()

    async def _transact(self, unit: Unit[T]) -> T:
        self.link.refuse_while_down()
        _in_unit.set(True)
        done = False
        async with self._named(lambda: done), self._engine.connect() as connection:
            transaction = await connection.begin()
            try:
                result = await unit(PostgresTx(connection))
                done = True
                await transaction.commit()
                self._answered = True
            except BaseException:
                with contextlib.suppress(SQLAlchemyError, OSError):
                    await transaction.rollback()
                raise
        return result

    @contextlib.asynccontextmanager
    async def _named(self, done: Callable[[], bool]) -> AsyncIterator[None]:
        """Translate what the driver raises; `done` tells whether only the COMMIT was still to come."""
        try:
            yield
        except PoolTimeoutError as error:
            raise DatabaseBusy from error
        except DBAPIError as error:
            state = _state(error)
            if state in _WRONG_SETTINGS and not self._answered:
                wanted = tls_fault(error.orig, self._tls)
                if wanted is not None:
                    raise wanted from None
                raise Misconfigured(f"DATABASE_URL: {_WRONG_SETTINGS[state]}.") from None
            refused = _refused(state)
            if refused is not None:
                raise refused from error
            if not _is_lost(error):
                raise
            raise self._away(error, maybe_committed=done()) from error
        except (OSError, TimeoutError, ClientConfigurationError) as error:
            untrusted = None if self._answered else tls_fault(error, self._tls)
            if untrusted is not None:
                raise untrusted from None
            raise self._away(error, maybe_committed=done()) from error

    def _away(self, error: Exception, *, maybe_committed: bool) -> DatabaseAway:
        self.link.suspect(type(error.__cause__ or error).__name__)
        return DatabaseAway(type(error).__name__, maybe_committed=maybe_committed)

    async def _probe(self) -> None:
        async with asyncio.timeout(CONNECT_LIMIT_S), self._engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone: heard, so that the loop does not complain


def _hang_up(connection: Any, _record: Any, _error: BaseException | None) -> None:
    """A lost connection is dropped: to part in good order would cost 2 s more, in which nobody hears of it."""
    connection.driver_connection.terminate()


def _state(error: DBAPIError) -> str:
    told = (getattr(one, "sqlstate", None) for one in (error.orig, getattr(error.orig, "__cause__", None)))
    return str(next(filter(None, told), ""))


def _refused(state: str) -> Unavailable | None:
    """Why a server that is well refused the unit, where we have a name for that."""
    if state == "53100":
        return StorageFull()
    if state == "0A000":  # "cached plan must not change result type": prepared before somebody upgraded the tables
        return DatabaseAway("the tables have just been changed")
    if state == "55P03":
        return TablesInUse("a lock was not to be had in time")
    if state.startswith("40"):  # a deadlock, or two units at odds: this one was rolled back, and may come again
        return DatabaseAway("another unit was in the way")
    return None


def _is_lost(error: DBAPIError) -> bool:
    """Whether the connection is of no use any more."""
    return error.connection_invalidated or _state(error).startswith((*_AWAY_STATES, *_WRONG_SETTINGS))
