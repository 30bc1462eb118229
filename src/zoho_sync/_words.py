"""Words that somebody typed: how they are shown, and which known word was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

__all__ = ["did_you_mean", "shown"]

_LONGEST: Final = 40


def shown(word: str) -> str:
    """Return a word fit for a log or a message: quoted, short, without control characters."""
    text = "".join(each if each.isprintable() else "�" for each in word[: _LONGEST + 1])
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'invoice'?`` with the nearest known word; ``""`` if none is near."""
    near = difflib.get_close_matches(word[:_LONGEST].strip().lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
