"""How costs grow: tokens, evaluated images, planned runs.

    python -m benchmarks.scaling [--quick]

Each curve is measured at growing sizes and fitted by a power of the size (least squares in logarithms):
1 is linear, 2 quadratic. CPU seconds of one thread, medians of interleaved calls.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from ablate.study.plan import Sources, make_plan
from ablate.study.reading import parse_spec
from benchmarks.priors import PREFIX, medians, print_table, step
from model.config import DecoderConfig
from model.decoder import DecoderBlock
from model.metrics import evaluate
from model.regions import label_regions

SIDES = (14, 20, 28, 40, 64)
IMAGES = (50, 100, 200, 400)
VARIANTS = (5, 20, 80, 200)
SEEDS, CATEGORIES = 5, 15
DIM = 384
STUDY = """\
study: scale
data: {{dataset: mvtec, root: unused, categories: [{categories}], setting: per_category}}
base: {{preset: pocket}}
variants: {{{variants}}}
seeds: {seeds}
"""


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The power p of the fit seconds = a size^p."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def token_costs(attention: str, sides: Sequence[int], repeats: int) -> dict[int, float]:
    """Milliseconds of forward and backward through one decoder block, by number of patch tokens."""
    block = DecoderBlock(DIM, DIM // 64, DecoderConfig(attention=attention), None)  # type: ignore[arg-type]
    calls: dict[str, Callable[[], object]] = {}
    for side in sides:
        x = torch.randn(1, PREFIX + side * side, DIM, requires_grad=True)
        calls[str(side * side)] = partial(step, block, x, (side, side))
    return _by_size(medians(calls, repeats, "cpu"))


def image_costs(counts: Sequence[int], repeats: int) -> dict[int, float]:
    """Milliseconds of all metrics, by number of evaluated images; two in five have a defect."""
    calls: dict[str, Callable[[], object]] = {}
    rng = np.random.default_rng(0)
    for count in counts:
        masks = np.zeros((count, 256, 256), np.uint8)
        masks[: 2 * count // 5, 100:110, 40:200] = 1
        maps = ndimage.uniform_filter(rng.random(masks.shape, np.float32) + 0.1 * masks, (0, 5, 5))
        labels, scores = masks.any(axis=(1, 2)).astype(int), maps.max(axis=(1, 2))
        calls[str(count)] = partial(evaluate, maps, masks, labels, scores, regions=label_regions(masks))
    return _by_size(medians(calls, repeats, "cpu"))


def plan_costs(variants: Sequence[int], repeats: int) -> dict[int, float]:
    """Milliseconds of planning variants x 5 seeds x 15 categories, by number of runs."""
    sources = Sources(
        categories=lambda data: data.categories or (),
        data=lambda _, categories: ",".join(categories),
        encoder=lambda encoder: encoder.name,
    )
    names = ", ".join(f"category_{i}" for i in range(CATEGORIES))
    calls: dict[str, Callable[[], object]] = {}
    for count in variants:
        rows = ", ".join(f"v{i}: {{tail.q: {0.001 * (i + 1):.3f}}}" for i in range(count))
        text = STUDY.format(categories=names, variants=rows, seeds=SEEDS)
        spec = parse_spec(text, Path("scale.yaml"), (), {})
        runs = count * SEEDS * CATEGORIES
        calls[str(runs)] = partial(make_plan, spec, cache_dir=Path("unused"), sources=sources)
    return _by_size(medians(calls, repeats, "cpu"))


def _by_size(times: Mapping[str, float]) -> dict[int, float]:
    return {int(size): ms for size, ms in times.items()}


def main(arguments: list[str] | None = None) -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small sizes of each, one call")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    size, repeats = (slice(2), 1) if options.quick else (slice(None), 7)
    curves = {
        "decoder block, linear, by tokens": token_costs("linear", SIDES[size], repeats),
        "decoder block, softmax, by tokens": token_costs("softmax", SIDES[size], repeats),
        "metrics, by evaluated images": image_costs(IMAGES[size], repeats),
        "plan, by runs": plan_costs(VARIANTS[size], min(repeats, 3)),
    }
    rows = [
        [name, ", ".join(f"{n:,}: {ms:.3g}" for n, ms in costs.items()), f"{_power(costs):.2f}"]
        for name, costs in curves.items()
    ]
    print_table("CPU time of one thread", ["what", "size: ms", "power"], rows)


def _power(costs: Mapping[int, float]) -> float:
    return exponent(list(costs), list(costs.values()))


if __name__ == "__main__":
    main()
