"""Checks every mapping at start-up against the real schema and the documents it reads.

Everything that is wrong is reported at once, each thing with the attribute, the nearest right name
and the remedy. What may be meant is a warning.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from zoho_sync import mirror
from zoho_sync.checks.fields import unseen_fields
from zoho_sync.checks.organizations import check_organizations
from zoho_sync.checks.overrides import check_methods
from zoho_sync.checks.references import ReferenceCheck
from zoho_sync.checks.report import Report
from zoho_sync.checks.rows import RowsCheck
from zoho_sync.checks.servers import check_server
from zoho_sync.database.autocommit import commits_by_itself
from zoho_sync.database.faults import is_of_database
from zoho_sync.database.hiding import without_values
from zoho_sync.database.reflection import TableFacts, read_table, table_names
from zoho_sync.database.unit_of_work import unit_of_work
from zoho_sync.exceptions import MappingError
from zoho_sync.handlers.base import BaseEntityHandler
from zoho_sync.handlers.registry import HandlerRegistry
from zoho_sync.store.schema_version import version_problem
from zoho_sync.store.tables import Tables

__all__ = ["LIBRARY", "MappingCheck"]

_log = logging.getLogger(__name__)

Targets = dict[Table, str]
"""The host's tables that can be read, each with the first attribute that names it."""

LIBRARY: Final = "zoho_sync"
"""The place of a finding about the library's own tables."""

_PAUSE: Final = 5.0
_CREATE: Final = "Run `await sync.create_tables()`, or `zoho-sync tables create`."
_AUTOCOMMIT: Final = (
    "its connections are in AUTOCOMMIT, so that each statement is committed by itself; one event "
    "could not be one transaction."
)
_TRANSACTIONS: Final = (
    'Leave isolation_level="AUTOCOMMIT" out where you make the engine, or give ZohoSync a factory '
    "over an engine of its own."
)
_OTHER_BIND: Final = (
    "the session factory sends it to another database than the library's tables; one event could "
    "not be one transaction."
)


@dataclass
class MappingCheck:
    """Checks the mappings of one `ZohoSync`, whose sessions are on the host's database."""

    sessions: Callable[[], AsyncSession]
    registry: HandlerRegistry
    tables: Tables
    organization_ids: Sequence[str] = ()
    _passed: bool = False

    async def once(self) -> None:
        """Check the host's own tables, unless that was done; log the warnings at INFO.

        Raises:
            MappingError: With everything that is wrong.
        """
        if self._passed:
            return
        for warning in await self.check(whole_mirror=False):
            _log.info("%s", warning)
        self._passed = True

    async def when_reachable(self) -> None:
        """Do as `once` does, and wait for a database that does not answer.

        Raises:
            MappingError: With everything that is wrong.
        """
        while True:
            try:
                return await self.once()
            except Exception as error:
                if not is_of_database(error):
                    raise
                problem = without_values(error)
                _log.error(  # a traceback quotes values
                    "the mappings cannot be checked; again in %.0f s: %s", _PAUSE, problem
                )
                await asyncio.sleep(_PAUSE)

    async def check(self, *, whole_mirror: bool = True) -> list[str]:
        """Check all mappings; return the warnings.

        Args:
            whole_mirror: Whether the mirror's tables are read, or need only be there.

        Raises:
            MappingError: With everything that is wrong.
        """
        report = Report()
        handlers = self._bindable(report)
        async with self.sessions() as session:
            if self._is_bound(session, report):
                targets = _on_one_bind(session, handlers, self.tables.metadata, report)
                async with unit_of_work(session) as work:
                    connection = work.connection
                    await self._check_database(connection, report)
                    check_server(report, connection.dialect)
                    unread = None if whole_mirror else mirror.metadata
                    facts = await connection.run_sync(self._facts, targets, unread, report)
                rows = RowsCheck(report, connection.dialect, facts)
                for handler in handlers:
                    check_methods(report, handler)
                    if (bound := handler.binding()) is not None:
                        rows.entity(handler.__name__, handler.payload_model, bound)
                catalog = self.registry.catalog()
                check_organizations(report, handlers, catalog, self.organization_ids)
                ReferenceCheck(report, self.registry, handlers, connection.dialect).run()
        if report.findings:
            raise MappingError(report.findings)
        await self._warn_of_fields(report)
        return report.warned()

    async def _warn_of_fields(self, report: Report) -> None:
        """Warn of custom fields whose names may be misspelt; the library's tables are there."""
        async with self.sessions() as session, unit_of_work(session) as work:
            bindings = self.registry.bindings()
            for entity_type, name in await unseen_fields(work.connection, self.tables, bindings):
                where = f"{self.registry[entity_type].__name__}.columns"
                problem = f"no document ever had the custom field {name!r}."
                remedy = (
                    "Compare it with its API name, or its label, in Zoho; nothing is wrong if it "
                    "never had a value."
                )
                report.warn(where, problem, remedy)

    def _bindable(self, report: Report) -> list[type[BaseEntityHandler[Any]]]:
        """Return the handlers whose mappings name only what their tables declare."""
        handlers = []
        for name in self.registry:
            handler = self.registry[name]
            try:
                handler.binding()
                handlers.append(handler)
            except MappingError as error:
                report.findings += error.findings
        return handlers

    def _is_bound(self, session: AsyncSession, report: Report) -> bool:
        try:
            session.get_bind()
        except UnboundExecutionError:
            report.refuse(
                "session_factory",
                "its sessions have no database of their own, only binds= of classes.",
                "Give the factory bind=engine, the engine of the library's and the host's tables.",
            )
            return False
        return True

    async def _check_database(self, connection: AsyncConnection, report: Report) -> None:
        """Check that there are transactions, and that the library's tables are of this release."""
        if await commits_by_itself(connection):
            report.refuse("session_factory", _AUTOCOMMIT, _TRANSACTIONS)
        if problem := await version_problem(connection, self.tables):
            report.refuse(self.tables.versions.fullname, *_sentences(problem))

    def _facts(
        self, connection: Connection, targets: Targets, unread: MetaData | None, report: Report
    ) -> dict[Table, TableFacts]:
        """Return what the database has of the host's tables; those of `unread` need only exist."""
        wanted = [*self.tables.metadata.sorted_tables, *targets]
        schemas = {table: connection.schema_for_object(table) for table in wanted}
        known = {schema: table_names(connection, schema) for schema in {*schemas.values()}}
        folds = connection.dialect.name == "sqlite"
        names = {t: _among(t.name, known[schema], folds=folds) for t, schema in schemas.items()}
        absent = [table for table, name in names.items() if name is None]
        if any(each.where == self.tables.versions.fullname for each in report.findings):
            # Other tables of another version need not be there.
            absent = [table for table in absent if table.metadata is not self.tables.metadata]
        self._report_absent(absent, list(chain(*known.values())), targets, report)
        return {
            table: read_table(connection, name, schemas[table])
            for table, name in names.items()
            if name and table in targets and table.metadata is not unread
        }

    def _report_absent(
        self, absent: list[Table], known: list[str], targets: Targets, report: Report
    ) -> None:
        made = {self.tables.metadata: LIBRARY, mirror.metadata: "mirror"}
        for metadata, where in made.items():
            names = [table.fullname for table in absent if table.metadata is metadata]
            if names:
                problem = f"tables that the library makes are missing: {', '.join(names)}."
                report.refuse(where, problem, _CREATE)
        for table in absent:
            if table.metadata not in made:
                near = difflib.get_close_matches(table.name, known, n=1)
                remedy = f"Did you mean {near[0]!r}?" if near else "Create it with your migrations."
                problem = f"the database has no table {table.fullname!r}."
                report.refuse(targets[table], problem, remedy)


def _sentences(problem: str) -> tuple[str, str]:
    """Return what is wrong with the tables' version, and what to do, as a finding has them."""
    wrong, _, remedy = problem.partition("; ")
    return f"{wrong}.", f"{remedy[:1].upper()}{remedy[1:]}."


def _among(name: str, known: list[str], *, folds: bool) -> str | None:
    """Return a table's name as the database spells it; on SQLite case does not matter."""
    if name in known or not folds:
        return name if name in known else None
    return next((each for each in known if each.lower() == name.lower()), None)


def _on_one_bind(
    session: AsyncSession,
    handlers: Iterable[type[BaseEntityHandler[Any]]],
    library: MetaData,
    report: Report,
) -> Targets:
    """Return the host's tables that are in the library's database, and report the others."""
    for table in library.sorted_tables:
        if not _is_here(session, table, None):
            report.refuse(table.fullname, _OTHER_BIND, "Take it out of the factory's binds=.")
    targets: Targets = {}
    for handler in handlers:
        bound = handler.binding()
        if bound is None:
            continue
        own = f"{handler.__name__}.table"
        places = [(own, part.table, bound.mapping.table) for part in bound.parts]
        for position, (child, declared) in enumerate(
            zip(bound.children, bound.mapping.children, strict=True)
        ):
            where = f"{handler.__name__}.children[{position}].table"
            places += [(where, part.table, declared.table) for part in child.parts]
        for where, table, declared_table in places:
            if _is_here(session, table, declared_table):
                targets.setdefault(table, where)
            else:
                remedy = "Give ZohoSync the session factory of the database that has the table."
                report.refuse(where, _OTHER_BIND, remedy)
    return targets


def _is_here(session: AsyncSession, table: Table, declared: Any) -> bool:  # what the host gave
    mapper = inspect(declared, raiseerr=False) if isinstance(declared, type) else None
    try:
        found = session.get_bind(mapper=mapper, clause=table)
    except UnboundExecutionError:
        return False
    # Engines that differ in their options only share a pool.
    return found.engine.pool is session.get_bind().engine.pool
