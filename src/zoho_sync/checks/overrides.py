"""Whether the methods of a handler are what their author takes them for, beside its mapping."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

from zoho_sync.checks.report import Report
from zoho_sync.exceptions.wording import meant
from zoho_sync.handlers.base import BaseEntityHandler

__all__ = ["HandlerCheck"]

_METHODS: Final = ("upsert", "delete", "before_apply", "after_apply")
"""What a handler may write itself."""


@dataclass(frozen=True)
class HandlerCheck:
    """Checks the methods of handlers.

    Attributes:
        report: Where findings go.
    """

    report: Report

    def run(self, handler: type[BaseEntityHandler[Any]]) -> None:
        """Check one handler."""
        for name in _METHODS:
            self._awaitable(handler, name)
        self._unread(handler)
        mapping = handler.mapping
        own = handler.delete is not BaseEntityHandler.delete
        if own and mapping is not None and mapping.on_delete == "ignore":
            self.report.refuse(
                f"{handler.__name__}.delete",
                'on_delete="ignore" ignores deletes before delete() is called.',
                'Choose on_delete="soft" or "hard", or take delete() out.',
            )

    def _awaitable(self, handler: type[BaseEntityHandler[Any]], name: str) -> None:
        method = inspect.unwrap(getattr(handler, name))
        if isinstance(method, FunctionType) and not inspect.iscoroutinefunction(method):
            arguments = str(inspect.signature(method))
            self.report.refuse(
                f"{handler.__name__}.{name}",
                "it is not an async function, and the library awaits it.",
                f"Write async def {name}{arguments}.",
            )

    def _unread(self, handler: type[BaseEntityHandler[Any]]) -> None:
        """Warn of a method whose name is nearly that of one which the library calls."""
        inherited = dir(BaseEntityHandler)
        for name in dir(handler):
            method = inspect.getattr_static(handler, name)
            strange = name not in inherited and not name.startswith("_")
            if strange and isinstance(method, FunctionType) and (near := _near(name)):
                problem = "the library calls no method of that name."
                self.report.warn(f"{handler.__name__}.{name}", problem, near)


def _near(name: str) -> str:
    # Parts of a whole are called after it: upsert_lines, after_apply_mail.
    if any(name.startswith(f"{each}_") or name.endswith(f"_{each}") for each in _METHODS):
        return ""
    return meant(name, _METHODS, surely=True)
