"""The benchmarks run, and count a run only once its rows are right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import drain, own
from benchmarks.contestant import WrongRowsError

pytestmark = [pytest.mark.runs_on("postgresql"), pytest.mark.usefixtures("postgres_server")]

ONE = ("--events", "30", "--rounds", "1", "--only", "batches of 50")


def test_a_drain_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    drain.main([*ONE, "--json", str(path)])
    measured = json.loads(path.read_text(encoding="utf-8"))
    assert (measured["benchmark"], measured["events"], measured["rounds"]) == ("drain", 30, 1)
    figures = measured["contestants"]["zoho_sync, batches of 50"]
    assert figures["median"] > 0
    assert figures["cpu_ms_an_event"] > 0
    assert "Drain of 30 events" in capsys.readouterr().out


def test_a_run_that_leaves_other_rows_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: own.Library50) -> None:
        """Be very quick."""

    monkeypatch.setattr(own.Library50, "run", nothing)
    with pytest.raises(WrongRowsError):
        drain.main(ONE)
