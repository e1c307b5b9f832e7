"""Values by seed and category: what is averaged, what is dropped, and that intervals of it cover.

Behavioural: by hand, and by a seeded simulation of the coverage.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ablate.evidence import stats
from ablate.evidence.values import Values, mean_by_seed
from tests.ablate.report_inputs import matrix


def test_categories_are_averaged_within_the_seed_first() -> None:
    # Seed means 0.75 and 0.85; treating the four cells as independent would give another sd.
    e = stats.interval(matrix({"v": {"a": [0.9, 1.0], "b": [0.6, 0.7]}}).means("v").values)
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
        by_seed = mean_by_seed(block, tuple(range(n)), tuple(map(str, range(15))))
        e = stats.interval(by_seed.values)
        covered += e.low <= 0 <= e.high
    assert covered / 1500 == pytest.approx(0.95, abs=0.017)  # 3 standard errors


def test_a_matrix_holds_what_the_frame_says_and_nothing_else() -> None:
    cells = [
        (v, s, c, m, t) for v in "xy" for s in (2, 0) for c in "ab" for m in "pq" for t in ("all", "t")
    ]
    frame = pd.DataFrame(cells, columns=["variant", "seed", "category", "metric", "stratum"])
    frame["value"] = np.arange(len(frame), dtype=float)
    gone = (frame["category"] == "b") & (frame["metric"] == "q") & (frame["stratum"] == "t")
    frame.loc[gone, "value"] = np.nan
    shuffled = Values(frame.sample(frac=1, random_state=0))
    for metric in "pq":
        for stratum in ("all", "t"):
            made = shuffled.matrix(metric, stratum)
            rows = frame[(frame["metric"] == metric) & (frame["stratum"] == stratum)].dropna()
            assert set(made.categories) == set(rows["category"]) and made.seeds == (0, 2)
            for row in rows.itertuples():
                at = made.seeds.index(row.seed), made.categories.index(row.category)
                assert made.of(row.variant)[at] == row.value
    assert shuffled.matrix("r").categories == () and np.isnan(shuffled.matrix("p").of("z")).all()


def test_several_values_of_a_cell_count_once() -> None:
    rows = [
        {"variant": "v", "seed": 0, "category": "a", "metric": "m", "stratum": "all", "value": x}
        for x in (1, 3)
    ]
    assert Values(pd.DataFrame(rows)).matrix("m").of("v").tolist() == [[2.0]]
