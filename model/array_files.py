"""Arrays in one compressed file, written whole or not at all."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.files import replacing, storage_errors


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write ``path`` (.npz, as :func:`numpy.load` reads it), compressed at the fastest level.

    NumPy's own takes the middle level: four times as long for files a few per cent smaller.
    Raises :class:`StorageError` if the disk refuses.
    """
    with (
        storage_errors(path),
        replacing(path) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
