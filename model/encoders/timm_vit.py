"""Vision Transformers of timm as frozen encoders, and weights files in timm's or DINOv2's naming.

The position embedding is resampled the way DINOv2's own code does it (bicubic, by the scale factor
(grid + 0.1) / pretrained grid, no antialias), because Dinomaly's published numbers rest on it;
timm's resampling (by size, antialiased) gives other tokens.
"""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from model.config import EncoderConfig
from model.encoders.base import Encoder, check_image_size
from model.errors import CheckpointError, ConfigError
from model.streams import generator
from model.suggest import suggestion


class TimmEncoder(Encoder):
    """Blocks of a timm Vision Transformer, without its final norm, stopping after the last one."""

    def __init__(self, vit: Any, blocks: tuple[int, ...]) -> None:
        super().__init__()
        depth = len(vit.blocks)
        if blocks[-1] >= depth:
            raise ConfigError(f"encoder.blocks {list(blocks)}: this encoder has blocks 0..{depth - 1}")
        self.vit = vit
        self.blocks = blocks
        self.dim = vit.embed_dim
        attention = vit.blocks[0].attn
        self.heads = attention.num_heads
        self.prefix = vit.num_prefix_tokens
        self.grid = tuple(vit.patch_embed.grid_size)
        self.layers = len(blocks)
        self.freeze()

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """See :class:`Encoder`; tokens are [class, registers, patches]."""
        outputs = self.vit.forward_intermediates(
            images,
            indices=list(self.blocks),
            return_prefix_tokens=True,
            norm=False,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        if not self.prefix:
            return list(outputs)
        return [torch.cat([prefix, patches], dim=1) for patches, prefix in outputs]


def resample_position_embedding(pos_embed: Tensor, grid: tuple[int, int], prefix: int) -> Tensor:
    """[1, p + M*M, C] -> [1, p + H*W, C], as DINOv2's code resamples (see the module's header).

    ``prefix`` = p, the number of leading entries that belong to prefix tokens and stay as they are.
    """
    head, patches = pos_embed[:, :prefix], pos_embed[:, prefix:]
    side = round(patches.shape[1] ** 0.5)
    if side * side != patches.shape[1]:
        raise CheckpointError(
            f"position embedding of {patches.shape[1]} patches is not square", hint="unsupported weights"
        )
    if grid == (side, side):
        return pos_embed
    maps = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2)  # [1, C, M, M]
    scale = tuple((length + 0.1) / side for length in grid)
    maps = functional.interpolate(maps, scale_factor=scale, mode="bicubic")
    if tuple(maps.shape[-2:]) != grid:
        raise ConfigError(f"position embedding of {side}x{side} cannot be resampled to {grid}")
    resampled = maps.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], -1)  # [1, C, H, W] -> [1, N, C]
    return torch.cat([head, resampled], dim=1)


def convert_dinov2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Original DINOv2 parameter names -> timm's.

    With registers, timm keeps no position for the class token: it is added to ``cls_token``. A
    state dict that is in timm's naming already comes back as it is.
    """
    state = {name: value for name, value in state.items() if name != "mask_token"}
    if "register_tokens" in state:
        state["reg_token"] = state.pop("register_tokens")
        position = state.pop("pos_embed")
        state["cls_token"] = state["cls_token"] + position[:, :1]
        state["pos_embed"] = position[:, 1:]
    swiglu = {"w12": "fc1", "w3": "fc2"}
    pattern = re.compile(r"\.mlp\.(w12|w3)\.")
    return {pattern.sub(lambda m: f".mlp.{swiglu[m[1]]}.", name): v for name, v in state.items()}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file or of a torch file (weights only, never pickled code).

    Raises CheckpointError naming the file if it is missing, unreadable or holds anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on foreign pickles; they are refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # not torch's text: it advises to load the file all the same
        raise CheckpointError(
            f"cannot read weights file {path}: it is damaged, or holds more than tensors: "
            "pickled objects could run any code and are never loaded",
            hint="save the state dict alone, best as .safetensors",
        ) from error
    except Exception as error:  # the libraries raise a dozen unrelated types on a bad file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"cannot read weights file {path}: {reason}",
            hint="a .safetensors file, or a .pth that torch.load accepts with weights_only=True",
        ) from error
    for wrapper in ("state_dict", "model", "teacher"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CheckpointError(f"weights file {path} does not hold a state dict of tensors")
    return loaded


def load_strictly(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """``load_state_dict(strict=True)`` whose failure is one line naming what does not fit."""
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    misfits = [
        f"{name} is {list(state[name].shape)}, expected {list(own[name].shape)}"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    complaints = [
        f"{label}: {', '.join(items[:3])}{' ...' if len(items) > 3 else ''}"
        for label, items in (("missing", missing), ("unknown", unexpected), ("shape", sorted(misfits)))
        if items
    ]
    if complaints:
        raise CheckpointError(f"{what} does not fit the model: {'; '.join(complaints)}")
    module.load_state_dict(state)


def _randomise(vit: nn.Module, seed: int) -> None:
    """Random weights that depend on (seed, parameter name) alone, at ViT's usual scales."""
    for name, parameter in vit.named_parameters():
        if parameter.ndim > 1:
            draw = generator(seed, "init", f"encoder/{name}")
            nn.init.trunc_normal_(parameter, std=0.02, generator=draw)
        elif name.endswith(("gamma",)) or (name.endswith("weight") and "norm" in name):
            nn.init.ones_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def _fetch_pretrained(name: str) -> Any:
    """timm's published weights in the architecture's own size."""
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # hub, network and disk errors of several libraries
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise CheckpointError(
            f"cannot get the published weights of {name}: {type(error).__name__}: {reason}",
            hint="download them once where there is a network, or set encoder.weights: FILE "
            "(or encoder.pretrained: false for random weights, to check the pipeline only)",
        ) from error


def _create_vit(name: str, image_size: tuple[int, int] | None = None) -> Any:
    """The architecture, at ``image_size`` or at its own size. Raises ConfigError if unknown."""
    if not timm.is_model(name):
        near = suggestion(name, timm.list_models(), list_all=False)
        raise ConfigError(f"unknown encoder '{name}'", hint=near or "'texture', or a name that timm knows")
    kwargs: dict[str, Any] = {"img_size": image_size} if image_size else {}
    try:
        vit = timm.create_model(name, pretrained=False, num_classes=0, **kwargs)
    except (TypeError, AssertionError) as error:
        raise ConfigError(f"encoder '{name}' cannot be built at {image_size}: {error}") from error
    if not hasattr(vit, "blocks") or not hasattr(vit, "forward_intermediates"):
        raise ConfigError(f"encoder '{name}' is not a plain Vision Transformer")
    return vit


class Architecture(NamedTuple):
    """What a state dict does not tell of its encoder."""

    patch: tuple[int, int]
    heads: int
    dim: int


def architecture(name: str) -> Architecture:
    """Patch size, heads and width of a timm ViT, without making it. Raises ConfigError if unknown."""
    # On the meta device the architecture's own size and patch cost nothing to learn.
    with torch.device("meta"):
        probe = _create_vit(name)
    heads = probe.blocks[0].attn.num_heads
    return Architecture(tuple(probe.patch_embed.patch_size), heads, probe.embed_dim)


def build_timm(config: EncoderConfig, image_size: tuple[int, int]) -> Encoder:
    """A timm ViT by its name, with local, published or random weights.

    Raises ConfigError and CheckpointError as :func:`model.encoders.build.build_encoder` says.
    """
    check_image_size(image_size, architecture(config.name).patch, config.name)
    vit = _create_vit(config.name, image_size)
    if config.weights or config.pretrained:
        if config.weights:
            state = convert_dinov2(read_state_dict(Path(config.weights).expanduser()))
            state = {name: v for name, v in state.items() if not name.startswith("head.")}
        else:
            state = _fetch_pretrained(config.name).state_dict()
        what = config.weights or f"published weights of {config.name}"
        load_vit(vit, state, what)
    else:
        _randomise(vit, config.seed)
    return TimmEncoder(vit, config.blocks)


def load_vit(vit: Any, state: dict[str, Tensor], what: str) -> None:
    """Load a timm-named state dict, its position embedding resampled to the ViT's grid."""
    if getattr(vit, "pos_embed", None) is not None and "pos_embed" in state:
        prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens
        state = dict(state)
        state["pos_embed"] = resample_position_embedding(
            state["pos_embed"].float(), tuple(vit.patch_embed.grid_size), prefix
        )
    own = vit.state_dict()
    # Constant tables (rotary periods and the like) are rebuilt, not part of every published file.
    buffers = {name: value for name, value in vit.named_buffers() if name in own}
    load_strictly(vit, {**buffers, **state}, what)


def build_vit_from_dinov2(
    state: dict[str, Tensor], *, image_size: tuple[int, int], patch_size: int, num_heads: int
) -> VisionTransformer:
    """A ViT whose sizes are read off a DINOv2-named state dict (any width and depth)."""
    converted = convert_dinov2(state)
    try:
        dim = converted["cls_token"].shape[-1]
        hidden = converted["blocks.0.mlp.fc1.weight"].shape[0]
        depth = 1 + max(int(name.split(".")[1]) for name in converted if name.startswith("blocks."))
    except KeyError as error:
        raise CheckpointError(f"not a DINOv2 encoder: {error.args[0]} is missing") from error
    registers = converted["reg_token"].shape[1] if "reg_token" in converted else 0
    check_image_size(image_size, (patch_size, patch_size), "the checkpoint's encoder")
    vit = VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=dim,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=hidden / dim,
        init_values=1.0,
        reg_tokens=registers,
        no_embed_class=registers > 0,
        num_classes=0,
    )
    load_vit(vit, converted, "the checkpoint's encoder")
    return vit
