"""The decoder: pre-norm Transformer blocks with linear (default) or softmax attention."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from model.attention import Attention, LinearAttention, SoftmaxAttention
from model.config import BiasConfig, DecoderConfig
from model.priors.geometry import Grid

ATTENTIONS = {"linear": LinearAttention, "softmax": SoftmaxAttention}


class Mlp(nn.Module):
    """C -> hidden -> C with GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        return self.fc2(functional.gelu(self.fc1(x)))


class DecoderBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)); LayerNorm eps 1e-8 as in the reference."""

    def __init__(
        self,
        dim: int,
        heads: int,
        config: DecoderConfig,
        bias: BiasConfig | None,
        grid: Grid | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-8)
        self.attn: Attention = ATTENTIONS[config.attention](
            dim,
            heads,
            bias=bias,
            eps=config.attention_eps,
            neighbour_mask=config.neighbour_mask,
            neighbour_mask_form=config.neighbour_mask_form,
            grid=grid,
        )
        self.norm2 = nn.LayerNorm(dim, eps=1e-8)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))

    def forward(self, x: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, C] -> [B, T, C]; ``grid`` is (H, W), ``prefix`` is P."""
        x = x + self.attn(self.norm1(x), grid, prefix)
        return x + self.mlp(self.norm2(x))
