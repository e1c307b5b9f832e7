"""Behavioural: how a running study looks."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ablate.running import progress


def test_the_view_fits_the_output() -> None:
    assert isinstance(progress.make_view(Console(file=io.StringIO())), progress.PlainView)
    terminal = progress.make_view(Console(file=io.StringIO(), force_terminal=True))
    terminal.close()
    assert isinstance(terminal, progress.LiveView)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.4, "0 s"), (59.6, "1 min 0 s"), (184, "3 min 4 s"), (7500, "2 h 5 min")],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert progress.duration(seconds) == text
