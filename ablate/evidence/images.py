"""Would it hold for new seeds *and* new test images: the second interval of every difference and level.

Unusual here: test images are a sample as well. All seeds are scored on the same images, so the error
these carry does not average out over seeds. It is the multi-reader multi-case problem of radiology,
with seeds as readers and images as cases (Obuchowski and Rockette 1995; degrees of freedom: Hillis
2007). With D_s the value of seed s, s2 its sample variance over S seeds, and Cov the covariance of D_s
and D_s' over images,

    c   = max(0, mean of Cov over s != s')            what the images carry and no seed removes
    SE2 = s2 / S + c ,   df = (S - 1) (SE2 / (s2 / S))^2 ,   mean(D) +- t_df SE

never narrower than the interval for new seeds alone. Covariances come from DeLong's placements
(image AUROC) or a jackknife over images stratified by label (any other metric). Categories are fixed and
images nested in them, so the covariance of a mean over K categories is the sum of theirs over K^2.

Values are [seeds]; covariances [seeds, seeds], unit squared. Nothing here knows what a difference is: a
level goes in as it is, a difference as the difference of the placements or jackknife values.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from ablate.evidence.stats import level_ends

Floats = npt.NDArray[np.float64]

ALPHA = 0.05
FLOOR = 2.8
"""Standard errors of an effect found with 80 % power at 5 %: 1.96 + 0.84."""
NAN = float("nan")


# ---------------------------------------------------------------------------------- covariance over images


@dataclass(frozen=True, eq=False)
class Placements:
    """DeLong's placements of image AUROC, for each seed; differences of two are taken with ``-``.

    DeLong, DeLong and Clarke-Pearson (1988).
    """

    anomalous: Floats
    """[S, anomalous images] share of the normal images that score lower (ties: one half)."""
    normal: Floats
    """[S, normal images] share of the anomalous images that score higher."""

    def __sub__(self, other: Placements) -> Placements:
        return Placements(self.anomalous - other.anomalous, self.normal - other.normal)

    def scaled(self, factor: float) -> Placements:
        """The same in other units (points: 100)."""
        return Placements(self.anomalous * factor, self.normal * factor)

    @property
    def values(self) -> Floats:
        """[S] the AUROC (or difference of AUROCs) itself."""
        return np.asarray(self.anomalous.mean(axis=1))

    @property
    def covariance(self) -> Floats:
        """[S, S] over images; NaN where a label has fewer than two of them."""
        parts = (self.anomalous, self.normal)
        return np.asarray(sum(_covariance_of_mean(part) for part in parts))


def _covariance_of_mean(x: Floats) -> Floats:
    """[S, n] -> [S, S] covariance of the row means."""
    n = x.shape[1]
    if n < 2:
        return np.full((len(x), len(x)), NAN)
    centred = x - x.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T / (n * (n - 1)))


def placements(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Placements:
    """Placements of image ``scores`` [S, n], higher = more anomalous; ``labels`` [n], 1 = anomalous.

    Raises
    ------
    ValueError: shapes that do not fit, a score that is not finite, or a label without images.
    """
    x, bad = np.asarray(scores, dtype=np.float64), np.asarray(labels) == 1
    if x.ndim != 2 or bad.shape != x.shape[1:]:
        raise ValueError(
            f"scores must be [seeds, images] and labels [images], got {x.shape} and {bad.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("an image score is NaN or infinite")
    p, n = int(bad.sum()), int((~bad).sum())
    if not p or not n:
        raise ValueError(f"image AUROC needs both labels, got {p} anomalous and {n} normal images")
    together = stats.rankdata(x, axis=1)
    within = np.empty_like(together)
    within[:, bad] = stats.rankdata(x[:, bad], axis=1)
    within[:, ~bad] = stats.rankdata(x[:, ~bad], axis=1)
    beaten = together - within  # images of the other label that score lower, ties half
    return Placements(beaten[:, bad] / n, 1.0 - beaten[:, ~bad] / p)


def jackknife_covariance(leave_one_out: npt.ArrayLike, strata: npt.ArrayLike) -> Floats:
    """[S, S] covariance over images from values without each image, stratified.

    Parameters
    ----------
    leave_one_out: [S, n] value of seed s without image i (the difference of two such arrays for a
        difference).
    strata: [n] what keeps its size in a new test set: the label.

    Of strata with a single image, and of images without which the metric is undefined, nothing is
    known: NaN.
    """
    theta, group = np.asarray(leave_one_out, dtype=np.float64), np.asarray(strata)
    if theta.ndim != 2 or group.shape != theta.shape[1:]:
        raise ValueError(f"need [seeds, images] and [images], got {theta.shape} and {group.shape}")
    total = np.zeros((len(theta), len(theta)))
    for name in np.unique(group):
        part = theta[:, group == name]
        n = part.shape[1]
        # (n - 1) / n sum of squares = (n - 1)^2 times the covariance of a mean of n
        total += (n - 1) ** 2 * _covariance_of_mean(part)
    return total


def over_categories(covariances: Sequence[npt.ArrayLike]) -> Floats:
    """[S, S] covariance of the mean over K categories, from that of each; images are nested in them."""
    if not covariances:
        raise ValueError("no category")
    each = np.stack([np.asarray(covariance, dtype=np.float64) for covariance in covariances])
    return np.asarray(each.sum(axis=0) / len(each) ** 2)


# ---------------------------------------------------------------------------------- two-way analysis


@dataclass(frozen=True)
class SeedsAndImages:
    """A mean over seeds on a sample of images, with the uncertainty of both."""

    mean: float
    seeds: int
    images: int
    """Test images (over all categories)."""
    seed_variance: float
    """s2 / S; NaN below two seeds."""
    image_variance: float
    """c; NaN below two seeds."""
    alpha: float
    seed_low: float
    """Interval for new seeds, these images."""
    seed_high: float
    low: float
    """Interval for new seeds, new images."""
    high: float
    df: float
    """Degrees of freedom behind the second interval; infinite without spread between seeds."""

    @property
    def standard_error(self) -> float:
        """SE for new seeds and new images."""
        return float(np.sqrt(self.seed_variance + self.image_variance))

    @property
    def image_share(self) -> float:
        """Share of that variance that the images carry (the seeds carry the rest); NaN where it is 0."""
        total = self.seed_variance + self.image_variance
        return self.image_variance / total if total > 0 else NAN

    @property
    def image_floor(self) -> float:
        """Smallest effect that infinitely many seeds would find on a test set of this size (80 % power)."""
        return FLOOR * float(np.sqrt(self.image_variance))

    def within(self, margin: float, one_sided: float | None = None) -> bool:
        """Whether the mean lies within ``margin`` of 0, for new seeds and new images.

        Two one-sided tests at ``one_sided`` (``alpha`` if not given), hence the interval at twice that.
        """
        level = min(1.0, 2 * (self.alpha if one_sided is None else one_sided))
        half = _half_widths(self.seed_variance, self.image_variance, self.seeds, level)[1]
        return abs(self.mean) + half < margin

    def apart(self, value: float, two_sided: float | None = None) -> bool:
        """Whether the mean is apart from ``value``, for new seeds and new images, by a two-sided test at
        this error (``alpha`` if not given)."""
        level = self.alpha if two_sided is None else two_sided
        half = _half_widths(self.seed_variance, self.image_variance, self.seeds, level)[1]
        return abs(self.mean - value) > half

    def width_change(self, seeds: int = 0, images: int = 0) -> float:
        """Relative change of the second interval's width from more of either, of the same mix: -0.4 is 40 %
        narrower. NaN where there is no width."""
        now = self._half(0, 0)
        return self._half(seeds, images) / now - 1.0 if now > 0 else NAN

    def _half(self, seeds: int, images: int) -> float:
        S = self.seeds + seeds
        seed = self.seed_variance * self.seeds / S
        return _half_widths(
            seed, self.image_variance * self.images / (self.images + images), S, self.alpha
        )[1]

    def of_level(self, top: float) -> SeedsAndImages:
        """The same of a metric's level: no interval passes ``top``, its maximum."""
        seed_low, seed_high = level_ends(self.mean, self.seed_high - self.mean, top)
        low, high = level_ends(self.mean, self.high - self.mean, top)
        return replace(self, seed_low=seed_low, seed_high=seed_high, low=low, high=high)

    def images_needed(self, effect: float | None = None) -> int | None:
        """More images of the same mix until the image floor meets ``effect`` (the observed mean, if not
        given); 0 if it does; None where that is undefined."""
        size = abs(self.mean if effect is None else effect)
        if not size > 0 or not np.isfinite(self.image_variance):
            return None
        return max(0, int(np.ceil(self.images * ((self.image_floor / size) ** 2 - 1))))

    def images_until(self, holds: Callable[[SeedsAndImages], bool], most: int = 1_000_000) -> int | None:
        """The fewest more images of the same mix with which ``holds``, the seeds as they are; None if
        ``most`` are too few."""

        def enough(more: int) -> bool:
            scale = self.images / (self.images + more)
            return holds(replace(self, image_variance=self.image_variance * scale))

        if not enough(most):
            return None
        return bisect.bisect_left(range(most), True, key=enough)


def _half_widths(seed: float, image: float, S: int, alpha: float) -> tuple[float, float]:
    """Half widths for new seeds alone and for new seeds and images, from s2 / S and c."""
    alone = float(special.stdtrit(S - 1, 1 - alpha / 2)) * float(np.sqrt(seed))
    both = seed + image
    if np.isnan(both):  # what is not known of the images must not pass for nothing
        return alone, NAN
    if both <= 0:
        return alone, alone
    df = _df(seed, image, S)
    quantile = float(
        special.stdtrit(df, 1 - alpha / 2) if np.isfinite(df) else special.ndtri(1 - alpha / 2)
    )
    return alone, max(alone, quantile * float(np.sqrt(both)))


def _df(seed: float, image: float, S: int) -> float:
    return (S - 1) * ((seed + image) / seed) ** 2 if seed > 0 else float("inf")


Place = tuple[str, str | None, str, tuple[str, ...], tuple[Any, ...]]
"""Of what: variant, baseline (None: a level), metric, categories averaged over, seeds."""


class ImageVariance(NamedTuple):
    """What the images carry of a mean over seeds."""

    shared: float
    """Mean covariance over images of two different seeds, unit squared; NaN below two seeds."""
    images: int
    """Test images (over all categories)."""


def image_variance(covariance: npt.ArrayLike, images: int) -> ImageVariance:
    """Of a [S, S] covariance over images. Raises ValueError if it is not square."""
    cov = np.asarray(covariance, dtype=np.float64)
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1]:
        raise ValueError(f"need [seeds, seeds], got {cov.shape}")
    S = len(cov)
    shared = float((cov.sum() - np.trace(cov)) / (S * (S - 1))) if S > 1 else NAN
    return ImageVariance(shared, images)


def seeds_and_images(
    values: npt.ArrayLike, covariance: npt.ArrayLike, images: int, *, alpha: float = ALPHA
) -> SeedsAndImages:
    """Both intervals of a mean over seeds.

    Parameters
    ----------
    values: [S] per seed (points): levels, or paired differences.
    covariance: [S, S] of ``values`` over images, in the same unit squared.
    images: how many test images are behind it.

    Below two seeds, and where the covariance is undefined, the intervals are NaN.

    Raises
    ------
    ValueError: shapes that do not fit, or a value that is not finite.
    """
    d, cov = np.asarray(values, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    if d.ndim != 1 or cov.shape != (len(d), len(d)):
        raise ValueError(f"need [seeds] and [seeds, seeds], got {d.shape} and {cov.shape}")
    return both_intervals(d, image_variance(cov, images), alpha=alpha)


def both_intervals(
    values: npt.ArrayLike, carried: ImageVariance, *, alpha: float = ALPHA
) -> SeedsAndImages:
    """As :func:`seeds_and_images`, from what the images carry."""
    d, images = np.asarray(values, dtype=np.float64), carried.images
    if not np.isfinite(d).all():
        raise ValueError("a seed's value is NaN or infinite")
    S = len(d)
    mean = float(d.mean()) if S else NAN
    if S < 2:
        return SeedsAndImages(mean, S, images, NAN, NAN, alpha, NAN, NAN, NAN, NAN, NAN)
    seed = float(d.var(ddof=1)) / S
    image = carried.shared if np.isnan(carried.shared) else max(0.0, carried.shared)
    alone, both = _half_widths(seed, image, S, alpha)
    df = _df(seed, image, S)
    return SeedsAndImages(
        mean, S, images, seed, image, alpha, mean - alone, mean + alone, mean - both, mean + both, df
    )
