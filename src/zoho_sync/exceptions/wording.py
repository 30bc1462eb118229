"""Puts errors into words: what somebody typed, what was meant by it, which callable failed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

__all__ = [
    "did_you_mean",
    "listed",
    "meant",
    "note_callable",
    "noted",
    "one_line",
    "raised_in",
    "shown",
    "shown_key",
    "without_credentials",
]

_LONGEST: Final = 40
_LONGEST_KEY: Final = 100
_LONGEST_LINE: Final = 400
_TYPO: Final = 0.8
"""The likeness from which on a word is taken for a slip of the fingers."""

_MOST_GUESSES: Final = 3
_MOST_LISTED: Final = 12
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN: Final = re.compile(r"[\W_]+")
_NOTE: Final = "zoho_sync: raised in "
_URL: Final = re.compile(r"(?<=://)\S+")


def shown(word: str) -> str:
    """Return a word fit for a log or a message: quoted, short, without control characters."""
    return repr(one_line(word, _LONGEST))


def shown_key(key: str) -> str:
    """Return a key of a document as a path names it: cut, and without control characters."""
    return one_line(key, _LONGEST_KEY)


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """Return text that forges no line of a log and steers no terminal, cut to so many characters.

    Line breaks, other control characters, marks that turn the direction of writing and halves of
    surrogate pairs become ``�``.
    """
    kept = text if len(text) <= longest else f"{text[:longest]}…"
    return kept if kept.isprintable() else "".join(c if c.isprintable() else "�" for c in kept)


def without_credentials(text: str) -> str:
    """Return text without user, password and options of any URL in it, rather too little than more.

    A URL is taken to end at the next blank, and its credentials at its last ``@``: a password that
    nobody has escaped holds ``@`` and ``/`` itself.
    """
    return _URL.sub(_place_alone, text)


def _place_alone(found: re.Match[str]) -> str:
    login, at, place = found[0].rpartition("@")
    if "?" in login:
        # A password with a ? in it, or an option with an @: nobody can tell.
        return "…"
    where, asked, _ = place.partition("?")
    return ("…@" if at else "") + where + ("?…" if asked else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'invoice'?`` with the nearest known word; ``""`` if none is near."""
    near = difflib.get_close_matches(word[:_LONGEST].strip().lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def meant(word: str, known: Iterable[str], *, of: str = "", surely: bool = False) -> str:
    """Return ``Did you mean 'contact_name'?`` with what was probably meant; ``""`` if nothing.

    A slip of the fingers is one word; a part of names, such as ``name``, is up to three of them.

    Args:
        word: What was typed.
        known: The names that there are.
        of: What the names are about: ``contact`` makes ``contact_name`` of ``name``.
        surely: Whether nothing but a slip of the fingers counts.
    """
    names = list(dict.fromkeys(known))
    typed = "_".join(_parts(word))
    found = _alike(typed, names, _TYPO)
    if not surely:
        found = found or [name for name in names if typed and name == f"{of}_{typed}"]
        found = found or _sharing(typed, names) or _alike(typed, names, 0.6)
    if not found:
        return ""
    *others, last = map(repr, found[:_MOST_GUESSES])
    several = f"{', '.join(others)} or " if others else ""
    return f"Did you mean {several}{last}?"


def listed(known: Iterable[str]) -> str:
    """Return names in a row, and how many there are where these are too many to read."""
    names = list(known)
    more = len(names) - _MOST_LISTED
    if more <= 1:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:_MOST_LISTED])} and {more} others"


def note_callable(error: BaseException, where: str) -> None:
    """Note on an error the attribute whose callable raised it, for `raised_in`."""
    error.add_note(f"{_NOTE}{where}")


def raised_in(error: BaseException) -> str:
    """Return the attribute whose callable raised an error; ``""`` where none did."""
    return noted(error, _NOTE)


def noted(error: BaseException, mark: str) -> str:
    """Return what was noted on an error behind a mark; ``""`` where nothing was."""
    notes = (note for note in getattr(error, "__notes__", ()) if isinstance(note, str))
    return next((note.removeprefix(mark) for note in notes if note.startswith(mark)), "")


def _parts(name: str) -> list[str]:
    return [part for part in _BETWEEN.split(_HUMP.sub("_", name).lower()) if part]


def _alike(typed: str, names: list[str], ratio: float) -> list[str]:
    by_parts = {"_".join(_parts(name)): name for name in reversed(names)}
    # Two letters that have changed places weigh much in a short word.
    near = [each for each in by_parts if each[:1] == typed[:1] and sorted(each) == sorted(typed)]
    near = near or difflib.get_close_matches(typed[:_LONGEST], by_parts, n=1, cutoff=ratio)
    return [by_parts[each] for each in near[:1]]


def _sharing(typed: str, names: list[str]) -> list[str]:
    """Return the names that hold all words of what was typed, the shortest first."""
    words = set(typed.split("_"))
    return sorted((name for name in names if typed and words <= set(_parts(name))), key=len)
