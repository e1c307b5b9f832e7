"""Values by seed and category: what is averaged, what is dropped, and that intervals of it cover.

Behavioural: by hand, and by a seeded simulation of the coverage.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ablate.evidence import stats
from ablate.evidence.values import of_variant, seed_means
from tests.ablate.report_inputs import matrix


def test_categories_are_averaged_within_the_seed_first() -> None:
    # Seed means 0.75 and 0.85; treating the four cells as independent would give another sd.
    part = of_variant(matrix({"v": {"a": [0.9, 1.0], "b": [0.6, 0.7]}}), "v")
    e = stats.interval(seed_means(part).values)
    assert e.n == 2
    assert e.mean == pytest.approx(0.8)
    assert e.sd == pytest.approx(math.sqrt(2) * 0.05)


@pytest.mark.parametrize("n", [3, 5])
def test_t_intervals_cover_with_dependent_categories(n: int) -> None:
    """95 % coverage of the mean, although the categories of a seed share half their variance."""
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(1500):
        shared = rng.normal(size=(n, 1))
        block = math.sqrt(0.5) * shared + math.sqrt(0.5) * rng.normal(size=(n, 15))
        e = stats.interval(seed_means(pd.DataFrame(block)).values)
        covered += e.low <= 0 <= e.high
    assert covered / 1500 == pytest.approx(0.95, abs=0.017)  # 3 standard errors
