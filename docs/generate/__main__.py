"""Writes the reference and the pictures: `python -m docs.generate`.

With `--check` it only says what lags behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate.commands import command_line
from docs.generate.markdown import Writer, index
from docs.generate.pages import PAGES
from docs.generate.pictures import delivery, rooms

FOLDER = Path(__file__).parent.parent / "reference"
PICTURES = Path(__file__).parent.parent / "pictures"


def written() -> dict[Path, str]:
    """Return every page and picture as it should be, by its file."""
    writer = Writer(index(PAGES))
    pages = {FOLDER / f"{page.file}.md": writer.page(page) for page in PAGES}
    if writer.unsaid:
        message = "say in the docstrings, under Args, what these mean: " + ", ".join(writer.unsaid)
        raise LookupError(message)
    return {
        **pages,
        FOLDER / "command-line.md": command_line(),
        PICTURES / "delivery.svg": delivery(),
        PICTURES / "rooms.svg": rooms(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or only name those that lag behind; return the exit code."""
    late = [
        path
        for path, text in written().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in late:
            sys.stdout.write(f"{path.name} lags behind the code: run python -m docs.generate\n")
        return 1 if late else 0
    for path in late:
        path.write_text(written()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
