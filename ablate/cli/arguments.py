"""What may be typed on the command line, and what the parts below take of it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from model.errors import ConfigError, StorageError
from model.files import write_text
from model.suggest import suggestion

if TYPE_CHECKING:
    from ablate.cli.starter import Options
    from ablate.running.session import RunOptions
    from ablate.study.spec import StudySpec

SpecFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study's spec.")]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, results folder or spec.")]
Results = Annotated[Path, typer.Option(metavar="DIR", help="Where studies keep their results.")]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", envvar="ABLATE_CACHE", help="Features and drawn data.", show_default="per user"
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override the spec, e.g. base.train.iterations=100."),
]
Venue = Annotated[
    str | None,
    typer.Option(metavar="VENUE", help="Figures for its pages: cvpr2024.", show_default="the study file's"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="A tiny version of the study, through every part.")]
MaxPlan = Annotated[
    int | None, typer.Option(min=1, help="Refuse a study of more runs.", show_default="100,000")
]
MaxRuns = Annotated[int | None, typer.Option(min=1, help="Start at most this many runs.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print progress as JSON, one object a line.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time.", show_default="one per GPU, or 1")
]
Timeout = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Stop a run after this long and count it as failed: 90, 30m, 2h."),
]
Retries = Annotated[int, typer.Option(min=0, help="New attempts at a run whose worker died.")]
RetryFailed = Annotated[bool, typer.Option(help="Also run again what failed before.")]
KeepGoing = Annotated[bool, typer.Option("--keep-going/--fail-fast", help="After a failed run.")]
AcceptCode = Annotated[
    bool,
    typer.Option("--accept-code", help="Adopt runs that earlier code computed; the report says so."),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, or GPUs to share: cuda:0,1.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads per run.", show_default="cores / workers")
]

Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="postgresql://user@host/database that holds the claims, for several machines; "
        "ABLATE_STORAGE does the same (and may hold a password).",
    ),
]
SharedFolder = Annotated[
    bool,
    typer.Option(
        "--shared-folder", help="All machines see --results; else results go through the --storage."
    ),
]
Lease = Annotated[
    float, typer.Option(min=1.0, help="Seconds until a silent machine's run is another's (--storage).")
]
Slurm = Annotated[bool, typer.Option("--slurm", help="Have a SLURM array work on it (with --storage).")]
Array = Annotated[int, typer.Option(min=1, metavar="N", help="SLURM: workers of the array.")]
Partition = Annotated[str | None, typer.Option(help="SLURM: as sbatch's.")]
Gres = Annotated[str | None, typer.Option(help="SLURM: as sbatch's, e.g. gpu:1.")]
Time = Annotated[str, typer.Option(help="SLURM: limit of a worker, e.g. 4:00:00; it is requeued.")]
Memory = Annotated[str | None, typer.Option("--mem", help="SLURM: as sbatch's.")]
Account = Annotated[str | None, typer.Option(help="SLURM: as sbatch's.")]

Value = TypeVar("Value")

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def cache_dir(given: Path | None) -> Path:
    """The cache folder: as given (or by ABLATE_CACHE), else the user's."""
    from ablate.running.folder import cache_folder

    return cache_folder(given)


def _is_study(folder: Path) -> bool:
    """Whether a study was started here, or its published frame lies here."""
    return any((folder / name).is_file() for name in ("plan.json", "runs.csv"))


def studies_in(results: Path) -> list[Path]:
    """The folders of all studies below a results folder, by name."""
    return sorted(folder for folder in results.glob("*/") if _is_study(folder))


def find_study(target: str, results: Path) -> Path:
    """The results folder that a command's argument means.

    ``target``: a study's name, its results folder, or the spec file it was started from.

    Raises
    ------
    StorageError: there is no such study; names the nearest.
    ConfigError: the spec file is not valid.
    """
    from ablate.study.reading import load_spec

    path = Path(target)
    if path.suffix in (".yaml", ".yml"):
        path = results / load_spec(path).study
    elif not _is_study(path):
        path = results / target
    if _is_study(path):
        return path
    known = [folder.name for folder in studies_in(results)]
    hint = suggestion(path.name, known) or "known: none yet"
    raise StorageError(f"no study '{path.name}' in {results}", hint=hint)


def load_study(
    path: Path,
    sets: Sequence[str] | None = None,
    smoke: bool = False,
    *,
    echo: bool = True,
    max_plan: int | None = None,
) -> StudySpec:
    """The spec that a command's argument and its ``--set`` options mean; ``echo``: say what was set.

    Raises :class:`ConfigError` for anything wrong with it.
    """
    from ablate.cli.printing import make_console, print_overrides
    from ablate.study.reading import MOST_RUNS, load_spec

    spec = load_spec(path, tuple(sets or ()), smoke=smoke, most_runs=max_plan or MOST_RUNS)
    if echo:
        print_overrides(make_console(), spec)
    return spec


def seconds(text: str | None) -> float | None:
    """``90``, ``90s``, ``30m``, ``2h``, ``1.5d`` as seconds.

    Raises :class:`ConfigError` for anything else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if not found or float(found[1]) == 0:
        raise ConfigError(f"--timeout: cannot read '{text}' as a time", hint="e.g. 90, 30m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def run_options(
    *,
    workers: int | None,
    max_runs: int | None,
    timeout: str | None,
    retries: int,
    retry_failed: bool,
    fail_fast: bool,
    device: str,
    cache: Path | None,
) -> RunOptions:
    """Options of ``run`` and ``resume``.

    ``device``: ``auto``, ``cpu``, ``cuda``, or ``cuda:0,1`` for GPUs that workers take in turn.

    Raises
    ------
    ConfigError: an option's value has the wrong form.
    """
    from ablate.running.session import RunOptions

    found = re.fullmatch(r"auto|cpu|cuda(?::(\d+(?:,\d+)*))?|mps", device)
    if not found:
        raise ConfigError(f"--device: unknown device '{device}'", hint="auto, cpu, cuda or cuda:0,1")
    gpus = tuple(found[1].split(",")) if found[1] else ()
    return RunOptions(
        workers=workers or max(len(gpus), 1),
        max_runs=max_runs,
        timeout=seconds(timeout),
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        gpus=gpus,
        device=None if device == "auto" else device.partition(":")[0],
        cache_dir=str(cache_dir(cache)),
    )


def set_threads(threads: int | None) -> None:
    """Hold each run to so many CPU threads; without a number, runs share the cores evenly."""
    if threads is not None:
        from ablate.running.process import allot_threads

        allot_threads(os.environ, threads, override=True)


def torch_device(device: str) -> str:
    """What torch calls a ``--device``: the first GPU for ``auto`` where there is one.

    Raises :class:`ConfigError` if torch cannot use it.
    """
    import torch

    from model.device import check_device

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return check_device(device.partition(",")[0])


def init_options(
    *,
    categories: str,
    q: str,
    alpha: str,
    mask: str,
    bias: str,
    schedule: str,
    **plain: Any,
) -> Options:
    """Options of ``init``; lists are separated by commas.

    Raises
    ------
    ConfigError: a list holds something that is not a number.
    """
    from ablate.cli.starter import Options

    return Options(
        categories=_items("categories", categories, str),
        q=_items("q", q, float),
        alpha=_items("alpha", alpha, float),
        mask=_items("mask", mask, str),
        bias=_items("bias", bias, float),
        schedule=_items("schedule", schedule, str),
        **plain,
    )


def _items(option: str, text: str, kind: Callable[[str], Value]) -> Sequence[Value]:
    items = [item.strip() for item in text.split(",") if item.strip()]
    try:
        return [kind(item) for item in items]
    except ValueError:
        raise ConfigError(f"--{option}: '{text}' is not a list of numbers", hint="e.g. 0.01,0.02") from None


def write_new(path: Path, text: str, *, force: bool) -> None:
    """Write a file that is not there yet (unless ``force``).

    Raises :class:`StorageError` if it is there, or cannot be written.
    """
    if path.exists() and not force:
        raise StorageError(f"{path} exists already", hint="--force replaces it")
    write_text(path, text)


def dashboard_command(study_dir: Path, port: int) -> list[str]:
    """The command that serves a study's journal.

    Raises :class:`ConfigError` if optuna-dashboard is not installed.
    """
    beside = str(Path(sys.executable).parent)
    program = shutil.which("optuna-dashboard", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if program is None:
        raise ConfigError(
            "optuna-dashboard is not installed", hint="install it with: pip install 'ablate[dashboard]'"
        )
    return [program, str(study_dir / "optuna.journal"), "--port", str(port)]
