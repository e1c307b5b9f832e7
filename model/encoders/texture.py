"""A texture encoder that needs no download: local band energies, whitened.

It stands in for a pretrained Vision Transformer where none can be had. A ViT with random weights
cannot: its tokens are so alike that the decoder rebuilds everything, anomalies included. What a
reconstruction method needs of its features is (1) that a defect moves a token at all and (2) that
it moves it *out of the subspace* in which normal tokens vary, since a decoder learns that subspace
first. Hence, per token:

1.  **Bands.** Oriented line and edge filters at three octaves. Line responses are split into their
    positive and negative parts (a bright streak is not a dark one), edges by magnitude. Nothing is
    normalised by local contrast: that would lift noise to the level of faint streaks.
2.  **Pooling** by a power mean, (mean of e^p)^(1/p) with p = 8, over the token's cell and then over
    growing neighbourhoods, which gives the encoder's four layers. A plain mean (p = 1) drowns a thin
    streak among the cell's other pixels; the maximum (p = infinity) sees it best but is the noisiest
    statistic of normal texture. Of all choices here this one matters most.
3.  **log(floor + energy)**: makes a contrast change additive, so that normal variation of contrast
    spans few dimensions; the floor keeps sensor noise from counting.
4.  **Whitening** with the mean and covariance of a bank of procedural textures and photographs
    (``model.encoders.texture_fit``). The bands are strongly correlated: if they are only standardised, a
    handful of directions carries all variance, and a decoder that knows those rebuilds defects as
    well. Full whitening blows up directions that the bank hardly excites, which are noise. So the
    correlation is shrunk half-way towards the identity before it is inverted.
5.  **An anchor**: one constant coordinate. Dinomaly compares by cosine, which ignores a token's norm
    and is erratic for tokens near the bank's mean. With the anchor a the cosine distance is, for
    |z - z'| << |a|, proportional to the squared Euclidean distance, so an unusually strong response
    counts as well as an unusual mixture. The larger it is, the more strength outweighs mixture.

A token depends on its neighbourhood alone (no statistic of the whole image takes part).
"""

from __future__ import annotations

import math

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from model.config import EncoderConfig
from model.encoders.base import Encoder, check_image_size
from model.encoders.identity import TEXTURE_CONSTANTS
from model.errors import ConfigError

ORIENTATIONS = 8
OCTAVES = 3
SPREADS = (0.0, 0.5, 1.0, 2.0)
"""Per layer: standard deviation of the Gaussian that pools over neighbouring tokens, in tokens."""
POWER = 8
"""p of the power mean that pools energies: 1 is the mean, infinity the maximum."""
FLOOR = 0.02
"""Energy at which the logarithm turns linear, in grey levels of a [0, 1] image."""
ANCHOR = 0.5
"""The constant coordinate, relative to the root mean square norm of a whitened bank token."""
WIDTH, LENGTH = 1.3, 2.0
"""Standard deviations of a line filter across and along, in pixels of its octave."""
CHANNELS = 3 * ORIENTATIONS * OCTAVES + 3
"""Line +, line -, edge per orientation and octave; luminance and two opponent colours."""
SMALLEST = 64
"""Smallest side in pixels: below it, padding would outweigh the image."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_LUMINANCE = (0.299, 0.587, 0.114)


def line_and_edge_filters() -> Tensor:
    """[2 * orientations, 1, k, k]: even (line) then odd (edge) filters, zero mean, unit norm.

    With u along and v across the orientation and g a Gaussian of sds (length, width), the line
    filter is g (1 - v^2 / width^2), g's second derivative across; the edge filter is g v.
    """
    reach = int(2 * LENGTH)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    lines, edges = [], []
    for step in range(ORIENTATIONS):
        angle = math.pi * step / ORIENTATIONS
        u = x * math.cos(angle) + y * math.sin(angle)
        v = y * math.cos(angle) - x * math.sin(angle)
        envelope = torch.exp(-((u / LENGTH) ** 2 + (v / WIDTH) ** 2) / 2)
        line = envelope * (1 - (v / WIDTH) ** 2)
        line -= envelope * line.sum() / envelope.sum()
        edge = envelope * v
        lines.append(line / line.norm())
        edges.append(edge / edge.norm())
    return torch.stack(lines + edges)[:, None].float()


def _depthwise(x: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    """Each channel of [B, D, h, w] filtered with one [k, k] kernel, no padding."""
    weight = kernel.to(x).expand(x.shape[1], 1, *kernel.shape)
    return functional.conv2d(x, weight, stride=stride, groups=x.shape[1])


def halve(x: Tensor) -> Tensor:
    """[B, D, h, w] -> [B, D, h/2, w/2] behind a binomial low-pass."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return _depthwise(functional.pad(x, (1, 1, 1, 1), mode="reflect"), torch.outer(taps, taps), stride=2)


def spread(x: Tensor, sd: float) -> Tensor:
    """[B, D, H, W] smoothed with a Gaussian of ``sd`` tokens; borders are reflected."""
    if sd == 0:
        return x
    reach = math.ceil(3 * sd)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64)
    taps = torch.exp(-((axis / sd) ** 2) / 2)
    taps = (taps / taps.sum()).float()
    x = functional.pad(x, (reach, reach, reach, reach), mode="reflect")
    return _depthwise(_depthwise(x, taps[None, :]), taps[:, None])


class TextureEncoder(Encoder):
    """Four layers of whitened texture descriptors, one token per 8 x 8 pixels, no prefix tokens.

    Parameters
    ----------
    image_size: (height, width) of the input, multiples of 8 and at least 64.
    blocks: which of the layers 0..3 to return, ascending.

    Raises
    ------
    ConfigError: for another size, or for a layer that does not exist.
    """

    patch_size = 8
    dim = CHANNELS + 1
    heads = 4
    prefix = 0

    def __init__(self, image_size: tuple[int, int], blocks: tuple[int, ...]) -> None:
        super().__init__()
        if any(side % self.patch_size or side < SMALLEST for side in image_size):
            raise ConfigError(
                f"image.crop {list(image_size)} does not suit the texture encoder",
                hint=f"use multiples of {self.patch_size} from {SMALLEST} on",
            )
        if blocks[-1] >= len(SPREADS):
            raise ConfigError(
                f"encoder.blocks {list(blocks)}: the texture encoder has layers 0..{len(SPREADS) - 1}",
                hint=f"set encoder.blocks: {list(range(len(SPREADS)))}",
            )
        self.blocks = blocks
        self.layers = len(blocks)
        self.grid = (image_size[0] // self.patch_size, image_size[1] // self.patch_size)
        constants = load_file(TEXTURE_CONSTANTS)
        for name, value in {
            "filters": line_and_edge_filters(),
            "pixel_mean": torch.tensor(_MEAN).view(1, 3, 1, 1),
            "pixel_std": torch.tensor(_STD).view(1, 3, 1, 1),
            "mean": constants["mean"][list(blocks)],  # [layers, D]
            "whitening": constants["whitening"][list(blocks)],  # [layers, D, D]
        }.items():
            self.register_buffer(name, value, persistent=False)
        self.filters: Tensor
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.mean: Tensor
        self.whitening: Tensor

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, S, S] ImageNet-normalised -> per layer [B, H*W, C]."""
        descriptors = describe(images * self.pixel_std + self.pixel_mean, self.filters, self.blocks)
        tokens = []
        for descriptor, mean, whitening in zip(descriptors, self.mean, self.whitening, strict=True):
            white = (descriptor - mean) @ whitening
            tokens.append(functional.pad(white, (0, 1), value=ANCHOR * math.sqrt(CHANNELS)))
        return tokens


def build_texture(config: EncoderConfig, image_size: tuple[int, int]) -> Encoder:
    """The frozen encoder; ConfigError where the size is no multiple of the patch or a layer is missing."""
    check_image_size(image_size, (TextureEncoder.patch_size,) * 2, config.name)
    return TextureEncoder(image_size, config.blocks).freeze()


def describe(images: Tensor, filters: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
    """RGB [B, 3, h, w] in [0, 1] -> per layer the descriptor before whitening, [B, H*W, D]."""
    powers, colours = _cell_means(images, filters)
    descriptors = []
    for layer in layers:
        energies = spread(powers, SPREADS[layer]) ** (1 / POWER)
        descriptor = torch.cat([torch.log(FLOOR + energies), spread(colours, SPREADS[layer])], dim=1)
        descriptors.append(descriptor.flatten(2).transpose(1, 2))  # [B, D, H, W] -> [B, N, D]
    return descriptors


def _cell_means(images: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Cell means of e^p per band [B, D - 3, H, W], and of luminance and colours [B, 3, H, W]."""
    weights = torch.tensor(_LUMINANCE).to(images).view(1, 3, 1, 1)
    luminance = (images * weights).sum(dim=1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    opponent = torch.cat([luminance, red - green, (red + green) / 2 - blue], dim=1)
    colours = functional.avg_pool2d(opponent, TextureEncoder.patch_size)
    reach = filters.shape[-1] // 2
    bands, level = [], luminance
    for octave in range(OCTAVES):
        # The filters pass nothing above half the band limit, so every second pixel of the first
        # octave is enough.
        stride = 2 if octave == 0 else 1
        padded = functional.pad(level, (reach, reach, reach, reach), mode="reflect")
        line, edge = functional.conv2d(padded, filters, stride=stride).chunk(2, dim=1)
        rectified = torch.cat([line.relu(), (-line).relu(), edge.abs()], dim=1)
        cell = rectified.shape[-1] * TextureEncoder.patch_size // images.shape[-1]
        bands.append(functional.avg_pool2d(rectified**POWER, cell))
        level = halve(level)
    return torch.cat(bands, dim=1), colours
