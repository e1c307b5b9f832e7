"""Synthetic studies for the tests of statistics, tables, figures and the report (not a test)."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results, RunState
from ablate.evidence.values import Matrix, Values
from ablate.report.table import Cell, Table
from ablate.report.tables.every import all_tables
from ablate.running.folder import Workspace
from ablate.running.frame import collect
from ablate.running.manifest import seal
from ablate.running.recorded import StoredPlan, write_plan
from ablate.study.claims import Claim
from ablate.study.plan import Sources, make_plan
from ablate.study.reading import load_spec
from ablate.study.spec import known_categories
from model.metric_names import METRICS

LEVELS = {
    "image_auroc": 0.972, "image_ap": 0.98, "image_f1max": 0.95, "pixel_auroc": 0.981,
    "pixel_ap": 0.62, "pixel_f1max": 0.61, "aupro": 0.93, "aupro_05": 0.70,
}  # fmt: skip
STRATA = (
    "orientation=horizontal", "orientation=vertical", "orientation=none", "faintness=faint",
    "faintness=clear", "brokenness=broken", "brokenness=solid", "faint+broken+horizontal",
)  # fmt: skip
MVTEC = [
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw",
    "tile", "toothbrush", "transistor", "wood", "zipper",
]  # fmt: skip
DISTANCES = {"token_distance_normal": 0.05, "token_distance_defect": 0.20, "token_distance_gap": 0.15}


def matrix(values: Mapping[str, Mapping[str, Sequence[float]]]) -> Matrix:
    """{variant: {category: value per seed}} as a matrix; NaN = that run is missing."""
    rows = [
        {"variant": v, "category": c, "seed": s, "stratum": "all", "metric": "image_auroc", "value": x}
        for v, by_category in values.items()
        for c, per_seed in by_category.items()
        for s, x in enumerate(per_seed)
        if not math.isnan(x)
    ]
    return Values(pd.DataFrame(rows)).matrix("image_auroc")


def tidy(
    effects: Mapping[str, float],
    *,
    seeds: int = 5,
    categories: Sequence[str] = ("domain_a", "domain_b", "domain_c"),
    noise: float = 0.004,
    strata: bool = True,
    levels: Mapping[str, Mapping[str, Any]] | None = None,
    rng_seed: int = 0,
) -> pd.DataFrame:
    """A ``runs.csv``: ``effects`` are the variants' true differences to a common level (fractions)."""
    rng = np.random.default_rng(rng_seed)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        common = {m: rng.normal(0, noise) for m in METRICS}
        for variant, effect in effects.items():
            for j, category in enumerate(categories):
                head = {
                    "study": "directional-tail", "variant": variant, **(levels or {}).get(variant, {}),
                    "seed": seed, "category": category, "split": "report", "key": f"{variant}-{seed}",
                }  # fmt: skip
                for metric, level in LEVELS.items():
                    for stratum in ("all", *STRATA) if strata and metric == "pixel_ap" else ("all",):
                        shift = effect * (2.0 if stratum.endswith("faint") else 1.0) - 0.012 * (j % 5)
                        shift -= 0.1 * ("broken" in stratum or "faint" in stratum)
                        value = level + shift + common[metric] + rng.normal(0, noise)
                        rows.append(
                            {**head, "stratum": stratum, "metric": metric, "value": min(1.0, value)}
                        )
                if strata:
                    for metric, level in DISTANCES.items():
                        for k, stratum in enumerate(("all", *STRATA)):
                            shift = (0 if "normal" in metric else effect - 0.01 * k) + rng.normal(0, noise)
                            rows.append(
                                {**head, "stratum": stratum, "metric": metric, "value": level + shift}
                            )
    return pd.DataFrame(rows)


FOUR = {"dinomaly": 0.0, "top-q": 0.004, "directional": 0.012, "control": -0.001}
OVERRIDES: dict[str, dict[str, Any]] = {
    "dinomaly": {},
    "top-q": {"tail.q": 0.02},
    "directional": {"tail.q": 0.02, "tail.alpha": 0.5, "tail.direction": "horizontal"},
    "control": {"tail.q": 0.02, "tail.alpha": 0.5, "tail.direction": "vertical"},
}
DEFAULTS = {"tail.q": 0.1, "tail.alpha": 0.0, "tail.direction": "horizontal"}


def results(
    effects: Mapping[str, float] = FOUR,
    *,
    folder: Path = Path(),
    frame: pd.DataFrame | None = None,
    **kwargs: Any,
) -> Results:
    """A :class:`Results` around :func:`tidy`."""
    data = tidy(effects, **kwargs) if frame is None else frame
    return Results(
        folder=folder,
        name="directional-tail",
        frame=data,
        split="report",
        variants=tuple(effects),
        baseline=next(iter(effects)),
        primary="image_auroc",
        categories=tuple(dict.fromkeys(data["category"])),
        seeds=tuple(dict.fromkeys(data["seed"])),
        settings={v: {**DEFAULTS, **OVERRIDES.get(v, {})} for v in effects},
        overrides={v: OVERRIDES[v] for v in effects if v in OVERRIDES},
        encoder="vit_base_patch14_reg4_dinov2",
        comments=("Does a directional tail help on faint, broken, horizontal defects?",),
        runs=tuple(
            RunState(f"{variant}-{seed}", variant, seed, None, "done", seconds=600.0)
            for variant in effects
            for seed in dict.fromkeys(data["seed"])
        ),
    )


def column(table: Table, label: str) -> dict[str, Cell]:
    """Cells of one column by row label."""
    i = [c.label for c in table.columns].index(label)
    return {row.label: row.cells[i] for row in table.rows}


def judged(*args: Any, **kwargs: Any) -> Judgement:
    """The :class:`Judgement` of :func:`results`."""
    return Judgement(results(*args, **kwargs))


def grid(
    q: Sequence[float] = (0.01, 0.02, 0.05, 0.1), lam: Sequence[float] = (0.0, 0.3, 0.6), **kwargs: Any
) -> Results:
    """A study of two crossed factors whose baseline is its first variant."""
    levels: dict[str, dict[str, Any]] = {"dinomaly": {"tail.q": np.nan, "bias.lambda": np.nan}}
    effects = {"dinomaly": 0.0}
    for a in q:
        for b in lam:
            name = f"tail.q={a:g} bias.lambda={b:g}"
            levels[name] = {"tail.q": a, "bias.lambda": b}
            effects[name] = 0.012 - 3 * (a - 0.03) ** 2 - 0.02 * b * (b - 0.4)
    made = results(effects, levels=levels, **kwargs)
    return replace(
        made,
        factors={"tail.q": tuple(q), "bias.lambda": tuple(lam)},
        levels={v: x for v, x in levels.items() if v != "dinomaly"},
    )


def write_histories(folder: Path, made: Results, steps: int = 300) -> None:
    """``history.csv`` of every run: a noisy decaying loss; q ramps, lambda anneals in one variant."""
    rng = np.random.default_rng(1)
    for run in made.runs:
        path = folder / "runs" / run.key
        path.mkdir(parents=True, exist_ok=True)
        i = np.arange(steps)
        level = 0.06 + 0.01 * made.variants.index(run.variant)
        pd.DataFrame(
            {
                "iteration": i,
                "loss": level
                + 0.5 * np.exp(-i / 40)
                + rng.normal(0, 0.006, steps).cumsum() * 0.02
                + rng.normal(0, 0.01, steps),
                "lr": 2e-3 * np.minimum(1, i / 30) * (0.55 + 0.45 * np.cos(np.pi * i / steps)),
                "grad_norm": rng.uniform(0.05, 0.2, steps),
                "tail.q": np.maximum(made.settings[run.variant].get("tail.q", 0.1), 1 - 0.02 * i),
                "bias.lambda": 0.6 * i / steps if run.variant == made.variants[-1] else np.zeros(steps),
            }
        ).to_csv(path / "history.csv", index=False)
        seal(path, run.key)


def write_maps(folder: Path, made: Results, *, side: int = 64, per_category: int = 4) -> None:
    """``maps.npz`` of every run: stripes, half of them with a streak, which variants see well or less."""
    for run in made.runs:
        rng = np.random.default_rng(7)  # the same images in every run
        skill = 0.5 + 20 * dict(zip(made.variants, FOUR.values(), strict=False)).get(run.variant, 0.0)
        noise = np.random.default_rng(run.seed + 17 * made.variants.index(run.variant))
        images, masks, maps, meta = [], [], [], []
        for category in made.categories:
            for k in range(per_category):
                base = (
                    0.5
                    + 0.15 * np.sin(np.arange(side) / (2 + k))[:, None]
                    + rng.normal(0, 0.03, (side, side))
                )
                mask = np.zeros((side, side), np.uint8)
                if k % 2:
                    y, x = rng.integers(10, side - 12), rng.integers(4, side // 2)
                    mask[y : y + 4, x : x + side // 3] = 1
                image = np.clip(base + 0.2 * mask, 0, 1)
                heat = 0.1 + 0.05 * noise.random((side, side)) + skill * 0.4 * mask * (0.4 + 0.2 * k)
                images.append(np.repeat((255 * image)[..., None], 3, axis=2).astype(np.uint8))
                masks.append(mask)
                maps.append(heat.astype(np.float16))
                kind = "streak" if k % 2 else "good"
                meta.append(
                    (
                        f"{category}/test/{kind}/{k:03d}.png",
                        category,
                        k % 2,
                        kind,
                        float(np.sort(heat.ravel())[-40:].mean()),
                    )
                )
        path = folder / "runs" / run.key
        path.mkdir(parents=True, exist_ok=True)
        columns = list(zip(*meta, strict=True))
        np.savez_compressed(
            path / "maps.npz", image=np.stack(images), mask=np.stack(masks), map=np.stack(maps),
            path=np.array(columns[0]), category=np.array(columns[1]), label=np.array(columns[2]),
            defect_type=np.array(columns[3]), score=np.array(columns[4]),
        )  # fmt: skip
        seal(path, run.key)


def with_runs(made: Results, folder: Path) -> Results:
    """The study with histories and maps in ``folder``."""
    made = replace(made, folder=folder)
    write_histories(folder, made, steps=60)
    write_maps(folder, made, side=24)
    return made


SPEC = """\
# Does a directional tail help on faint, broken, horizontal defects?
# The control turns the same prior by 90 degrees.
study: directional-tail
data: {dataset: stripes}
base: {preset: pocket}
variants:
  dinomaly:    {}
  top-q:       {tail.q: 0.02}
  directional: {tail.q: 0.02, tail.alpha: 0.5}
  control:     {tail.q: 0.02, tail.alpha: 0.5, tail.direction: vertical}
seeds: 5
claims:
  - directional > dinomaly by image_auroc
  - directional > control on domain_c by pixel_ap
  - top-q < control by aupro
report: {baseline: dinomaly, primary: image_auroc}
"""


def write_study(
    study_dir: Path, spec_text: str = SPEC, *, skip: Collection[tuple[str, int]] = (), pictures: bool = True
) -> Results:
    """A study's folder as a finished run leaves it; the (variant, seed) in ``skip`` have no results."""
    study_dir.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(study_dir)
    workspace.spec.write_text(spec_text)
    spec = load_spec(workspace.spec)
    sources = Sources(
        categories=lambda data: known_categories(data) or ("bottle",),
        data=lambda _data, _categories: "0",
        encoder=lambda _encoder: "0",
    )
    plan = StoredPlan.of(make_plan(spec, cache_dir=study_dir, sources=sources))
    write_plan(workspace, plan)
    variants = list(dict.fromkeys(row.variant for row in plan.rows))
    effects = {v: FOUR.get(v, 0.002 * i) for i, v in enumerate(variants)}
    categories = plan.runs[0].categories
    frame = tidy(effects, seeds=len(spec.seeds), categories=categories)
    keys = {(row.variant, row.seed): row.key for row in plan.rows}
    for (variant, seed), part in frame.groupby(["variant", "seed"], sort=False):
        if (variant, seed) in skip:
            continue
        folder = workspace.run_dir(keys[str(variant), int(str(seed))])
        folder.mkdir(parents=True, exist_ok=True)
        part[["category", "split", "stratum", "metric", "value"]].assign(reason="").to_csv(
            folder / "metrics.csv", index=False
        )
        seal(folder, folder.name)
    collect(study_dir, plan).to_csv(workspace.frame, index=False)
    made = gather(study_dir)
    if pictures:
        finished = replace(made, runs=tuple(run for run in made.runs if run.state == "done"))
        write_histories(study_dir, finished)
        write_maps(study_dir, finished, side=32)
    return made


@functools.cache
def every_table() -> list[Table]:
    """All tables of three very different studies, with names that need escaping."""
    nasty = {"dinomaly": 0.0, "a_b & 50% #1": 0.01, "x<y>|{z}~^$\\": -0.01}
    made = [
        replace(results(), claims=(Claim("top-q", "control", "domain_c", "pixel_ap", ">"),)),
        results(nasty, seeds=2, categories=["bottle_1"]),
        results(
            {**FOUR, **{f"variant_{i}": 0.001 * i for i in range(4)}},
            categories=MVTEC,
            seeds=2,
            strata=False,
        ),
        results({"dinomaly": 0.0}, seeds=1),
    ]
    return [table for m in made for table in all_tables(Judgement(m))]
