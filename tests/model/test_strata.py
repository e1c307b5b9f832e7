"""Strata of defects.

Behavioural throughout, on drawn defects whose answers are known: bars, discs, lines, broken streaks,
single pixels, image borders. Nothing here is reference-checked.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from model.metric_names import STRATUM_NAMES
from model.strata import (
    ALL,
    FAINT,
    GUARD,
    MOST_PIECES,
    RING,
    STRATA,
    RegionStrata,
    defects,
    stratify,
)

SIDE = 128
Mask = np.ndarray
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)


def empty() -> Mask:
    return np.zeros((SIDE, SIDE), dtype=np.uint8)


def bar(top: int, left: int, height: int, width: int) -> Mask:
    mask = empty()
    mask[top : top + height, left : left + width] = 1
    return mask


def disc(y: float, x: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (np.hypot(rows - y, columns - x) <= radius).astype(np.uint8)


def line(angle: float, length: float = 80, thickness: float = 4) -> Mask:
    """A bar through the centre; ``angle`` in degrees, positive rising to the right."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = columns * c - rows * s, rows * c + columns * s
    return ((np.abs(along) <= length / 2) & (np.abs(across) <= thickness / 2)).astype(np.uint8)


def broken(gaps: int, piece: int = 12, gap: int = 8, top: int = 60, left: int = 10) -> Mask:
    """A horizontal streak, 3 pixels thick, of ``gaps + 1`` pieces."""
    mask = empty()
    for k in range(gaps + 1):
        start = left + k * (piece + gap)
        mask[top : top + 3, start : start + piece] = 1
    return mask


def textured(mask: Mask, contrast: float, seed: int = 0) -> np.ndarray:
    """Noise of standard deviation 10 around 120, raised by ``contrast`` deviations on the mask."""
    noise = np.random.default_rng(seed).normal(size=mask.shape)
    return 120 + 10 * (noise + contrast * mask)


def strata_of(image: np.ndarray, mask: Mask) -> tuple[RegionStrata, ...]:
    """The defects of one image."""
    return stratify([image], mask[None]).traits


def only(mask: Mask, contrast: float = 5.0) -> RegionStrata:
    (found,) = strata_of(textured(mask, contrast), mask)
    return found


# --- orientation and elongation -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "orientation", "elongation"),
    [
        pytest.param(bar(60, 30, 4, 60), "horizontal", 15.0, id="horizontal bar"),
        pytest.param(bar(30, 60, 60, 4), "vertical", 15.0, id="vertical bar"),
        pytest.param(disc(64, 64, 12), "none", 1.0, id="disc"),
        pytest.param(bar(50, 50, 20, 20), "none", 1.0, id="square"),
        pytest.param(bar(50, 50, 20, 36), "none", 1.8, id="barely longer than wide"),
        pytest.param(line(45), "none", 20.0, id="45 degrees"),
        pytest.param(line(-45), "none", 20.0, id="-45 degrees"),
        pytest.param(line(20), "horizontal", 20.0, id="20 degrees"),
        pytest.param(line(-20), "horizontal", 20.0, id="-20 degrees"),
        pytest.param(line(25), "none", 20.0, id="25 degrees"),
        pytest.param(line(70), "vertical", 20.0, id="70 degrees"),
        pytest.param(line(-70), "vertical", 20.0, id="-70 degrees"),
        pytest.param(bar(64, 64, 1, 1), "none", 1.0, id="single pixel"),
        pytest.param(bar(64, 30, 1, 40), "horizontal", 40.0, id="one pixel thick"),
        pytest.param(bar(0, 0, 3, SIDE), "horizontal", SIDE / 3, id="along the border"),
    ],
)
def test_orientation(mask: Mask, orientation: str, elongation: float) -> None:
    found = only(mask)
    assert found.orientation == orientation
    assert found.elongation == pytest.approx(elongation, rel=0.12)
    assert found.area == mask.sum()


@pytest.mark.parametrize("angle", [-80, -45, -10, 0, 10, 45, 80])
def test_angle_is_measured(angle: float) -> None:
    assert only(line(angle)).angle == pytest.approx(angle, abs=0.5)


def test_a_vertical_bar_is_at_plus_90_degrees() -> None:
    assert only(bar(30, 60, 60, 4)).angle == 90.0


# --- joining pieces -----------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [1, 2, 4])
@pytest.mark.parametrize("transpose", [False, True], ids=["row", "column"])
def test_a_broken_streak_is_one_defect(gaps: int, transpose: bool) -> None:
    mask = broken(gaps).T if transpose else broken(gaps)
    found = only(mask)
    extent = 12 * (gaps + 1) + 8 * gaps
    assert found.pieces == gaps + 1
    assert found.gap_share == pytest.approx(8 * gaps / extent)
    assert found.brokenness == "broken"
    assert found.orientation == ("vertical" if transpose else "horizontal")
    assert found.box == ((10, 60, 10 + extent, 63) if transpose else (60, 10, 63, 10 + extent))


def test_a_streak_that_drifts_by_two_degrees_is_one_defect() -> None:
    mask = line(2, length=110, thickness=3)
    for start in (20, 45, 80):
        mask[:, start : start + 14] = 0
    found = only(mask)
    assert (found.pieces, found.orientation, found.brokenness) == (4, "horizontal", "broken")


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        pytest.param(disc(64, 40, 8) + disc(64, 70, 8), 2, id="two spots side by side"),
        pytest.param(disc(64, 30, 8) + disc(64, 55, 8) + disc(64, 80, 8), 3, id="three spots in a row"),
        pytest.param(bar(40, 10, 3, 60) + bar(60, 10, 3, 60), 2, id="parallel streaks"),
        pytest.param(bar(40, 10, 3, 60) + bar(45, 20, 3, 60), 2, id="parallel streaks, two pixels apart"),
        pytest.param(bar(60, 10, 3, 20) + bar(60, 90, 3, 20), 2, id="gap longer than both parts"),
        pytest.param(bar(60, 10, 3, 20) + bar(60, 60, 3, 20), 1, id="gap shorter than both parts"),
        pytest.param(bar(60, 10, 3, 20) + bar(66, 40, 3, 20), 2, id="three pixels too far aside"),
        pytest.param(bar(60, 10, 3, 20) + bar(65, 40, 3, 20), 1, id="two pixels aside"),
        pytest.param(bar(20, 20, 60, 3) + bar(40, 40, 3, 3), 2, id="a spot beside a vertical bar"),
        pytest.param(bar(60, 10, 3, 30) + bar(20, 80, 30, 3), 2, id="a horizontal and a vertical bar"),
        pytest.param(np.eye(SIDE, dtype=np.uint8), 1, id="diagonal neighbours touch"),
        pytest.param(empty(), 0, id="nothing"),
    ],
)
def test_what_is_joined(mask: Mask, count: int) -> None:
    labels, found = defects(mask)
    assert found == count
    np.testing.assert_array_equal(labels > 0, mask > 0)
    assert set(np.unique(labels)) - {0} == set(range(1, count + 1))
    assert len(strata_of(textured(mask, 3), mask)) == count


def test_a_part_that_has_grown_bridges_a_longer_gap() -> None:
    short = bar(60, 10, 2, 10) + bar(60, 70, 2, 10)  # 50 apart
    middle = bar(60, 30, 2, 25)
    assert defects(short)[1] == 2
    assert defects(short + middle)[1] == 1


@PROPERTY
@given(hnp.arrays(np.bool_, (9, 24), elements=st.integers(0, 9).map(lambda value: value < 3)))
def test_joining_never_splits_a_piece(mask: np.ndarray) -> None:
    labels, count = defects(mask)
    pieces, _ = ndimage.label(mask, np.ones((3, 3)))
    pairs = set(zip(pieces[mask].tolist(), labels[mask].tolist(), strict=True))
    assert len(pairs) == len({piece for piece, _ in pairs})
    assert set(np.unique(labels)) - {0} == set(range(1, count + 1))


def test_a_speckled_mask_is_measured_without_joining_the_specks() -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[100::4, ::4] = 1  # 39 * 64 specks
    mask[10:13, 10:110] = mask[10:13, 130:230] = 1
    labels, count = defects(mask)
    assert count > MOST_PIECES
    assert labels[11, 20] == labels[11, 200]
    assert len(np.unique(labels)) == count + 1


# --- brokenness ---------------------------------------------------------------------------------


def test_solid() -> None:
    found = only(bar(60, 10, 3, 80))
    assert (found.pieces, found.gap_share, found.brokenness) == (1, 0.0, "solid")


def test_a_hairline_gap_leaves_a_streak_solid() -> None:
    found = only(broken(1, piece=40, gap=1))
    assert (found.pieces, found.brokenness) == (2, "solid")


def test_touching_pieces_of_a_bent_streak_leave_no_gap() -> None:
    found = only(bar(60, 10, 2, 30) + bar(63, 35, 2, 30))
    assert (found.pieces, found.gap_share, found.brokenness) == (2, 0.0, "solid")


# --- faintness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1], ids=["bright", "dark"])
@pytest.mark.parametrize(
    ("contrast", "label"), [(0.5, "faint"), (1.5, "faint"), (3.0, "clear"), (8.0, "clear")]
)
def test_faintness(contrast: float, label: str, sign: int) -> None:
    found = only(bar(60, 20, 4, 80), sign * contrast)
    assert found.contrast == pytest.approx(contrast, abs=0.25)
    assert found.faintness == label


def test_contrast_has_no_unit() -> None:
    mask = broken(3)
    image = textured(mask, 1.0)
    (a,), (b,) = strata_of(image, mask), strata_of(image / 255 - 3, mask)
    assert a.contrast == pytest.approx(b.contrast)


def test_integer_images_do_not_overflow() -> None:
    mask = bar(60, 20, 4, 80)
    image = np.clip(textured(mask, 9), 0, 255).astype(np.uint8)
    (a,), (b,) = strata_of(image, mask), strata_of(image.astype(np.float64), mask)
    assert a == b


def test_surroundings_exclude_other_defects() -> None:
    faint, bright = bar(60, 20, 3, 80), bar(65, 20, 8, 80)
    image = textured(faint, 0.5) + 500.0 * bright
    first, second = strata_of(image, faint + bright)
    assert first.contrast < FAINT < second.contrast


def test_surroundings_keep_their_distance_from_a_neighbour_just_outside_them() -> None:
    mask = bar(40, 20, 4, 80)
    neighbour = bar(44 + RING, 20, 20, 80)  # touches the ring's outermost row
    image = textured(mask, 3.0)
    image[44 + RING - GUARD : 44 + RING, 20:100] += 500  # its blurred edge
    found = strata_of(image, mask + neighbour)[0]
    assert found.contrast == pytest.approx(3.0, abs=0.25)


def test_surroundings_are_local() -> None:
    mask = bar(60, 20, 4, 80)
    image = textured(mask, 3.0)
    image[:40] += 1000
    assert strata_of(image, mask)[0].contrast == pytest.approx(3.0, abs=0.25)


def test_flat_surroundings() -> None:
    mask = bar(60, 20, 4, 80)
    flat = np.full(mask.shape, 0.1)
    assert strata_of(flat, mask)[0].contrast == 0.0
    found = strata_of(flat + 0.01 * mask, mask)[0]
    assert (found.contrast, found.faintness) == (math.inf, "clear")


def test_no_surroundings() -> None:
    (found,) = strata_of(textured(np.ones_like(empty()), 0), np.ones_like(empty()))
    assert math.isnan(found.contrast)
    assert found.faintness == "unknown"
    assert not any(member(found) for name, member in STRATA.items() if name.startswith("faintness"))


@pytest.mark.parametrize(
    "mask",
    [bar(0, 0, 3, 40), bar(SIDE - 3, SIDE - 40, 3, 40), bar(50, SIDE - 2, 40, 2), bar(0, 0, 1, 1)],
    ids=["top left", "bottom right", "right edge", "corner pixel"],
)
def test_defects_at_the_border(mask: Mask) -> None:
    found = only(mask, 4.0)
    assert found.contrast == pytest.approx(4.0, abs=2.5 if mask.sum() == 1 else 0.5)
    assert found.pieces == 1


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="image and mask"):
        strata_of(np.zeros((4, 4, 3)), np.zeros((4, 4)))
    with pytest.raises(ValueError, match="image and mask"):
        stratify([np.zeros((4, 5))], np.zeros((1, 4, 4)))


# --- a dataset ----------------------------------------------------------------------------------


def dataset() -> dict[str, Any]:
    """Faint broken streak | clear vertical bar + small disc | two good images | faint disc."""
    masks = np.stack([broken(3), bar(20, 60, 70, 6) + disc(100, 20, 4), empty(), empty(), disc(64, 64, 15)])
    contrast = [0.8, 6.0, 0.0, 0.0, 0.5]
    images = np.stack(
        [textured(mask, c, seed) for seed, (mask, c) in enumerate(zip(masks, contrast, strict=True))]
    )
    return {"images": images, "masks": masks, "labels": np.array([1, 1, 0, 0, 1])}


def test_strata_are_the_named_ones() -> None:
    assert tuple(STRATA) == STRATUM_NAMES


def test_strata_of_a_dataset() -> None:
    data = dataset()
    strata = stratify(iter(data["images"]), data["masks"])
    expected = [
        one
        for image, mask in zip(data["images"], data["masks"], strict=True)
        for one in strata_of(image, mask)
    ]
    assert list(strata.traits) == expected
    assert strata.regions.image.tolist() == [0, 1, 1, 4]
    assert strata.regions.areas.tolist() == [one.area for one in expected]
    assert strata.labels(0) == (
        "orientation=horizontal",
        "faintness=faint",
        "brokenness=broken",
        "broken+horizontal",
        "faint+broken+horizontal",
    )
    # The bar outweighs the disc.
    assert strata.labels(1) == ("orientation=vertical", "faintness=clear", "brokenness=solid")
    assert strata.labels(2) == ()
    assert strata.images(ALL).tolist() == [True, True, False, False, True]


def test_an_image_of_two_equal_halves_belongs_to_neither() -> None:
    mask = bar(20, 20, 4, 60) + bar(50, 100, 60, 4)
    strata = stratify([textured(mask, 6)], mask[None])
    assert strata.labels(0) == ("faintness=clear", "brokenness=solid")


@pytest.mark.parametrize("chosen", [[4, 0], [2], [True, False, True, True, False]])
def test_selected_strata_are_those_of_the_selected_images(chosen: list[Any]) -> None:
    data, index = dataset(), np.array(chosen)
    got = stratify(data["images"], data["masks"]).select(index)
    expected = stratify(data["images"][index], data["masks"][index])
    assert got.traits == expected.traits
    for name in ("of_pixel", "areas", "image", "pixels"):
        np.testing.assert_array_equal(getattr(got.regions, name), getattr(expected.regions, name))


def test_nothing_to_stratify() -> None:
    strata = stratify([textured(empty(), 0)], empty()[None])
    assert strata.traits == ()
    assert not any(strata.images(name).any() for name in STRATA)
