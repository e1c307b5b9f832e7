"""Behavioural: the fit finds the power of a curve, and the benchmark prints all its curves."""

from __future__ import annotations

import pytest

from benchmarks import scaling


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_fit_finds_the_power(power: float) -> None:
    sizes = [10.0, 30.0, 100.0]
    assert scaling.exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_the_quick_benchmark_prints_every_curve(capsys: pytest.CaptureFixture[str]) -> None:
    scaling.main(["--quick"])
    printed = capsys.readouterr().out
    for curve in ("linear, by tokens", "softmax, by tokens", "evaluated images", "plan, by runs"):
        assert curve in printed
    assert "1,500" in printed  # 20 variants x 5 seeds x 15 categories
