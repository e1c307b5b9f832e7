"""What the metrics cost: 83 maps of 256 x 256 with 180 regions, on one core.

    python benchmarks/metrics.py

The published implementation took 20.1 s for AUPRO (200 thresholds) and 9.0 s for AUROC, AP and
F1-max on data of this size (measured with its own code, float32, a 2-core x86 server); it is not
run here. Times below are the best of five; memory is the peak of one call, labelling included, as a
multiple of the maps' own size.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported: one core is the claim

import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))  # runs from a checkout that is not installed

from model.metrics import AUPRO_RECIPES, evaluate
from model.regions import Regions, label_regions
from model.strata import stratify
from model.stratum_scores import mechanism

IMAGES, SIDE, REGIONS = 83, 256, 180
PUBLISHED_SECONDS = 20.1 + 9.0
SECONDS, MEMORY = 0.5, 4.0
"""Upper limits; the exit status is 1 above them."""


def draw(seed: int = 0) -> dict[str, Any]:
    """Smoothed noise, raised on rectangles that do not touch: arguments of ``evaluate``."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((IMAGES, SIDE, SIDE), np.uint8)
    drawn = 0
    while drawn < REGIONS:
        index = rng.integers(0, IMAGES * 3 // 4)
        h, w = rng.integers(4, 40, 2)
        y, x = rng.integers(2, SIDE - 42, 2)
        if not masks[index, y - 2 : y + h + 2, x - 2 : x + w + 2].any():
            masks[index, y : y + h, x : x + w] = 1
            drawn += 1
    noise = rng.normal(size=masks.shape).astype(np.float32) + 0.5 * masks
    maps = ndimage.gaussian_filter(noise, (0, 4, 4)).astype(np.float32)
    return {
        "maps": maps,
        "masks": masks,
        "labels": masks.any(axis=(1, 2)).astype(int),
        "image_scores": maps.max(axis=(1, 2)),
    }


def best_of(call: Callable[[], object], repeats: int = 5) -> float:
    """Seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak(call: Callable[[], object]) -> int:
    """Bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> int:
    """Print one table; 0 if the limits hold."""
    data = draw()
    maps, masks = data["maps"], data["masks"]
    labelled: Regions = label_regions(masks)
    if labelled.count != REGIONS:
        raise RuntimeError(f"drew {labelled.count} regions, not {REGIONS}")
    table = Table(title=f"{IMAGES} maps of {SIDE} x {SIDE}, {REGIONS} regions, one core")
    for column in ("what", "seconds", "peak / maps", "vs 29.1 s"):
        table.add_column(column, justify="left" if column == "what" else "right")

    held = True
    table.add_row(
        "label the regions, once per dataset", f"{best_of(lambda: label_regions(masks)):.3f}", "", ""
    )
    for dtype in (np.float16, np.float32, np.float64):
        inputs = data | {"maps": maps.astype(dtype)}
        for recipe in AUPRO_RECIPES:
            seconds = best_of(partial(evaluate, **inputs, regions=labelled, aupro=recipe))
            share = peak(partial(evaluate, **inputs, aupro=recipe)) / inputs["maps"].nbytes
            held &= seconds < SECONDS and share < MEMORY
            name = f"all metrics, {np.dtype(dtype).name}, {recipe}"
            table.add_row(name, f"{seconds:.3f}", f"{share:.2f}", f"{PUBLISHED_SECONDS / seconds:.0f} x")

    strata = stratify(maps, masks)
    distance = maps[:, ::9, ::9]
    seconds = best_of(lambda: stratify(maps, masks), 3)
    table.add_row("measure strata, once per dataset", f"{seconds:.3f}", "", "")
    seconds = best_of(lambda: mechanism(distance, masks, strata))
    table.add_row("mechanism rows", f"{seconds:.3f}", "", "")
    Console().print(table)
    print(f"limits: {SECONDS} s and {MEMORY:g} times the maps: {'held' if held else 'EXCEEDED'}")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
