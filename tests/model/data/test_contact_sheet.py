"""Behavioural: the picture of a dataset: which tiles stand where, and what is drawn on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.data.contact_sheet import SheetStyle, contact_sheet, draw_sheet
from model.errors import StorageError
from tests.model.data import layouts
from tests.model.data.test_problems import load


def test_contact_sheet(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    style = SheetStyle(cell=40, columns=4)
    dataset = load(root)
    path = contact_sheet(dataset, tmp_path / "new/sheet.png", style)
    pixels = np.asarray(Image.open(path))
    row = style.cell + style.header + style.gap
    assert pixels.shape == (4 * row + style.gap, 4 * (40 + style.gap) + style.gap, 3)
    red = (pixels == style.outline).all(-1)
    # Outlines in the two rows of defects only, and only in the second tile of each pair.
    assert not red[: 2 * row].any()
    columns = red.any(axis=0).reshape(-1)
    tiles = [columns[style.gap + i * 46 : style.gap + i * 46 + 40].any() for i in range(4)]
    assert tiles == [False, True, False, True]
    captioned = contact_sheet(dataset, tmp_path / "words.png", style, lambda _: ["faint"])
    assert (np.asarray(Image.open(captioned)) != pixels).any()
    short = contact_sheet(
        dataset, tmp_path / "short.png", style, lambda _: ["faintness=faint", "faint+broken"]
    )
    assert (np.asarray(Image.open(short)) == np.asarray(Image.open(captioned))).all()


def test_contact_sheet_that_cannot_be_written(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(tmp_path / "data"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        contact_sheet(dataset, tmp_path / "file/sheet.png")


def test_a_category_has_a_sheet_of_its_own(tmp_path: Path) -> None:
    root = layouts.mvtec(layouts.mvtec(tmp_path / "data", "bottle"), "cable")
    dataset = load(root)
    whole = np.asarray(draw_sheet(dataset))
    cable = np.asarray(draw_sheet(dataset, category="cable"))
    # The second half of the whole; a gap is above each row and below the last.
    assert (whole[-len(cable) + 6 :] == cable[6:]).all()
