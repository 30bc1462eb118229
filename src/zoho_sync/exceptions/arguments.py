"""Arguments that do not fit a signature: which, what was probably meant, and what to write.

Python says that there is no ``colums``; not that there is a ``columns``. The signature stays as it
is for editors and type checkers: only a call that fails is looked at.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from zoho_sync.exceptions.errors import Finding, MappingError
from zoho_sync.exceptions.wording import listed, meant

__all__ = ["explained", "explains", "misfit"]

_ClassT = TypeVar("_ClassT")
_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])
_DECLARATIONS: Final[dict[str, set[str]]] = {}
"""The arguments of each class that explains its own."""


def explains(**examples: str) -> Callable[[type[_ClassT]], type[_ClassT]]:
    """Return a decorator of a class: arguments that do not fit are a `MappingError` with a remedy.

    Args:
        examples: For each argument that must be given, what it looks like.
    """

    def decorate(decorated: type[_ClassT]) -> type[_ClassT]:
        name, init = decorated.__name__, decorated.__init__
        _DECLARATIONS[name] = {*inspect.signature(decorated).parameters}
        decorated.__init__ = _explained(init, name, examples)  # type: ignore[method-assign]  # its signature is kept
        return decorated

    return decorate


def explained(**examples: str) -> Callable[[_FunctionT], _FunctionT]:
    """Return a decorator of a function that does what `explains` does for a class."""

    def decorate(decorated: _FunctionT) -> _FunctionT:
        wrapper: Any = _explained(decorated, f"{decorated.__name__}()", examples)
        kept: _FunctionT = wrapper
        return kept

    return decorate


def misfit(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return what Python says of arguments that do not fit a signature; ``""`` where they do.

    What has no signature, such as much of what is written in C, is not judged.
    """
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    except ValueError:
        return ""
    return ""


def _explained(
    function: Callable[..., Any], name: str, examples: Mapping[str, str]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            if not misfit(function, *args, **kwargs):
                raise
        raise MappingError(_findings(function, name, examples, args, kwargs))

    return call


def _findings(
    function: Callable[..., Any],
    name: str,
    examples: Mapping[str, str],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> list[Finding]:
    parameters = [*inspect.signature(function).parameters]
    open_to = parameters[len(args) :]
    missing = {each: examples[each] for each in examples if each in open_to}
    missing = {each: missing[each] for each in missing if each not in kwargs}
    known = [each for each in parameters if each != "self"]
    findings = [*_strange(name, known, kwargs, missing)]
    if not findings:
        findings = [
            Finding(name, f"the argument {each!r} is missing.", f"Give {example}.")
            for each, example in missing.items()
        ]
    if findings:
        return findings
    whole = ", ".join(examples.values())
    whole = f"Give {whole}." if name.endswith("()") else f"Write {name}({whole})."
    return [Finding(name, f"{misfit(function, *args, **kwargs)}.", whole)]


def _strange(
    name: str, known: list[str], given: Mapping[str, Any], missing: Mapping[str, str]
) -> Iterator[Finding]:
    for each in given:
        if each in known:
            continue
        places = [other for other, names in _DECLARATIONS.items() if each in names]
        remedy = meant(each, known) or f"It has {listed(known)}."
        if places:
            remedy = f"It belongs to {' and '.join(places)}."
        elif missing and not remedy.startswith("Did"):
            remedy = f"What is missing is {', '.join(missing)}: {', '.join(missing.values())}."
        yield Finding(name, f"it has no argument {each!r}.", remedy)
