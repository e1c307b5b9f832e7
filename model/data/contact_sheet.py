"""A picture of what a dataset looks like: a row of images per category and kind, masks outlined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from model.data.counts import StrataOf, count
from model.data.dataset import Dataset
from model.data.images import open_image, open_mask
from model.data.samples import GOOD, Sample
from model.data.splits import ranked
from model.errors import StorageError


@dataclass(frozen=True)
class SheetStyle:
    """Sizes of the contact sheet, pixels."""

    cell: int = 144
    gap: int = 6
    header: int = 22
    columns: int = 6
    outline: tuple[int, int, int] = (255, 40, 40)


def contact_sheet(
    dataset: Dataset, path: Path, style: SheetStyle | None = None, caption: StrataOf | None = None
) -> Path:
    """Write :func:`draw_sheet`'s picture of a whole dataset as a PNG.

    Raises :class:`DataError` for an unreadable image, :class:`StorageError` if ``path`` is not writable.
    """
    sheet = draw_sheet(dataset, style, caption)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, format="PNG")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from None
    return path


def draw_sheet(
    dataset: Dataset,
    style: SheetStyle | None = None,
    caption: StrataOf | None = None,
    category: str | None = None,
) -> Image.Image:
    """What a dataset, or one category of it, looks like: per category and kind a row of images.

    Rows: training, normal test, and each defect type, whose images are shown twice: as they are, and
    with the mask outlined, as an outline hides a faint defect. Which images are shown is drawn by
    ``split_seed``. ``caption`` may add a line of words to each outlined image.
    Raises :class:`DataError` for an unreadable image.
    """
    style = style or SheetStyle()
    rows = _rows(dataset, style.columns, category)
    height = style.cell + style.header + style.gap
    width = style.columns * (style.cell + style.gap) + style.gap
    sheet = Image.new("RGB", (width, height * len(rows) + style.gap), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for row, (title, samples) in enumerate(rows):
        top = row * height + style.gap
        pen.text((style.gap, top + 4), title, fill="black", font=font)
        tiles = [tile for sample in samples for tile in _tiles(sample, style, caption, font)]
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (style.gap + column * (style.cell + style.gap), top + style.header))
    return sheet


def _rows(dataset: Dataset, columns: int, category: str | None) -> list[tuple[str, list[Sample]]]:
    """(title, samples shown) of each row."""
    rows = []
    for entry in count(dataset):
        if category not in (None, entry.category):
            continue
        members = {
            dataset.name_of(sample): sample
            for sample in dataset.samples
            if (sample.category, sample.split, sample.defect_type)
            == (entry.category, entry.split, entry.defect_type)
        }
        places = columns if entry.defect_type == GOOD else max(columns // 2, 1)
        shown = sorted(ranked(members, dataset.config.split_seed)[:places])
        kind = "train" if entry.split == "train" else f"test: {entry.defect_type}"
        missing = f", {entry.missing_masks} without mask" if entry.missing_masks else ""
        rows.append((f"{entry.category}  {kind}  ({entry.images}{missing})", [members[n] for n in shown]))
    return rows


def _fitted(size: tuple[int, int], cell: int) -> tuple[int, int]:
    scale = cell / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _outline(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.bool_]:
    """One-pixel outline around a mask brought to (width, height) ``size``; thin parts survive."""
    # The largest value of each block, as averaging loses streaks of a pixel.
    rows = np.arange(mask.shape[0]) * size[1] // mask.shape[0]
    columns = np.arange(mask.shape[1]) * size[0] // mask.shape[1]
    small = np.zeros((size[1], size[0]), np.bool_)
    where = np.nonzero(mask)
    small[rows[where[0]], columns[where[1]]] = True
    if mask.shape[0] < size[1] or mask.shape[1] < size[0]:
        enlarged = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
        small |= np.asarray(enlarged) > 0
    return ndimage.binary_dilation(small, iterations=2) & ~ndimage.binary_dilation(small)


def _tiles(sample: Sample, style: SheetStyle, caption: StrataOf | None, font: Any) -> list[Image.Image]:
    """A sample's tile; for an anomalous one a second, outlined and captioned one follows."""
    image = open_image(sample.image_path)
    size = _fitted(image.size, style.cell)
    small = image.resize(size, Image.Resampling.BILINEAR)
    if sample.label == 0:
        return [_framed(small, style)]
    pixels = np.array(small)
    if sample.has_truth:
        pixels[_outline(open_mask(sample, image.size), size)] = style.outline
    outlined = _framed(Image.fromarray(pixels), style)
    # What combines strata (faint+broken) repeats them, and a tile is narrow.
    strata = [name for name in caption(sample) if "+" not in name] if caption and sample.has_truth else []
    if strata:
        _write_caption(outlined, " ".join(map(_short, strata)), font)
    return [_framed(small, style), outlined]


def _framed(image: Image.Image, style: SheetStyle) -> Image.Image:
    frame = Image.new("RGB", (style.cell, style.cell), (225, 225, 225))
    frame.paste(image, ((style.cell - image.width) // 2, (style.cell - image.height) // 2))
    return frame


def _short(stratum: str) -> str:
    """``orientation=horizontal`` as ``horizontal``."""
    group, _, name = stratum.rpartition("=")
    return f"no {group}" if name == "none" else name


def _write_caption(tile: Image.Image, words: str, font: Any) -> None:
    pen = ImageDraw.Draw(tile)
    place = (2, tile.height - 13)
    pen.rectangle(pen.textbbox(place, words, font=font), fill="white")
    pen.text(place, words, fill="black", font=font)
