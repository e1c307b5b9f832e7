"""What an encoder is to the rest of the model: frozen layers of tokens, and their shape."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from model.errors import ConfigError


@dataclass(frozen=True)
class EncoderShape:
    """All that a student needs to know of its teacher's encoder."""

    dim: int
    """C, channels of a token."""
    heads: int
    """Attention heads of the decoder where the configuration names none."""
    prefix: int
    """P, class token and registers."""
    grid: tuple[int, int]
    """(H, W)."""
    layers: int
    """How many token maps the encoder returns."""

    @property
    def tokens(self) -> int:
        """T = P + H * W."""
        return self.prefix + self.grid[0] * self.grid[1]


class Encoder(nn.Module):
    """What every encoder offers; parameters frozen, always in eval mode.

    Attributes: ``dim`` C, ``heads`` (for the decoder), ``prefix`` P, ``grid`` (H, W), ``layers`` (how
    many token maps ``forward`` returns).
    """

    dim: int
    heads: int
    prefix: int
    grid: tuple[int, int]
    layers: int

    @property
    def shape(self) -> EncoderShape:
        """The attributes as one record."""
        return EncoderShape(self.dim, self.heads, self.prefix, self.grid, self.layers)

    def train(self, mode: bool = True) -> Encoder:  # noqa: ARG002 - a frozen encoder has one mode
        """Stay in eval mode whatever the enclosing module does."""
        return super().train(False)

    def freeze(self) -> Encoder:
        """Forbid gradients and switch to eval mode."""
        self.requires_grad_(False)
        return self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, S, S] ImageNet-normalised -> per layer [B, T, C]."""
        raise NotImplementedError


def check_image_size(image_size: tuple[int, int], patch: tuple[int, int], what: str) -> None:
    """Raise ConfigError unless the network's input divides into whole patches."""
    if image_size[0] % patch[0] or image_size[1] % patch[1]:
        good = [max(round(s / p), 1) * p for s, p in zip(image_size, patch, strict=True)]
        raise ConfigError(
            f"image.crop {list(image_size)} is not a multiple of the patch {list(patch)} of {what}",
            hint=f"nearest that is: {good}",
        )
