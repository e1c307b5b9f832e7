"""Fit the texture encoder's constants: ``python -m model.encoders.texture_fit``.

Mean and covariance of its descriptors over a bank of procedural textures and crops of the two
photographs that ship with scikit-learn (china.jpg and flower.jpg, CC BY 2.0). No dataset of
anomalies takes part, neither the built-in ``stripes`` nor a real one, so no score of any study is
fitted to. Seeded; on the same machine the constants are equal bit for bit, and a file that holds them
already is left as it is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load, save
from scipy.spatial import cKDTree
from sklearn.datasets import load_sample_images
from torch import Tensor

from model.encoders.identity import TEXTURE_CONSTANTS, TEXTURE_VERSION, constants_fingerprint
from model.encoders.texture import SPREADS, describe, line_and_edge_filters
from model.files import write_bytes

SIDE = 256
IMAGES = 192
SHRINKAGE = 0.5
"""Share of the identity in the correlation matrix that is inverted: 0 whitens fully, 1 standardises."""

Field = NDArray[np.floating]
"""[SIDE, SIDE], any scale: ``bank`` brings it to a contrast."""


def _grid() -> tuple[Field, Field]:
    """Row and column of each pixel, as shares of the side."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    return rows, columns


def _turned(angle: float, rows: Field, columns: Field) -> tuple[Field, Field]:
    """Coordinates along and across a direction."""
    return (
        columns * np.cos(angle) + rows * np.sin(angle),
        rows * np.cos(angle) - columns * np.sin(angle),
    )


def _standard(field: Field) -> Field:
    return (field - field.mean()) / (field.std() + 1e-9)


def power_noise(rng: Generator, exponent: float, stretch: float = 1.0, angle: float = 0.0) -> Field:
    """Noise of amplitude spectrum 1 / f^exponent, stretched along a direction."""
    fy = np.fft.fftfreq(SIDE)[:, None]
    fx = np.fft.rfftfreq(SIDE)[None, :]
    along, across = _turned(angle, fy, fx)
    frequency = np.hypot(along * stretch, across / stretch) + 1 / SIDE
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * frequency**-exponent
    return _standard(np.fft.irfft2(spectrum, s=(SIDE, SIDE)))


def clouds(rng: Generator) -> Field:
    """Coloured noise, from grain to clouds, from isotropic to brushed."""
    return power_noise(rng, rng.uniform(0, 2), np.exp(rng.uniform(0, 1.1)), rng.uniform(0, np.pi))


def gratings(rng: Generator) -> Field:
    """One to three gratings, from sinusoidal to square."""
    rows, columns = _grid()
    field = np.zeros((SIDE, SIDE))
    for _ in range(rng.integers(1, 4)):
        along, _across = _turned(rng.uniform(0, np.pi), rows, columns)
        phase = 2 * np.pi * np.exp(rng.uniform(np.log(4), np.log(70))) * along + rng.uniform(0, 6.3)
        field += np.tanh(rng.uniform(0.5, 4) * np.sin(phase))
    return field


def leaves(rng: Generator) -> Field:
    """Dead leaves: occluding ellipses of power-law sizes, which have natural images' statistics."""
    rows, columns = _grid()
    field = np.zeros((SIDE, SIDE))
    for _ in range(int(rng.uniform(60, 500))):
        radius = 0.012 / rng.uniform(0.03, 1)
        cy, cx = rng.random(2)
        along, across = _turned(rng.uniform(0, np.pi), rows - cy, columns - cx)
        field[along**2 + (across / rng.uniform(0.3, 1)) ** 2 < radius**2] = rng.standard_normal()
    return field


def cells(rng: Generator) -> Field:
    """Voronoi cells with borders and tones: grains, leather, mosaics."""
    rows, columns = _grid()
    seeds = rng.random((int(rng.uniform(20, 400)), 2))
    points = np.stack([rows, columns], axis=-1).reshape(-1, 2)
    found = cKDTree(seeds).query(points, k=2)
    distances, nearest = np.asarray(found[0]), np.asarray(found[1])
    border = np.minimum((distances[:, 1] - distances[:, 0]) * np.sqrt(len(seeds)), rng.uniform(0.1, 0.6))
    tones = rng.uniform(0, 0.5) * rng.standard_normal(len(seeds))
    return (border + tones[nearest[:, 0]]).reshape(SIDE, SIDE)


def weave(rng: Generator) -> Field:
    """A lattice of dots or threads, with up to five lines across it."""
    rows, columns = _grid()
    pitch = 2 * np.pi * np.exp(rng.uniform(np.log(6), np.log(50)))
    lattice = np.sin(pitch * columns) * np.sin(pitch * rng.uniform(0.6, 1.5) * rows)
    field = np.tanh(rng.uniform(1, 5) * lattice)
    for _ in range(rng.integers(0, 6)):
        cy, cx = rng.random(2)
        along, across = _turned(rng.uniform(0, np.pi), rows - cy, columns - cx)
        profile = np.exp(-((across * SIDE / rng.uniform(0.7, 4)) ** 2) / 2)
        field += 2 * rng.standard_normal() * profile * (np.abs(along) < rng.uniform(0.05, 0.45))
    return field


TEXTURES: tuple[Callable[[Generator], Field], ...] = (
    clouds,
    clouds,
    gratings,
    leaves,
    leaves,
    cells,
    weave,
)


def _drawn(rng: Generator, texture: Callable[[Generator], Field]) -> NDArray[np.float32]:
    """A texture at a random contrast and brightness with uneven light and grain, some in colour."""
    field = _standard(texture(rng)) + rng.uniform(0, 0.6) * power_noise(rng, 2)
    field += rng.uniform(0, 0.4) * rng.standard_normal((SIDE, SIDE))
    grey = rng.uniform(0.3, 0.7) + np.exp(rng.uniform(np.log(0.02), np.log(0.2))) * field
    coloured = rng.random() < 0.4
    gains = 1 + coloured * 0.2 * rng.standard_normal(3)
    offsets = coloured * 0.1 * rng.standard_normal(3)
    return np.clip(grey[..., None] * gains + offsets, 0, 1).astype(np.float32)


def _photograph(rng: Generator, photographs: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """A random square of a photograph, scaled, turned and mirrored."""
    photograph = photographs[rng.integers(len(photographs))]
    side = int(rng.uniform(160, 420))
    top = rng.integers(photograph.shape[0] - side)
    left = rng.integers(photograph.shape[1] - side)
    square = Image.fromarray(photograph[top : top + side, left : left + side])
    pixels = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    pixels = np.rot90(pixels[:, :: int(rng.choice([-1, 1]))], int(rng.integers(4)))
    return np.ascontiguousarray(pixels)


def bank(count: int, seed: int) -> Iterator[Tensor]:
    """``count`` images [1, 3, SIDE, SIDE] in [0, 1]; each is drawn from (seed, index) alone."""
    photographs = load_sample_images().images
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        turn = index % (len(TEXTURES) + 1)
        drawn = _photograph(rng, photographs) if turn == len(TEXTURES) else _drawn(rng, TEXTURES[turn])
        yield torch.from_numpy(drawn).permute(2, 0, 1)[None]


def whitening_matrix(covariance: Tensor, shrinkage: float) -> Tensor:
    """[D, D] -> [D, D], applied to row vectors from the right.

    Channels are standardised first. With the correlation matrix R = U diag(l) U^T the result is
    diag(1 / sd) U diag(1 / sqrt((1 - s) l + s)) U^T: symmetric (ZCA) whitening of the shrunk
    correlation, which keeps each coordinate close to its channel.
    """
    sd = covariance.diagonal().sqrt()
    values, vectors = torch.linalg.eigh(covariance / torch.outer(sd, sd))
    scale = ((1 - shrinkage) * values.clamp(min=0) + shrinkage).rsqrt()
    return (vectors * scale) @ vectors.T / sd[:, None]


def fit(count: int = IMAGES, seed: int = 0, shrinkage: float = SHRINKAGE) -> dict[str, Tensor]:
    """``mean`` [layers, D] and ``whitening`` [layers, D, D], float32."""
    filters, layers = line_and_edge_filters(), tuple(range(len(SPREADS)))
    sums: list[Tensor] = []
    products: list[Tensor] = []
    tokens = 0
    for image in bank(count, seed):
        descriptors = torch.stack([d[0].double() for d in describe(image, filters, layers)])
        sums.append(descriptors.sum(dim=1))
        products.append(descriptors.transpose(1, 2) @ descriptors)
        tokens += descriptors.shape[1]
    mean = torch.stack(sums).sum(dim=0) / tokens
    second = torch.stack(products).sum(dim=0) / tokens
    covariances = second - mean[:, :, None] * mean[:, None, :]
    whitening = torch.stack([whitening_matrix(c, shrinkage) for c in covariances])
    return {"mean": mean.float(), "whitening": whitening.float()}


def same_constants(first: bytes, second: bytes) -> bool:
    """Whether two constants' files hold equal tensors, whatever else their headers say."""
    a, b = load(first), load(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def main() -> None:
    """Write the constants and say how long it took."""
    parser = argparse.ArgumentParser(description="Fit the texture encoder's constants.")
    parser.add_argument("--out", type=Path, default=TEXTURE_CONSTANTS, help="file to write")
    parser.add_argument("--images", type=int, default=IMAGES, help="size of the bank")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bank")
    options = parser.parse_args()
    start = time.perf_counter()
    constants = {name: value.contiguous() for name, value in fit(options.images, options.seed).items()}
    # One entry only: the order of several would differ from run to run, and with it the fingerprint.
    origin = {"origin": f"version {TEXTURE_VERSION}, {options.images} images, seed {options.seed}"}
    contents = save(constants, metadata=origin)
    if options.out.exists() and same_constants(contents, options.out.read_bytes()):
        contents = options.out.read_bytes()  # run keys hash the file: equal constants keep their name
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(options.out, contents)
    print(f"{options.out}: {constants_fingerprint(contents)} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
