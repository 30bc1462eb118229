"""What is printed, on a terminal and for programs."""

from __future__ import annotations

import io
import json
import sys
from datetime import timedelta
from uuid import UUID

import pytest

from zoho_sync.cli.output import print_json, safe, show, table


class Terminal(io.StringIO):
    """A standard output that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_lines_are_at_most_100_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    rows = table("what", "why")
    rows.add_row(safe("a\x1b[2Jb"), safe("word " * 60))
    show("heading", rows)
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "heading"
    assert max(map(len, lines[2:])) <= 100
    assert "a\\x1b[2Jb" in lines[2]


def test_what_json_does_not_have_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    key = UUID(int=7)
    print_json({"key": key, "age": timedelta(minutes=2), "names": ("a",)})
    assert json.loads(capsys.readouterr().out) == {"key": str(key), "age": 120, "names": ["a"]}
