"""What the statistics promise, simulated: errors, power, coverage, and what the plain ways would do.

    python benchmarks/statistics.py --quick        80 s on one core, percentages good to about 3
    python benchmarks/statistics.py                over 6 minutes, mostly the mixed study, good to 0.5
    python benchmarks/statistics.py --redraw 100   and coverage on that many freshly drawn `stripes` test
                                                   sets (some seconds each)

Every number comes from the functions that the reports use (``ablate.evidence``). Differences are normal
with sd 1 unless a table says otherwise. The exit status is 1 where a limit is exceeded, allowing for three
standard errors of the simulation.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from pathlib import Path

# Runs from a checkout that is not installed; this folder would hide the standard library's `statistics`.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).parents[1]))

import argparse
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy import ndimage, special

from ablate.evidence.boundaries import Plan, nominal_p, running_p, running_t, running_z
from ablate.evidence.calibration import detectable_factor, detectable_size, real_power
from ablate.evidence.images import placements, seeds_and_images
from ablate.evidence.sequential import judge, live, repeated_interval
from ablate.evidence.stats import holm_adjusted
from model.data.config import StripesConfig
from model.data.stripes import DOMAINS
from model.data.stripes.domains import draw

Floats = npt.NDArray[np.float64]
ALPHA, N = 0.05, 20
MIXED = (4.0, 2.0, 1.0, 0.5, 0.0, 0.0)


class Bench:
    """Prints tables and remembers limits."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.held = True
        self.rng = np.random.default_rng(20)
        self.console = Console(width=110)

    def studies(self, full: int) -> int:
        """Simulated studies where the full benchmark takes ``full``."""
        return max(100, int(full * self.scale))

    def normal(self, effect: float, studies: int, n: int = N) -> Floats:
        """Differences [studies, n]."""
        return self.rng.normal(effect, 1.0, (studies, n))

    def table(self, title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Print a table; the first column is text."""
        table = Table(title=title, title_justify="left")
        for index, name in enumerate(columns):
            table.add_column(name, justify="right" if index else "left")
        for row in rows:
            table.add_row(*map(str, row))
        self.console.print(table)

    def limit(
        self, what: str, value: float, studies: int, *, above: float = 0.0, below: float = 1.0
    ) -> str:
        """Check a share against its limits and format it."""
        error = 3 * float(np.sqrt(max(value * (1 - value), 1e-4) / studies))
        good = above - error <= value <= below + error
        self.held &= good
        if not good:
            self.console.print(f"EXCEEDED: {what}: {value:.3f} is not in [{above:g}, {below:g}]")
        return percent(value)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def first(decided: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """[studies, n] -> seeds at the first verdict, n where there is none."""
    return np.where(decided.any(axis=1), decided.argmax(axis=1) + 1, decided.shape[1])


# ---------------------------------------------------------------------------------- plain ways


def looking(bench: Bench) -> None:
    """The ordinary t-test, looked at repeatedly, under the null."""
    studies = bench.studies(40_000)
    found = np.abs(running_z(running_t(bench.normal(0, studies)))) > special.ndtri(1 - ALPHA / 2)
    looks = {
        "after every seed, 3..20": range(3, N + 1),
        "3, 5, 7, 9, 11": range(3, 12, 2),
        "once, at 5": [5],
    }
    rows = [(name, percent(found[:, [k - 1 for k in at]].any(axis=1).mean())) for name, at in looks.items()]
    bench.table("Plain t-test at 5 %, no true difference", ("looks", "false verdicts"), rows)


def following(bench: Bench, cap: int = 1000) -> None:
    """Running "needs about k more seeds" once, then testing again."""
    counts = np.arange(2, cap + 1)
    sizes = np.array([detectable_size(int(n)) for n in counts[:60]])
    # Beyond 60 pairs the noncentrality hardly moves.
    sizes = np.concatenate([sizes, sizes[-1] * np.sqrt(counts[59] / counts[60:])])

    def share(start: int, effect: float) -> float:
        studies = bench.studies(40_000)
        d = bench.normal(effect, studies, start)
        mean, squares = d.mean(axis=1), d.var(axis=1) * start
        t = running_t(d)[:, -1]
        found = 2 * special.stdtr(start - 1, -np.abs(t)) < ALPHA
        wanted = np.abs(t) / np.sqrt(start)
        at = np.searchsorted(-sizes, -wanted)
        total = counts[np.minimum(at, len(counts) - 1)]
        more = np.maximum(total - start, 1)
        extra = bench.rng.normal(effect, 1 / np.sqrt(more))
        squares += bench.rng.chisquare(np.maximum(more - 1, 1e-9)) + (mean - extra) ** 2 * start * more / (
            start + more
        )
        mean = (mean * start + extra * more) / (start + more)
        df = start + more - 1
        again = np.abs(mean) / np.sqrt(squares / df / (df + 1))
        second = (at < len(counts)) & (2 * special.stdtr(df, -again) < ALPHA)
        right = (mean > 0) | (effect == 0)
        return float((found | (second & right)).mean())

    rows = [(n, percent(share(n, 0.0)), percent(share(n, 0.5))) for n in (3, 5)]
    columns = ("first seeds", "false (5 % promised)", "power at 0.5 sd (80 % promised)")
    bench.table('Following "needs about k more seeds" once', columns, rows)


def printed_detectable(bench: Bench) -> None:
    """Power at a printed "detectable", and the factor that mends it."""
    rows = [
        (n, f"{detectable_size(n):.2f}", percent(real_power(n)), f"{detectable_factor(n):.2f}")
        for n in (2, 3, 5, 10)
    ]
    columns = ("seeds", "detectable / sd", "real power (80 % printed)", "factor")
    bench.table("Smallest detectable difference, from the estimated sd", columns, rows)


# ---------------------------------------------------------------------------------- sequential


def boundaries(bench: Bench) -> None:
    """Two-sided p of the ordinary test that decides."""
    seeds = (3, 5, 8, 10, 15, 20)
    plans = [Plan(N, 3, family=m, spare=rho) for m in (1, 6) for rho in (0.0, 0.2)]
    rows = [
        (f"{p.family} claim(s), rho = {p.spare:g}", *(f"{nominal_p(n, p):.5f}" for n in seeds))
        for p in plans
    ]
    bench.table("p needed, declared 20, first look at 3", ("", *(f"n = {n}" for n in seeds)), rows)


def power(bench: Bench) -> None:
    """Power and mean seeds; the fixed rule looks once, at 20."""
    studies = bench.studies(20_000)
    plans = {
        "declared 20": Plan(N, 5, spare=0.0),
        "declared 20, rho = .2": Plan(N, 5),
        "not declared (e-process)": Plan(None, 5),
        "declared 20, one of six": Plan(N, 5, family=6, spare=0.0),
    }
    rows: dict[str, list[str]] = {name: [name] for name in [*plans, "fixed 20"]}
    for effect in (0.0, 0.5, 0.75, 1.0, 2.0):
        t = running_t(bench.normal(effect, studies))
        for name, plan in plans.items():
            decided = running_p(t, plan) <= plan.level
            share = float(decided.any(axis=1).mean())
            text = bench.limit(name, share, studies, below=ALPHA) if effect == 0 else percent(share)
            rows[name].append(f"{text} / {first(decided).mean():.1f}")
        fixed = float((np.abs(running_z(t))[:, -1] > special.ndtri(1 - ALPHA / 2)).mean())
        rows["fixed 20"].append(f"{percent(fixed)} / 20")
    columns = ("verdicts / mean seeds", *(f"{e:g} sd" for e in (0.0, 0.5, 0.75, 1.0, 2.0)))
    bench.table("Looking after every seed, first at 5, no futility", columns, rows.values())


def family_error(bench: Bench) -> None:
    """Any false verdict of a family with one baseline, N raised once."""
    studies = bench.studies(10_000)
    rows = []
    for claims in (1, 6):
        for declared in (20, 10):
            plan = Plan(declared, family=claims)
            own = bench.rng.normal(size=(studies, claims, N))
            d = (own - bench.rng.normal(size=(studies, 1, N))) / np.sqrt(2)
            # Holm's first step decides whether any claim of a family without effects is decided.
            smallest = running_p(running_t(d), plan)[..., -1].min(axis=1)
            share = float((smallest <= plan.level).mean())
            name = f"{claims} claim(s), declared {declared}" + (", raised to 20" if declared < N else "")
            rows.append((name, bench.limit(name, share, studies, below=ALPHA)))
    bench.table("No true difference, looks at 3..20", ("", "any false verdict"), rows)


def mixed(bench: Bench) -> None:
    """Six claims of effects 4, 2, 1, .5, 0, 0 sd against one baseline, at most 20 seeds."""
    studies, plan = bench.studies(500), Plan(N, family=len(MIXED))
    rows = []
    for futility in (True, False):
        runs, baseline, false, found = 0, 0, 0, np.zeros(len(MIXED))
        for _ in range(studies):
            d = bench.rng.normal(np.array(MIXED)[:, None], 1.0, (len(MIXED), N))
            seeds, going = np.full(len(MIXED), plan.first), np.ones(len(MIXED), bool)
            while True:
                verdicts = [judge(row[:n], plan) for row, n in zip(d, seeds, strict=True)]
                going = going & live(verdicts, futility=futility)  # who stopped stays stopped
                grow = going & (seeds < N)
                if not grow.any():
                    break
                seeds += grow
            decided = np.array(holm_adjusted([verdict.p for verdict in verdicts])) <= ALPHA
            wrong = decided & ((np.array(MIXED) == 0) | (np.array([v.sign for v in verdicts]) < 0))
            runs, baseline, false = runs + seeds.sum(), baseline + seeds.max(), false + bool(wrong.any())
            found += decided
        name = "with futility" if futility else "without"
        mean = runs / studies
        if futility and mean > 75:
            bench.held = False
        error = bench.limit(f"mixed study {name}", false / studies, studies, below=ALPHA)
        shown = f"{mean:.1f}", f"{baseline / studies:.1f}", error
        rows.append((name, *shown, *map(percent, found / studies)))
    columns = ("", "runs (of 120)", "+ baseline", "any false", *(f"{e:g} sd" for e in MIXED))
    bench.table("A mixed study of six claims", columns, rows)


def coverage_at_stop(bench: Bench) -> None:
    """Repeated against ordinary interval, where the study stopped."""
    studies, rows = bench.studies(4_000), []
    for declared in (20, 10):
        plan = Plan(declared)
        for effect in (0.0, 0.5, 1.0):
            d = bench.normal(effect, studies)
            stops = first(running_p(running_t(d), plan) <= ALPHA)
            inside, plain = 0, 0
            for row, stop in zip(d, stops, strict=True):
                low, high = repeated_interval(row[:stop], plan)
                inside += low <= effect <= high
                half = special.stdtrit(stop - 1, 1 - ALPHA / 2) * row[:stop].std(ddof=1) / np.sqrt(stop)
                plain += abs(row[:stop].mean() - effect) <= half
            name = f"declared {declared}, effect {effect:g} sd"
            shown = bench.limit(f"coverage, {name}", inside / studies, studies, above=1 - ALPHA)
            rows.append((name, shown, percent(plain / studies)))
    bench.table("Coverage at the stop, at most 20 seeds", ("", "repeated interval", "t-interval"), rows)


# ---------------------------------------------------------------------------------- seeds and images


def images(bench: Bench) -> None:
    """Difference of two AUROCs in a model with effects of images, variants and seeds."""
    studies, rows = bench.studies(4_000), []
    labels = np.repeat([0, 1], [30, 30])
    sd = (2 * (1.0 + 0.5**2 + 0.2**2) + 0.1**2) ** 0.5
    truth = 100 * float(special.ndtr(1.2 / sd) - special.ndtr(1.0 / sd))
    for S in (3, 5, 10):
        results = []
        for _ in range(studies):
            image = bench.rng.normal(size=60)
            a, b = (
                image
                + bench.rng.normal(0, 0.5, 60)
                + bench.rng.normal(0, 0.2, (S, 60))
                + (shift + bench.rng.normal(0, 0.1, (S, 1))) * labels
                for shift in (1.2, 1.0)
            )
            d = (placements(a, labels) - placements(b, labels)).scaled(100)
            results.append(seeds_and_images(d.values, d.covariance, 60))
        both = float(np.mean([r.low <= truth <= r.high for r in results]))
        alone = float(np.mean([r.seed_low <= truth <= r.seed_high for r in results]))
        share = float(np.mean([r.image_share for r in results]))
        shown = bench.limit(f"seeds and images, {S} seeds", both, studies, above=0.94, below=0.97)
        rows.append((S, shown, percent(alone), percent(share)))
    columns = ("seeds", "new seeds, new images", "new seeds alone", "share of the images")
    bench.table("Coverage for new seeds and new images: 60 images, simulated scores", columns, rows)


def stripes_scores(config: StripesConfig, start: int, scorers: Floats) -> Iterator[Floats]:
    """Image scores [scorers] of one fresh test set of the hardest domain, normal images first.

    A scorer is a pair (sigma along, sigma across) of a fixed high-pass filter: no training between
    test sets, so that only seeds and images vary.
    """
    domain = DOMAINS["domain_c"]
    kinds = list(domain.defects)
    for bad, count in ((False, config.test_good), (True, config.test_bad)):
        for index in range(start, start + count):
            name = kinds[index % len(kinds)] if bad else None
            pixels = draw(domain, config, 2 if bad else 1, index, name).pixels.astype(np.float64)
            grey = pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
            rest = (np.abs(ndimage.gaussian_filter(grey, s) - grey.mean()) for s in scorers)
            yield np.array([np.sort(r, axis=None)[-r.size // 100 :].mean() for r in rest])


def redrawn(bench: Bench, sets: int, pool: int = 20) -> None:
    """Coverage on `stripes`: new scorers and new images each time, truth from all of them together."""
    config = StripesConfig()
    # Two variants of ``pool`` seeds each: smoothing along the row helps against streaks, across less.
    sigmas = [np.exp(bench.rng.normal(np.log(s), 0.15, (pool, 2))) for s in ((1.0, 6.0), (1.0, 3.0))]
    scorers = np.concatenate(sigmas)
    labels = np.repeat([0, 1], [config.test_good, config.test_bad])
    size = max(config.test_good, config.test_bad)
    drawn = [np.stack(list(stripes_scores(config, k * size, scorers)), axis=1) for k in range(sets)]
    together = placements(np.concatenate(drawn, axis=1), np.tile(labels, sets)).values
    truth = 100 * float(together[:pool].mean() - together[pool:].mean())
    rows = []
    for S in (3, 5, 10):
        results = []
        for scores in drawn:
            chosen = bench.rng.choice(pool, S, replace=False)
            d = placements(scores[chosen], labels) - placements(scores[pool + chosen], labels)
            results.append(seeds_and_images(d.scaled(100).values, d.scaled(100).covariance, len(labels)))
        both = float(np.mean([r.low <= truth <= r.high for r in results]))
        alone = float(np.mean([r.seed_low <= truth <= r.seed_high for r in results]))
        share = float(np.mean([r.image_share for r in results]))
        rows.append((S, percent(both), percent(alone), percent(share)))
    columns = ("seeds", "new seeds, new images", "new seeds alone", "share of the images")
    bench.table(f"Coverage on {sets} redrawn test sets; true difference {truth:.1f} points", columns, rows)


def main() -> int:
    """Print every table; 0 if the limits hold."""
    parser = argparse.ArgumentParser(description="Simulate what the statistics promise.")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the studies")
    parser.add_argument("--redraw", type=int, default=0, metavar="SETS", help="redraw `stripes` test sets")
    options = parser.parse_args()
    bench = Bench(0.05 if options.quick else 1.0)
    for part in (looking, following, printed_detectable, boundaries, power, family_error, mixed):
        part(bench)
    coverage_at_stop(bench)
    images(bench)
    if options.redraw:
        redrawn(bench, options.redraw)
    print("limits: " + ("held" if bench.held else "EXCEEDED"))
    return 0 if bench.held else 1


if __name__ == "__main__":
    raise SystemExit(main())
