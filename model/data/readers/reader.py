"""What a layout's reader is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.data.config import DataConfig
from model.data.files import existing_folder
from model.data.samples import Sample
from model.errors import DataError


def users_root(config: DataConfig, cache_dir: Path) -> Path:  # noqa: ARG001  (signature of Reader.locate)
    """The dataset folder the user names; :class:`DataError` if it does not exist."""
    if config.root is None:
        raise DataError(f"dataset {config.dataset} needs root: the dataset's folder")
    return existing_folder(Path(config.root).expanduser().absolute(), "dataset root")


@dataclass(frozen=True)
class Reader:
    """One layout of a dataset on disk."""

    name: str
    """Its name in the study file."""
    description: str
    """What it is, one line."""
    layout: str
    """Where it expects what, relative to the root, one line."""
    read: Callable[[Path, DataConfig], list[Sample]]
    """Samples of the wanted categories below a root, from the structure alone: nothing is decoded.
    Raises :class:`DataError` where the structure is not the layout's."""
    left_alone: frozenset[str] = frozenset()
    """Names of folders whose images it passes over on purpose."""
    locate: Callable[[DataConfig, Path], Path] = users_root
    """The dataset's root; for a built-in dataset, drawn into the cache folder first."""
