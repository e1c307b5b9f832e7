"""Behavioural: the texture encoder is a deterministic, local, faint-streak-seeing encoder.

Its numbers as an encoder are measured by studies/encoders_stripes.yaml, not here.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from model.config import EncoderConfig
from model.encoders.build import build_encoder, describe, weights_fingerprint
from model.encoders.identity import TEXTURE_CONSTANTS, constants_fingerprint
from model.encoders.texture import POWER, TextureEncoder, halve, line_and_edge_filters, spread
from model.encoders.texture_fit import bank, fit, main, whitening_matrix
from model.errors import ConfigError

CONFIG = EncoderConfig(name="texture", pretrained=False, blocks=(0, 1, 2, 3))
MEAN = torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
STD = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)


def normalised(grey: Tensor) -> Tensor:
    """Grey [h, w] in [0, 1] -> network input [1, 3, h, w]."""
    return (grey.expand(1, 3, *grey.shape) - MEAN) / STD


def noise(height: int, width: int, seed: int = 0, sd: float = 0.04) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (0.5 + sd * torch.randn(height, width, generator=draw)).clamp(0, 1)


def test_shapes_and_interface():
    encoder = build_encoder(CONFIG, (96, 128))
    layers = encoder(normalised(noise(96, 128)))
    assert (encoder.grid, encoder.prefix, encoder.layers) == ((12, 16), 0, 4)
    assert [tuple(layer.shape) for layer in layers] == [(1, 192, encoder.dim)] * 4
    assert encoder.dim % encoder.heads == 0
    assert not any(p.requires_grad for p in encoder.parameters())
    chosen = build_encoder(EncoderConfig(name="texture", blocks=(1, 3)), (96, 128))
    outputs = chosen(normalised(noise(96, 128)))
    assert torch.equal(outputs[0], layers[1])
    assert torch.equal(outputs[1], layers[3])


def test_images_do_not_influence_each_other():
    encoder = build_encoder(CONFIG, (64, 64))
    first, second = normalised(noise(64, 64, 0)), normalised(noise(64, 64, 1))
    together = encoder(torch.cat([first, second]))
    for alone, both in zip(encoder(second), together, strict=True):
        assert torch.allclose(alone[0], both[1], atol=1e-5)


def test_a_shift_by_one_cell_shifts_the_tokens():
    """Away from the borders the encoder is covariant with translations by one cell."""
    wide = noise(128, 136)
    encoder = build_encoder(CONFIG, (128, 128))
    left, right = (encoder(normalised(wide[:, s : s + 128]))[0].reshape(16, 16, -1) for s in (0, 8))
    assert torch.allclose(left[4:12, 5:12], right[4:12, 4:11], atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_faint_broken_streak_moves_the_tokens_on_it_and_not_those_far_away(sign: int):
    image = noise(128, 128)
    streaked = image.clone()
    for start in (20, 48, 80):
        streaked[60:63, start : start + 20] += sign * 0.08  # twice the noise's sd
    encoder = build_encoder(CONFIG, (128, 128))
    before, after = (encoder(normalised(x))[0].reshape(16, 16, -1) for x in (image, streaked))
    change = 1 - torch.cosine_similarity(before, after, dim=-1)
    on, far = change[7, 2:12], torch.cat([change[:3], change[13:]])
    assert on.mean() > 20 * far.mean()


def test_bright_and_dark_streaks_differ():
    encoder = build_encoder(CONFIG, (128, 128))
    tokens = []
    for sign in (1, -1):
        image = torch.full((128, 128), 0.5)
        image[60:63] += sign * 0.2
        tokens.append(encoder(normalised(image))[0].reshape(16, 16, -1)[7])
    assert (1 - torch.cosine_similarity(*tokens, dim=-1)).mean() > 0.05


def test_deeper_layers_see_further():
    image = noise(128, 128)
    dotted = image.clone()
    dotted[62:66, 62:66] = 1.0
    encoder = build_encoder(CONFIG, (128, 128))
    touched = []
    for before, after in zip(encoder(normalised(image)), encoder(normalised(dotted)), strict=True):
        touched.append(int(((before - after).norm(dim=-1) > 0.5).sum()))
    assert touched[0] < touched[1] < touched[2] < touched[3]


def test_whitening_keeps_many_directions():
    """Effective rank of the tokens over the bank: a handful would be rebuilt, defects included."""
    encoder = TextureEncoder((256, 256), (0, 3))
    images = [(image - MEAN) / STD for image in bank(12, seed=5)]
    for layer, floor in ((0, 15), (1, 10)):
        tokens = torch.cat([encoder(image)[layer][0, :, :-1] for image in images])
        values = torch.linalg.eigvalsh(torch.cov(tokens.T)).clamp(min=0)
        share = values / values.sum()
        rank = float(torch.exp(-(share * torch.log(share + 1e-12)).sum()))
        assert rank > floor


def test_whitening_matrix_by_hand():
    covariance = torch.tensor([[4.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    expected = torch.diag(torch.tensor([0.5, 1 / 3], dtype=torch.float64))
    assert torch.allclose(whitening_matrix(covariance, 0.3), expected)
    correlated = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    full = whitening_matrix(correlated, 0.0)
    assert torch.allclose(full @ correlated @ full.T, torch.eye(2, dtype=torch.float64))
    assert torch.allclose(whitening_matrix(correlated, 1.0), torch.eye(2, dtype=torch.float64))


def test_filters_ignore_brightness_and_answer_to_their_orientation():
    filters = line_and_edge_filters()
    assert torch.allclose(filters.sum(dim=(1, 2, 3)), torch.zeros(len(filters)), atol=1e-5)
    assert torch.allclose(filters.flatten(1).norm(dim=1), torch.ones(len(filters)), atol=1e-5)
    line = torch.zeros(1, 1, *filters.shape[-2:])
    line[0, 0, line.shape[2] // 2] = 1.0
    answers = (filters * line).sum(dim=(1, 2, 3))[: len(filters) // 2]
    assert int(answers.argmax()) == 0  # the first is horizontal


def test_pooling_keeps_constants():
    flat = torch.full((1, 2, 32, 32), 0.7)
    assert torch.allclose(halve(flat), torch.full((1, 2, 16, 16), 0.7))
    assert torch.allclose(spread(flat, 2.0), flat, atol=1e-6)
    assert POWER > 1


def test_constants_are_the_fingerprinted_ones_and_can_be_fitted():
    assert constants_fingerprint(TEXTURE_CONSTANTS.read_bytes()) == weights_fingerprint(CONFIG)
    small, again, other = fit(16, seed=0), fit(16, seed=0), fit(16, seed=1)
    assert torch.equal(small["whitening"], again["whitening"])
    assert not torch.allclose(small["mean"], other["mean"])
    shipped = TextureEncoder((64, 64), CONFIG.blocks)
    assert small["whitening"].shape == shipped.whitening.shape


@pytest.mark.slow
def test_the_shipped_constants_are_what_the_command_fits():
    fitted, shipped = fit(), load_file(TEXTURE_CONSTANTS)
    for name, value in shipped.items():
        # Another BLAS sums in another order, so not to the bit.
        torch.testing.assert_close(fitted[name], value, atol=1e-2, rtol=1e-2)


def test_fitting_again_writes_the_same_bytes_and_keeps_equal_constants(tmp_path, monkeypatch):
    outs = [tmp_path / "first.safetensors", tmp_path / "again.safetensors"]
    for out in outs:
        monkeypatch.setattr("sys.argv", ["texture_fit", "--images", "8", "--out", str(out)])
        main()
    assert outs[0].read_bytes() == outs[1].read_bytes()

    relabelled = save(load_file(outs[1]), metadata={"origin": "elsewhere"})
    outs[1].write_bytes(relabelled)
    main()
    assert outs[1].read_bytes() == relabelled
    monkeypatch.setattr("sys.argv", ["texture_fit", "--images", "9", "--out", str(outs[1])])
    main()
    assert outs[1].read_bytes() != relabelled


def test_the_bank_is_varied_and_in_range():
    images = list(bank(8, seed=0))
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in images)
    assert len({round(float(x.std()), 4) for x in images}) > 4
    assert np.isfinite([float(x.mean()) for x in images]).all()


@pytest.mark.parametrize(
    ("size", "blocks", "message"),
    [
        ((100, 96), (0, 1), r"\[100, 96\]"),
        ((32, 32), (0, 1), r"\[32, 32\]"),
        ((96, 96), (0, 4), r"layers 0\.\.3"),
    ],
)
def test_what_it_cannot_do_is_refused(size, blocks, message):
    with pytest.raises(ConfigError, match=message):
        build_encoder(EncoderConfig(name="texture", blocks=blocks), size)


def test_reports_say_what_it_is_good_for():
    assert "DINOv2-class weights" in describe(CONFIG)
