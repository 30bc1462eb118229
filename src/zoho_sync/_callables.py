"""The callables of a mapping, each under the name of the attribute that holds it.

What a callable raises says nothing of where it stands: the document is at hand, the mapping is not.
So each is wrapped where the mapping is bound. A mistake in one is there for every attempt at the
same event, hence permanent; what may pass is left as it is, with a note of its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from zoho_sync.exceptions import PayloadError, ZohoSyncError

__all__ = ["NamedCallable", "named", "raised_in"]

_NOTE: Final = "zoho_sync: raised in "
_MISTAKES: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, repr=False)
class NamedCallable:
    """A callable that names its place when it fails.

    Attributes:
        where: The handler and the attribute, for example ``Invoices.columns['number']``.
        function: The host's.
    """

    where: str
    function: Callable[[Any], Any]

    def __call__(self, node: Any, /) -> Any:
        """Return what the callable returns.

        Raises:
            PayloadError: The callable made a mistake; names it, and holds no value.
        """
        try:
            result = self.function(node)
            # What a generator raises belongs to its callable as well.
            return list(result) if isinstance(result, Iterator) else result
        except ZohoSyncError:
            raise
        except _MISTAKES as error:
            problem = f"the callable raised {type(error).__name__}"
            raise PayloadError(self.where, problem) from error
        except Exception as error:
            error.add_note(f"{_NOTE}{self.where}")
            raise

    def __repr__(self) -> str:
        return repr(self.function)


def named(value: Any, where: str) -> Any:
    """Return a callable under its name, and anything else as it is."""
    return NamedCallable(where, value) if callable(value) else value


def raised_in(error: BaseException) -> str:
    """Return the attribute whose callable raised an error; ``""`` where none did."""
    notes = (note for note in getattr(error, "__notes__", ()) if isinstance(note, str))
    return next((n.removeprefix(_NOTE) for n in notes if n.startswith(_NOTE)), "")
