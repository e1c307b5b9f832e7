"""Behavioural: who may import whom, which library lives where, how long a file may be, and that the
tests mirror the packages. Every import counts: inside functions and for type checking, too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = (
    "model",
    "ablate.study",
    "ablate.running",
    "ablate.evidence",
    "ablate.report",
    "ablate.until_decided",
    "ablate.gating",
    "ablate.search_arms",
    "ablate.doors",
    "ablate.cli",
)
"""Lowest first: a module may import its own layer and those before it."""

LIBRARIES = {
    "optuna": ("ablate.running",),
    "timm": ("model.encoders",),
    "matplotlib": ("ablate.report.figures",),
    "torch": ("model", "ablate.running", "ablate.report", "ablate.cli"),
    "pandas": ("model", "ablate.running", "ablate.evidence", "ablate.report", "ablate.cli"),
}
"""Library -> the only packages that may import it."""

HEAVY = ("torch", "pandas", "optuna", "matplotlib", "timm", "scipy", "sklearn", "statsmodels", "pydantic")
"""What ``ablate --help`` must not load."""

MOST_LINES = 420

MODULES = sorted(
    path
    for package in ("ablate", "model")
    for path in (ROOT / package).rglob("*.py")
    if "__pycache__" not in path.parts
)


def dotted(path: Path) -> str:
    """``ablate/cli/__init__.py`` -> ``ablate.cli``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports, names of modules written as strings
    for :func:`importlib.import_module` excepted."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def layer(name: str) -> int | None:
    """Where a module stands; None for other libraries. What is in no layer stands above them all."""
    if not inside(name, "ablate") and not inside(name, "model"):
        return None
    return next((i for i, package in enumerate(LAYERS) if inside(name, package)), len(LAYERS))


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_data_flows_one_way(path: Path) -> None:
    own = layer(dotted(path))
    assert own is not None
    upwards = [
        f"{path.relative_to(ROOT)}:{line}: {dotted(path)} imports {name}"
        for line, name in imports(path)
        if (other := layer(name)) is not None and other > own
    ]
    assert upwards == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_has_its_rooms(library: str) -> None:
    elsewhere = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        if not any(inside(dotted(path), room) for room in LIBRARIES[library])
        for line, name in imports(path)
        if inside(name, library)
    ]
    assert elsewhere == []


@pytest.mark.parametrize(
    "code",
    [
        "from ablate.cli.commands import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "import ablate",
        "import model",
    ],
    ids=["ablate --help", "import ablate", "import model"],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    check = f"\nimport sys\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + check], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_tests_mirror_the_packages() -> None:
    """Folder for folder: every folder that holds a module of behaviour has tests, and no other has."""
    folders = {path.parent.relative_to(ROOT) for path in MODULES if path.name != "__init__.py"}
    folders -= {Path("ablate/report/templates")}
    tested = {
        path.parent.relative_to(ROOT / "tests")
        for package in ("ablate", "model")
        for path in (ROOT / "tests" / package).rglob("test_*.py")
    }
    assert tested == folders
