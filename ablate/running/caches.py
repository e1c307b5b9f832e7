"""What of the cache no study reads: features of other encoders and settings, drawn data sets.

The cache may serve other results folders too. It is safe to delete, at the cost of encoding again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import filelock

from ablate.running.clean import Litter, dispose
from ablate.running.folder import Workspace
from ablate.running.recorded import load_plan
from model.data.stripes.write import stripes_name
from model.errors import UserError
from model.features import encoder_id
from model.files import storage_errors


def unused_caches(cache: Path, studies: Iterable[Path], *, dry: bool = True) -> list[Litter]:
    """Folders of the cache that no planned run of these studies reads; deletes them unless ``dry``.

    What somebody is just filling is left alone. Raises :class:`StorageError` if one cannot be deleted.
    """
    encoders: set[str] = set()
    drawn: set[str] = set()
    for study in studies:
        read = _read_by(study)
        encoders |= read[0]
        drawn |= read[1]
    found = []
    for folder, wanted, why in (
        *((path, encoders, "features that no study here reads") for path in _folders(cache / "features")),
        *((path, drawn, "drawn data that no study here reads") for path in _folders(cache, "stripes*")),
    ):
        if folder.name not in wanted and not _being_filled(folder):
            found.append(dispose(folder, why, dry))
    return found


def _folders(place: Path, pattern: str = "*") -> Iterator[Path]:
    with storage_errors(place):
        yield from sorted(path for path in place.glob(pattern) if path.is_dir())


def _read_by(study: Path) -> tuple[set[str], set[str]]:
    """Names of the feature folders and of the drawn data sets that a study's runs read."""
    try:
        plan = load_plan(Workspace(study))
    except UserError:
        return set(), set()
    encoders = set()
    for config in dict.fromkeys(run.config for run in plan.runs):
        try:
            encoders.add(encoder_id(config))
        except UserError:  # weights that are gone by now: nobody can say what was made of them
            continue
    return encoders, {stripes_name(run.data.stripes) for run in plan.runs if run.data.dataset == "stripes"}


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
