"""A dataset as a study uses it: samples, splits and a fingerprint of everything that is read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from model.data.config import GENERATOR_VERSION, DataConfig
from model.data.files import images_in, unknown_category
from model.data.hashing import FileHashes, Progress
from model.data.readers import READERS
from model.data.samples import Sample
from model.data.splits import SplitName, grouped, halves, name_of, subsample
from model.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """The samples of a study, sorted by category, split (test before train) and path."""

    config: DataConfig
    root: Path
    samples: tuple[Sample, ...]
    splits: dict[Sample, SplitName] = field(repr=False)
    """Sample -> train, selection or report; without selection, all test samples report."""
    fingerprints: dict[str, str] = field(repr=False)
    """Category -> hash of its samples' contents, labels and splits. It depends neither on where the
    dataset lies nor on the other categories."""
    content: dict[Sample, str] = field(repr=False)
    """Sample -> hash of its image file."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories in use, sorted."""
        return tuple(sorted(self.fingerprints))

    @property
    def fingerprint(self) -> str:
        """Hash of all categories' fingerprints, hex."""
        return self.fingerprint_of(self.categories)

    def fingerprint_of(self, categories: Iterable[str]) -> str:
        """Hash of some categories' fingerprints, hex: what a run trained on them depends on."""
        return _digest([[name, self.fingerprints[name]] for name in sorted(set(categories))])

    def train(self, category: str | None = None) -> tuple[Sample, ...]:
        """Training samples (all normal) of a category, or of all."""
        return self._where("train", category)

    def test(self, category: str | None = None, split: SplitName | None = None) -> tuple[Sample, ...]:
        """Test samples of a category (or all), of the ``selection`` or ``report`` split (or both)."""
        chosen = self._where("test", category)
        return chosen if split is None else tuple(s for s in chosen if self.splits[s] == split)

    def split_of(self, sample: Sample) -> SplitName:
        """Which split a sample belongs to: train, selection or report."""
        return self.splits[sample]

    def name_of(self, sample: Sample) -> str:
        """A sample's path below the root, the same wherever the dataset lies."""
        return name_of(sample, self.root)

    def _where(self, split: str, category: str | None) -> tuple[Sample, ...]:
        if category is not None and category not in self.fingerprints:
            raise unknown_category(category, self.categories, "in use")
        return tuple(s for s in self.samples if s.split == split and category in (None, s.category))


def load_dataset(config: DataConfig, *, cache_dir: Path, progress: Progress | None = None) -> Dataset:
    """Read a dataset's structure, draw its subsets and splits, and fingerprint what is used.

    Images are not decoded: that they can be is found out when they are, or by ``model.data.problems``.
    ``cache_dir`` remembers file hashes and holds the built-in dataset; ``progress`` is told of the
    files being hashed (the first time only).
    Raises :class:`DataError` naming the folder or file that is not as the layout has it.
    """
    reader = READERS[config.dataset]
    root = reader.locate(config, cache_dir)
    samples = _ordered(reader.read(root, config), root)
    _require_both_parts(samples, root, config)
    available = Counter(s.category for s in samples if s.split == "train")
    samples = _contaminated(_subsampled(samples, config, root), config, root, available)
    samples = _ordered(samples, root)
    splits: dict[Sample, SplitName] = {
        sample: "train" if sample.split == "train" else "report" for sample in samples
    }
    if config.selection == "half":
        tested = [sample for sample in samples if sample.split == "test"]
        splits.update(halves(tested, config.split_seed, root))
    masks = {sample: _mask_files(sample) for sample in samples}
    paths = [path for sample in samples for path in (sample.image_path, *masks[sample])]
    hashes = FileHashes(cache_dir, root).of(paths, progress)
    return Dataset(
        config=config,
        root=root,
        samples=tuple(samples),
        splits=splits,
        fingerprints={
            category: _fingerprint(members, splits, masks, hashes, root, config)
            for category, members in grouped(samples, lambda s: s.category).items()
        },
        content={sample: hashes[sample.image_path] for sample in samples},
    )


def _ordered(samples: Iterable[Sample], root: Path) -> list[Sample]:
    return sorted(samples, key=lambda s: (s.category, s.split, name_of(s, root)))


def _require_both_parts(samples: Sequence[Sample], root: Path, config: DataConfig) -> None:
    layout = READERS[config.dataset].layout
    by_category = grouped(samples, lambda s: s.category)
    for category in config.categories or ():
        by_category.setdefault(category, [])
    for category, members in by_category.items():
        for split, what in (("train", "normal training"), ("test", "test")):
            if not any(sample.split == split for sample in members):
                raise DataError(
                    f"category '{category}' has no {what} images in {root}", hint=f"expected: {layout}"
                )
    if not by_category:
        raise DataError(f"no images in {root}", hint=f"expected: {layout}")


def _subsampled(samples: Sequence[Sample], config: DataConfig, root: Path) -> list[Sample]:
    limits = {"train": config.max_train, "test": config.max_test}
    strata = grouped(samples, lambda s: (s.category, s.split, s.label, s.defect_type))
    return [
        sample
        for members in strata.values()
        for sample in subsample(members, limits[members[0].split], config.split_seed, root)
    ]


def _contaminated(
    samples: Sequence[Sample], config: DataConfig, root: Path, available: Mapping[str, int]
) -> list[Sample]:
    """Defects moved from test to training, so that they are ``config.contamination`` of its images.

    Those that ``config.reserve`` asks for beyond them are left out. ``available``: training images of each
    category before ``max_train``.
    """
    asked = {*config.reserve, (config.contamination, config.max_train)}
    moved: set[Sample] = set()
    reserved: set[Sample] = set()
    for category, members in grouped(samples, lambda s: s.category).items():
        normal = available[category]
        wanted = {
            (share, limit): _defects_for(share, min(normal, limit or normal)) for share, limit in asked
        }
        defects = [s for s in members if s.split == "test" and s.label == 1]
        share, limit = max(wanted, key=lambda level: (wanted[level], level[0]))
        most = wanted[share, limit]
        if most and most >= len(defects):
            raise DataError(
                f"data.contamination {share:g} needs {most} defects of '{category}' "
                f"for training, and there are {len(defects)}: none would be left to test on",
                hint="lower it, or data.max_train",
            )
        own = wanted[config.contamination, config.max_train]
        moved |= set(subsample(defects, own, config.split_seed, root))
        reserved |= set(subsample(defects, most, config.split_seed, root))
    kept = (s for s in samples if s in moved or s not in reserved)
    return [replace(s, split="train") if s in moved else s for s in kept]


def _defects_for(share: float, normal: int) -> int:
    """Defects that are ``share`` of the training images beside so many normal ones; at least one if any."""
    return max(round(normal * share / (1 - share)), 1) if share else 0


def _mask_files(sample: Sample) -> list[Path]:
    if sample.mask_path is None:
        return []
    return images_in(sample.mask_path) if sample.mask_path.is_dir() else [sample.mask_path]


def _digest(values: object) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _fingerprint(
    samples: Sequence[Sample],
    splits: dict[Sample, SplitName],
    masks: dict[Sample, list[Path]],
    hashes: dict[Path, str],
    root: Path,
    config: DataConfig,
) -> str:
    """Of one category: names (they order training), labels, splits and contents."""
    generator = GENERATOR_VERSION if config.dataset == "stripes" else None
    rows = [
        [
            name_of(sample, root),
            sample.label,
            sample.defect_type,
            splits[sample],
            hashes[sample.image_path],
            [hashes[path] for path in masks[sample]],
        ]
        for sample in samples
    ]
    return _digest([generator, rows])
