"""The reference rows: what they find on ``stripes``, what they cost, and whether anomalib agrees.

    python -m benchmarks.baselines [--category C] [--cache FOLDER] [--seed 0]

Features are those of the ``pocket`` preset. Seconds are wall time of one thread. Where faiss is
installed, its exact search is timed beside scikit-learn's; where anomalib is, PatchCore's patch and
image scores and AUPIMO are compared on equal inputs. Neither is a dependency of this project.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from model.aupimo import aupimo
from model.baselines import fit
from model.baselines.config import Baseline, KnnConfig, PositionKnnConfig, SubspaceConfig
from model.baselines.knn import KnnScorer
from model.baselines.patches import Layout, rows_of_groups
from model.baselines.scoring import predict
from model.config import ModelConfig, build_config
from model.data.config import DataConfig
from model.data.dataset import load_dataset
from model.data.samples import Sample
from model.features import load_images
from model.ground_truth import load_truth
from model.metrics import evaluate
from model.presets import PRESETS
from model.teacher import build_teacher

ROWS: Mapping[str, Baseline] = {
    "knn, coreset 10 %": KnnConfig(),
    "knn, random 10 %": KnnConfig(subsample="random"),
    "knn as PatchCore": KnnConfig(metric="euclidean", image_score="patchcore"),
    "knn as AnomalyDINO": KnnConfig(subsample="none", image_score="top_patches"),
    "position-knn": PositionKnnConfig(),
    "subspace": SubspaceConfig(),
}
BATCH = 10


def encode(config: ModelConfig, samples: Sequence[Sample]) -> tuple[Tensor, Layout]:
    """Group means [n, G, T, C] of samples, and how their tokens lie."""
    teacher = build_teacher(config)
    parts = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
    groups = torch.cat([teacher(load_images(part, config.image)) for part in parts])
    return groups, Layout(teacher.shape.grid, teacher.shape.prefix)


def rows_table(arguments: argparse.Namespace, console: Console) -> tuple[Tensor, Tensor, Layout]:
    """Print what each row finds; returns the features of training and test images."""
    config = build_config(PRESETS["pocket"].values)
    data = DataConfig(categories=(arguments.category,))
    dataset = load_dataset(data, cache_dir=arguments.cache)
    train, test = dataset.train(), dataset.test()
    normal, layout = encode(config, train)
    tested, _ = encode(config, test)
    truth = load_truth(dataset, arguments.category, config, cache_dir=arguments.cache)
    table = Table(title=f"stripes {arguments.category}, {len(train)} normal images, {len(test)} tested")
    for column in ("row", "image AUROC", "pixel AUROC", "AUPRO", "AUPIMO", "fit s", "score ms/image"):
        table.add_column(column, justify="left" if column == "row" else "right")
    for name, section in ROWS.items():
        start = time.perf_counter()
        scorer = fit(section, normal.split(BATCH), layout, arguments.seed)
        fitted = time.perf_counter()
        said = predict(scorer, tested.split(BATCH), config.image.crop, config.score)
        done = time.perf_counter()
        found = evaluate(said.maps, truth.masks, truth.labels, said.scores)
        shares = (found["image_auroc"], found["pixel_auroc"], found["aupro"])
        cells = [f"{100 * v:.1f}" for v in (*shares, aupimo(said.maps, truth.masks, truth.labels).mean)]
        per_image = 1e3 * (done - fitted) / len(test)
        table.add_row(name, *cells, f"{fitted - start:.2f}", f"{per_image:.1f}")
    console.print(table)
    return normal, tested, layout


def compare_searches(bank: np.ndarray, queries: np.ndarray, console: Console) -> None:
    """scikit-learn's exact search against faiss's."""
    start = time.perf_counter()
    found = NearestNeighbors(algorithm="brute").fit(bank).kneighbors(queries, n_neighbors=1)[0][:, 0]
    ours = time.perf_counter() - start
    line = f"{len(queries)} queries in {bank.shape}: scikit-learn {ours:.2f} s"
    if find_spec("faiss"):
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatL2(bank.shape[1])
        start = time.perf_counter()
        index.add(bank)
        other = np.sqrt(index.search(queries, 1)[0][:, 0])
        seconds, difference = time.perf_counter() - start, np.abs(found - other).max()
        line += f", faiss {seconds:.2f} s, largest difference {difference:.1e}"
    console.print(line)


def compare_with_anomalib(scorer: KnnScorer, groups: Tensor, console: Console) -> bool:
    """PatchCore's patch and image scores, and AUPIMO, on equal inputs; True if they agree."""
    if not find_spec("anomalib"):
        console.print("anomalib is not installed: no comparison")
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from anomalib.metrics.pimo.functional import aupimo_scores
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    support = scorer.config.support
    other = PatchcoreModel(["layer1"], backbone="resnet18", pre_trained=False, num_neighbors=support)
    other.memory_bank = torch.from_numpy(scorer.bank)
    rows = rows_of_groups(scorer.layout.patches(groups), unit=False)
    patches, places = other.nearest_neighbors(rows, n_neighbors=1)
    patches, places = patches.reshape(len(groups), -1), places.reshape(len(groups), -1)
    images = other.compute_anomaly_score(patches, places, rows)
    said = scorer.score(groups)
    assert said.images is not None
    in_patches = float((said.maps.flatten(1) - patches).abs().max())
    in_images = float((said.images - images).abs().max())
    console.print(f"PatchCore against anomalib: patches {in_patches:.1e} apart, images {in_images:.1e}")

    draw = np.random.default_rng(0)
    maps = draw.standard_normal((12, 256, 256)).astype(np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[8:, 60:90, 40:200] = True
    maps[masks] += draw.normal(3.5, 1, int(masks.sum()))
    labels = masks.any(axis=(1, 2)).astype(int)
    theirs = aupimo_scores(torch.from_numpy(maps), torch.from_numpy(masks), num_thresholds=100_000)[4]
    ours = aupimo(maps, masks, labels).scores
    in_aupimo = float(np.abs(ours[8:] - theirs.numpy()[8:]).max())
    console.print(f"AUPIMO against anomalib's 100,000 thresholds: differs by {in_aupimo:.1e}")
    # Their distances come from one expansion in float32, their AUPIMO from sampled thresholds.
    return in_patches < 1e-2 and in_images < 1e-2 and in_aupimo < 1e-2


def main() -> int:
    """Print the tables; 1 if anomalib disagrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--category", default="domain_c")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ablate-benchmarks")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    normal, tested, layout = rows_table(arguments, console)
    patchcore = KnnConfig(metric="euclidean", image_score="patchcore")
    scorer = fit(patchcore, normal.split(BATCH), layout, arguments.seed)
    assert isinstance(scorer, KnnScorer)
    compare_searches(scorer.bank, rows_of_groups(layout.patches(tested), unit=False).numpy(), console)
    return 0 if compare_with_anomalib(scorer, tested[:8], console) else 1


if __name__ == "__main__":
    raise SystemExit(main())
