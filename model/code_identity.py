"""What code computes something: the modules it reaches by importing, and a digest of what each says.

A digest holds the syntax tree without what cannot change a result: comments, formatting, docstrings.
Modules are read from their files, never imported, so asking costs no torch. Same digests under every
version of Python: empty fields, which versions fill differently, do not count.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model.errors import ConfigError

ROOT = Path(__file__).parents[1]
"""Folder of the packages ``model`` and ``ablate``."""

KNOWN_OTHERWISE = (
    "model.api",
    "model.baselines.config",
    "model.code_identity",
    "model.config",
    "model.data.config",
    "model.data.files",
    "model.data.hashing",
    "model.data.readers",
    "model.data.stripes",
    "model.encoders.efficientnet_id",
    "model.encoders.identity",
    "model.errors",
    "model.files",
    "model.knobs",
    "model.machine",
    "model.plugins",
    "model.presets",
    "model.priors.config",
    "model.priors.entries",
    "model.suggest",
)
"""Modules that no code digest holds. What configurations, readers of data and fingerprints of weights come
to stands in a run's key by its value; errors, suggestions, atomic writes and doors compute nothing."""

_OURS = ("model", "ablate")

_TABLES = ("model.encoders.build",)
"""Modules whose functions import one of several alternatives: only the one that is used counts."""


def modules_below(
    roots: Iterable[str], *, entries: Iterable[Callable[..., Any]] = (), folder: Path = ROOT
) -> dict[str, str]:
    """Digest of every module that the modules ``roots`` reach by imports, by dotted name, sorted.

    Followed are imports of ``model``, inside functions too, type checking's excepted.

    Parameters
    ----------
    entries: functions that stand in a table of alternatives (an encoder's ``build``). Of one in ``model``
        what it imports counts, of a plug-in's its whole module and what that reaches: of ``model``, of its
        own package, and of the modules that lie beside it.
    folder: where the packages lie.
    """
    pending = list(roots)
    found: dict[str, str] = {}
    for entry in entries:
        if entry.__module__.partition(".")[0] == "model":
            pending += _imports_of(folder / _file(entry.__module__, folder), entry.__name__)
        else:
            own, reached = _plugged(entry)
            found |= own
            pending += reached
    while pending:
        name = pending.pop()
        path = _file(name, folder)
        if name in found or _inside(name, KNOWN_OTHERWISE) or not path.is_file():
            continue
        found[name] = file_digest(path)
        pending += _imports_of(path, "" if name in _TABLES else None)
    return dict(sorted(found.items()))


def check_source(entry: object, what: str) -> None:
    """Raise ConfigError unless a plug-in's ``entry`` has code of its own to be read: it is in run keys."""
    if not inspect.isfunction(entry) and not inspect.isclass(entry):
        raise ConfigError(
            f"{what} must be a function or a class, not a {type(entry).__name__}: its code is in run keys",
            hint="write a function that calls it",
        )


def _plugged(entry: Callable[..., Any]) -> tuple[dict[str, str], list[str]]:
    """Digests of a plug-in's modules by dotted name, and what of ``model`` they import."""
    # Not by the function's own code: of a decorated one that is the decorator's.
    name, path = entry.__module__, Path(str(sys.modules[entry.__module__].__file__))
    depth = name.count(".") + (path.name == "__init__.py")
    top, folder = name.partition(".")[0], path.parents[depth]
    installed = folder.name in ("site-packages", "dist-packages")
    found: dict[str, str] = {}
    of_model: list[str] = []
    pending = [name]
    while pending:
        name = pending.pop()
        path = _file(name, folder)
        if name in found or not path.is_file():
            continue
        found[name] = file_digest(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        reached = [_absolute(imported, package) for imported in _all_imports_of(path)]
        of_model += [imported for imported in reached if _inside(imported, ("model",))]
        own = [one for one in (*reached, name.rpartition(".")[0]) if not _inside(one, _OURS)]
        # Beside an installed plug-in lies all that is installed.
        pending += [one for one in own if _inside(one, (top,))] if installed else own
    return found, of_model


def _absolute(name: str, package: str) -> str:
    """``..a.b``, as imported in ``package``, from the top."""
    rest = name.lstrip(".")
    level = len(name) - len(rest)
    if not level:
        return name
    parts = package.split(".")
    return ".".join((*parts[: len(parts) - level + 1], *filter(None, [rest])))


def combined(modules: Mapping[str, str]) -> str:
    """One digest of several modules: 20 hex digits."""
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(modules.items()))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Files of the modules in which two codes differ: ``model/losses.py``."""
    names = sorted({*before, *now})
    return tuple(f"{n.replace('.', '/')}.py" for n in names if before.get(n) != now.get(n))


def file_digest(path: Path) -> str:
    """Digest of one Python file, 20 hex digits; of a file that does not parse, by its bytes."""
    stat = path.stat()
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@functools.cache
def _digest(path: Path, _changed: int, _size: int) -> str:
    content = path.read_bytes()
    with contextlib.suppress(SyntaxError):
        content = canonical_text(ast.parse(content)).encode()
    return hashlib.blake2b(content, digest_size=10).hexdigest()


def canonical_text(node: object) -> str:
    """A syntax tree as text, without positions, docstrings and empty fields."""
    if isinstance(node, list):
        return "[" + ",".join(canonical_text(item) for item in node if not _is_comment(item)) + "]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!r}"
    fields = [
        f"{name}={canonical_text(value)}"
        for name, value in ast.iter_fields(node)
        if name == "value" or (value not in (None, []) and name not in ("kind", "type_comment", "ctx"))
    ]
    return f"{type(node).__name__}({','.join(fields)})"


def _is_comment(node: object) -> bool:
    """Whether a statement is a string that nobody reads: a docstring, or one below an attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _file(name: str, folder: Path) -> Path:
    """Where a module's text lies; a path that is no file if there is none."""
    path = folder.joinpath(*name.split("."))
    module = path.with_suffix(".py")
    return module if module.is_file() else path / "__init__.py"


def _inside(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _imports_of(path: Path, function: str | None = None) -> list[str]:
    """Names of what a file imports of ``model``.

    ``function``: only what this function of the file imports; "": only what no function does.
    """
    return [name for name in _all_imports_of(path, function) if _inside(name, ("model",))]


def _all_imports_of(path: Path, function: str | None = None) -> tuple[str, ...]:
    """The same of whatever it imports; what is imported relatively begins with dots."""
    stat = path.stat()
    return _imported(path, function, stat.st_mtime_ns, stat.st_size)


@functools.cache
def _imported(path: Path, function: str | None, _changed: int, _size: int) -> tuple[str, ...]:
    try:
        tree: ast.AST = ast.parse(path.read_bytes())
    except SyntaxError:
        return ()
    if function:
        tree = next(
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function
        )
    found: list[str] = []
    for node in _executed(tree, functions=function != ""):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            within = f"{start}." if node.module else start
            found += [start, *(f"{within}{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(found))


def _executed(node: ast.AST, *, functions: bool) -> Iterator[ast.AST]:
    """The nodes below ``node``, without what only type checkers read (and without functions)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and not functions:
            continue
        yield child
        yield from _executed(child, functions=functions)
