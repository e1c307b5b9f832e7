"""What a step, an evaluation and a study cost, against the published procedure on the same numbers.

    python -m benchmarks.speed [--quick] [--skip-study] [--repeats 9]

The published procedure (``benchmarks/published.py``) encodes in every step; its decoding of images is not
counted. Times are CPU seconds of one thread, medians of interleaved calls, so that other processes hardly
count. Equal results come first: both procedures start from one state, and their losses without dropout and
their metrics must agree, or the exit status is 1. ``--quick`` checks that and times next to nothing.
"""

from __future__ import annotations

import argparse
import copy
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablate.running.material import Material
from ablate.running.measuring import completion_metrics, metric_rows
from benchmarks.priors import medians, print_table
from benchmarks.published import PublishedStudent, TensorwiseStableAdamW, metrics, step
from model.config import ModelConfig, build_config
from model.data.config import DataConfig, StripesConfig
from model.data.dataset import load_dataset
from model.detector import Trained
from model.evaluation import anomaly_map, image_scores, predict, smooth
from model.features import CachedFeatures, load_images, open_features
from model.ground_truth import load_truth
from model.losses import LooseLoss, distance
from model.metric_names import METRICS
from model.metrics import evaluate
from model.optim import StableAdamW, learning_rate
from model.presets import PRESETS
from model.score_histograms import count_scores
from model.student import Student
from model.teacher import Teacher, build_teacher
from model.training import tail_knobs, train_step

CPU = torch.device("cpu")
CATEGORY = "domain_c"
STUDY = Path(__file__).parents[1] / "studies" / "quickstart.yaml"
RUNS, ITERATIONS, CATEGORIES = 6, 100, 3
"""Of the study."""
LOSS_TOLERANCE, METRIC_TOLERANCE = 1e-3, 1e-4
CHECKED_STEPS = 6


def configuration(name: str) -> ModelConfig:
    """``pocket``, or ViT-S/14 at 224 px with batches of 4 and random weights."""
    if name == "pocket":
        return build_config(copy.deepcopy(PRESETS["pocket"].values))
    values: dict[str, Any] = copy.deepcopy(PRESETS["dinomaly-small"].values)
    values["encoder"]["pretrained"] = False
    values |= {"image": {"resize": 224, "crop": 224}, "train": {"batch_size": 4}}
    return build_config(values)


@dataclass
class Pair:
    """Both procedures, from one state."""

    config: ModelConfig
    teacher: Teacher
    ours: Student
    theirs: PublishedStudent
    our_optimiser: StableAdamW
    their_optimiser: TensorwiseStableAdamW
    images: Tensor
    features: CachedFeatures

    @classmethod
    def of(cls, config: ModelConfig, teacher: Teacher, images: Tensor) -> Pair:
        """Two students of one teacher, with the same initial weights."""
        ours = Student(teacher.shape, config)
        ours.initialise(0)
        rate = config.bottleneck.dropout
        assert isinstance(rate, float)
        theirs = PublishedStudent(teacher.shape, config, rate)
        theirs.load_state_dict(ours.state_dict())
        train = config.train
        optimiser = StableAdamW(ours.parameters(), lr=train.lr, eps=train.eps)
        features = CachedFeatures((), teacher.shape, [teacher(images)])
        their_optimiser = TensorwiseStableAdamW(theirs.parameters(), train)
        return cls(
            config, teacher, ours.train(), theirs.train(), optimiser, their_optimiser, images, features
        )

    def our_step(self, iteration: int) -> float:
        """From cached features to the updated weights; the loss."""
        config = self.config
        self.ours.set_progress(0.0)
        self.ours.seed_noise(0, iteration)
        groups = self.features[torch.arange(config.train.batch_size)]
        lr = learning_rate(iteration, config.train)
        knobs = tail_knobs(config.tail, iteration, 0.0)
        loss, _ = train_step(self.ours, groups, self.our_optimiser, LooseLoss(config.tail), lr, knobs)
        return float(loss)

    def their_step(self, iteration: int) -> float:
        """From images through the encoder to the updated weights; the loss."""
        config = self.config
        groups = self.teacher(self.images[: config.train.batch_size])
        lr = learning_rate(iteration, config.train)
        q = tail_knobs(config.tail, iteration, 0.0).q
        return step(self.theirs, groups, self.their_optimiser, lr, q)


def counted(call: Callable[[int], object]) -> Callable[[], object]:
    """Calls ``call`` with 0, 1, 2 ..."""
    numbers = iter(range(1 << 30))
    return lambda: call(next(numbers))


def step_costs(name: str, repeats: int) -> tuple[dict[str, float], float]:
    """Milliseconds of a step by either procedure, and the largest relative difference of their losses."""
    config = configuration(name)
    teacher = build_teacher(config)
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(config.train.batch_size, 3, *config.image.crop, generator=draw)
    still = replace(config, bottleneck=replace(config.bottleneck, dropout=0.0))
    pair = Pair.of(still, teacher, images)
    losses = [(pair.our_step(i), pair.their_step(i)) for i in range(CHECKED_STEPS)]
    difference = max(abs(a / b - 1) for a, b in losses)
    pair = Pair.of(config, teacher, images)
    groups = pair.features[torch.arange(config.train.batch_size)]

    def decoder_only(iteration: int) -> float:
        lr = learning_rate(iteration, config.train)
        q = tail_knobs(config.tail, iteration, 0.0).q
        return step(pair.theirs, groups, pair.their_optimiser, lr, q)

    calls = {"ours": pair.our_step, "published": pair.their_step, "published, decoder alone": decoder_only}
    return medians({key: counted(call) for key, call in calls.items()}, repeats, "cpu"), difference


def evaluation_costs(folder: Path, repeats: int, size: StripesConfig) -> tuple[dict[str, float], float]:
    """Milliseconds of evaluating one category of ``stripes`` with ``pocket``, and the largest difference
    of the metrics both compute, AUPRO by the same thresholds."""
    config = configuration("pocket")
    dataset = load_dataset(DataConfig(dataset="stripes", stripes=size), cache_dir=folder)
    samples = dataset.test(CATEGORY)
    features = open_features(
        config, dataset, (CATEGORY,), cache_dir=folder, device=CPU, progress=lambda *_: None
    )
    material = Material(dataset, features, {s: i for i, s in enumerate(features.samples)})
    truth = load_truth(dataset, CATEGORY, config, cache_dir=folder)
    teacher = build_teacher(config)
    student = Student(teacher.shape, config)
    student.initialise(0)
    theirs = PublishedStudent(teacher.shape, config, 0.0).eval()
    theirs.load_state_dict(student.state_dict())
    rows = material.rows(samples)

    def seven() -> dict[str, float]:
        found = predict(student, features, rows, device=CPU)
        return evaluate(
            found.maps, truth.masks, truth.labels, found.scores, regions=truth.regions, aupro="reference200"
        )

    def everything() -> None:
        found = predict(student, features, rows, device=CPU)
        metric_rows(CATEGORY, samples, dataset, found, truth, recipe="exact")
        completion_metrics(CATEGORY, samples, material, Trained(config, student, [], CPU), truth)
        count_scores(found.maps, truth.masks, truth.regions, 1024)

    @torch.no_grad()
    def published() -> list[float]:
        maps, scores = [], []
        for start in range(0, len(samples), 16):
            images = load_images(samples[start : start + 16], config.image)
            en, de = theirs(teacher(images))
            distances = [distance(e, d) for e, d in zip(en, de, strict=True)]
            smoothed = smooth(anomaly_map(distances, config.image.crop), config.score)
            maps.append(smoothed.squeeze(1))
            scores.append(image_scores(smoothed, config.score.max_ratio))
        return metrics(torch.cat(maps).numpy(), truth.masks, truth.labels, torch.cat(scores).numpy())

    ours, reference = seven(), published()
    compared = [name for name in METRICS if name != "aupro_05"]
    difference = max(abs(ours[name] - value) for name, value in zip(compared, reference, strict=True))
    calls = {
        "ours, the seven metrics": seven,
        "ours, all that a run keeps": everything,
        "published": published,
    }
    return medians(calls, repeats, "cpu"), difference


def study_seconds(folder: Path) -> tuple[float, float]:
    """CPU seconds of the whole quickstart study, in processes of its own: cold cache, then warm."""
    seconds = []
    for results in ("cold", "warm"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [
                *(sys.executable, "-m", "ablate", "run", str(STUDY), "--json"),
                *("--results", str(folder / results), "--cache", str(folder / "cache")),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return seconds[0], seconds[1]


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; 1 if the procedures do not agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="check equality, time one call each, no ViT")
    parser.add_argument("--skip-study", action="store_true", help="leave out the whole study")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    repeats = 1 if options.quick else options.repeats
    names = ("pocket",) if options.quick else ("pocket", "ViT-S/14, 224 px, batch 4")
    agree = True

    rows: list[list[str]] = []
    pocket: dict[str, float] = {}
    for name in names:
        times, difference = step_costs(name, repeats)
        agree &= difference < LOSS_TOLERANCE
        rows += [_row(f"step, {name}: {key}", ms, times["published"]) for key, ms in times.items()]
        print(f"{name}: losses of {CHECKED_STEPS} steps without dropout differ by {difference:.1e}")
        pocket = pocket or times
    with tempfile.TemporaryDirectory() as folder:
        size = StripesConfig(train=4, test_good=4, test_bad=4) if options.quick else StripesConfig()
        evaluation, difference = evaluation_costs(Path(folder), max(1, repeats // 3), size)
        agree &= difference < METRIC_TOLERANCE
        print(f"the seven metrics differ by {difference:.1e} at most")
        rows += [
            _row(f"evaluation of a category, pocket: {key}", ms, evaluation["published"])
            for key, ms in evaluation.items()
        ]
        if not (options.quick or options.skip_study):
            published = RUNS * (ITERATIONS * pocket["published"] + CATEGORIES * evaluation["published"])
            cold, warm = study_seconds(Path(folder))
            rows.append(_row("study 3 x 2, pocket: published, its parts added up", published, published))
            rows.append(_row("study 3 x 2, pocket: ours, cold cache", 1e3 * cold, published))
            rows.append(_row("study 3 x 2, pocket: ours, warm cache", 1e3 * warm, published))
    print_table("CPU time of one thread", ["work", "ms", "published / this"], rows)
    print("equal results" if agree else "the procedures DISAGREE")
    return 0 if agree else 1


def _row(name: str, ms: float, published: float) -> list[str]:
    return [name, f"{ms:.1f}", f"{published / ms:.2f}"]


if __name__ == "__main__":
    raise SystemExit(main())
