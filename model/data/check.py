"""What ``ablate data check`` shows: counts, every problem at once, and a contact sheet.

Loading stops at the first thing that is wrong with a dataset's structure; this decodes the files and
goes on to list all that is wrong with their contents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from model.data.dataset import Dataset
from model.data.files import IMAGE_SUFFIXES
from model.data.hashing import Progress
from model.data.images import open_image, open_mask, orientation_of
from model.data.samples import GOOD, Sample
from model.data.splits import grouped, ranked
from model.errors import DataError, StorageError

if TYPE_CHECKING:
    import pandas as pd

_MOST_OF_AN_IMAGE = 0.5
_UNREAD_SUFFIXES = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl"})
"""Images that no reader takes."""
_MASK_FOLDERS = frozenset({"ground_truth", "mask", "masks"})

StrataOf = Callable[[Sample], Iterable[str]]
"""Names of the strata a sample belongs to, such as ``horizontal`` and ``faint``."""


@dataclass(frozen=True)
class Count:
    """How many images one category has of one kind."""

    category: str
    split: str
    """``train`` or ``test``."""
    defect_type: str
    images: int
    selection: int
    """How many of them are in the selection split."""
    missing_masks: int
    """Anomalous images without a mask: they count for image metrics only."""


@dataclass(frozen=True)
class StratumCount:
    """How many anomalous images of one category belong to one stratum."""

    category: str
    stratum: str
    images: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one sample's files."""

    category: str
    path: str
    message: str
    fatal: bool
    """Whether a run would stop at it."""


def count(dataset: Dataset) -> list[Count]:
    """Images per category, split and defect type: training first, then good, then the defects."""
    strata = grouped(dataset.samples, lambda s: (s.category, s.split == "test", s.label, s.defect_type))
    return [
        Count(
            members[0].category,
            members[0].split,
            members[0].defect_type,
            len(members),
            sum(dataset.split_of(sample) == "selection" for sample in members),
            sum(not sample.has_truth for sample in members),
        )
        for _, members in sorted(strata.items())
    ]


def count_strata(dataset: Dataset, strata_of: StrataOf) -> list[StratumCount]:
    """Anomalous test images with a mask per category and stratum; an image may be in several."""
    counts: Counter[tuple[str, str]] = Counter()
    for sample in dataset.test():
        if sample.label and sample.has_truth:
            counts.update((sample.category, stratum) for stratum in set(strata_of(sample)))
    return [StratumCount(category, stratum, n) for (category, stratum), n in sorted(counts.items())]


def frame(rows: Sequence[Count] | Sequence[StratumCount] | Sequence[Problem]) -> pd.DataFrame:
    """Records as a frame, one column per field."""
    import pandas as pd  # here, because it takes half a second that only this needs

    return pd.DataFrame([asdict(row) for row in rows])


def _problems_of(sample: Sample) -> list[Problem]:
    def problem(message: str, fatal: bool) -> list[Problem]:
        return [Problem(sample.category, str(sample.image_path), message, fatal)]

    try:
        size = open_image(sample.image_path).size
        if not sample.has_truth:
            return problem("anomalous image without a mask: image metrics only", fatal=False)
        mask = open_mask(sample, size)
    except DataError as error:
        return problem(str(error), fatal=True)
    if sample.label and not mask.any():
        return problem("anomalous image whose mask is empty", fatal=False)
    if sample.label and (share := float((mask > 0).mean())) > _MOST_OF_AN_IMAGE:
        return problem(f"the mask covers {share:.0%} of the image: is it inverted?", fatal=False)
    if sample.mask_path and sample.mask_path.suffix.lower() in (".jpg", ".jpeg"):
        return problem("the mask is a JPEG: compression blurs its edges", fatal=False)
    if (orientation := orientation_of(sample.image_path)) != 1:
        return problem(f"stored turned (EXIF orientation {orientation}), read upright", fatal=False)
    return []


def find_problems(dataset: Dataset, progress: Progress | None = None) -> list[Problem]:
    """Decode every image and mask and list all that is wrong, instead of stopping at the first."""
    found: list[Problem] = []
    with ThreadPoolExecutor(max_workers=4) as pool:  # decoding releases the interpreter's lock
        for done, problems in enumerate(pool.map(_problems_of, dataset.samples), start=1):
            found += problems
            if progress:
                progress(done, len(dataset.samples))
    return [*found, *_duplicates(dataset), *_one_sided(dataset), *_passed_over(dataset)]


def _one_sided(dataset: Dataset) -> Iterator[Problem]:
    """Categories whose test images are all normal, or all anomalous: nothing can be told apart."""
    for category in dataset.categories:
        labels = {sample.label for sample in dataset.test(category)}
        for label, what in ((0, "normal"), (1, "anomalous")):
            if label not in labels:
                message = f"category {category} has no {what} test images: image metrics are undefined"
                yield Problem(category, str(dataset.root), message, fatal=False)


def _passed_over(dataset: Dataset) -> Iterator[Problem]:
    """Files of a dataset that nobody reads though they look as if somebody should."""
    used = {path for sample in dataset.samples for path in (sample.image_path, sample.mask_path) if path}
    whole = dataset.config.max_test is None and dataset.config.categories is None
    for path in sorted(dataset.root.rglob("*")):
        parts = path.relative_to(dataset.root).parts
        if not path.is_file() or any(part.startswith(".") for part in parts):
            continue
        if path.suffix.lower() in _UNREAD_SUFFIXES:
            yield Problem(
                parts[0], str(path), f"not read: {path.suffix} is no format of datasets", fatal=False
            )
        elif (
            whole
            and path.suffix.lower() in IMAGE_SUFFIXES
            and _MASK_FOLDERS & set(parts)
            and not used & {path, path.parent}
        ):
            yield Problem(parts[0], str(path), "a mask without an image", fatal=False)


def _duplicates(dataset: Dataset) -> Iterator[Problem]:
    """Test images that are byte for byte training images: they leak."""
    train = {dataset.content[sample]: sample for sample in dataset.train()}
    for sample in dataset.test():
        if twin := train.get(dataset.content[sample]):
            message = f"the same file as training image {twin.image_path}"
            yield Problem(sample.category, str(sample.image_path), message, fatal=False)


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
    """Write a PNG of what the dataset looks like: per category and kind a row of images.

    Rows: training, normal test, and each defect type, whose images are shown twice: as they are, and
    with the mask outlined, as an outline hides a faint defect. Which images are shown is drawn by
    ``split_seed``. ``caption`` may add a line of words to each outlined image.
    Raises :class:`DataError` for an unreadable image, :class:`StorageError` if ``path`` is not writable.
    """
    style = style or SheetStyle()
    rows = _rows(dataset, style.columns)
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, format="PNG")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from None
    return path


def _rows(dataset: Dataset, columns: int) -> list[tuple[str, list[Sample]]]:
    """(title, samples shown) of each row."""
    rows = []
    for entry in count(dataset):
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
