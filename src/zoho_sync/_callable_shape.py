"""Whether a callable of a mapping can be called as the library calls it, found without a call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import func

from zoho_sync.exceptions import Finding
from zoho_sync.exceptions.arguments import misfit

__all__ = ["callable_fault"]

_UNCALLED: Final = type(func.now)


def callable_fault(
    given: Any, where: str, example: str, *, takes_sql: bool = False
) -> Iterator[Finding]:
    """Give what is wrong with a callable; nothing for what is none.

    Args:
        given: What the mapping has.
        where: The attribute that holds it.
        example: What would be right.
        takes_sql: Whether it is called with a SQL expression, as a SQL function is.
    """
    if not callable(given):
        return
    if isinstance(given, _UNCALLED) and not takes_sql:
        yield Finding(where, "the SQL function is not called.", "Write func.now(), for example.")
    elif inspect.iscoroutinefunction(given):
        problem = "the callable is async, and nothing awaits it."
        yield Finding(where, problem, f"Give one that is not: {example}.")
    elif problem := misfit(given, None):
        problem = f"the callable is given one argument, and that does not fit: {problem}."
        yield Finding(where, problem, f"Give one that takes it: {example}.")
