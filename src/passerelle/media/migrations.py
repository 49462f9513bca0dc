"""One migration at a time, begun, watched and stopped by an operator."""

import asyncio

from passerelle.audit.model import is_about
from passerelle.errors import Conflict, Invalid, NotFound, Text
from passerelle.media.migration import Migration, Tools
from passerelle.media.model import StoreName
from passerelle.media.progress import MigrationState, Progress, Wish


class MigrationRunning(Conflict):
    """One at a time."""

    code = "migration_running"
    text = Text("A migration is under way.", "Une migration est en cours.")
    hint = Text("Wait for it, or stop it.", "Attendez sa fin, ou arrêtez-la.")


class NoMigration(NotFound):
    """None since this process began."""

    code = "no_migration"
    text = Text("No migration has run since the start.", "Aucune migration depuis le démarrage.")
    hint = Text("Start one: passerelle media migrate.", "Lancez-en une : passerelle media migrate.")


class WrongStores(Invalid):
    """There is no way from the one to the other."""

    code = "wrong_stores"
    text = Text("These are not two stores that are configured.", "Ce ne sont pas deux stockages configurés.")
    hint = Text("Choose two of those in the member `stores`.", "Choisissez-en deux parmi `stores`.")


class Migrations:
    """At most one at a time; the last one is remembered until the process ends."""

    def __init__(self, tools: Tools) -> None:
        """Nothing runs yet."""
        self._tools = tools
        self._last: Migration | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, wish: Wish) -> Progress:
        """Begin it.

        Raises:
            MigrationRunning: another one has not ended; the member `state` says how it stands.
            WrongStores: it is not from one configured store to another.
        """
        is_about(f"{wish.source or 'everywhere'} to {wish.target}")
        names = self._tools.chain.names
        if wish.target not in names or wish.source not in {None, *names} - {wish.target}:
            raise WrongStores(stores=[*names])
        if self._last is not None and not self._last.progress.is_over:
            raise MigrationRunning(state=self._last.progress.state)
        self._last = Migration(wish, self._tools)
        self._task = asyncio.create_task(self._last.run())
        self._task.add_done_callback(self._last.left)
        return self._last.progress

    @property
    def first(self) -> StoreName:
        """The store that everything is to be in."""
        return self._tools.chain.names[0]

    @property
    def stores(self) -> tuple[StoreName, ...]:
        """Those that are configured, the first one first."""
        return tuple(self._tools.chain.names)

    @property
    def last(self) -> Progress | None:
        """How it is going, or went; nothing where none has run since the start."""
        return None if self._last is None else self._last.progress

    def current(self) -> Progress:
        """The same.

        Raises:
            NoMigration: none since the start.
        """
        if self._last is None:
            raise NoMigration
        return self._last.progress

    def stop(self) -> Progress:
        """Take no more files; asked a second time: leave those in hand, too. Raises as `current`."""
        progress = self.current()
        if progress.state is MigrationState.STOPPING and self._task is not None:
            self._task.cancel()
        if self._last is not None:
            self._last.stop()
        return progress

    async def close(self) -> None:
        """Leave it: the next run goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
