"""What is printed, on a terminal and for programs."""

from __future__ import annotations

import io
import json
import sys
import traceback
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import async_sessionmaker

from zoho_sync.cli.database import parsed_url
from zoho_sync.cli.output import print_json, safe, show, shown_url, table
from zoho_sync.exceptions import ConfigurationError
from zoho_sync.exceptions.wording import without_credentials
from zoho_sync.queues.choice import queue_from
from zoho_sync.store.tables import library_tables


def queue_of(url: str) -> Any:
    return queue_from(url, async_sessionmaker(), library_tables(), None)


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


@pytest.mark.parametrize(
    "scheme", ["postgresql+asyncpg", "mariadb+asyncmy", "redis", "amqp", "x+y"]
)
@pytest.mark.parametrize("password", ["p", "p@ss", "p/w@rd", "p@ss/w@rd", "p#w@rd", "w@rd:5/p@ss"])
def test_no_part_of_a_password_is_printed_however_it_is_written(scheme: str, password: str) -> None:
    """Nobody escapes a password at the first try: what looks like a host may be a part of it."""
    url = f"{scheme}://uzer:{password}@host:5/db?password=w-rd"
    told = without_credentials(f"cannot reach {url} now")
    assert told == f"cannot reach {scheme}://…@host:5/db?… now"
    both = without_credentials(f"{scheme}://host/db?user=uzer&password={password} {scheme}://h/d?x")
    assert both in {f"{scheme}://… {scheme}://h/d?…", f"{scheme}://host/db?… {scheme}://h/d?…"}
    with suppress(ArgumentError, ValueError):
        parsed = make_url(url)
        assert shown_url(parsed).endswith(("host:5/db", "host/db"))
        assert not any(part in shown_url(parsed) for part in ("uzer", "p@ss", "w@", "@rd", "w-rd"))


@pytest.mark.parametrize("password", ["p@ss", "p@ss/w@rd", "w@rd:5/p@ss"])
def test_url_with_a_password_that_is_not_escaped_is_refused_without_a_part_of_it(
    password: str,
) -> None:
    for refuse in (
        lambda: parsed_url(f"postgresql+asyncpg://uzer:{password}@host/db"),
        lambda: queue_of(f"redis://uzer:{password}/x@host/0"),
        lambda: queue_of(f"amqp://uzer:{password}/x@host/vhost"),
        lambda: queue_of(f"nats://uzer:{password}/x@host/a/b"),
        lambda: queue_of(f"{password}://uzer@host"),
        lambda: queue_of(f"uzer:{password}"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            refuse()
        said = "".join(traceback.format_exception(caught.value, limit=0))
        assert not [part for part in ("uzer", "p@", "@ss", "w@rd") if part in said]
