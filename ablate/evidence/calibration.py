"""What a study's own procedure does to data whose truth is known: A/A comparisons and planted effects.

Unusual here: nothing is run for it. Seeds of one variant are set against each other (their true
difference is 0), then a difference of known size is added. Pairs are of *different* seeds, so they share no
random numbers: their spread is that of unpaired runs, usually above that of a study's own pairs, and the
smallest effect found is an upper bound for these.

Everything takes plain arrays and the procedure under test: differences [pairs] -> sign of a verdict
(+1, -1) or 0 for none. Unit: points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

Floats = npt.NDArray[np.float64]
Procedure = Callable[[Floats], int]

SPLITS = 200
"""Random splits of the seeds; each is judged in both directions."""
SEED = 7
NODES = 400


def split_differences(values: npt.ArrayLike, splits: int = SPLITS, seed: int = SEED) -> Floats:
    """Differences between seeds of one variant: [S] or [S, columns] -> [2 splits * columns, S // 2].

    Each split pairs the seeds at random, every seed once (an odd one is left out); the second half of the
    rows has the labels swapped. Columns (categories, metrics) are split alike.

    Raises
    ------
    ValueError: fewer than 4 seeds, or a value that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or len(x) < 4:
        raise ValueError(f"an A/A comparison needs at least 4 seeds, got values of shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("a seed's value is NaN or infinite")
    rng = np.random.default_rng(seed)
    half = len(x) // 2
    order = np.stack([rng.permutation(len(x)) for _ in range(splits)])
    d = x[order[:, :half]] - x[order[:, half : 2 * half]]  # [splits, pairs, columns]
    rows = d.transpose(0, 2, 1).reshape(-1, half)
    return np.concatenate([rows, -rows])


@dataclass(frozen=True)
class Calibrated:
    """What the procedure said of data whose truth is known."""

    comparisons: int
    """A/A comparisons; they share seeds, so this many are not independent."""
    false: int
    """Those with a verdict although nothing differs."""
    smallest_found: float | None
    """Smallest planted effect found, with its sign, in at least ``power`` of them; None: none that was
    tried."""
    power: float

    @property
    def false_rate(self) -> float:
        """Share of the comparisons with a false verdict."""
        return self.false / self.comparisons


def found_share(differences: npt.ArrayLike, procedure: Procedure, effect: float) -> float:
    """Share of the A/A rows [rows, pairs] in which a planted ``effect`` > 0 is found."""
    rows = np.asarray(differences, dtype=np.float64)
    return float(np.mean([procedure(row + effect) > 0 for row in rows]))


def calibrate(
    values: npt.ArrayLike,
    procedure: Procedure,
    effects: Sequence[float],
    *,
    power: float = 0.8,
    splits: int = SPLITS,
    seed: int = SEED,
) -> Calibrated:
    """A/A comparisons among the seeds of one variant, and the smallest of ``effects`` (> 0) that is found.

    ``values`` [S] or [S, columns], as in :func:`split_differences`. ``effects`` may come in any order.
    """
    if any(not effect > 0 for effect in effects):
        raise ValueError(f"planted effects must be above 0, got {list(effects)}")
    rows = split_differences(values, splits, seed)
    false = sum(procedure(row) != 0 for row in rows)
    smallest = next((e for e in sorted(effects) if found_share(rows, procedure, e) >= power), None)
    return Calibrated(len(rows), int(false), smallest, power)


# ---------------------------------------------------------------------------------- a printed "detectable"


def _power(noncentrality: Floats, n: int, alpha: float) -> Floats:
    """Of the two-sided t-test of n pairs, the wrong sign not counted."""
    cut = float(special.stdtrit(n - 1, 1 - alpha / 2))
    tail = stats.nct.sf(cut, n - 1, noncentrality)
    # scipy gives NaN in the far tail, where the power is 1.
    return np.nan_to_num(np.asarray(tail, dtype=np.float64), nan=1.0)


@lru_cache(maxsize=256)
def detectable_size(n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Effect, in *true* sd of the differences, that n pairs find with ``power``."""
    return float(
        optimize.brentq(lambda size: float(_power(np.array([size * n**0.5]), n, alpha)[0]) - power, 0, 200)
    )


def real_power(n: int, factor: float = 1.0, alpha: float = 0.05, power: float = 0.8) -> float:
    """Power at the size printed as ``factor * detectable_size(n) * estimated sd``: below ``power`` for 1,
    because the estimated sd is often too small. Averaged over the sd's distribution (chi, n - 1)."""
    ranks = (np.arange(NODES) + 0.5) / NODES
    ratio = np.sqrt(stats.chi2.ppf(ranks, n - 1) / (n - 1))
    size = factor * detectable_size(n, alpha, power) * ratio
    return float(_power(size * n**0.5, n, alpha).mean())


@lru_cache(maxsize=256)
def detectable_factor(n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """What to multiply a printed "detectable" by, so that it is found with ``power``: 2.4 to 1.1."""
    return float(optimize.brentq(lambda factor: real_power(n, factor, alpha, power) - power, 1.0, 20.0))


def detectable(differences: npt.ArrayLike, alpha: float = 0.05, *, span: float = 100.0) -> float:
    """Smallest true difference found with 80 % power at this many seeds, allowing for an estimated sd.

    At most ``span``, the metric's range; NaN below two seeds or without spread.
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2 or not d.std(ddof=1) > 0:
        return float("nan")
    size = detectable_factor(len(d), alpha) * detectable_size(len(d), alpha) * float(d.std(ddof=1))
    return min(span, size)
