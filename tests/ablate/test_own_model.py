"""Behavioural: people's own ``model.py`` or ``model/`` does not stand in for the project's package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import model

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["module", "package"])
def beside(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A working directory with a ``model`` of its own."""
    own = tmp_path / "model.py" if request.param == "module" else tmp_path / "model" / "__init__.py"
    own.parent.mkdir(exist_ok=True)
    own.write_text("THEIRS = True\n")
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(ROOT)])  # theirs first, as in a script's own folder
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def script() -> str:
    """What the installed ``ablate`` script does."""
    return (
        "import sys; from ablate.cli.commands import main; sys.argv[1:] = ['--version']; sys.exit(main())"
    )


@pytest.mark.parametrize("how", [("-m", "ablate", "--version"), ("-c", script())], ids=["-m", "script"])
def test_the_command_line_works_beside_another_model(how: tuple[str, ...], beside: Path) -> None:
    done = python(beside, *how)
    assert (done.returncode, done.stdout) == (0, f"{model.__version__}\n"), done.stderr


def test_workers_and_records_find_their_own_parts(beside: Path) -> None:
    code = (
        "import ablate, ablate.running.worker, model.config; from pathlib import Path\n"
        "print(Path(model.config.__file__).parents[1])"
    )
    done = python(beside, "-c", code)
    assert done.stdout.strip() == str(ROOT), done.stderr


def test_a_model_that_is_imported_already_is_named(beside: Path) -> None:
    done = python(beside, "-c", "import model, ablate")
    assert done.returncode == 1
    assert "another module called 'model' is in use already" in done.stderr
    assert str(beside) in done.stderr
