"""Configuration of the documentation."""

from importlib.metadata import version as installed_version
from typing import Any

from sphinx.application import Sphinx

project = "zoho_sync"
author = "zoho_sync contributors"
project_copyright = "2026, zoho_sync contributors"
release = installed_version("zoho-sync")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True
# What annotations name in Python's and other packages' documentation is not linked.
nitpick_ignore_regex = [("py:.*", ".*")]

myst_heading_anchors = 3

# Docstrings are in the Google style; a name in single backticks is code.
default_role = "code"
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "no-value": True, "exclude-members": "cache_ok, impl"}

html_theme = "furo"
html_title = f"zoho_sync {release}"


def setup(app: Sphinx) -> None:
    """Leave the docstrings of attributes as they are: napoleon takes a colon for a type."""
    kept: dict[str, list[str]] = {}

    def keep(_app: Sphinx, what: str, name: str, *rest: Any) -> None:
        if what in {"attribute", "data", "property"}:
            kept[name] = list(rest[-1])

    def restore(_app: Sphinx, _what: str, name: str, *rest: Any) -> None:
        if name in kept:
            rest[-1][:] = kept.pop(name)

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
