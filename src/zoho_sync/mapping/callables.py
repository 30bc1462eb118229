"""Names the callables of a mapping, each by the attribute that holds it.

What a callable raises says nothing of where it stands: the document is at hand, the mapping is not.
So each is wrapped where the mapping is bound. A mistake in one is there for every attempt at the
same event, hence permanent; what may pass is left as it is, with a note of its place.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ClauseElement

from zoho_sync.exceptions import CallableFailed, ZohoSyncError
from zoho_sync.exceptions.wording import meant, note_callable
from zoho_sync.mapping.declaration import ABSENT
from zoho_sync.payloads import Line, Payload

__all__ = ["NamedCallable", "named", "no_columns", "no_expression", "no_lines"]

_MISTAKES: Final = (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError)


@dataclass(frozen=True, repr=False)
class NamedCallable:
    """A callable that names its place when it fails.

    Attributes:
        where: The handler and the attribute, for example ``Invoices.columns['number']``.
        fault: Says what is wrong with a result; ``""`` where nothing is.
    """

    where: str
    function: Callable[[Any], Any]
    fault: Callable[[Any], str] | None = None

    def __call__(self, node: Any, /) -> Any:
        """Return what the callable returns.

        Raises:
            CallableFailed: The callable made a mistake; names it, and holds no value.
        """
        try:
            result = self.function(node)
            # What a generator raises belongs to its callable as well.
            result = list(result) if isinstance(result, Iterator) else result
        except ZohoSyncError:
            raise
        except _MISTAKES as error:
            problem = f"the callable raised {type(error).__name__}{_misspelt(error)}"
            raise CallableFailed(self.where, problem) from error
        except BaseException as error:
            note_callable(error, self.where)
            raise
        if self.fault is not None and (fault := self.fault(result)):
            raise CallableFailed(self.where, f"the callable gives {fault}")
        return result

    def __repr__(self) -> str:
        return repr(self.function)


def named(value: Any, where: str, fault: Callable[[Any], str] | None = None) -> Any:
    """Return a callable under its name, and anything else as it is."""
    return NamedCallable(where, value, fault) if callable(value) else value


def no_lines(result: Any) -> str:
    """Say why a result is no list of lines; ``""`` where it is one, or where there is none."""
    if result is None or result is ABSENT:
        return ""
    wanted = "not a list of the document's lines"
    if not isinstance(result, Iterable) or isinstance(result, (str, Mapping)):
        return f"{_kind(result)}, {wanted}"
    strange = next((each for each in result if not isinstance(each, Line)), None)
    return "" if strange is None else f"a list with {_kind(strange)}, {wanted}"


def no_columns(result: Any) -> str:
    """Say why a result does not make a row; ``""`` where it does."""
    wanted = 'not the columns of a row: {"column": value}'
    if not isinstance(result, Mapping):
        return f"{_kind(result)}, {wanted}"
    strange = next((each for each in result if not isinstance(each, str)), None)
    return "" if strange is None else f"{_kind(strange)} as a name, {wanted}"


def no_expression(result: Any) -> str:
    """Say why a result is no SQL expression; ``""`` where it is one."""
    wanted = "not a SQL expression of the column"
    return "" if isinstance(result, ClauseElement) else f"{_kind(result)}, {wanted}"


def _misspelt(error: Exception) -> str:
    """Name the field that a document does not have, where the code itself spells it.

    What code looks up by a name that it was given may be a value of the document.
    """
    if not isinstance(error, AttributeError) or not isinstance(error.obj, (Payload, Line)):
        return ""
    frames = traceback.walk_tb(error.__traceback__)
    if not any(error.name in frame.f_code.co_names for frame, _ in frames):
        return ""
    model = type(error.obj)
    near = meant(str(error.name), model.model_fields)
    return f": {model.__name__} has no field {error.name!r}. {near}".rstrip()


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
