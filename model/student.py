"""The trained half of Dinomaly (Guo et al., CVPR 2025): noisy bottleneck, decoder and priors.

It reads its teacher's *group means* only, so it is trained and scored on a feature cache without any
encoder. All its parameters are trainable, and its state dict is what checkpoints hold. The names of its
modules seed their initial weights: a renamed one starts from other numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from model.attention import Attention
from model.bottleneck import Bottleneck
from model.config import Knob, ModelConfig
from model.decoder import DecoderBlock
from model.encoders.base import EncoderShape
from model.errors import ConfigError
from model.low_rank import LowRankBottleneck
from model.micro_batches import current_size, in_micro_batches, kept_by_its_input
from model.priors.plugged import PluggedPriors
from model.priors.schedule import value_at
from model.priors.token_dropout import TokenDropout
from model.recentring import recentre
from model.streams import derive_seed, generator

Maps = list[Tensor]
"""G maps [B, C, H, W]."""


class Student(nn.Module):
    """Group means to encoder and decoder maps.

    Parameters
    ----------
    shape: of the teacher's encoder.
    config: widths, depth, noise and priors.

    Call ``initialise`` for the paper's random start, ``set_progress`` before each training step and
    once (with 1.0) before inference. Raises ConfigError if the configuration does not suit the shape.
    """

    def __init__(self, shape: EncoderShape, config: ModelConfig) -> None:
        super().__init__()
        heads = config.decoder.heads or shape.heads
        if shape.dim % heads:
            raise ConfigError(f"decoder.heads {heads} does not divide the encoder's width {shape.dim}")
        if config.recentre.mode != "none" and not (shape.prefix and shape.class_token):
            raise ConfigError(
                f"recentre.mode: {config.recentre.mode} needs a class token, which encoder "
                f"'{config.encoder.name}' does not have",
                hint="set recentre.mode: none, or choose an encoder with a class token",
            )
        self.config = config
        self.encoder_prefix = shape.prefix
        self.prefix = 0 if config.recentre.drop_prefix else shape.prefix
        """P of the decoder's input."""
        self.grid = shape.grid
        self.block_groups = config.splits(config.decoder.depth)
        kind = Bottleneck if config.bottleneck.rank is None else LowRankBottleneck
        self.bottleneck = kind(shape.dim, config.bottleneck)
        biased = config.bias.blocks if config.bias.blocks is not None else range(config.decoder.depth)
        self.decoder = nn.ModuleList(
            DecoderBlock(shape.dim, heads, config.decoder, config.bias if i in biased else None, shape.grid)
            for i in range(config.decoder.depth)
        )
        dropout = config.token_dropout.matched(config.train.iterations)
        self.token_dropout = TokenDropout(dropout, shape.dim)
        self.plugins = PluggedPriors(config.plugins, shape.grid, self.prefix)
        self.register_buffer("layer_shares", _shares(config, shape.layers), persistent=False)
        self.layer_shares: Tensor
        self.micro_batches: dict[int, int] = {}
        """Training step -> images that the decoder takes at a time from then on; empty: a whole batch."""
        self.set_progress(1.0)

    def attentions(self) -> list[Attention]:
        """The decoder's attentions, block by block."""
        return [block.attn for block in self.decoder if isinstance(block, DecoderBlock)]

    def initialise(self, seed: int) -> None:
        """Truncated normal sd 0.01 in [-0.03, 0.03] for linear weights, zero biases, unit norms.

        Each parameter draws from its own (seed, name) stream, so adding one shifts no other. A model
        that was trained before starts anew.
        """
        for attention in self.attentions():
            attention.reset_strength()
        self.token_dropout.reset_fill()
        for name, module in self.named_modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            if not isinstance(module, nn.Linear):
                continue
            draw = generator(seed, "init", f"{name}.weight")
            weight = torch.empty(module.weight.shape)
            nn.init.trunc_normal_(weight, std=0.01, a=-0.03, b=0.03, generator=draw)
            with torch.no_grad():
                module.weight.copy_(weight)
                module.bias.zero_()

    def set_progress(self, progress: float) -> dict[str, float]:
        """Set every knob of the student to its value at training progress in [0, 1].

        Returns the values by their YAML path, for the training history.
        """
        config = self.config
        self.bottleneck.rate = value_at(config.bottleneck.dropout, progress)
        values = {"bottleneck.dropout": self.bottleneck.rate}
        values |= self.token_dropout.set_progress(progress)
        values |= self.plugins.set_progress(progress)
        strength: Knob | Literal["learned"] = config.bias.lambda_
        if strength != "learned":
            lam = value_at(strength, progress)
            values["bias.lambda"] = lam
            for attention in self.attentions():
                attention.lam = lam
        return values

    def seed_noise(self, seed: int, iteration: int) -> None:
        """Point the noise streams at one training step (see ``model.streams``)."""
        device = self.layer_shares.device
        self.bottleneck.generator = _reseeded(
            self.bottleneck.generator, derive_seed(seed, "bottleneck noise", iteration), device
        )
        self.token_dropout.generator = _reseeded(
            self.token_dropout.generator, derive_seed(seed, "token dropout", iteration), device
        )
        self.plugins.seed(seed, iteration, device)

    def forward(self, groups: Tensor, seen: Tensor | None = None) -> tuple[Maps, Maps]:
        """Group means [B, G, T, C] -> encoder and decoder maps ``(en, de)``, G of [B, C, H, W] each.

        Prefix tokens pass through bottleneck and decoder and are dropped here, before the loss. ``seen``:
        what is read in their place, of images with pseudo-defects; the targets stay those of ``groups``.
        """
        targets, x = self.targets_and_input(groups, seen)
        return targets, self.decode(x)

    def targets_and_input(self, groups: Tensor, seen: Tensor | None = None) -> tuple[Maps, Tensor]:
        """Group means [B, G, T, C] -> G encoder maps [B, C, H, W], decoder's input [B, P + N, C]."""
        targets, inputs, _ = recentre(groups, self.encoder_prefix, self.config.recentre)
        if seen is not None:
            inputs = recentre(seen, self.encoder_prefix, self.config.recentre).inputs
        site = self.config.token_dropout.site
        # The mean over all layers is the mean of group means weighted by the groups' sizes.
        x = torch.einsum("bgtc,g->btc", inputs, self.layer_shares.to(inputs.dtype))  # [B, P + N, C]
        x = self._cut(x) if site == "bottleneck_input" else x
        x = self.plugins.bottleneck_input(x) if self.training else x
        if self._micro_batch is None:
            x = self.bottleneck(x)
        else:
            x = kept_by_its_input(self.bottleneck, x, self.bottleneck.generator)
        x = self._cut(x) if site == "decoder_input" else x
        x = self.plugins.decoder_input(x) if self.training else x
        return [self._to_map(g) for g in targets.unbind(1)[: self.config.group_count]], x

    def decode(self, x: Tensor) -> Maps:
        """Decoder's input [B, P + N, C] -> decoder maps, G of [B, C, H, W]."""
        outputs: list[Tensor] = []
        size = self._micro_batch
        for i, block in enumerate(self.decoder):
            if self.config.token_dropout.site == "decoder_blocks" and i in self.config.token_dropout.blocks:
                x = self._cut(x)
            place = (self.grid, self.prefix)
            x = block(x, *place) if size is None else in_micro_batches(block, x, size, *place)
            outputs.append(x)
        outputs.reverse()  # the last block rebuilds the first layers
        # Per group: [blocks of the group, B, P + N, C] -> [B, N, C].
        rebuilt = [torch.stack([outputs[i] for i in group]).mean(0) for group in self.block_groups]
        return [self._to_map(tokens[:, self.prefix :]) for tokens in rebuilt]

    @property
    def _micro_batch(self) -> int | None:
        return current_size(self.micro_batches) if self.training else None

    def _cut(self, x: Tensor) -> Tensor:
        return self.token_dropout(x, self.grid, self.prefix)

    def _to_map(self, tokens: Tensor) -> Tensor:
        """[B, N, C] -> [B, C, H, W]."""
        patches = tokens.transpose(1, 2)  # [B, C, N]
        return patches.reshape(tokens.shape[0], -1, *self.grid)  # [B, C, H, W]


def _shares(config: ModelConfig, layers: int) -> Tensor:
    """What each stored mean contributes to the mean of all layers: its share of them, or all of it."""
    if config.stored_count > config.group_count:
        return torch.tensor([0.0] * config.group_count + [1.0])
    sizes = [len(group) for group in config.splits(layers)]
    return torch.tensor([size / sum(sizes) for size in sizes])


def _reseeded(draw: torch.Generator | None, seed: int, device: torch.device) -> torch.Generator:
    if draw is None or draw.device != device:
        draw = torch.Generator(device=device)
    return draw.manual_seed(seed)
