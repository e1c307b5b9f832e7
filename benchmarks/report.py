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
from ablate.report.rendering import rendered
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


class Clock:
    """Seconds by part: on the wall, and of all cores (a busy machine only changes the first)."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float]] = {}
        self._start = self._now()

    def lap(self, name: str) -> None:
        """The time since the last lap goes to this part."""
        now = self._now()
        self.parts[name] = now[0] - self._start[0], now[1] - self._start[1]
        self._start = now

    def _now(self) -> tuple[float, float]:
        spent = os.times()
        cpu = spent.user + spent.system + spent.children_user + spent.children_system
        return time.perf_counter(), cpu


def timed(folder: Path) -> tuple[Clock, str, float]:
    """Times of a study's report by part, a digest of its printed tables, and the page's size in MB."""
    clock = Clock()
    judgement = Judgement(gather(folder))
    clock.lap("reading")
    tables = all_tables(judgement)
    clock.lap("tables")
    pictures = draw(judgement)
    clock.lap("figures")
    written = page.render(judgement, tables, pictures)
    clock.lap("page")
    digest = hashlib.sha256()
    for table in tables:
        for suffix, text in rendered(table).items():
            if suffix != ".csv":  # full precision: its last digits are the order of a sum
                digest.update(text.encode())
    clock.lap("renderings")
    page.make_report(folder)
    clock.lap("whole report, written")
    return clock, digest.hexdigest()[:16], len(written.encode()) / 1e6


OPENED = """async () => {
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now();
}"""
"""Milliseconds from the start of the navigation until the page has been painted and answers."""


def opened(page_file: Path) -> list[float]:
    """Seconds until the page stands in a real browser, five times, each in a fresh context; empty without
    a browser."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return []
    if chromium is None:
        return []
    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(5):
            context = browser.new_context()
            tab = context.new_page()
            tab.goto(page_file.as_uri(), wait_until="load")
            found.append(float(tab.evaluate(OPENED)) / 1000)
            context.close()
        browser.close()
    return found


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
        clock, digest, size = timed(folder)
        seconds_open = opened(folder / "report" / "report.html")
    table = Table(title="seconds of a report, by part", title_justify="left")
    table.add_column("part")
    for name in ("wall", "all cores"):
        table.add_column(name, justify="right")
    for name, seconds in clock.parts.items():
        table.add_row(name, *(f"{value:.2f}" for value in seconds))
    console = Console(width=110)
    console.print(table)
    console.print(f"page: {size:.1f} MB; tables: {digest}")
    if seconds_open:
        each = ", ".join(f"{seconds:.2f}" for seconds in sorted(seconds_open))
        console.print(f"opened in a browser, painted and answering after {each} s")
    else:
        console.print("not opened: no chromium, or no playwright")


if __name__ == "__main__":
    main()
