"""Opens the `ZohoSync` that a command works on, and makes sure that its database answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from zoho_sync.app.sync import ZohoSync
from zoho_sync.cli.application import load_application
from zoho_sync.cli.database import new_engine, parsed_url
from zoho_sync.cli.output import shown_url
from zoho_sync.cli.running import UNREACHABLE, Failure, reason
from zoho_sync.cli.target import Target
from zoho_sync.database.sessions import engine_of
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.handlers.dispatch import HandlerDispatch
from zoho_sync.intake.decoding import DecodingRules
from zoho_sync.operate.linking import Linker
from zoho_sync.store.schema_version import version_problem
from zoho_sync.worker.runtime import Runtime

__all__ = ["Opened", "opened"]

_PATIENCE: Final = 15.0


@dataclass(frozen=True)
class Opened:
    """A `ZohoSync`, the host's own or one for the mirror, whose database answers.

    `where` names the database, without user and password.
    """

    sync: ZohoSync
    where: str

    @property
    def runtime(self) -> Runtime:
        """The parts that `sync` is made of."""
        return self.sync._runtime  # noqa: SLF001  # commands look where an application need not

    @property
    def rules(self) -> DecodingRules:
        """How `sync` reads bodies."""
        return self.sync._receiver.rules  # noqa: SLF001  # as above

    @property
    def linker(self) -> Linker:
        """What links entities to rows."""
        return self.sync._parts.linker  # noqa: SLF001  # as above

    @property
    def dispatch(self) -> HandlerDispatch:
        """What chooses the handler of an event."""
        return self.sync._parts.dispatch  # noqa: SLF001  # as above

    def entity_type(self, name: str | None) -> str | None:
        """Return the entity type that goes by a name; None for none.

        Raises:
            UnknownEntityType: None goes by it.
        """
        return self.runtime.context.catalog.require(name).entity_type if name else None

    async def missing_tables(self) -> list[str]:
        """Return the names of the library's tables that are not there."""
        tables = self.runtime.context.tables.metadata.sorted_tables

        def missing(session: Any) -> list[str]:
            inspector = inspect(session.connection())
            return [
                table.fullname
                for table in tables
                if not inspector.has_table(table.name, schema=table.schema)
            ]

        async with self.runtime.sessions() as session:
            return sorted(await session.run_sync(missing))

    async def require_tables(self) -> None:
        """Make sure that the library's tables are there.

        Raises:
            Failure: They are not, or are of another version; the message says what to do.
        """
        async with self.runtime.sessions() as session:
            connection = await session.connection()
            if problem := await version_problem(connection, self.runtime.context.tables):
                raise Failure(f"{self.where}: {problem}")
        if missing := await self.missing_tables():
            raise Failure(
                f"{self.where} lacks {', '.join(missing)}; run zoho-sync tables create, or your "
                "migrations"
            )

    async def refuse_an_applications(self) -> None:
        """Make sure that the ledger knows of no rows and no entity types but those of `sync`.

        Otherwise an application with mappings of its own works on this database, and its events
        would go elsewhere, for good.

        Raises:
            ConfigurationError: It does; the message says how to name the application.
        """
        context = self.runtime.context
        ledger = context.tables.ledger.c
        known = [bound.table.fullname for bound in context.bindings.values()]
        elsewhere = ledger.table_name.is_(None) | ledger.table_name.not_in(known)
        foreign = ledger.primary_key.is_not(None) & elsewhere
        unknown = ledger.entity_type.not_in(list(context.catalog.kinds))
        statement = select(ledger.entity_type, ledger.table_name).where(foreign | unknown).limit(1)
        async with self.runtime.sessions() as session:
            found = (await session.execute(statement)).first()
        if found is not None:
            kept = f"{found.entity_type} in {found.table_name or 'tables of its own'}"
            raise ConfigurationError(
                f"{self.where} is kept by an application's own mappings ({kept}); without it, its "
                "events would go to the mirror. Use --app module:attribute"
            )


@asynccontextmanager
async def opened(
    target: Target,
    *,
    options: Mapping[str, Any] | None = None,
    makes_file: bool = False,
    tables: bool = True,
    applies: bool = False,
) -> AsyncIterator[Opened]:
    """Open what the common options mean.

    Args:
        target: The common options.
        options: More arguments for a `ZohoSync` that is made here.
        makes_file: Whether an SQLite file may be made.
        tables: Whether the library's tables must be there.
        applies: Whether events are applied: without an application only where there is none.

    Raises:
        ConfigurationError: The options mean nothing.
        Failure: The database does not answer, or lacks the tables.
    """
    sync = _found(target, options or {}, makes_file=makes_file)
    engine = _engine(sync)
    chosen = Opened(sync, shown_url(engine.url))
    try:
        async with sync:
            await _probe(chosen)
            if tables:
                await chosen.require_tables()
            if applies and target.app is None:
                await chosen.refuse_an_applications()
            yield chosen
    finally:
        await engine.dispose()


def _found(target: Target, options: Mapping[str, Any], *, makes_file: bool) -> ZohoSync:
    if target.app is not None:
        _refuse_beside_app(target, options)
        return load_application(target.app)
    if target.database_url is None:
        raise ConfigurationError(
            "which ZohoSync? Give your own with --app module:attribute, or, for the mirror's "
            "tables, the database with --database-url or ZOHO_SYNC_DATABASE_URL"
        )
    url = parsed_url(target.database_url)
    if not makes_file:
        _require_file(url)
    sessions = async_sessionmaker(new_engine(url), expire_on_commit=False)
    return ZohoSync(sessions, queue=target.queue_url, **options)


def _refuse_beside_app(target: Target, options: Mapping[str, Any]) -> None:
    urls = [name for name in ("database_url", "queue_url") if name in target.explicit]
    if given := [*urls, *options]:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        message = f"{names}: your application says that itself; leave it out beside --app"
        raise ConfigurationError(message)


def _require_file(url: URL) -> None:
    # SQLite would make an empty file, and everything would look fine, and empty.
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    if not Path(url.database).exists():
        message = f"there is no file {url.database}; zoho-sync tables create makes it"
        raise Failure(message, UNREACHABLE)


def _engine(sync: ZohoSync) -> AsyncEngine:
    engine = engine_of(sync._runtime.sessions)  # noqa: SLF001  # as above
    if engine is None:
        raise ConfigurationError(
            "the sessions of your application have no database of their own, only binds= of "
            "classes; give the session factory bind=engine"
        )
    return engine


async def _probe(chosen: Opened) -> None:
    try:
        async with asyncio.timeout(_PATIENCE), chosen.runtime.sessions() as session:
            await session.execute(text("SELECT 1"))
    except Exception as error:
        # Whatever it is, at this point it means that there is no way to the database.
        raise Failure(f"{chosen.where} cannot be reached: {reason(error)}", UNREACHABLE) from error
