"""What of the cache no study reads: features of other encoders and settings, drawn data sets.

The cache may serve other results folders too. It is safe to delete, at the cost of encoding again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from ablate.running.clean import Litter, dispose
from ablate.running.folder import Workspace
from ablate.running.recorded import load_plan
from ablate.running.search_definition import load_definition
from ablate.running.session import live_sessions
from model.data.stripes.write import stripes_name
from model.errors import UserError
from model.features import encoder_id
from model.files import storage_errors


@dataclass(frozen=True)
class Unused:
    """What was found in a cache."""

    litter: tuple[Litter, ...] = ()
    left_alone: str = ""
    """Why nobody looked; empty if somebody did."""


def unused_caches(cache: Path, studies: Iterable[Path], *, dry: bool = True) -> Unused:
    """Folders of the cache that nothing planned of these studies reads; deletes them unless ``dry``.

    What somebody is just filling is left alone, and everything while a study is running or its plan
    cannot be read: nobody can say then what it reads. Raises :class:`StorageError` if a folder cannot be
    deleted.
    """
    encoders: set[str] = set()
    drawn: set[str] = set()
    for study in studies:
        workspace = Workspace(study)
        if live_sessions(workspace):
            return Unused(left_alone=f"{study} is running")
        try:
            read = _read_by(workspace)
        except UserError as error:
            return Unused(left_alone=f"what {study} reads is not known: {error}")
        encoders |= read[0]
        drawn |= read[1]
    found = []
    for folder, wanted, why in (
        *((path, encoders, "features that no study here reads") for path in _folders(cache / "features")),
        *((path, drawn, "drawn data that no study here reads") for path in _folders(cache, "stripes*")),
    ):
        if folder.name not in wanted and not _being_filled(folder):
            found.append(dispose(folder, why, dry))
    return Unused(tuple(found))


def _folders(place: Path, pattern: str = "*") -> Iterator[Path]:
    with storage_errors(place):
        yield from sorted(path for path in place.glob(pattern) if path.is_dir())


def _read_by(workspace: Workspace) -> tuple[set[str], set[str]]:
    """Names of the feature folders and of the drawn data sets that a study's runs read.

    Of a search, those of its base and of the rows it is compared with: what its space adds to them is
    known to its trials alone. Raises UserError if that is not known.
    """
    if not workspace.plan.is_file():  # published: none of its runs is to be computed
        return set(), set()
    plan = load_plan(workspace)
    read = [(run.config, run.data) for run in plan.runs]
    if plan.search is not None:
        definition = load_definition(workspace)
        of = definition.spec
        read += [(of.config(row.overrides), of.data_of(row.overrides)) for row in definition.rows]
    encoders = set()
    for config in dict.fromkeys(config for config, _ in read):
        try:
            encoders.add(encoder_id(config))
        except UserError:  # weights that are gone by now: nobody can say what was made of them
            continue
    return encoders, {stripes_name(data.stripes) for _, data in read if data.dataset == "stripes"}


def _being_filled(folder: Path) -> bool:
    for path in (*folder.glob("*.lock"), folder.with_name(f"{folder.name}.lock")):
        if path.is_file():
            lock = filelock.FileLock(path)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                return True
            lock.release()
    return False
