"""Completion probes on decoders whose completion is known, and on a real one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import DecoderConfig
from model.decoder import DecoderBlock
from model.probes import Completion, ProbeConfig, completion, probe_masks, probe_values

GRID = (8, 8)


class Toy:
    """Rebuilds maps [B, C, H, W] by a function; cut tokens are zero where the image's mean token is."""

    def __init__(self, rule: Callable[[Tensor], Tensor], prefix: int = 0) -> None:
        self.grid, self.prefix, self.rule = GRID, prefix, rule

    def maps(self, tokens: Tensor) -> Tensor:
        return tokens[:, self.prefix :].transpose(1, 2).unflatten(2, self.grid)

    def targets_and_input(self, groups: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        return [self.maps(g) for g in groups.unbind(1)], groups.mean(1)

    def decode(self, x: Tensor) -> Sequence[Tensor]:
        return [self.rule(self.maps(x))]


def constant_rows(count: int = 6, prefix: int = 0) -> Tensor:
    """[count, 1, P + 64, 16]: all tokens of a row are alike, different rows are not; their mean is 0."""
    draw = torch.Generator().manual_seed(0)
    # Whole numbers and their negatives, so that the mean is 0 to the bit.
    four = torch.randint(-9, 10, (count, 1, 4, 1, 16), generator=draw).float()
    rows = torch.stack([four, -four], dim=3).flatten(2, 3).expand(-1, -1, -1, 8, -1)
    before = torch.randn(count, 1, prefix, 16, generator=draw)
    return torch.cat([before, rows.flatten(2, 3)], dim=2)


def nothing(maps: Tensor) -> Tensor:
    return maps


def from_the_row(maps: Tensor) -> Tensor:
    """Every token becomes the sum of its row's tokens, cut ones included."""
    return maps.sum(3, keepdim=True).expand_as(maps)


def from_the_column(maps: Tensor) -> Tensor:
    return maps.sum(2, keepdim=True).expand_as(maps)


def from_beside(maps: Tensor) -> Tensor:
    """Cut tokens are filled from the tokens directly left and right of them."""
    padded = torch.nn.functional.pad(maps, (1, 1))
    beside = padded[..., :-2] + padded[..., 2:]
    return torch.where((maps == 0).all(1, keepdim=True), beside, maps)


def values(rule: Callable[[Tensor], Tensor], groups: Tensor, **config: object) -> dict[str, float]:
    found = completion(Toy(rule), [(groups, None)], ProbeConfig(**config))  # type: ignore[arg-type]
    return probe_values(found)


def test_a_decoder_that_fills_nothing_in_completes_nothing():
    assert values(nothing, constant_rows()) == {
        "completion_horizontal": pytest.approx(0, abs=1e-6),
        "completion_vertical": pytest.approx(0, abs=1e-6),
        "completion_difference": pytest.approx(0, abs=1e-6),
    }


def test_a_decoder_that_reads_whole_rows_completes_all_but_whole_rows():
    found = values(from_the_row, constant_rows(), length=(2, 4))
    assert found["completion_vertical"] == pytest.approx(1, abs=1e-6)
    assert found["completion_horizontal"] > 0.9


def test_a_decoder_that_reads_rows_only_nearby_is_told_from_one_that_reads_columns():
    groups = constant_rows()
    beside = values(from_beside, groups, length=(4, 6))
    assert beside["completion_vertical"] > 0.75
    assert beside["completion_horizontal"] < 0.6
    assert beside["completion_difference"] == pytest.approx(
        beside["completion_horizontal"] - beside["completion_vertical"]
    )
    turned = groups.unflatten(2, GRID).transpose(2, 3).flatten(2, 3)
    assert values(lambda m: from_beside(m.mT).mT, turned, length=(4, 6)) == pytest.approx(
        {
            "completion_horizontal": beside["completion_vertical"],
            "completion_vertical": beside["completion_horizontal"],
            "completion_difference": -beside["completion_difference"],
        }
    )


def test_the_ratio_by_hand():
    def sums(cut: float, full: float, blank: float) -> float:
        half = np.array([1, 3])  # two images, one and three tokens
        return Completion(cut * half, full * half, blank * half, half).value

    assert sums(0.3, 0.1, 0.5) == pytest.approx(0.5)
    assert sums(0.05, 0.1, 0.5) == 1
    assert sums(0.7, 0.1, 0.5) == 0
    assert math.isnan(sums(0.3, 0.1, 0.1005))
    assert math.isnan(sums(0.3, 0.1, 0.05))


def test_images_weigh_by_their_tokens():
    found = Completion(np.array([0.0, 3.0]), np.zeros(2), np.array([1.0, 3.0]), np.array([1, 3]))
    assert found.value == pytest.approx(0.25)


def test_only_cut_tokens_on_the_defect_count():
    groups = constant_rows(3)
    defects = torch.zeros(3, *GRID, dtype=torch.bool)
    defects[0, 2, 1:7] = defects[2, 5] = True
    found = completion(Toy(from_beside), [(groups, defects)])["horizontal"]
    masks = torch.stack([probe_masks(ProbeConfig(), "horizontal", i, GRID) for i in range(3)])
    assert found.tokens.tolist() == (masks & defects[:, None]).sum((1, 2, 3)).tolist()
    assert found.tokens[1] == 0
    none = completion(Toy(from_beside), [(groups, torch.zeros_like(defects))])["horizontal"]
    assert math.isnan(none.value)


def test_masks_are_shared_and_turn_with_the_direction():
    config = ProbeConfig(repeats=2)
    rows, columns = (probe_masks(config, d, 5, GRID) for d in ("horizontal", "vertical"))
    assert torch.equal(rows, columns.mT)
    assert torch.equal(rows, probe_masks(config, "horizontal", 5, GRID))
    assert not torch.equal(rows, probe_masks(config, "horizontal", 6, GRID))
    many = torch.stack([probe_masks(config, "horizontal", i, GRID) for i in range(400)])
    assert float(many.float().mean()) == pytest.approx(0.2, abs=0.02)


def test_prefix_tokens_are_never_cut():
    groups = constant_rows(prefix=2)

    class Watching(Toy):
        def decode(self, x: Tensor) -> Sequence[Tensor]:
            assert torch.equal(x[:, :2], groups[:, 0, :2])
            return super().decode(x)

    found = completion(Watching(from_the_row, prefix=2), [(groups, None)])
    assert found["vertical"].value == pytest.approx(1, abs=1e-6)


def test_cut_tokens_become_the_mean_token_of_their_image():
    draw = torch.Generator().manual_seed(2)
    groups = 3 + torch.randn(2, 1, 64, 16, generator=draw)
    seen: list[Tensor] = []

    def watching(maps: Tensor) -> Tensor:
        seen.append(maps)
        return maps

    completion(Toy(watching), [(groups, None)], ProbeConfig(repeats=1))
    given = Toy(nothing).maps(groups[:, 0])
    mean = given.mean((2, 3), keepdim=True).expand_as(given)
    full, blank, *cuts = seen
    assert torch.equal(full, given)
    assert torch.allclose(blank, mean)
    for cut, direction in zip(cuts, ("horizontal", "vertical"), strict=True):
        masks = [probe_masks(ProbeConfig(repeats=1), direction, i, GRID) for i in range(2)]
        mask = torch.stack(masks).expand_as(given)  # the repeat's place broadcasts over channels
        assert torch.allclose(cut, torch.where(mask, mean, given))


class Real(Toy):
    """One linear-attention block."""

    def __init__(self, prefix: int) -> None:
        super().__init__(nothing, prefix)
        torch.manual_seed(0)
        self.block = DecoderBlock(16, 2, DecoderConfig(), None).eval()

    def decode(self, x: Tensor) -> Sequence[Tensor]:
        return [self.maps(self.block(x, self.grid, self.prefix))]


def test_a_real_decoder_is_measured_alike_whatever_the_batches():
    restorer, groups = Real(prefix=1), torch.randn(5, 1, 65, 16)

    def run(size: int) -> dict[str, Completion]:
        found = completion(restorer, [(part, None) for part in groups.split(size)])
        return {str(direction): c for direction, c in found.items()}

    whole, single = run(5), run(1)
    for direction in whole:
        assert np.allclose(whole[direction].cut, single[direction].cut, rtol=1e-5)
        assert np.array_equal(whole[direction].tokens, single[direction].tokens)
        # A residual decoder rebuilds a token best from itself.
        assert 0 <= whole[direction].value < 0.5


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no images"):
        completion(Toy(nothing), [])
