"""One claim's verdict from its seeds so far, however often it is looked at.

Built on :mod:`ablate.evidence.boundaries`, whose p-values hold at every look. Here they are turned into
what a verdict needs: sign, repeated interval, futility, and about how many more seeds would decide.
A caller passes the longest prefix of seeds without a gap; differences, margins and intervals share one
unit (points).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from ablate.evidence.boundaries import (
    INF,
    SAME,
    Floats,
    Plan,
    Side,
    critical_t,
    nominal_p,
    running_p,
    running_t,
    signed,
)
from ablate.evidence.stats import holm_adjusted

FUTILE_FROM = 5
"""Fewest seeds at which a claim is given up."""
LUCK = 0.9
"""One-sided confidence of the most that a claim is still credited with."""
IMAGES_FACTOR = 4.0
"""A claim stops gaining from seeds once they carry less than 1/4 of the variance of its images."""
SEEDS_CAP = 1000
"""Above this many seeds, "more seeds" is no longer advice."""

NAN = float("nan")


@dataclass(frozen=True)
class Hypothesis:
    """What a claim says of the mean difference: ``differs`` from ``margin`` (either way, the sign tells
    which), or is ``equivalent``: within ``margin`` of 0.

    ``A > B`` is ``differs`` from 0, ``A > B + m`` from m, ``A > B - m`` (not worse by m) from -m.
    """

    kind: Literal["differs", "equivalent"] = "differs"
    margin: float = 0.0
    """In the unit of the differences."""

    def __post_init__(self) -> None:
        if self.kind == "equivalent" and not self.margin > 0:
            raise ValueError(f"equivalence needs a margin above 0, got {self.margin}")

    @property
    def tests(self) -> tuple[tuple[float, Side], ...]:
        """(null mean, alternative) of each test; the claim needs all of them."""
        if self.kind == "equivalent":
            return ((-self.margin, "above"), (self.margin, "below"))
        return ((self.margin, "both"),)


def repeated_interval(differences: npt.ArrayLike, plan: Plan) -> tuple[float, float]:
    """Interval of the mean difference that covers it at every look at once, with 1 - ``plan.level``.

    Jennison and Turnbull (1989). Beyond the declared seeds the one of the declared seeds stays valid,
    and the narrower of the two is returned. Infinite before the first look, NaN without spread.
    """
    d = np.asarray(differences, dtype=np.float64)
    best = (-INF, INF)
    for n in {len(d), min(len(d), plan.declared or len(d))}:
        part = d[:n]
        if n < plan.first:
            continue
        if np.ptp(part) <= SAME:
            if n == len(d):
                return NAN, NAN
            continue
        half = critical_t(n, plan) * float(part.std(ddof=1)) / np.sqrt(n)
        if 2 * half < best[1] - best[0]:
            best = (float(part.mean() - half), float(part.mean() + half))
    return best


# ---------------------------------------------------------------------------------- one claim


@dataclass(frozen=True)
class Look:
    """What a claim said when it was looked at."""

    n: int
    """Seeds."""
    p: float
    """Sequential p_n."""
    mean: float
    low: float
    high: float
    """Repeated interval."""


@dataclass(frozen=True)
class SequentialVerdict:
    """Ingredients of a claim's verdict after ``n`` seeds; what to call it is the caller's."""

    plan: Plan
    hypothesis: Hypothesis
    n: int
    p: float
    """p_n, not yet adjusted for the family: see :func:`~ablate.evidence.stats.holm_adjusted`."""
    sign: int
    """Side of the null (+1, -1) on which the statistic peaked, where the evidence is; 0: no evidence.
    +1 for an equivalence that holds."""
    peaked: int
    """Seeds at that peak; 0 without evidence."""
    mean: float
    sd: float
    """Of the differences; NaN below 2."""
    low: float
    high: float
    """Repeated interval of the mean difference, at ``plan.level``."""
    level: float
    """Two-sided p of the t-test that would decide at these seeds: what one look may spend; 0 where none
    would."""
    looks: tuple[Look, ...]
    futile: bool
    """Even a run of luck (one-sided 90 %) would not reach the boundary by the declared seeds."""
    image_bound: bool
    """Seeds carry less than a quarter of the variance of the images: more images, not more seeds."""
    more_seeds: int | None
    """About how many more would decide, if the observed effect and spread are the true ones (an even
    chance; no promise of power). 0 if decided at ``plan.level``; None: undefined or above the cap."""

    def spent(self, step: int) -> float:
        """What a t-test of these seeds alone may spend where ``step`` claims of the family are left: of
        both sides, of an equivalence of each; 0 where none would decide. Where the evidence peaked with
        fewer seeds, and the boundary was wider, at that one: a verdict is not withdrawn."""
        side: Side = "above" if self.hypothesis.kind == "equivalent" else "both"
        plan = replace(self.plan, family=step)
        return max(nominal_p(n, plan, side) for n in {self.n, self.peaked})

    @property
    def identical(self) -> bool:
        """Whether two or more seeds all gave the same difference."""
        return self.n >= 2 and self.sd == 0.0


def _checked(differences: npt.ArrayLike) -> Floats:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1:
        raise ValueError(f"differences must be [seeds], got shape {d.shape}")
    bad = np.flatnonzero(~np.isfinite(d))
    if len(bad):
        raise ValueError(
            f"the difference at position {bad[0]} is {d[bad[0]]}: a seed without a value says something, "
            "so whether the claim can be judged is decided before"
        )
    return d


def judge(
    differences: npt.ArrayLike,
    plan: Plan,
    hypothesis: Hypothesis | None = None,
    *,
    looks: Sequence[int] = (),
    stopped: int | None = None,
    image_variance: float | None = None,
) -> SequentialVerdict:
    """Judge one claim from its paired differences.

    Parameters
    ----------
    differences: [seeds] in the seeds' own order, without gaps.
    plan: declared before the first run.
    hypothesis: mean differs from 0, if not given.
    looks: seed counts at which the claim was looked at before (any order; larger than what is there is
        ignored); the present count is added.
    stopped: seeds at which the claim was stopped; what arrived later is not looked at, so that it keeps
        its p.
    image_variance: c of the seeds x images analysis, same unit squared, for ``image_bound``.

    Raises
    ------
    ValueError: a difference is NaN or infinite (the survivors must not be judged), or not [seeds].
    """
    hypothesis = hypothesis or Hypothesis()
    d = _checked(differences)
    d = d if stopped is None else d[:stopped]
    n = len(d)
    sd = NAN if n < 2 else 0.0 if np.ptp(d) <= SAME else float(d.std(ddof=1))
    t = [(running_t(d, null), side) for null, side in hypothesis.tests]
    p = np.max([running_p(x, plan, side) for x, side in t], axis=0)
    sign, peaked = _direction(t[0][0], plan) if hypothesis.kind == "differs" else _within(p)
    low, high = repeated_interval(d, plan)
    seen = sorted({look for look in looks if 1 <= look <= n} | ({n} if n else set()))
    current = [(float(x[-1]), side) for x, side in t] if n >= 2 and sd > 0 else []
    decided = bool(n) and p[-1] <= plan.level
    return SequentialVerdict(
        plan=plan,
        hypothesis=hypothesis,
        n=n,
        p=float(p[-1]) if n else 1.0,
        sign=sign,
        peaked=peaked,
        mean=float(d.mean()) if n else NAN,
        sd=sd,
        low=low,
        high=high,
        level=nominal_p(n, plan),
        looks=tuple(
            Look(k, float(p[k - 1]), float(d[:k].mean()), *repeated_interval(d[:k], plan)) for k in seen
        ),
        futile=not decided and _futile(current, n, plan),
        image_bound=image_variance is not None and n >= 2 and sd**2 / n < image_variance / IMAGES_FACTOR,
        more_seeds=0 if decided else _more_seeds(current, n, plan),
    )


def _direction(t: Floats, plan: Plan) -> tuple[int, int]:
    """Sign and seeds of the strongest evidence: the smallest p so far, first reached there."""
    if len(t) < plan.first:
        return 0, 0
    both = running_p(t, plan)
    at = int(np.flatnonzero(both == both[-1])[0])
    # Where p is still 1 nothing has peaked; where several seeds share the smallest p, the first made it.
    return (int(np.sign(t[at])), at + 1) if both[-1] < 1 else (0, 0)


def _within(p: Floats) -> tuple[int, int]:
    """The same for an equivalence, which has one direction only."""
    return (1, int(np.flatnonzero(p == p[-1])[0]) + 1) if len(p) and p[-1] < 1 else (0, 0)


def _toward(t: float, side: Side) -> float:
    return float(signed(np.asarray(t), side))


def _futile(current: Sequence[tuple[float, Side]], n: int, plan: Plan) -> bool:
    """Non-binding: stopping by it can only lower the error rate."""
    N = plan.declared
    if N is None or not max(FUTILE_FROM, plan.first) <= n < N or not current:
        return False
    luck = float(special.stdtrit(n - 1, LUCK))
    grown = np.sqrt(N / n)
    return any((_toward(t, side) + luck) * grown < critical_t(N, plan, side) for t, side in current)


def _more_seeds(current: Sequence[tuple[float, Side]], n: int, plan: Plan) -> int | None:
    """Seeds until t, growing like sqrt(seeds) from where it stands, meets every boundary."""
    if not current or any(_toward(t, side) <= 0 for t, side in current):
        return None
    for k in range(n + 1, SEEDS_CAP + 1):
        grown = np.sqrt(k / n)
        if all(_toward(t, side) * grown >= critical_t(k, plan, side) for t, side in current):
            return k - n
    return None


# ---------------------------------------------------------------------------------- several claims


def live(
    verdicts: Sequence[SequentialVerdict],
    alpha: float = 0.05,
    *,
    futility: bool = True,
    images: bool = True,
) -> list[bool]:
    """Which claims still deserve the next seed: neither decided (Holm), nor futile, nor bound by images."""
    adjusted = holm_adjusted([verdict.p for verdict in verdicts])
    return [
        p > alpha and not (futility and verdict.futile) and not (images and verdict.image_bound)
        for p, verdict in zip(adjusted, verdicts, strict=True)
    ]
