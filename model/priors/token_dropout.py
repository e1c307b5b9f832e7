"""Prior A: patch tokens are cut along a direction, in training only.

If normal appearance can be rebuilt with parts of a row missing, the decoder cannot lean on copying
along that row. Filled with noise, or with tokens from elsewhere, a cut is a *pseudo-anomaly* shaped
like a broken streak, which the decoder learns to restore.

All randomness comes from one ``torch.Generator`` of its own, and the number of values drawn from it
depends on neither rate, fill nor strength: switching this prior on shifts no other stream, and
variants that differ in those have aligned draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from model.config import TokenDropoutConfig
from model.errors import ConfigError
from model.priors.geometry import Grid, check_tokens
from model.priors.masks import exact_count, sample_mask
from model.priors.schedule import lengths_at, value_at


@dataclass(frozen=True)
class Cut:
    """What a fill may look at."""

    patches: Tensor
    """[B, N, C], nothing cut yet."""
    dropped: Tensor
    """bool [B, N]."""
    uniform: Tensor
    """[B, N], uniform in [0, 1), on the stream's device."""
    grid: Grid

    def choices(self, count: int) -> Tensor:
        """One number of {0 .. count - 1} per image [B], each as likely, on the patches' device."""
        return (self.uniform[:, 0].to(self.patches.device) * count).long().clamp_max(count - 1)


Fill = Callable[["TokenDropout", Cut], Tensor]
"""(module, cut) -> replacements, broadcastable to [B, N, C]."""


def _fill_zero(_module: TokenDropout, cut: Cut) -> Tensor:
    return cut.patches.new_zeros(())


def _fill_mean(_module: TokenDropout, cut: Cut) -> Tensor:
    return cut.patches.mean(dim=1, keepdim=True)


def _fill_neighbour(_module: TokenDropout, cut: Cut) -> Tensor:
    """Each token's own random choice among the kept tokens of its image; zeros if there are none."""
    patches, dropped = cut.patches, cut.dropped
    kept_first = torch.argsort(dropped.byte(), dim=1, stable=True)
    kept = (~dropped).sum(dim=1, keepdim=True)
    uniform = cut.uniform.to(patches.device, non_blocking=True)
    choice = (uniform * kept).long().minimum((kept - 1).clamp_min(0))
    source = kept_first.gather(1, choice)
    replacement = patches.gather(1, source.unsqueeze(-1).expand_as(patches))
    return torch.where((kept > 0).unsqueeze(-1), replacement, 0.0)


def _fill_learned(module: TokenDropout, cut: Cut) -> Tensor:
    return module.learned.to(cut.patches.dtype)


def _fill_noise(_module: TokenDropout, cut: Cut) -> Tensor:
    """The token plus Gaussian noise whose sd is the token's own over its channels.

    So ``strength`` is the noise's sd relative to the token's. The noise has a stream of its own,
    seeded by two of the values that every fill draws: B * N * C values of the dropout stream itself
    would shift the masks that follow in the same step.
    """
    patches = cut.patches
    high, low = (int(u * 2**24) for u in cut.uniform.flatten()[[0, -1]].tolist())
    draw = torch.Generator(cut.uniform.device).manual_seed((high << 24) + low)
    noise = torch.randn(patches.shape, generator=draw, device=draw.device)
    sd = patches.detach().float().std(dim=-1, keepdim=True, correction=0)
    return patches + (noise.to(patches.device) * sd).to(patches.dtype)


def _fill_donor(_module: TokenDropout, cut: Cut) -> Tensor:
    """The same position of another image of the batch, one donor per image: pieces stay whole."""
    count = len(cut.patches)
    if count == 1:
        raise ConfigError("token_dropout.fill: donor needs at least two images in a batch")
    own = torch.arange(count, device=cut.patches.device)
    return cut.patches[(own + 1 + cut.choices(count - 1)) % count]


def _fill_swap(_module: TokenDropout, cut: Cut) -> Tensor:
    """Another place of the image, one displacement (around the borders) per image: pieces stay whole."""
    patches, (height, width) = cut.patches, cut.grid
    count = height * width
    shift = (1 + cut.choices(count - 1)) if count > 1 else cut.choices(1)
    place = torch.arange(count, device=patches.device)
    rows = (place // width + shift[:, None] // width) % height
    columns = (place + shift[:, None]) % width
    source = rows * width + columns
    return patches.gather(1, source.unsqueeze(-1).expand_as(patches))


_FILLS: Mapping[str, Fill] = MappingProxyType(
    {
        "zero": _fill_zero,
        "mean": _fill_mean,
        "neighbour": _fill_neighbour,
        "learned": _fill_learned,
        "noise": _fill_noise,
        "donor": _fill_donor,
        "swap": _fill_swap,
    }
)


class TokenDropout(nn.Module):
    """Replace patch tokens by a fill, in training only; prefix tokens are never touched.

    Attributes
    ----------
    rate: the current dropped fraction; ``set_progress`` moves it where it is scheduled.
    strength: the current share of the fill in a cut token.
    lengths: the current shortest and longest run, in tokens.
    generator: the token dropout stream; the trainer sets it before training. On the CPU, the same
        seed gives the same masks on every device.
    learned: the fill token [C] (``fill: learned`` only). It starts at zero, thus as ``fill: zero``,
        and takes nothing from the init stream.
    """

    learned: nn.Parameter

    def __init__(self, config: TokenDropoutConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.rate: float
        self.strength: float
        self.lengths: tuple[int, int]
        self.set_progress(1.0)
        self.generator: torch.Generator | None = None
        if config.pattern != "none" and config.fill == "learned":
            self.learned = nn.Parameter(torch.zeros(channels))

    def set_progress(self, progress: float) -> dict[str, float]:
        """Set every knob to its value at training progress in [0, 1]; returns them by YAML path.

        ``config.mean_rate`` is not read, see :meth:`TokenDropoutConfig.matched`.
        """
        config = self.config
        self.rate = value_at(config.rate, progress)
        self.strength = value_at(config.strength, progress)
        self.lengths = lengths_at(config.length, progress)
        if config.pattern == "none":
            return {}
        values = {"token_dropout.rate": self.rate, "token_dropout.strength": self.strength}
        if config.pattern in ("segment", "block"):
            values |= {f"token_dropout.length[{i}]": float(n) for i, n in enumerate(self.lengths)}
        return values

    def reset_fill(self) -> None:
        """Put a learned fill back to where training starts."""
        if self.config.pattern != "none" and self.config.fill == "learned":
            nn.init.zeros_(self.learned)

    def extra_repr(self) -> str:
        c = self.config
        return f"pattern={c.pattern}, direction={c.direction}, rate={self.rate:g}, fill={c.fill}"

    def forward(self, x: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, C] -> [B, T, C]; the same object in eval mode, for ``pattern: none`` or at rate 0.

        At rate 0 even an identity in the graph would change the order in which gradients are summed,
        hence their last bits. Only a learned fill, which needs its gradient, goes the long way.

        Raises ``RuntimeError`` when training without a generator: falling back on the global one
        would shift the other random streams unnoticed. Raises :class:`ConfigError` if there is no
        other image for ``fill: donor``.
        """
        if not self.training or self.config.pattern == "none":
            return x
        if self.rate == 0 and self.config.fill != "learned":
            return x
        if self.generator is None:
            raise RuntimeError("TokenDropout.generator must be set before training")
        check_tokens(x, grid, prefix)
        batch = x.shape[0]
        dropped = sample_mask(self.config, self.rate, batch, grid, self.generator, lengths=self.lengths)
        dropped = dropped.reshape(batch, -1).to(x.device, non_blocking=True)
        # Drawn for every fill, so that variants that differ in the fill share all their masks.
        uniform = torch.rand(dropped.shape, generator=self.generator, device=self.generator.device)
        patches = x[:, prefix:]
        fill = _FILLS[self.config.fill](self, Cut(patches, dropped, uniform, grid))
        if self.config.rescale:
            patches = patches / (1 - self._dose(dropped.shape[1]) * self.strength)
        if self.strength != 1:
            fill = patches + self.strength * (fill - patches)
        patches = torch.where(dropped.unsqueeze(-1), fill, patches)
        return torch.cat([x[:, :prefix], patches], dim=1) if prefix else patches

    def _dose(self, tokens: int) -> float:
        """The fraction that is dropped of an image of N tokens: on average, or exactly."""
        return exact_count(self.rate, tokens) / tokens if self.config.budget == "exact" else self.rate
