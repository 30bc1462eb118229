"""Finds the host's own `ZohoSync`: ``--app module:attribute``."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from zoho_sync.app.sync import ZohoSync
from zoho_sync.exceptions import ConfigurationError

__all__ = ["load_application"]


def load_application(name: str) -> ZohoSync:
    """Import a `ZohoSync`, with the current folder on the path.

    Raises:
        ConfigurationError: There is none of that name; the message says what there is.
    """
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise ConfigurationError(
            f"--app wants a module and an attribute, for example --app shop.sync:sync; got {name!r}"
        )
    found: object = _module(module_name)
    walked = module_name
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            message = f"--app: {walked} has no attribute {attribute!r}{_hint(found)}"
            raise ConfigurationError(message)
        found = getattr(found, attribute)
        walked = f"{walked}.{attribute}"
    if not isinstance(found, ZohoSync):
        raise ConfigurationError(f"--app: {name} is a {type(found).__name__}, not a ZohoSync")
    return found


def _module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            message = f"--app: there is no module {error.name!r} in {folder} or on Python's path"
        else:
            message = f"--app: {name} imports {error.name!r}, which is not installed"
        raise ConfigurationError(message) from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigurationError(
            f"--app: importing {name} failed with {type(error).__name__}: {error} "
            f"({frame.filename}, line {frame.lineno})"
        ) from error


def _hint(module: object) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, ZohoSync)]
    return f"; it has a ZohoSync called {' and '.join(names)}" if names else ""
