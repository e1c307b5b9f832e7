"""What a report costs: seconds by part, from a study's folder to its page, for a study of any size.

    python -m benchmarks.report [--variants 200 --seeds 5 --categories 15] [--study FOLDER]

The study is drawn, not trained: a level, an effect per variant, and noise per seed and cell, in the rows
that a real run has. Before anything is timed, differences, p and Holm's p of the primary metric are
computed once more with pandas, scipy and statsmodels alone and must agree. The last line is a digest of
every printed table: two versions of the code that give the same one say the same.

``--study`` times a study that is there instead (a copy of it; its own report is left alone).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.report import page
from ablate.report.figures.pictures import draw
from ablate.report.rendering import RENDERINGS
from ablate.report.tables.every import all_tables
from model.metric_names import DISTANCES, METRICS, STRATUM_METRICS

STRATA = (
    "orientation=horizontal", "orientation=vertical", "orientation=none", "faintness=faint",
    "faintness=clear", "brokenness=broken", "brokenness=solid", "faint+broken+horizontal",
)  # fmt: skip
NOISE = 0.006
"""Standard deviation of a value around its level, as a fraction."""
SPEC = """\
study: drawn
data: {{dataset: mvtec, root: nowhere, categories: [{categories}]}}
variants:
{variants}
seeds: {seeds}
claims:
  - v001 > base by image_auroc
  - v001 > v002 by pixel_ap
report: {{baseline: base, primary: image_auroc}}
"""


def quantities() -> list[tuple[str, str]]:
    """(stratum, metric) of every value that a run has of a category."""
    overall = [("all", metric) for metric in (*METRICS, *DISTANCES, "defects")]
    by_stratum = (*STRATUM_METRICS, *DISTANCES, "defects", "images")
    return overall + [(stratum, metric) for stratum in STRATA for metric in by_stratum]


def write_study(folder: Path, variants: int, seeds: int, categories: int) -> None:
    """A published study's folder: ``spec.yaml`` and ``runs.csv``."""
    rng = np.random.default_rng(0)
    names = ["base", *(f"v{i:03d}" for i in range(1, variants))]
    places = [f"category_{i:02d}" for i in range(categories)]
    lines = [f"  {name}: {{tail.q: {0.01 + 0.0001 * i:.4f}}}" for i, name in enumerate(names)]
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(
        SPEC.format(categories=", ".join(places), variants="\n".join(lines), seeds=seeds)
    )
    measured = quantities()
    index = pd.MultiIndex.from_product([names, range(seeds), places, range(len(measured))])
    frame = index.to_frame(index=False, name=["variant", "seed", "category", "what"])
    effect = rng.normal(0, NOISE / 2, variants)
    values = 0.9 + rng.normal(0, NOISE, (variants, seeds, categories, len(measured)))
    values += effect[:, None, None, None]
    of_counts = [metric in ("defects", "images") for _, metric in measured]
    values[..., of_counts] = 12
    what = frame.pop("what").to_numpy()
    frame["split"] = "report"
    frame["stratum"] = np.array([stratum for stratum, _ in measured], dtype=object)[what]
    frame["metric"] = np.array([metric for _, metric in measured], dtype=object)[what]
    frame["value"] = values.clip(0, 12).ravel()
    frame["key"] = frame["variant"] + "-" + frame["seed"].astype(str)
    frame.insert(0, "study", "drawn")
    frame.to_csv(folder / "runs.csv", index=False)


def check(judgement: Judgement) -> None:
    """The primary metric's differences once more, without a line of the project.

    Raises AssertionError where they disagree. For complete studies, each variant a configuration.
    """
    results = judgement.results
    frame = results.frame[
        (results.frame["metric"] == results.primary) & (results.frame["stratum"] == "all")
    ]
    means = frame.groupby(["variant", "seed"])["value"].mean().unstack("seed")
    others = [v for v in results.variants if v != results.baseline]
    gaps = (means.loc[others] - means.loc[results.baseline]).to_numpy()
    p = stats.ttest_1samp(gaps, 0.0, axis=1).pvalue
    adjusted = multipletests(p, method="holm")[1]
    for i, variant in enumerate(others):
        d = judgement.primary.differences[variant]
        np.testing.assert_allclose(d.per_seed, 100 * gaps[i], rtol=0, atol=1e-9)
        np.testing.assert_allclose([d.p, d.p_holm], [p[i], adjusted[i]], rtol=1e-9)


def timed(folder: Path) -> tuple[dict[str, float], str]:
    """Seconds by part of the report of a study, and a digest of its printed tables."""
    start = time.perf_counter()
    found: dict[str, float] = {}

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        found[name], start = now - start, now

    judgement = Judgement(gather(folder))
    lap("reading")
    tables = all_tables(judgement)
    lap("tables")
    pictures = draw(judgement)
    lap("figures")
    written = page.render(judgement, tables, pictures)
    lap("page")
    digest = hashlib.sha256()
    for table in tables:
        for suffix, rendering in RENDERINGS.items():
            text = rendering(table).encode()
            if suffix != ".csv":  # full precision: its last digits are the order of a sum
                digest.update(text)
    lap("renderings")
    found["page, MB"] = len(written.encode()) / 1e6
    return found, digest.hexdigest()[:16]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, value in (("variants", 200), ("seeds", 5), ("categories", 15)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--study", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "study"
        if options.study is not None:
            shutil.copytree(options.study, folder, ignore=shutil.ignore_patterns("report"))
        else:
            write_study(folder, options.variants, options.seeds, options.categories)
            check(Judgement(gather(folder)))
        parts, digest = timed(folder)
        start = time.perf_counter()
        page.make_report(folder)
        whole = time.perf_counter() - start
    table = Table(title="seconds of a report, by part", title_justify="left")
    table.add_column("part")
    table.add_column("seconds", justify="right")
    for name, seconds in {**parts, "whole report, written": whole}.items():
        table.add_row(name, f"{seconds:.2f}")
    console = Console(width=110)
    console.print(table)
    console.print(f"tables: {digest}")


if __name__ == "__main__":
    main()
