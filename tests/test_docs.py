"""Every Python block in the README and the docs runs, top to bottom, one namespace to a page."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Self

import pytest
from sqlalchemy import event
from sybil import Example, Sybil
from sybil.evaluators.python import pad
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.parsers.markdown.codeblock import CodeBlockParser

from tests.test_examples import OUTPUT
from zoho_sync import MappingError

pytestmark = pytest.mark.depends_on_sqlalchemy

REPOSITORY = Path(__file__).parent.parent


def pages() -> list[Path]:
    """The README and the pages of the docs, without what Sphinx built from them."""
    docs = REPOSITORY / "docs"
    found = (page for page in docs.rglob("*.md") if "_build" not in page.parts)
    return sorted((*REPOSITORY.glob("README.md"), *found))


class BlockEvaluator:
    """Runs a block of Python; as in the asyncio console, it may await at its top level."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def __call__(self, example: Example) -> None:
        """Run the block in the namespace of its page, under the line numbers of the page."""
        source = pad(example.parsed, example.line + example.parsed.line_offset)
        code = compile(
            source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        # Otherwise functions would be of no module, while classes find this name in any case.
        example.namespace.setdefault("__name__", "builtins")
        example.namespace.setdefault("__builtins__", builtins)  # as a module's has them
        result = FunctionType(code, example.namespace)()
        if code.co_flags & inspect.CO_COROUTINE:
            self._runner.run(result)


def parser(runner: asyncio.Runner) -> PythonCodeBlockParser:
    """Sybil's parser of Python blocks and the doctests in them, awaiting where they do."""
    blocks = PythonCodeBlockParser()
    blocks.codeblock_parser = CodeBlockParser("python", BlockEvaluator(runner))
    return blocks


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all the blocks of a page."""
    with asyncio.Runner() as runner:
        yield runner


def run_page(page: Path, runner: asyncio.Runner) -> int:
    """Run the blocks of a page, and return how many there were."""
    examples = list(Sybil([parser(runner)]).parse(page).examples())
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_block_runs(
    page: Path, runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page, runner)


def first_block(page: Path) -> str:
    """The first block of Python on a page; ``""`` if there is none."""
    found = re.search(
        r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return found[1] if found else ""


@pytest.mark.parametrize(
    "page",
    [page for page in pages() if first_block(page)],
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_the_first_block_of_a_page_is_a_file_that_runs_twice(page: Path, tmp_path: Path) -> None:
    """Whoever copies it into a file must not meet an await outside of a function."""
    (tmp_path / "copied.py").write_text(first_block(page), encoding="utf-8")
    twice = "from runpy import run_path\nfor _ in 'ab': run_path('copied.py', run_name='__main__')"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", twice],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Warning" not in ran.stderr


def test_the_quickstart_is_the_text_of_its_example() -> None:
    page = REPOSITORY / "docs" / "quickstart.md"
    example = (REPOSITORY / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert first_block(page) == example
    shown = page.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    assert shown == OUTPUT["quickstart.py"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {page.parent / link for link in re.findall(r"\]\(([\w./-]+)\)", text)}
    modules = {REPOSITORY / name for name in re.findall(r"`(tests/[\w/]+\.py)`", text)}
    assert [str(path) for path in sorted(links | modules) if not path.exists()] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_code_fits_the_page(page: Path) -> None:
    """A window of 1,280 pixels shows so much; on a telephone the pages wrap it."""
    blocks = page.read_text(encoding="utf-8").split("```")[1::2]
    assert [line for block in blocks for line in block.splitlines() if len(line) > 100] == []


class Misfit:
    """A `ZohoSync` whose mappings do not fit the database."""

    async def create_tables(self) -> None:
        """Make nothing."""

    async def check(self) -> None:
        """Find what is wrong."""
        raise MappingError([])

    async def run(self) -> None:
        """Be no worker: it would fail where nobody looks."""
        pytest.fail("the worker was started")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True


class Fitting(Misfit):
    """A `ZohoSync` whose worker works until it is cancelled."""

    closed = False

    async def check(self) -> None:
        """Find nothing."""

    async def run(self) -> None:
        """Work."""
        await asyncio.Event().wait()


LIFESPANS = [page for page in pages() if "async def lifespan(" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", LIFESPANS, ids=lambda page: page.name)
def test_a_lifespan_closes_what_it_has_opened(
    page: Path, runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = next(iter(Sybil([parser(runner)]).parse(page).examples()))
    first.evaluate()
    sync = first.namespace["sync"] = Fitting()
    disposed: list[object] = []
    event.listen(first.namespace["engine"].sync_engine, "engine_disposed", disposed.append)

    async def live() -> None:
        async with first.namespace["lifespan"](None):
            await asyncio.sleep(0)
            assert not sync.closed

    runner.run(live())
    assert sync.closed
    assert disposed


@pytest.mark.parametrize("name", ["README.md", "docs/how-to/embed.md"])
def test_a_mapping_that_does_not_fit_stops_the_start(
    name: str, runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = next(iter(Sybil([parser(runner)]).parse(REPOSITORY / name).examples()))
    first.evaluate()
    first.namespace["sync"] = Misfit()

    async def start() -> None:
        with pytest.raises(MappingError):
            await first.namespace["lifespan"](None).__aenter__()

    runner.run(start())


def test_blocks_await_and_share_names(tmp_path: Path, runner: asyncio.Runner) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nimport asyncio\n\nnap = await asyncio.sleep(0, 'slept')\n```\n"
        "```python\n>>> nap\n'slept'\n\n```\n"
        "```python\nassert asyncio.run(asyncio.sleep(0, nap)) == 'slept'\n```\n"
        "```shell\nnot python\n```\n"
    )
    assert run_page(page, runner) == 3


def test_a_block_that_fails_names_its_line(tmp_path: Path, runner: asyncio.Runner) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nvalue = 1\nraise LookupError(value)\n```\n")
    with pytest.raises(LookupError) as failure:
        run_page(page, runner)
    assert failure.traceback[-1].lineno + 1 == 5
