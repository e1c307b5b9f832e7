"""What a project's folder says of options: ``ablate.toml``, or ``[tool.ablate]`` in ``pyproject.toml``.

The nearest file in the working directory or above counts, whole. An option on the command line wins over
its environment variable, that over the file, and the file over what is built in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from model.errors import ConfigError
from model.suggest import suggestion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN_FILE, SHARED_FILE = "ablate.toml", "pyproject.toml"


@dataclass(frozen=True)
class Defaults:
    """Options that a project fixes for all its studies."""

    results: Path | None = None
    """Where studies keep their results; relative to the file."""
    cache: Path | None = None
    """Features and drawn data; relative to the file."""
    workers: int | None = None
    """Runs at a time."""
    storage: str | None = None
    """``postgresql://...`` that holds the claims, for several machines."""

    def given(self) -> dict[str, Any]:
        """The options that are set, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


def read_defaults(folder: Path) -> Defaults:
    """What holds in ``folder``.

    Raises
    ------
    ConfigError: the file is no TOML, or says something that is no option.
    """
    for place in (folder, *folder.parents):
        own, shared = place / OWN_FILE, place / SHARED_FILE
        if own.is_file():
            return _checked(_read(own), own)
        # Other people's pyproject.toml may be as broken as it likes.
        table = _read(shared).get("tool", {}).get("ablate") if _mentions(shared) else None
        if table is not None:
            return _checked(table, shared)
    return Defaults()


def _mentions(path: Path) -> bool:
    try:
        return "[tool.ablate]" in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path)) from error


def _checked(table: Mapping[str, Any], path: Path) -> Defaults:
    known = [field.name for field in fields(Defaults)]
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"unknown option '{name}'", where=str(path), hint=suggestion(name, known))
        if name == "workers":
            if type(value) is not int or value < 1:
                raise ConfigError(f"workers must be a whole number above 0, got {value!r}", where=str(path))
        elif not isinstance(value, str) or not value:
            raise ConfigError(f"{name} must be text, got {value!r}", where=str(path))
        found[name] = path.parent / Path(value).expanduser() if name in ("results", "cache") else value
    return Defaults(**found)
