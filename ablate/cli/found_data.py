"""``ablate init --from-data``: what a folder of images says about the study that is to be written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model.data.counts import Count, count
from model.data.readers import READERS
from model.data.recognise import Recognised, recognise
from model.data.samples import GOOD
from model.data.splits import grouped
from model.errors import DataError

_MOST_LISTED = 20
_WIDTH = 100


def found_options(folder: Path, cache_dir: Path) -> dict[str, Any]:
    """Fields of :class:`ablate.cli.starter.Options` that the data decide.

    Raises
    ------
    DataError: no layout is recognised, or what is there does not follow it.
    """
    found = recognise(folder, cache_dir=cache_dir)
    if "${" in str(found.config.root):
        raise DataError(
            f"a study would take part of the name {found.config.root} for a variable of the environment",
            hint="rename the folder, or give a link to it",
        )
    return {
        "dataset": found.config.dataset,
        "root": found.config.root,
        "categories": found.config.categories or (),
        "found": found.dataset.categories,
        "comment": tuple(line for text in _described(found) for line in _wrapped(text)),
    }


def _described(found: Recognised) -> Iterator[str]:
    """What was found, a sentence or a category each."""
    dataset = found.dataset
    categories = "1 category" if len(dataset.categories) == 1 else f"{len(dataset.categories)} categories"
    yield (
        f"Data: {READERS[found.config.dataset].description}. {categories}, "
        f"{len(dataset.train())} images to train on, {len(dataset.test())} to test on."
    )
    yield from found.notes
    rows = grouped(count(dataset), lambda row: row.category)
    for category, counts in list(rows.items())[:_MOST_LISTED]:
        yield f"  {category}: {_counted(counts)}"
    if len(rows) > _MOST_LISTED:
        yield f"  and {len(rows) - _MOST_LISTED} more"
    yield from _lacking(rows)
    yield "ablate data check THIS_FILE   opens every image and mask, and says what is wrong with them"


def _counted(counts: Sequence[Count]) -> str:
    train = sum(row.images for row in counts if row.split == "train")
    normal = sum(row.images for row in counts if row.split == "test" and row.defect_type == GOOD)
    defects = [row for row in counts if row.defect_type != GOOD]
    kinds = ", ".join(f"{row.defect_type} {row.images}" for row in defects)
    anomalous = f"{sum(row.images for row in defects)} anomalous{f' ({kinds})' if kinds else ''}"
    return f"{train} to train on, {normal} normal and {anomalous} to test on"


def _lacking(rows: dict[str, list[Count]]) -> Iterator[str]:
    """What no metric can do without."""
    for category, counts in rows.items():
        tested = {row.defect_type == GOOD for row in counts if row.split == "test"}
        for good, what in ((True, "normal"), (False, "anomalous")):
            if good not in tested:
                yield f"{category} has no {what} test images: its metrics are undefined."
    unmasked = sum(row.missing_masks for counts in rows.values() for row in counts)
    if unmasked:
        yield f"Anomalous images without a mask: {unmasked}. Metrics of pixels leave them out."


def _wrapped(text: str) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, _WIDTH, subsequent_indent=f"{indent}    ")
