"""Behavioural: what is drawn on a training image is faint, of its kind, and its own for every copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.config import ImageConfig
from model.data.config import PseudoConfig
from model.data.pseudo import Copy, drawn
from model.data.samples import Sample
from model.data.transforms import IMAGENET_MEAN, IMAGENET_STD, network_view, to_input

SIZE = (96, 96)
NAMES = [f"{number:016x}" for number in range(12)]


def change(
    kind: str, name: str = NAMES[0], number: int = 0, size: tuple[int, int] = SIZE, **values: object
) -> np.ndarray:
    return drawn(PseudoConfig(kind=kind, **values), size, name, number)  # type: ignore[arg-type]


def test_a_copy_is_drawn_from_the_image_and_its_number_alone():
    first = change("horizontal")
    assert np.array_equal(first, change("horizontal", copies=9, share=1.0))
    assert not np.array_equal(first, change("horizontal", number=1))
    assert not np.array_equal(first, change("horizontal", NAMES[1]))


def test_streaks_are_faint_and_run_along_the_rows():
    for name in NAMES:
        drawing = change("horizontal", name)
        assert drawing.dtype == np.float32
        assert 0 < np.abs(drawing).max() <= 0.33  # two streaks of 0.16 may cross
        rows, columns = np.nonzero(np.abs(drawing) > 0.02)
        assert len(set(columns)) > 2 * len(set(rows))


def test_the_vertical_control_is_the_same_turned_and_strength_scales_it():
    for name in NAMES[:4]:
        assert np.array_equal(change("vertical", name), change("horizontal", name).T)
        assert np.allclose(change("horizontal", name, strength=0.5), change("horizontal", name) / 2)


def test_blobs_have_the_streaks_contrast_and_area_but_no_direction():
    ratios, contrasts, shapes = [], [], []
    for name in NAMES:
        streak, blob = change("horizontal", name), change("blob", name)
        area = [(np.abs(d) > 0.04).sum() for d in (streak, blob)]
        ratios.append(area[1] / area[0])
        contrasts.append(np.abs(blob).sum() / np.abs(streak).sum())
        rows, columns = np.nonzero(np.abs(blob) > 0.04)
        shapes.append(np.ptp(columns) / np.ptp(rows))
    assert np.mean(ratios) == pytest.approx(1, abs=0.3)
    assert np.mean(contrasts) == pytest.approx(1, abs=0.3)
    assert 0.5 < np.median(shapes) < 2


@pytest.mark.parametrize("kind", ["horizontal", "vertical", "blob"])
def test_a_narrow_view_is_never_missed(kind: str):
    for name in NAMES:
        assert change(kind, name, size=(24, 120)).any()


def test_a_copy_is_the_image_with_the_drawing_on_it(tmp_path: Path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full((70, 80, 3), 128, np.uint8)).save(path)
    image = ImageConfig(resize=(64, 64), crop=(48, 48))
    copy = Copy(Sample(path, None, 0, "c", "train", "good"), NAMES[0], 2, PseudoConfig(kind="horizontal"))
    clean = network_view(Image.open(path), image)
    expected = clean + torch.from_numpy(drawn(copy.config, (48, 48), NAMES[0], 2))
    torch.testing.assert_close(copy.view(image), expected)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    torch.testing.assert_close(copy.load(image), (expected - mean[:, None, None]) / std[:, None, None])
    assert (copy.load(image) != to_input(Image.open(path), image)).any()
