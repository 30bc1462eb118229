"""Configuration of the documentation."""

from importlib.metadata import version as installed_version

project = "zoho_sync"
author = "zoho_sync contributors"
project_copyright = "2026, zoho_sync contributors"
release = installed_version("zoho-sync")
version = release

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True

myst_heading_anchors = 3

html_theme = "furo"
html_title = f"zoho_sync {release}"
html_static_path = ["static"]
html_css_files = ["narrow.css"]
