"""Behavioural: NumPy reads what was written, and a failure leaves the old file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.array_files import write_arrays
from model.errors import StorageError


def test_numpy_reads_what_was_written(tmp_path: Path):
    arrays = {"image": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "path": np.array(["a", "bc"])}
    write_arrays(tmp_path / "maps.npz", arrays)
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as read:
        assert set(read.files) == set(arrays)
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            assert np.array_equal(read[name], array)


def test_a_failure_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "maps.npz"
    write_arrays(path, {"a": np.ones(3)})
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, {"a": np.zeros(3), "b": np.array([object()])})
    with np.load(path) as read:
        assert np.array_equal(read["a"], np.ones(3))
    assert list(tmp_path.iterdir()) == [path]


def test_a_refusing_disk_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_arrays(tmp_path / "file" / "maps.npz", {"a": np.ones(3)})
