"""Checks arguments that Python itself takes, though nothing could be done with them later.

A name that no signature has is said by Python. A value of another kind is not: it would end in an
error from inside the library, or at the first event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Kind", "kind_of", "of"]


class Kind(NamedTuple):
    """A kind of argument.

    Attributes:
        fits: Says whether a value is of it.
        called: How it is called: ``a name``.
        example: What to give instead of another: ``the name as text``.
    """

    fits: Callable[[Any], bool]
    called: str
    example: str


def of(*types: Any) -> Callable[[Any], bool]:
    """Return what says whether a value is of these types; text is no sequence."""

    def fits(given: Any) -> bool:
        return isinstance(given, types) and (str in types or not isinstance(given, str))

    return fits


def kind_of(given: Any) -> str:  # whatever the host gave
    """Return what a value is, and nothing of what it holds: it may be a secret."""
    if isinstance(given, type):
        return f"the class {given.__name__}"
    return "nothing" if given is None else f"of type {type(given).__name__}"
