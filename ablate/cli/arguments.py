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

from ablate.cli.completion import offer_settings, offer_studies
from model.errors import ConfigError, StorageError
from model.files import write_text

if TYPE_CHECKING:
    from ablate.cli.starter import Options
    from ablate.running.session import RunOptions
    from ablate.study.spec import StudySpec

Study = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A study's file, name or results folder.",
        show_default="the one here",
        autocompletion=offer_studies,
    ),
]
NamedStudy = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A study's file, name or results folder.", autocompletion=offer_studies
    ),
]
RESULTS = Path("results")
Results = Annotated[
    Path, typer.Option(metavar="DIR", envvar="ABLATE_RESULTS", help="Where studies keep their results.")
]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", envvar="ABLATE_CACHE", help="Features and drawn data.", show_default="per user"
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override the spec, e.g. base.train.iterations=100.",
        autocompletion=offer_settings,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="A tiny version of the study, through every part.")]
MaxPlan = Annotated[
    int | None, typer.Option(min=1, help="Refuse a study of more runs.", show_default="100,000")
]
MaxRuns = Annotated[int | None, typer.Option(min=1, help="Start at most this many runs.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print progress as JSON, one object a line.")]
Plain = Annotated[
    bool, typer.Option("--plain", help="Lines that follow each other, as in a log, on a terminal too.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time.", show_default="one per GPU, else per core")
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
    int, typer.Option(min=1, help="CPU threads per run; results of another number are another's runs.")
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
Slurm = Annotated[bool, typer.Option("--slurm", help="Have a SLURM array work on it.")]
Array = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="SLURM: workers of the array.", show_default="the study's slurm:, else 1"
    ),
]
Partition = Annotated[str | None, typer.Option(help="SLURM: as sbatch's.")]
Gres = Annotated[str | None, typer.Option(help="SLURM: as sbatch's, e.g. gpu:1.")]
Time = Annotated[
    str | None,
    typer.Option(
        help="SLURM: limit of a worker, after which it is requeued.",
        show_default="the study's slurm:, else 4:00:00",
    ),
]
Memory = Annotated[str | None, typer.Option("--mem", help="SLURM: as sbatch's.")]
Account = Annotated[str | None, typer.Option(help="SLURM: as sbatch's.")]

MOST_SEEDS = 20
"""Most seeds of a study that is run until it is decided and does not say."""

Value = TypeVar("Value")

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def cache_dir(given: Path | None) -> Path:
    """The cache folder: as given (or by ABLATE_CACHE), else the user's."""
    from ablate.running.folder import cache_folder

    return cache_folder(given)


def check_weights(spec: StudySpec) -> list[str]:
    """What the study's encoders lack on this machine and would download, before anything slow begins.

    Raises :class:`~model.errors.CheckpointError` for a lack that would stop every run.
    """
    from model.encoders.build import entry_of

    encoders = dict.fromkeys(spec.config(row.overrides).encoder for row in spec.rows())
    found = (entry_of(encoder.name).missing_weights(encoder) for encoder in encoders)
    return list(dict.fromkeys(lack for lack in found if lack))


def seeds_until_decided(spec: StudySpec, most: int | None) -> list[str]:
    """What ``--until-decided`` sets: the study's own seeds to start with, ``most`` at most.

    Without ``most`` it is what the study declares, else 20. Raises :class:`ConfigError` for seeds that are
    not 0, 1, 2 and on: the next one would not be known.
    """
    start = len(spec.seeds)
    if spec.seeds != tuple(range(start)):
        raise ConfigError(
            f"--until-decided counts seeds up from 0, the study has {', '.join(map(str, spec.seeds))}",
            where=str(spec.path),
            hint=f"write: seeds: {start}",
        )
    if most is None and spec.max_seeds is not None:
        return []
    return [f"seeds={{start: {start}, max: {most or MOST_SEEDS}}}"]


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
    timeout: str | None,
    retries: int,
    device: str,
    cache: Path | None,
    threads: int,
    max_runs: int | None = None,
    retry_failed: bool = False,
    fail_fast: bool = False,
) -> RunOptions:
    """Options of all commands that run a study; what not all of them ask for has a default.

    ``threads``: of each run, as its plan has them: so many cores make a worker where nobody says how many.
    ``device``: ``auto``, ``cpu``, ``cuda``, or ``cuda:0,1`` for GPUs that workers take in turn.

    Raises
    ------
    ConfigError: an option's value has the wrong form.
    """
    from ablate.running.capacity import default_workers, visible_gpus
    from ablate.running.session import RunOptions

    found = re.fullmatch(r"auto|cpu|cuda(?::(\d+(?:,\d+)*))?|mps", device)
    if not found:
        raise ConfigError(f"--device: unknown device '{device}'", hint="auto, cpu, cuda or cuda:0,1")
    kind = None if device == "auto" else device.partition(":")[0]
    named = tuple(found[1].split(",")) if found[1] else ()
    gpus = named or (visible_gpus() if kind in (None, "cuda") else ())
    return RunOptions(
        workers=workers or default_workers(kind, gpus, threads),
        max_runs=max_runs,
        timeout=seconds(timeout),
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        gpus=gpus,
        device=kind,
        cache_dir=str(cache_dir(cache)),
    )


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
    from_data: Path | None = None,
    cache: Path | None = None,
    **plain: Any,
) -> Options:
    """Options of ``init``; lists are separated by commas. ``from_data``: a folder to read the data's from.

    Raises
    ------
    ConfigError: a list holds something that is not a number, or the data are described twice.
    DataError: the folder has no layout that is known.
    """
    from ablate.cli.starter import Options

    given: dict[str, Any] = {"categories": _items("categories", categories, str)}
    if from_data is not None:
        if categories or plain["root"] is not None or plain["dataset"] != "stripes":
            raise ConfigError(
                "--from-data finds out dataset, root and categories", hint="leave the options of these out"
            )
        from ablate.cli.found_data import found_options

        given = found_options(from_data, cache_dir(cache))
    return Options(
        q=_items("q", q, float),
        alpha=_items("alpha", alpha, float),
        mask=_items("mask", mask, str),
        bias=_items("bias", bias, float),
        schedule=_items("schedule", schedule, str),
        **{**plain, **given},
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
