"""What a preset costs on a device: one line of the table in docs/scaling.md.

    python -m benchmarks.costs pocket [dinomaly-small ...] [--device cuda] [--batch 4] [--steps 20]

Random numbers stand for images, and random weights for published ones: time does not depend on either.
"Run" is training for the preset's iterations at the measured speed, without evaluation. Memory is the
process's peak on a CPU, what torch allocated at most on CUDA; presets before it in one call count too.
"""

from __future__ import annotations

import argparse
import copy
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from model.config import ModelConfig, build_config
from model.device import check_device, precision_on
from model.evaluation import predict
from model.features import CachedFeatures, cache_bytes, encode_batch
from model.losses import LooseLoss
from model.optim import StableAdamW
from model.presets import PRESETS
from model.student import Student
from model.teacher import build_teacher
from model.training import tail_knobs, train_step

COLUMNS = (
    "preset", "device", "batch", "it/s", "iterations", "run, min", "encode, img/s", "score, img/s",
    "memory, GB", "cache, MB/img",
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """One line of the table."""

    preset: str
    device: str
    batch: int
    iterations: int
    step: float
    """Seconds per optimiser step."""
    encode: float
    """Seconds per image through the frozen encoder."""
    score: float
    """Seconds per image from cached features to map and score."""
    memory: float
    """Peak, bytes."""
    cache: int
    """Bytes of features per image."""

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of COLUMNS."""
        return (
            self.preset,
            self.device,
            str(self.batch),
            f"{1 / self.step:.3g}",
            f"{self.iterations:,}",
            f"{self.iterations * self.step / 60:.3g}",
            f"{1 / self.encode:.3g}",
            f"{1 / self.score:.3g}",
            f"{self.memory / 1e9:.2g}",
            f"{self.cache / 1e6:.2g}",
        )


def configuration(preset: str, batch: int | None = None) -> ModelConfig:
    """A preset without downloads, with another batch size if one is given."""
    values = copy.deepcopy(PRESETS[preset].values)
    values["encoder"] = {**values.get("encoder", {}), "pretrained": False}
    config = build_config(values)
    return replace(config, train=replace(config.train, batch_size=batch)) if batch else config


def measure(preset: str, device: torch.device, steps: int, batch: int | None = None) -> Cost:
    """Medians over ``steps`` optimiser steps and as many batches encoded and scored, one of each before."""
    config = configuration(preset, batch)
    images = torch.randn(encode_batch(device), 3, *config.image.crop, device=device)
    teacher = build_teacher(config).to(device)
    encode = timed(partial(teacher, images), device, steps) / len(images)
    size = config.train.batch_size
    groups = torch.cat([teacher(images).cpu()] * -(-size // len(images)))[:size]
    shape = teacher.shape
    del teacher

    student = Student(shape, config)
    student.initialise(0)
    student.to(device).train()
    optimiser = StableAdamW(student.parameters(), lr=config.train.lr)
    loss_of, tail = LooseLoss(config.tail), tail_knobs(config.tail, config.tail.ramp, 0.5)
    on_device = groups.to(device)

    def step() -> None:
        student.set_progress(0.5)
        student.seed_noise(0, 0)
        train_step(student, on_device, optimiser, loss_of, config.train.lr, tail)

    seconds = timed(step, device, steps)
    features, rows = CachedFeatures((), shape, [groups]), torch.arange(len(groups))
    score = timed(lambda: predict(student, features, rows, device=device), device, max(1, steps // 4))
    return Cost(
        preset,
        name_of(device, precision_on(config.train.precision, device)),
        size,
        config.train.iterations,
        seconds,
        encode,
        score / size,
        peak_memory(device),
        cache_bytes(config, shape, 1),
    )


def timed(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of a call, after one that is not counted: of one thread's CPU, or of the device."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times = []
    for _ in range(repeats + 1):
        _synchronise(device)
        start = clock()
        call()
        _synchronise(device)
        times.append(clock() - start)
    return statistics.median(times[1:])


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> float:
    """Bytes."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if platform.system() == "Darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def name_of(device: torch.device, precision: str) -> str:
    """What the table calls the device."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    return f"1 thread, {torch.backends.cpu.get_cpu_capability()}, {precision}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Lines of a Markdown table, header first."""
    header = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    return "\n".join([*header, *(f"| {' | '.join(row)} |" for row in rows)])


def main(arguments: list[str] | None = None) -> None:
    """Print the table's lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="+", choices=sorted(PRESETS), metavar="PRESET")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, help="images per step, the preset's if not given")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    device = torch.device(check_device(options.device))
    costs = [measure(preset, device, options.steps, options.batch) for preset in options.presets]
    print(markdown([cost.cells() for cost in costs]))


if __name__ == "__main__":
    main()
