"""Attention rows: with the values they give back exactly what the attention itself computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from model.attention import Attention, LinearAttention, SoftmaxAttention
from model.attention_rows import attention_row, decoder_rows
from model.config import BiasConfig
from model.encoders.base import EncoderShape
from model.student import Student
from tests.model.tiny_model import tiny_config

GRID, PREFIX, DIM, HEADS = (4, 5), 2, 16, 2
TINY_SHAPE = EncoderShape(dim=64, heads=2, prefix=1, grid=(4, 5), layers=4)
HORIZONTAL = BiasConfig(**{"lambda": 0.7, "half_width": 2})


def outputs(attention: Attention, x: torch.Tensor) -> torch.Tensor:
    """[B, T, C] rebuilt from the rows of every token."""
    v = attention.qkv(x).unflatten(-1, (3, HEADS, -1))[:, :, 2].transpose(1, 2)  # [B, heads, T, D]
    rows = torch.stack([attention_row(attention, x, GRID, PREFIX, i) for i in range(x.shape[1])], dim=2)
    return attention.proj((rows @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("kind", [LinearAttention, SoftmaxAttention])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": HORIZONTAL},
        {"bias": BiasConfig(**{"lambda": 0.5, "direction": "both", "half_width": "row", "form": "values"})},
        {"bias": BiasConfig(**{"lambda": "learned"})},
    ],
)
def test_rows_times_values_are_the_attention(kind: type[Attention], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    attention = kind(DIM, HEADS, **options).double()
    x = torch.randn(3, PREFIX + 20, DIM, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(outputs(attention, x), attention(x, GRID, PREFIX))


@pytest.mark.parametrize("form", ["zeroed", "masked"])
def test_a_forbidden_neighbourhood_has_no_weight(form: str) -> None:
    torch.manual_seed(0)
    attention = SoftmaxAttention(DIM, HEADS, neighbour_mask=3, neighbour_mask_form=form).double()
    x = torch.randn(1, PREFIX + 20, DIM, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(outputs(attention, x), attention(x, GRID, PREFIX))
    row = attention_row(attention, x, GRID, PREFIX, PREFIX + 7)[0, 0, PREFIX:].view(GRID)
    assert (row[0:3, 1:4] == 0).all() and (row[3] > 0).all()


def test_a_row_bias_takes_weight_from_the_tokens_own_row() -> None:
    def row(strength: float) -> torch.Tensor:
        config = tiny_config({"bias.lambda": strength, "bias.half_width": "row"})
        student = Student(TINY_SHAPE, config)
        student.initialise(0)
        draw = torch.Generator().manual_seed(0)
        groups = torch.randn(2, 2, TINY_SHAPE.prefix + 20, TINY_SHAPE.dim, generator=draw)
        patches, before = decoder_rows(student, groups, (1, 2))
        torch.testing.assert_close(patches.sum((1, 2)) + before, torch.ones(2))
        return patches

    plain, biased = row(0.0), row(0.9)
    own, others = [0, 1, 3, 4], [0, 2, 3]
    assert (biased[:, 1, own] < 0.2 * plain[:, 1, own]).all()
    assert (biased[:, 1, 2] > plain[:, 1, 2]).all() and (biased[:, others].sum() > plain[:, others].sum())


def test_a_token_outside_the_grid_is_refused() -> None:
    student = Student(TINY_SHAPE, tiny_config())
    with pytest.raises(ValueError, match="outside the grid of 4 x 5"):
        decoder_rows(student, torch.zeros(1, 2, TINY_SHAPE.prefix + 20, TINY_SHAPE.dim), (4, 0))
