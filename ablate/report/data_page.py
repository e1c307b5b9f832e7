"""What ``ablate data check`` found, as one page: counts, strata, notes and the contact sheet by category.

Like the report, it is one file that loads nothing, and everything that comes from data or names is
escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from ablate.report import inside
from model.data.contact_sheet import draw_sheet
from model.data.counts import StrataOf, count, count_strata
from model.data.dataset import Dataset
from model.data.problems import Problem
from model.data.readers import READERS
from model.data.splits import grouped
from model.files import write_bytes

_QUALITY = 85
"""Of the JPEGs: a sheet of photographs is a tenth of its PNG."""


def write_data_page(
    path: Path, name: str, dataset: Dataset, problems: Sequence[Problem], strata_of: StrataOf | None
) -> Path:
    """Write the page and return its path.

    Parameters
    ----------
    name: the study's.
    problems: as :func:`model.data.problems.find_problems` lists them.
    strata_of: names a sample's strata; None where files are broken: the page then has neither strata nor
        pictures.

    Raises
    ------
    StorageError: the file cannot be written.
    """
    # File names may hold bytes that are no text.
    write_bytes(path, render(name, dataset, problems, strata_of).encode("utf-8", "backslashreplace"))
    return path


def render(name: str, dataset: Dataset, problems: Sequence[Problem], strata_of: StrataOf | None) -> str:
    """The page as HTML; see :func:`write_data_page`."""
    counts = grouped(count(dataset), lambda row: row.category)
    strata = grouped(count_strata(dataset, strata_of) if strata_of else (), lambda row: row.category)
    return inside.template("data.html").render(
        name=name,
        style=Markup(inside.template_text("report.css")),
        layout=READERS[dataset.config.dataset],
        root=str(dataset.root),
        counts=counts,
        strata=strata,
        defects={
            category: sum(s.label and s.has_truth for s in dataset.test(category)) for category in counts
        },
        sheets={category: _sheet(dataset, strata_of, category) for category in counts} if strata_of else {},
        problems=sorted(problems, key=lambda problem: not problem.fatal),
        below=lambda problem: _below(Path(problem.path), dataset.root),
        halved=dataset.config.selection == "half",
    )  # fmt: skip


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _sheet(dataset: Dataset, strata_of: StrataOf, category: str) -> str:
    """A category's contact sheet as the source of an image."""
    file = io.BytesIO()
    draw_sheet(dataset, caption=strata_of, category=category).save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
