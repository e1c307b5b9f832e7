"""Where a result comes from: code, packages, machine, data, time. Nothing from the environment.

Environment variables are never recorded (they hold secrets), nor host and user names (published
results should not unmask an anonymous submission), nor remote addresses of the repository.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from ablate.running.process import device_name
from ablate.running.recorded import dump_run
from ablate.study.plan import Run
from model.machine import available_cores

PACKAGES = (
    "ablate", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pandas", "pillow",
    "optuna", "statsmodels", "safetensors", "pydantic", "ruamel.yaml", "matplotlib", "typer",
)  # fmt: skip
"""Packages whose versions are recorded with every run, and looked at by ``ablate doctor``."""

CODE = tuple(Path(__file__).resolve().parents[2] / name for name in ("ablate", "model"))
"""Folders of the code that results come from."""

_GIT_TIMEOUT = 10


def session_provenance() -> dict[str, Any]:
    """What all runs of one process share: code, packages, python, hardware."""
    return {
        "code": code_state(*CODE),
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "hardware": hardware(),
    }


def run_provenance(
    session: Mapping[str, Any],
    run: Run,
    *,
    own: Mapping[str, Any],
    seconds: float,
    attempts: int,
    argv: Sequence[str],
) -> dict[str, Any]:
    """The content of a run's provenance.json.

    Parameters
    ----------
    session: from :func:`session_provenance`.
    own: what the executor recorded (fingerprints of data and features, timings of its stages).
    seconds: taken by the run, earlier, interrupted attempts included: ``timings.total``.
    attempts: attempts made, this one included.
    argv: command line of the study, as given.
    """
    return {
        **session,
        "argv": list(argv),
        "threads": _threads(),
        "attempts": attempts,
        **{name: value for name, value in dump_run(run).items() if name != "factors"},
        **own,
        "timings": {**own.get("timings", {}), "total": seconds},
    }


def code_state(folder: Path, *others: Path) -> dict[str, Any] | None:
    """Commit, whether the folders' files differ from it, and a hash of the difference.

    What else lies in the checkout (study files, pages, tests) computes nothing and does not count. None
    outside a checkout: only one that tracks ``folder`` is meant, not one that happens to lie around an
    installation.
    """
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    places = [str(place) for place in (folder, *others)]
    modules = [f":(glob){place}/**/*.py" for place in places]
    commit = _git(folder, "rev-parse", "HEAD")
    difference = _git(folder, "diff", "HEAD", "--binary", "--", *places)
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", "--", *modules)
    if commit is None or difference is None:
        return None
    dirty = bool(difference.strip() or (untracked or b"").strip())
    return {
        "commit": commit.decode().strip(),
        "dirty": dirty,
        "diff": hashlib.blake2b(difference, digest_size=8).hexdigest() if dirty else None,
    }


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that can change a result."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, memory, and the accelerator if torch is loaded and sees one."""
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "ram_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": None,
        "device": device_name(),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["gpu"] = facts["device"]
        facts["cuda"] = torch.version.cuda
    return facts


def _cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _threads() -> int | None:
    """Threads that torch computes with: the order of its sums, hence the last bits, depend on it."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Output of a git command in ``folder``; None if there is no git, no checkout, or an error."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_GIT_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
