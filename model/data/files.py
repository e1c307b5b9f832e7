"""Finding images in folders, and saying in one line what is missing. Nothing is decoded here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from model.errors import DataError
from model.suggest import suggestion

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
GOOD_NAMES = frozenset({"good", "ok"})
"""What published layouts call the folder of normal images."""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Visible entries of a folder by name (``.DS_Store`` and ``._x`` are no images)."""
    try:
        with os.scandir(folder) as scan:
            visible = [entry for entry in scan if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise DataError(f"{folder} is a file, a folder is expected there") from None
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}") from None
    for entry in visible:
        if not _is_text(entry.name):  # no record of it could be written
            name = os.fsencode(entry.name)
            raise DataError(f"the name {name!r} in {folder} is no text", hint="rename it")
    return sorted(visible, key=lambda entry: entry.name)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def images_in(folder: Path) -> list[Path]:
    """Image files directly in ``folder``, by name; none if it does not exist.

    A link that leads nowhere is one of them: who reads it says so, instead of the image going missing.
    """
    return [
        folder / entry.name
        for entry in _entries(folder)
        if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and not entry.is_dir()
    ]


def images_below(folder: Path) -> list[Path]:
    """Image files in ``folder`` and all its sub-folders, by path."""
    nested = [image for child in folders_in(folder) for image in images_below(folder / child)]
    return sorted(images_in(folder) + nested)


def folders_in(folder: Path) -> list[str]:
    """Names of the sub-folders of ``folder``, sorted; none if it does not exist."""
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def existing_folder(path: Path, what: str) -> Path:
    """``path`` if it is a folder; a :class:`DataError` naming it and ``what`` it is otherwise."""
    if not path.exists():
        raise DataError(f"{what} {path} does not exist")
    if not path.is_dir():
        raise DataError(f"{what} {path} is a file, a folder is expected")
    return path


def unknown_category(name: str, known: Sequence[str], how: str, where: str | None = None) -> DataError:
    """The error for a category that is none of those ``known``; ``how`` they are (``found``)."""
    near = suggestion(name, known, list_all=False)
    said = f"unknown category '{name}'{f', {near}' if near else ''}"
    return DataError(said, where=where, hint=f"{how}: {', '.join(sorted(known))}")


def choose(found: Sequence[str], wanted: Sequence[str] | None, root: Path) -> list[str]:
    """The categories to read: ``wanted`` among those ``found`` below ``root``, or all of them.

    Raises :class:`DataError` where none was found or a wanted one is not among them.
    """
    if not found:
        raise DataError(f"no category found in {root}", hint="is this the dataset's root and layout?")
    if wanted is None:
        return sorted(found)
    for name in wanted:
        if name not in found:
            raise unknown_category(name, found, "found", str(root))
    return sorted(set(wanted))


def masks_by_stem(folder: Path) -> dict[str, Path]:
    """Mask files of ``folder`` by the stem of their image: ``000.png`` and ``000_mask.png`` are 000's.

    Where both exist the one with the suffix wins.
    """
    files = images_in(folder)
    plain = {path.stem: path for path in files}
    marked = {path.stem.removesuffix("_mask"): path for path in files if path.stem.endswith("_mask")}
    return {**plain, **marked}


def masks_of(images: Sequence[Path], masks: Mapping[str, Path], folder: Path) -> list[Path]:
    """The mask of each defect image of a kind; :class:`DataError` naming every image without one."""
    lacking = [image for image in images if image.stem not in masks]
    if lacking:
        first = lacking[0]
        others = ", ".join(image.name for image in lacking[1:])
        raise DataError(
            f"defect image {first} has no mask" + (f", nor have {others} beside it" if others else ""),
            hint=f"expected {folder / first.stem}.png or {first.stem}_mask.png; "
            "for images without masks use dataset: folder",
        )
    return [masks[image.stem] for image in images]


def require_only_good(train: Path) -> None:
    """Refuse a train folder that has anything but normal images in ``good`` (or ``ok``)."""
    for name in folders_in(train):
        if name.lower() not in GOOD_NAMES:
            raise DataError(
                f"training folder {train / name} is not one of normal images",
                hint="training must not see defects: move it to test, or name it 'good'",
            )
    if stray := images_in(train):
        raise DataError(f"image {stray[0]} lies outside {train / 'good'}", hint="move it into 'good'")


def require_no_defects(train: Path) -> None:
    """Refuse a train folder with a sub-folder that a defect type might name: only normal ones train.

    For plain folders, where ``train`` may hold images directly, or sub-folders called normal, good, ok.
    """
    for name in folders_in(train):
        if name.lower() not in GOOD_NAMES | {"normal"}:
            raise DataError(
                f"training folder {train / name} is not one of normal images",
                hint="training must not see defects: move it to 'abnormal', or name it 'normal'",
            )
