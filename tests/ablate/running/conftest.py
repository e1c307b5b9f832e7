"""What all tests of running share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fakes take notes (``tests.ablate.runner_fakes``)."""
    path = tmp_path / "log"
    monkeypatch.setenv("FAKE_LOG", str(path))
    return path
