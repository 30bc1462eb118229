"""Keeps Alembic's autogenerate from dropping the library's tables, where it keeps the host's own.

Stands beside the way of an event. The library's tables are in the host's database and not in the
host's metadata, so autogenerate takes them for tables that are not wanted any more. In ``env.py``::

    from zoho_sync.migrations import include_object

    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=include_object,
    )

A host that has such a function already combines the two::

    include_object = combined(include_object, my_include_object)

Nothing here imports Alembic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoho_sync import mirror
from zoho_sync.store.tables import PREFIX

__all__ = ["IncludeObject", "combined", "include_object"]

IncludeObject = Callable[[Any, str | None, str, bool, Any], bool]
"""The question that Alembic asks about each object that it finds; see `include_object`."""


def include_object(
    found: Any,  # noqa: ARG001  # Alembic's
    name: str | None,
    kind: str,
    reflected: bool,  # noqa: FBT001  # the same
    compared: Any,
) -> bool:
    """Return whether Alembic's autogenerate should look at an object.

    It should not look at tables of the library and of the mirror that are in the database and not
    in the host's metadata. What the host's metadata names is the host's, whatever it is called.

    Args:
        found: The object of SQLAlchemy's.
        name: Its name.
        kind: What it is: ``"table"``, ``"column"``, ``"index"``…
        reflected: Whether it comes from the database; otherwise it is in the host's metadata.
        compared: What the host's metadata has for it; None if that has nothing.
    """
    unknown = kind == "table" and reflected and compared is None
    return not (unknown and name is not None and _is_ours(name))


def combined(*hooks: IncludeObject) -> IncludeObject:
    """Return a function for ``include_object`` that looks at what all given functions look at.

    Args:
        hooks: Functions for ``include_object``, such as the one above and yours.
    """

    def include(found: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:  # noqa: FBT001  # Alembic's
        return all(hook(found, name, kind, reflected, compared) for hook in hooks)

    return include


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) or name in {each.name for each in mirror.metadata.sorted_tables}
