"""All that is wrong with a dataset's files, and all that looks as if it might be.

Loading stops at the first thing that is wrong with a dataset's structure; this decodes the files and
goes on to list all that is wrong with their contents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.data.dataset import Dataset
from model.data.files import IMAGE_SUFFIXES, images_in
from model.data.hashing import Progress
from model.data.headers import pixels_of
from model.data.images import open_image, open_mask, orientation_of
from model.data.likeness import Thumbnails, near_copies, thumbnail
from model.data.readers import READERS
from model.data.samples import Sample
from model.data.splits import grouped
from model.errors import DataError

_MOST_OF_AN_IMAGE = 0.5
_UNREAD_SUFFIXES = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl"})
"""Images that no reader takes."""
_MASK_FOLDERS = frozenset({"ground_truth", "mask", "masks"})
_LOSSY = frozenset({".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one sample's files."""

    category: str
    path: str
    message: str
    fatal: bool
    """Whether a run would stop at it."""


@dataclass(frozen=True)
class _Seen:
    """What decoding one sample told."""

    sample: Sample
    problems: tuple[Problem, ...] = ()
    pixels: str | None = None
    """Bits and colours; None where the image cannot be read."""
    thumbnail: Thumbnails | None = None


def find_problems(dataset: Dataset, progress: Progress | None = None) -> list[Problem]:
    """Decode every image and mask and list all that is wrong, instead of stopping at the first.

    ``progress`` is told (images done, images).
    """
    seen: list[_Seen] = []
    with ThreadPoolExecutor(max_workers=4) as pool:  # decoding releases the interpreter's lock
        for done, one in enumerate(pool.map(_look_at, dataset.samples), start=1):
            seen.append(one)
            if progress:
                progress(done, len(dataset.samples))
    return [
        *(problem for one in seen for problem in one.problems),
        *_mixed(seen),
        *_copies(dataset),
        *_near_copies(dataset, seen),
        *_one_sided(dataset),
        *_passed_over(dataset),
    ]


def _look_at(sample: Sample) -> _Seen:
    problems: list[Problem] = []

    def note(message: str, fatal: bool = False) -> None:
        problems.append(Problem(sample.category, str(sample.image_path), message, fatal))

    try:
        image = open_image(sample.image_path)
    except DataError as error:
        note(str(error), fatal=True)
        return _Seen(sample, tuple(problems))
    if (orientation := orientation_of(sample.image_path)) != 1:
        note(f"stored turned (EXIF orientation {orientation}), read upright")
    if not sample.has_truth:
        note("anomalous image without a mask: image metrics only")
    elif sample.label:
        try:
            mask = open_mask(sample, image.size)
        except DataError as error:
            note(str(error), fatal=True)
        else:
            for doubt in _doubts(sample, mask):
                note(doubt)
    return _Seen(sample, tuple(problems), pixels_of(sample.image_path), thumbnail(image))


def _doubts(sample: Sample, mask: NDArray[np.uint8]) -> Iterator[str]:
    """What a readable mask of a defect is hardly meant to be."""
    share = float((mask > 0).mean())
    if share == 0:
        yield "anomalous image whose mask is empty"
    elif share > _MOST_OF_AN_IMAGE:
        yield f"the mask covers {share:.0%} of the image: is it inverted?"
    path = sample.mask_path
    files = images_in(path) if path and path.is_dir() else [path] if path else []
    if any(file.suffix.lower() in _LOSSY for file in files):
        kind = "JPEG" if any(file.suffix.lower() != ".webp" for file in files) else "WebP"
        yield f"the mask is a {kind}: compression blurs its edges"


def _mixed(seen: Sequence[_Seen]) -> Iterator[Problem]:
    """Categories whose images differ in bits or colours, with the rarer ones named: if normal and
    anomalous images differ so, a model may tell them apart by that."""
    for category, members in grouped(seen, lambda one: one.sample.category).items():
        kinds = grouped((one for one in members if one.pixels), lambda one: one.pixels)
        usual = max(kinds, key=lambda kind: len(kinds[kind]), default=None)
        for kind, odd in kinds.items():
            if kind != usual:
                message = (
                    f"{kind}, as are {len(odd)} of {len(members)} images of {category}; the others "
                    f"are {usual}"
                )
                yield from (
                    Problem(category, str(one.sample.image_path), message, fatal=False) for one in odd
                )


def _copies(dataset: Dataset) -> Iterator[Problem]:
    """Test images that are byte for byte training images: they leak."""
    train = {dataset.content[sample]: sample for sample in dataset.train()}
    for sample in dataset.test():
        if twin := train.get(dataset.content[sample]):
            message = f"the same file as training image {twin.image_path}"
            yield Problem(sample.category, str(sample.image_path), message, fatal=False)


def _near_copies(dataset: Dataset, seen: Sequence[_Seen]) -> Iterator[Problem]:
    """Test images that look like a training image saved again: they leak, too."""
    trained = {dataset.content[sample] for sample in dataset.train()}
    readable = [one for one in seen if one.thumbnail is not None]
    for category, members in grouped(readable, lambda one: one.sample.category).items():
        train = [one for one in members if one.sample.split == "train"]
        test = [
            one
            for one in members
            if one.sample.split == "test" and dataset.content[one.sample] not in trained
        ]
        for i, nearest, distance in near_copies(_stacked(test), _stacked(train)):
            message = (
                f"nearly the same as training image {train[nearest].sample.image_path} "
                f"({distance:.1f} grey levels apart, seen small)"
            )
            yield Problem(category, str(test[i].sample.image_path), message, fatal=False)


def _stacked(seen: Sequence[_Seen]) -> Thumbnails:
    return np.array([one.thumbnail for one in seen], np.float64)


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
    beside = {path.with_suffix("") for path in used}
    left_alone = READERS[dataset.config.dataset].left_alone
    stray: dict[Path, int] = defaultdict(int)
    for path in sorted(dataset.root.rglob("*")):
        parts = path.relative_to(dataset.root).parts
        if not path.is_file() or any(part.startswith(".") or part in left_alone for part in parts):
            continue
        suffix = path.suffix.lower()
        if suffix in _UNREAD_SUFFIXES:
            message = f"not read: {path.suffix} is no format of datasets"
            yield Problem(parts[0], str(path), message, fatal=False)
        elif suffix not in IMAGE_SUFFIXES or not _uses_all(dataset) or used & {path, path.parent}:
            continue
        elif _MASK_FOLDERS & set(parts):
            yield Problem(parts[0], str(path), "a mask without an image", fatal=False)
        elif path.with_suffix("") not in beside:  # Magnetic Tile's masks lie beside their images
            stray[path.parent] += 1
    for folder, images in stray.items():
        message = f"not read: the layout has no place for this folder's images ({images})"
        category = folder.relative_to(dataset.root).parts[:1]
        yield Problem("".join(category), str(folder), message, fatal=False)


def _uses_all(dataset: Dataset) -> bool:
    """Whether the study takes every image that the layout has."""
    config = dataset.config
    return (config.max_train, config.max_test, config.categories, config.views) == (None, None, None, "all")
