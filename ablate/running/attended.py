"""Where trained variants take a token's reconstruction from: their attention rows on one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ablate.running.exported import trained
from ablate.study.plan import Run
from model.attention_rows import decoder_rows
from model.data.dataset import load_dataset
from model.data.images import open_image
from model.data.samples import Sample
from model.data.transforms import load_image, load_mask, view_at_map_size
from model.errors import ConfigError


@dataclass(frozen=True)
class Attended:
    """One token of one image, and what each variant's decoder sums up for it."""

    image: npt.NDArray[np.float32]
    """[s, s, 3] in [0, 1], as the network sees it."""
    name: str
    """Of the image."""
    token: tuple[int, int]
    """Row and column of the patch grid."""
    rows: dict[str, npt.NDArray[np.float64]]
    """Variant -> [H, W] weights, averaged over blocks and heads."""
    prefix: dict[str, float]
    """Variant -> what class token and registers add to 1."""

    def along(self, variant: str) -> tuple[float, float]:
        """Share of the weights in the token's own row, and in its own column; the token itself in
        neither."""
        weights, (row, column) = self.rows[variant], self.token
        total, own = float(weights.sum()), float(weights[row, column])
        return (float(weights[row].sum()) - own) / total, (float(weights[:, column].sum()) - own) / total


def parse_token(text: str | None) -> tuple[int, int] | None:
    """``12,7`` as row and column. Raises ConfigError for anything else."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--token must be ROW,COLUMN, got '{text}'", hint="e.g. --token 12,7")
    return int(parts[0]), int(parts[1])


def attended(
    study_dir: Path,
    variants: Sequence[str],
    *,
    cache: Path,
    image: Path | None = None,
    token: tuple[int, int] | None = None,
    seed: int | None = None,
) -> Attended:
    """Attention rows of ``variants`` for one token.

    Parameters
    ----------
    image: an image file; if not given, the first defect of the study's first test images.
    token: row and column of the patch grid; if not given, where the image's defect is largest, else the
    middle. seed: of the runs; the first by default.

    Raises
    ------
    ConfigError: no such variant or token, no test image, or variants that see images differently.
    CheckpointError: a run did not keep its weights.
    """
    found: dict[str, npt.NDArray[np.float64]] = {}
    prefix: dict[str, float] = {}
    first: tuple[Run, Path, tuple[int, int]] | None = None
    for variant in dict.fromkeys(variants):
        run, model = trained(study_dir, variant, seed=seed)
        if first is None:
            sample = None if image is not None else _defect(run, cache)
            path = image or (sample.image_path if sample is not None else Path())
            grid = model.student.grid
            at = token or (_place(run, sample, grid) if sample else (grid[0] // 2, grid[1] // 2))
            if not (0 <= at[0] < grid[0] and 0 <= at[1] < grid[1]):
                raise ConfigError(f"--token {at[0]},{at[1]} lies outside the grid of {grid[0]} x {grid[1]}")
            first = run, path, at
        elif run.config.image != first[0].config.image or model.student.grid != grid:
            raise ConfigError(f"'{variant}' sees images at another size than '{first[0].variant}'")
        patches, before = decoder_rows(
            model.student, model.teacher(load_image(first[1], run.config.image)[None]), first[2]
        )
        found[variant] = patches[0].double().numpy()
        prefix[variant] = float(before[0])
    if first is None:
        raise ConfigError("no variant is named", hint="--attention A,B")
    run, path, at = first
    view = view_at_map_size(open_image(path), run.config.image, run.config.score.map_size)
    return Attended(view, path.name, at, found, prefix)


def _defect(run: Run, cache: Path) -> Sample:
    """The first anomalous test image with a mask."""
    dataset = load_dataset(run.data, cache_dir=cache)
    for category in run.categories:
        for sample in dataset.test(category):
            if sample.label == 1 and sample.has_truth:
                return sample
    raise ConfigError("the study has no test image with a defect's mask", hint="name one with --image")


def _place(run: Run, sample: Sample, grid: tuple[int, int]) -> tuple[int, int]:
    """The patch with the most of the defect; the first of equals."""
    mask = load_mask(sample, run.config.image, run.config.score)
    rows = np.arange(mask.shape[0]) * grid[0] // mask.shape[0]
    columns = np.arange(mask.shape[1]) * grid[1] // mask.shape[1]
    counts = np.zeros(grid)
    np.add.at(counts, (rows[:, None], columns[None]), mask)
    row, column = np.unravel_index(int(counts.argmax()), grid)
    return int(row), int(column)
