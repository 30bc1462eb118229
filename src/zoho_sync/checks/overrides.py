"""Checks that the methods of a handler are what their author takes them for."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any, Final

from zoho_sync.checks.report import Report
from zoho_sync.exceptions.wording import meant
from zoho_sync.handlers.base import BaseEntityHandler

__all__ = ["check_methods"]

_METHODS: Final = ("upsert", "delete", "before_apply", "after_apply")
"""The methods that a handler may write itself."""


def check_methods(report: Report, handler: type[BaseEntityHandler[Any]]) -> None:
    """Report methods of a handler that the library cannot await, or would not call."""
    for name in _METHODS:
        method = inspect.unwrap(getattr(handler, name))
        if isinstance(method, FunctionType) and not inspect.iscoroutinefunction(method):
            problem = "it is not an async function, and the library awaits it."
            remedy = f"Write async def {name}{inspect.signature(method)}."
            report.refuse(f"{handler.__name__}.{name}", problem, remedy)
    for name in sorted({*dir(handler)}.difference(dir(BaseEntityHandler))):
        public = not name.startswith("_")
        method = inspect.getattr_static(handler, name)
        if public and isinstance(method, FunctionType) and (near := _near(name)):
            problem = "the library calls no method of that name."
            report.warn(f"{handler.__name__}.{name}", problem, near)
    mapping = handler.mapping
    own = handler.delete is not BaseEntityHandler.delete
    if own and mapping is not None and mapping.on_delete == "ignore":
        report.refuse(
            f"{handler.__name__}.delete",
            'on_delete="ignore" ignores deletes before delete() is called.',
            'Choose on_delete="soft" or "hard", or take delete() out.',
        )


def _near(name: str) -> str:
    # Parts of a whole are called after it: upsert_lines, after_apply_mail.
    if any(name.startswith(f"{each}_") or name.endswith(f"_{each}") for each in _METHODS):
        return ""
    return meant(name, _METHODS, surely=True)
