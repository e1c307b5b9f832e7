"""Which layout a folder has: what ``ablate init --from-data`` asks before anyone has written a study.

A sign is looked for in the names of folders alone. What it means is then for the layout's reader to say:
whatever the reader refuses is refused here, with the reader's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model.data.config import DataConfig, DatasetName
from model.data.dataset import Dataset, load_dataset
from model.data.files import IMAGE_SUFFIXES, existing_folder, folders_in, images_in
from model.data.hashing import Progress
from model.data.readers import READERS
from model.data.readers.folder import has_normal
from model.data.readers.visa import SPLIT
from model.errors import DataError

_DEPTH = 2
"""Folders that an archive may have wrapped around a dataset."""
_SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
_PARTS = frozenset({"train", "test", "ground_truth"})
"""Folders that layouts of published datasets have, in this spelling."""
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".xz", ".7z", ".rar"})


@dataclass(frozen=True)
class Recognised:
    """A folder whose layout is known."""

    config: DataConfig
    """Its layout, its root (which may lie below or above the folder that was given) and, where only one
    category of the root was given, that one."""
    dataset: Dataset
    """What it holds, as a study would use it."""
    notes: tuple[str, ...]
    """How the folder that was given was understood, where that is not plain."""


def recognise(folder: Path, *, cache_dir: Path, progress: Progress | None = None) -> Recognised:
    """The layout of ``folder``, and what a study would find in it.

    ``cache_dir`` remembers file hashes, ``progress`` is told of files being hashed; see
    :func:`model.data.dataset.load_dataset`.

    Raises
    ------
    DataError: there is no such folder, no layout or several fit, or its reader refuses what is there.
    """
    existing_folder(folder, "folder")
    places = list(_places(folder))
    if len(places) > 1:
        found = ", ".join(f"{root} ({name})" for name, root in places[:5])
        raise DataError(f"{folder} holds several datasets: {found}", hint="give the folder of one of them")
    if places:
        ((name, root),) = places
        notes = () if root == folder else (f"The dataset lies in {root}.",)
        return _read(name, root, None, cache_dir, progress, notes)
    # One category instead of the folder that holds it, even where its parent is not named ("." or "..").
    whole = folder.absolute()
    layout = _layout_of_category(whole)
    if layout is not None:
        parent = folder.parent if folder.name not in ("", "..") else whole.parent
        notes = (f"{folder} is a single category; those beside it in {parent} are left out.",)
        return _read(layout, parent, whole.name, cache_dir, progress, notes)
    raise _unknown(folder)


def _read(
    name: DatasetName,
    root: Path,
    category: str | None,
    cache_dir: Path,
    progress: Progress | None,
    notes: tuple[str, ...],
) -> Recognised:
    config = DataConfig(dataset=name, root=str(root), categories=(category,) if category else None)
    return Recognised(config, load_dataset(config, cache_dir=cache_dir, progress=progress), notes)


def _places(folder: Path, depth: int = 0) -> Iterator[tuple[DatasetName, Path]]:
    """(layout, root) of the dataset in a folder or, where that has none, of those below."""
    _require_the_layouts_spelling(folder)
    if _layout_of_category(folder) is not None or _is_visa_without_its_split(folder):
        return
    name = layout_of(folder)
    if name == "folder" and not has_normal(folder):
        _require_no_splits(folder)
    below = []
    if depth < _DEPTH and (name is None or (name == "folder" and not has_normal(folder))):
        below = [place for child in folders_in(folder) for place in _places(folder / child, depth + 1)]
    # Plain folders side by side are categories; beside another layout they are a dataset of their own.
    if name is None or any(layout != "folder" for layout, _ in below):
        yield from below
    else:
        yield name, folder


def _require_the_layouts_spelling(folder: Path) -> None:
    """Refuse ``Train`` beside ``test``: what is in it would be taken for something else."""
    for base in (folder, *(folder / name for name in folders_in(folder))):
        for name in folders_in(base):
            if name.lower() in _PARTS and name != name.lower():
                raise DataError(f"layouts write {base / name} in small letters", hint="rename it")


def _require_no_splits(folder: Path) -> None:
    """Refuse plain folders whose categories would be the parts of a split."""
    splits = [name for name in folders_in(folder) if name.lower() in _SPLITS]
    if splits:
        raise DataError(
            f"{folder} is split into {', '.join(splits)}, but not as a layout has it",
            hint=f"expected: {READERS['mvtec'].layout}",
        )


def layout_of(root: Path) -> DatasetName | None:
    """The name of the layout whose root a folder looks like, None if it looks like none."""
    if _layout_of_category(root) is not None:  # whose train/good would pass for a plain folder
        return None
    return next((name for name, sign in _SIGNS if sign(root)), None)


def _layout_of_category(folder: Path) -> DatasetName | None:
    """The layout of a folder that looks like one category of a dataset."""
    return next((name for name, sign in _CATEGORY_SIGNS if sign(folder)), None)


def _has(*names: str) -> Callable[[Path], bool]:
    """Whether all these folders are in a folder."""
    return lambda folder: all((folder / name).is_dir() for name in names)


def _folder_per_mask(category: Path) -> bool:
    """MVTec LOCO: ``ground_truth/<type>/<stem>/`` holds an image's masks."""
    truth = category / "ground_truth"
    return _has("train", "test")(category) and any(folders_in(truth / kind) for kind in folders_in(truth))


def _lists(root: Path) -> bool:
    """Real-IAD: lists of images beside the folders of them."""
    return any((root / name).is_dir() for name in ("realiad_jsons", "realiad_jsons_sv"))


_CATEGORY_SIGNS: tuple[tuple[DatasetName, Callable[[Path], bool]], ...] = (
    ("mvtec_ad2", _has("train", "test_public")),
    ("loco", _folder_per_mask),
    ("btad", _has("train/ok", "test")),
    ("mvtec", _has("train", "test")),
)
"""Signs of one category, the more special before the more general."""


def _any_category(sign: Callable[[Path], bool]) -> Callable[[Path], bool]:
    return lambda root: any(sign(root / name) for name in folders_in(root))


_SIGNS: tuple[tuple[DatasetName, Callable[[Path], bool]], ...] = (
    ("visa", lambda root: (root / SPLIT).is_file()),
    ("realiad", _lists),
    ("magnetic_tile", _has("MT_Free")),
    *((name, _any_category(sign)) for name, sign in _CATEGORY_SIGNS),
    ("folder", lambda root: has_normal(root) or _any_category(has_normal)(root)),
)
"""Signs of a dataset's root, in the order in which they are looked for."""


def _is_visa_without_its_split(folder: Path) -> bool:
    """Each of its categories would pass for a plain folder, two levels down."""
    return _any_category(_has("Data/Images"))(folder) and not (folder / SPLIT).is_file()


def _unknown(folder: Path) -> DataError:
    """What to do about a folder that has no layout, as nearly as its contents tell."""
    below = folders_in(folder)
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    if _is_visa_without_its_split(folder):
        return DataError(f"{folder} is VisA without its split", hint=f"expected {folder / SPLIT}")
    if images_in(folder):
        return DataError(
            f"images lie directly in {folder}: nothing says which are normal",
            hint="move them into folders 'normal' and 'abnormal'",
        )
    if not below and any(path.suffix.lower() in _ARCHIVES for path in files):
        return DataError(f"{folder} holds archives", hint="unpack them first")
    if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*")):
        return DataError(
            f"no images in {folder}", hint=f"they end in one of {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    layouts = "; ".join(f"{READERS[name].name}: {READERS[name].layout}" for name in ("mvtec", "folder"))
    found = ", ".join(below[:8]) + (", ..." if len(below) > 8 else "")
    return DataError(f"{folder} has no layout that is known; in it: {found}", hint=f"known are {layouts}")
