"""Behavioural: the folders of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.running.folder import Workspace, cache_folder
from model.errors import StorageError


def test_a_study_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        Workspace(tmp_path / "results" / "study").create()


def test_the_cache_is_where_it_is_asked_for() -> None:
    assert cache_folder("~/here") == Path.home() / "here"
    assert cache_folder().name == "ablate"
