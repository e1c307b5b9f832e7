"""Sequential t-tests of a stream of paired differences: p-values valid at every look, and boundaries.

Unusual here: every prefix of the stream may be looked at. Let t_k be the t statistic of the first k
differences, p_k its two-sided p-value and z_k = Phi^-1(1 - p_k / 2). With N seeds declared beforehand
and the first look at n0,

    M_n = max over n0 <= k <= min(n, N) of z_k (k / N)^(1/4)         Wang and Tsiatis (1987), Delta = 1/4
    p_n = min(1, H_N(M_n) / (1 - rho), 1 / (rho max over N < k <= n of e_k))

never rises with n and is below a with probability at most a under the null, whatever made one stop.
H_N(x) = P_0(M_N >= x) is calibrated for t, not for its normal limit: simulated once per (n0, N), seeded.
e_k is the Bayes factor of a normal prior (variance g) on mean / sd, a martingale under the null
(the right Haar prior on the sd; Ville's inequality makes 1 / max e_k a p-value). It lets N be raised
later, and is all there is where no N was declared. The maxima run over every prefix, looked at or
not, so that looks can be skipped and seeds can arrive in batches.

Seeds count in their own order, 0, 1, ..., never in the order in which their runs happened to finish.
What is normal by assumption: the differences. Arrays are [..., seeds]; any unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Side = Literal["both", "above", "below"]
"""Alternative of a test: mean different from, above, or below the null's."""

PATHS = 400_000
"""Simulated studies behind H_N: relative standard error 2 % at .006, one of eight claims at 5 %."""
SEED = 20_010
EXPONENT = 0.25
"""1/2 - Delta of the Wang-Tsiatis family: between Pocock (0) and O'Brien-Fleming (1/2)."""
PRIOR = 1.0
"""g: prior variance of mean / sd in the e-process."""
SAME = 1e-10
"""Range of the differences (points) up to which seeds count as identical: rounding, not replication."""

INF = float("inf")


# ---------------------------------------------------------------------------------- what was declared


@dataclass(frozen=True)
class Plan:
    """What was fixed before the first run, and therefore calibrates every look.

    Raises
    ------
    ValueError: fewer than 2 seeds at the first look, fewer declared than that, or a share or a
        level outside its range.
    """

    declared: int | None = None
    """N, as *first* declared. Raising the number of seeds later changes nothing here: seeds beyond N are
    judged by the e-process. None: nothing was declared, the anytime-valid p alone."""
    first: int = 3
    """n0: fewest seeds at which a verdict is possible."""
    alpha: float = 0.05
    """Error of the whole family of claims."""
    family: int = 1
    """Claims that share ``alpha``."""
    spare: float = 0.2
    """rho: share of the error kept for seeds beyond ``declared``."""

    def __post_init__(self) -> None:
        if self.first < 2:
            raise ValueError(f"the first look needs at least 2 seeds, got {self.first}")
        if self.declared is not None and self.declared < self.first:
            raise ValueError(
                f"{self.declared} seeds declared, but the first look is at {self.first} of them"
            )
        if not 0 < self.alpha < 1 or not 0 <= self.spare < 1 or self.family < 1:
            raise ValueError(
                f"need 0 < alpha < 1, 0 <= spare < 1 and family >= 1, "
                f"got {self.alpha}, {self.spare} and {self.family}"
            )

    @property
    def level(self) -> float:
        """a = alpha / family: error of one claim at Holm's first step."""
        return self.alpha / self.family


# ---------------------------------------------------------------------------------- statistics of a stream


def running_t(differences: npt.ArrayLike, null: float = 0.0) -> Floats:
    """t_k of the first k differences against ``null``; [..., n] -> [..., n].

    0 (no evidence) for k = 1 and wherever the first k are identical: seeds that all give the same say
    nothing of what another would give.
    """
    d = np.asarray(differences, dtype=np.float64)
    k = np.arange(1, d.shape[-1] + 1)
    shifted = d - d[..., :1]  # a shift by one of them: no cancellation in the sum of squares
    total = np.cumsum(shifted, axis=-1)
    squares = np.cumsum(shifted**2, axis=-1) - total**2 / k
    varied = np.maximum.accumulate(d, axis=-1) - np.minimum.accumulate(d, axis=-1) > SAME
    safe = varied & (squares > 0)
    sd = np.sqrt(np.where(safe, squares, 1.0) / np.maximum(k - 1, 1))
    mean = d[..., :1] + total / k - null
    return np.where(safe, mean / sd * np.sqrt(k), 0.0)


def running_z(t: Floats) -> Floats:
    """Signed z_k with the tail probability of t_k (k - 1 degrees of freedom); [..., n] -> [..., n]."""
    df = np.maximum(np.arange(t.shape[-1]), 1)
    return -np.sign(t) * special.ndtri(special.stdtr(df, -np.abs(t)))


def running_e(t: Floats) -> Floats:
    """e_k = (1 + k g)^(-1/2) (1 - g r^2 / (1 + k g))^(-k/2), with r = sum d / sqrt(sum d^2).

    [..., n] -> [..., n]; r comes from t. At most 1 where t is 0 by convention (no spread).
    """
    k = np.arange(1, t.shape[-1] + 1)
    r2 = k * t**2 / (k - 1 + t**2 + (t == 0))
    log = -0.5 * np.log1p(k * PRIOR) - k / 2 * np.log1p(-PRIOR * r2 / (1 + k * PRIOR))
    return np.exp(np.minimum(log, 600.0))


@dataclass(frozen=True, eq=False)
class Calibration:
    """The null distribution of the peak M_N: of |z| (``both``) and of z in one direction (``one``)."""

    both: Floats
    """[PATHS] ascending."""
    one: Floats
    """[2 PATHS] ascending: each path counts in both directions."""

    def _of(self, side: Side) -> Floats:
        return self.both if side == "both" else self.one

    def exceeds(self, peak: npt.ArrayLike, side: Side = "both") -> Floats:
        """P_0(M_N >= peak), rounded up by one path: never 0."""
        draws = self._of(side)
        above = len(draws) - np.searchsorted(draws, np.asarray(peak), side="left")
        return np.asarray((above + 1) / (len(draws) + 1))

    def boundary(self, level: float, side: Side = "both") -> float:
        """The peak that the null exceeds with probability ``level``; infinite if too rare to know."""
        draws = self._of(side)
        allowed = int(np.floor(level * (len(draws) + 1))) - 1  # draws at or above the boundary
        return float(np.nextafter(draws[-allowed - 1], INF)) if allowed >= 0 else INF


def _z_table(df: int) -> tuple[Floats, Floats]:
    """z against asinh(t): linear interpolation is good to 1e-4, at a tenth of the time."""
    u = np.linspace(0.0, 24.0, 6001)
    return u, -special.ndtri(special.stdtr(df, -np.sinh(u)))


@lru_cache(maxsize=64)
def calibration(first: int, declared: int) -> Calibration:
    """H_N for looks at ``first`` .. ``declared`` seeds: the same numbers in every process.

    t_k depends on the differences through r_k = sum d / sqrt(sum d^2) alone, a Markov chain under the
    null; running it on normal differences is the same chain. Under a second for 20 seeds.
    """
    rng = np.random.default_rng([SEED, first, declared])
    total, squares = np.zeros(PATHS), np.zeros(PATHS)
    high, low = np.full(PATHS, -INF), np.full(PATHS, -INF)
    for k in range(1, declared + 1):
        d = rng.standard_normal(PATHS)
        total += d
        squares += d * d
        if k < first:
            continue
        t = total * np.sqrt((k - 1) / np.maximum(k * squares - total**2, 1e-300))
        u, z = _z_table(k - 1)
        score = np.copysign(np.interp(np.arcsinh(np.abs(t)), u, z), t) * (k / declared) ** EXPONENT
        np.maximum(high, score, out=high)
        np.maximum(low, -score, out=low)
    return Calibration(np.sort(np.maximum(high, low)), np.sort(np.concatenate([high, low])))


def signed(values: Floats, side: Side) -> Floats:
    """``values`` counted in the direction of ``side``: larger = more evidence."""
    return np.abs(values) if side == "both" else values if side == "above" else -values


def running_p(t: Floats, plan: Plan, side: Side = "both") -> Floats:
    """p_k after each seed: valid at every stopping time, never rising; [..., n] -> [..., n].

    1 before ``plan.first`` seeds. One-sided e-values are not halved (their exact one-sided form has no
    closed form), which is valid and a little conservative beyond the declared seeds.
    """
    n, first, declared = t.shape[-1], plan.first, plan.declared
    p = np.ones(t.shape)
    within = 0 if declared is None else min(n, declared)
    if declared is not None and within >= first:
        k = np.arange(first, within + 1)
        score = signed(running_z(t)[..., first - 1 : within], side) * (k / declared) ** EXPONENT
        peak = np.maximum.accumulate(score, axis=-1)
        found = calibration(first, declared).exceeds(peak, side) / (1 - plan.spare)
        p[..., first - 1 : within] = np.minimum(found, 1.0)
        p[..., within:] = p[..., within - 1 : within]
    share = 1.0 if declared is None else plan.spare
    begin = max(within, first - 1)
    if begin < n and share > 0:
        e = np.where(signed(t, side) > 0, running_e(t), 0.0)[..., begin:]
        best = np.maximum.accumulate(e, axis=-1)
        with np.errstate(divide="ignore"):
            p[..., begin:] = np.minimum(p[..., begin:], 1.0 / (share * best))
    return p


@lru_cache(maxsize=16384)
def critical_t(n: int, plan: Plan, side: Side = "both", level: float | None = None) -> float:
    """Smallest |t_n| that decides at ``n`` seeds at error ``level`` (``plan.level`` if not given).

    Infinite where none does: before the first look, and beyond the declared seeds for a while.
    """
    a = plan.level if level is None else level
    if n < plan.first:
        return INF
    if plan.declared is not None and n <= plan.declared:
        x = calibration(plan.first, plan.declared).boundary(a * (1 - plan.spare), side)
        z = x * (plan.declared / n) ** EXPONENT
        return float(-special.stdtrit(n - 1, special.ndtr(-z))) if np.isfinite(z) else INF
    share = 1.0 if plan.declared is None else plan.spare
    if share == 0:
        return INF
    g, b = PRIOR, 1.0 / (share * a)
    # e_n >= b exactly if r_n^2 >= R.
    R = (1 + n * g) / g * -np.expm1(-np.log((1 + n * g) * b**2) / n)
    return float(np.sqrt((n - 1) * R / (n - R))) if n > R else INF


def nominal_p(n: int, plan: Plan, side: Side = "both") -> float:
    """p of the ordinary t-test that decides at ``n`` seeds, two-sided or of one side; 0 where none does."""
    t = critical_t(n, plan, side)
    sides = 2 if side == "both" else 1
    return float(sides * special.stdtr(n - 1, -t)) if np.isfinite(t) else 0.0
