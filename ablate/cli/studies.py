"""What STUDY means on the command line, the same for every command.

A file: the study that it describes. A folder: the study whose results it holds, or the one study file in
it. A name: a study of the results folder, else a study file of that name here or in ``studies/``. Nothing:
the study of the working directory, that is the results folder that it is, else its one study file, else
the only study there is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import ConfigError, StorageError
from model.suggest import suggestion

if TYPE_CHECKING:
    from ablate.study.spec import StudySpec

SUFFIXES = (".yaml", ".yml")
_NAME = re.compile(r"^study:\s*['\"]?([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_HEAD = 1 << 14
"""Characters of a file in which its ``study:`` is looked for."""


@dataclass(frozen=True)
class Place:
    """A study: its file if it is meant by it, and where its results are or will be."""

    results: Path
    recorded: str = ""
    """Name of a study that the results folder has; empty if it is meant by its file."""
    file: Path | None = None

    @cached_property
    def name(self) -> str:
        """The study's; its file is read once. Raises ConfigError if its file is not valid."""
        return self.recorded if self.file is None else _read(self.file).study

    @property
    def folder(self) -> Path:
        """The study's own results. Raises as :attr:`name`."""
        return self.results / self.name


def is_study(folder: Path) -> bool:
    """Whether a study was started here, or its published frame lies here."""
    return any((folder / name).is_file() for name in ("plan.json", "runs.csv"))


def studies_in(results: Path) -> list[Path]:
    """The folders of all studies below a results folder, by name."""
    return sorted(folder for folder in results.glob("*/") if is_study(folder))


def study_files(folder: Path) -> dict[Path, str]:
    """The study files in a folder, and the names that they give their studies."""
    found = {}
    for path in sorted(folder.glob("*")):
        if path.suffix in SUFFIXES and path.is_file():
            try:
                with path.open(encoding="utf-8") as stream:
                    name = _NAME.search(stream.read(_HEAD))
            except (OSError, UnicodeDecodeError):
                continue
            if name:
                found[path] = name[1]
    return found


def known_names(results: Path) -> list[str]:
    """Names that STUDY may be: of results, and of study files here and in ``studies/``."""
    files = {**study_files(Path()), **study_files(Path("studies"))}
    return list(dict.fromkeys([*(folder.name for folder in studies_in(results)), *files.values()]))


def place_of(target: str | None, results: Path) -> Place:
    """The study that a command's argument means.

    Raises
    ------
    StorageError: there is no such study; names the nearest.
    ConfigError: several studies are meant.
    """
    if target is None:
        return _here(results)
    path = Path(target)
    if path.suffix in SUFFIXES or path.is_file():
        return Place(results, file=path)
    if is_study(path):
        return Place(path.parent if path.name else path.resolve().parent, path.name or path.resolve().name)
    if is_study(results / target):
        return Place(results, target)
    files = study_files(path) if path.is_dir() else {}
    if not files:
        everywhere = {**study_files(Path("studies")), **study_files(Path())}
        files = {file: name for file, name in everywhere.items() if target in (name, file.stem)}
    if len(files) == 1:
        return Place(results, file=next(iter(files)))
    if files:
        raise ConfigError(f"{target} may be {' or '.join(map(str, files))}", hint="name the file")
    raise StorageError(
        f"no study '{path.name or target}' in {results}",
        hint=suggestion(path.name, known_names(results)) or "known: none yet",
    )


def _read(path: Path) -> StudySpec:
    from ablate.study.reading import load_spec

    return load_spec(path)


def _here(results: Path) -> Place:
    here = Path.cwd()
    if is_study(here):
        return Place(here.parent, here.name)
    files = study_files(Path())
    if len(files) == 1:
        return Place(results, file=next(iter(files)))
    known = studies_in(results)
    if not files and len(known) == 1:
        return Place(results, known[0].name)
    names = [*map(str, files), *(folder.name for folder in known)]
    if not names:
        raise StorageError("no study here", hint="start one with: ablate init NAME --out NAME.yaml")
    raise ConfigError("which study?", hint=f"name one: {', '.join(dict.fromkeys(names))}")


def find_study(target: str | None, results: Path) -> Path:
    """The results folder that a command's argument means, which is there.

    Raises as :func:`place_of`; :class:`StorageError` too if the study was never started.
    """
    place = place_of(target, results)
    if is_study(place.folder):
        return place.folder
    known = [folder.name for folder in studies_in(results)]
    raise StorageError(
        f"no study '{place.name}' in {results}", hint=suggestion(place.name, known) or "known: none yet"
    )


def warn_of(spec: StudySpec) -> tuple[str, ...]:
    """Say on standard error which settings of a study change nothing, each with its line; returns these."""
    from ablate.study.effects import idle_settings

    found = idle_settings(spec)
    for line in found:
        print(f"warning: {line}", file=sys.stderr)
    return found


def study_folder(study: str | None, results: Path) -> Path:
    """:func:`find_study` of a study whose journal is about to be read, without Optuna's remarks on it."""
    from ablate.running.journal import quiet_optuna

    quiet_optuna()
    return find_study(study, results)


def load_study(
    target: str | None,
    sets: Sequence[str] | None = None,
    smoke: bool = False,
    *,
    results: Path = Path("results"),
    echo: bool = True,
    max_plan: int | None = None,
    threads: int | None = None,
) -> StudySpec:
    """The spec that a command's argument and its ``--set`` options mean; ``echo``: say what was set.

    ``threads``: of each run; as recorded, else 1, if not given.

    Of a study that is meant by its results it is what was started, overrides included.

    Raises :class:`ConfigError` for anything wrong with it.
    """
    from ablate.cli.printing import make_console, print_overrides
    from ablate.study.reading import MOST_RUNS, load_recorded, load_spec

    place = place_of(target, results)
    given = tuple(sets or ())
    if place.file is None:
        spec = load_recorded(place.folder, overrides=given, smoke=smoke)
    else:
        spec = load_spec(place.file, given, smoke=smoke, most_runs=max_plan or MOST_RUNS)
    if echo:
        print_overrides(make_console(), spec)
    if threads is None or (place.file is None and threads == 1):
        return spec
    return replace(spec, invocation=replace(spec.invocation, threads=threads))
