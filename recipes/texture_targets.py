"""What the dense regression predicts: whitened texture descriptors of a patch's 8 x 8 pixel cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.encoders.texture import TextureEncoder
from model.encoders.texture_fit import whitening_matrix
from model.streams import derive_seed
from recipes.procedural import procedural_images

LAYERS = (0, 2)
"""Of the texture encoder: the cell itself, and its neighbourhood."""
IMAGES, SHRINKAGE = 256, 0.1
"""Over how many images the targets are whitened, and how much of the identity their correlation gets."""


class TextureTargets(nn.Module):
    """For images of ``side`` pixels and patches of 8 or 16; ``width`` D is the channels per patch."""

    def __init__(self, side: int, patch: int, seed: int, device: torch.device) -> None:
        super().__init__()
        self.cells = patch // TextureEncoder.patch_size
        self.encoder = TextureEncoder((side,) * 2, LAYERS).to(device)
        # The encoder's own whitening is tuned for comparing tokens; as regression targets all
        # directions shall weigh alike, or the loss is about the few strongest.
        generator = torch.Generator(device).manual_seed(derive_seed(seed, "texture targets"))
        images = procedural_images(generator, IMAGES, side)
        tokens = torch.cat([self._tokens(self.normalised(each)).flatten(0, 1) for each in images.split(32)])
        covariance = torch.cov(tokens.T.double().cpu())
        self.register_buffer("mean", tokens.mean(dim=0))
        self.register_buffer("whitening", whitening_matrix(covariance, SHRINKAGE).float().to(device))
        self.mean: Tensor
        self.whitening: Tensor
        self.width = self.cells**2 * len(self.mean)

    def normalised(self, images: Tensor) -> Tensor:
        """[0, 1] -> what encoders expect."""
        return (images - self.encoder.pixel_mean) / self.encoder.pixel_std

    def _tokens(self, images: Tensor) -> Tensor:
        """Normalised [B, 3, S, S] -> all layers' descriptors, without their constant anchor."""
        return torch.cat([layer[..., :-1] for layer in self.encoder(images)], dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised [B, 3, S, S] -> [B, N, D], the cells of a patch side by side."""
        white = (self._tokens(images) - self.mean) @ self.whitening
        rows, columns = (length // self.cells for length in self.encoder.grid)
        white = white.reshape(len(images), rows, self.cells, columns, self.cells, -1)
        return white.transpose(2, 3).reshape(len(images), rows * columns, -1)
