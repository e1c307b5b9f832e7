"""Fit the EfficientNet encoder's constants: ``python -m model.encoders.efficientnet_fit``.

Means and principal directions of its maps over the texture encoder's bank of procedural textures and
photographs. No dataset of anomalies takes part. Seeded; a file that holds equal constants already is
left as it is.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from model.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from model.encoders.efficientnet import STAGES, WIDTH, Backbone, on_one_grid
from model.encoders.efficientnet_id import CONSTANTS, VERSION, fingerprint_of
from model.encoders.texture_fit import IMAGES, bank, same_constants
from model.files import write_bytes


def projection_matrix(covariance: Tensor, width: int) -> Tensor:
    """[D, D] -> [D, min(D, width)], applied to row vectors from the right.

    Standardises each channel, keeps the leading principal directions of what is then the correlation
    matrix if there are more channels than ``width``, and divides by the square root of the number of
    coordinates, so that a token's mean squared norm is about 1.
    """
    standardise = torch.diag(covariance.diagonal().rsqrt())
    if len(covariance) <= width:
        return standardise / math.sqrt(len(covariance))
    _, vectors = torch.linalg.eigh(standardise @ covariance @ standardise)
    leading = vectors[:, -width:].flip(1)
    signs = leading.gather(0, leading.abs().argmax(0, keepdim=True)).sign()  # eigenvectors have none
    return standardise @ (leading * signs) / math.sqrt(width)


@torch.inference_mode()
def fit(count: int = IMAGES, seed: int = 0) -> dict[str, Tensor]:
    """Per layer i ``mean_i`` [D_i] and ``projection_i`` [D_i, min(D_i, WIDTH)], float32."""
    backbone = Backbone()
    pixel_mean, pixel_std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    tokens: list[list[Tensor]] = [[] for _ in STAGES]
    for image in bank(count, seed):
        for kept, m in zip(tokens, on_one_grid(backbone((image - pixel_mean) / pixel_std)), strict=True):
            kept.append(m[0].flatten(1).T.double())
    constants = {}
    for i, kept in enumerate(tokens):
        stacked = torch.cat(kept)
        constants[f"mean_{i}"] = stacked.mean(0).float()
        constants[f"projection_{i}"] = projection_matrix(torch.cov(stacked.T), WIDTH).float()
    return constants


def main() -> None:
    """Write the constants and say how long it took."""
    parser = argparse.ArgumentParser(description="Fit the EfficientNet encoder's constants.")
    parser.add_argument("--out", type=Path, default=CONSTANTS, help="file to write")
    parser.add_argument("--images", type=int, default=IMAGES, help="size of the bank")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bank")
    options = parser.parse_args()
    start = time.perf_counter()
    constants = {name: value.contiguous() for name, value in fit(options.images, options.seed).items()}
    # One entry only: the order of several would differ from run to run, and with it the fingerprint.
    origin = {"origin": f"version {VERSION}, {options.images} images, seed {options.seed}"}
    contents = save(constants, metadata=origin)
    if options.out.exists() and same_constants(contents, options.out.read_bytes()):
        contents = options.out.read_bytes()  # run keys hash the file: equal constants keep their name
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(options.out, contents)
    print(f"{options.out}: {fingerprint_of(contents)} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
