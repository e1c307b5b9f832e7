"""Behavioural: the page about a dataset says what was found, loads nothing, and nothing that files are
called ends up as markup."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

from PIL import Image

from ablate.report.data_page import render, write_data_page
from model.data.config import DataConfig
from model.data.dataset import Dataset, load_dataset
from model.data.problems import Problem, find_problems
from model.data.samples import Sample
from tests.model.data import layouts


def load(root: Path) -> Dataset:
    return load_dataset(DataConfig("mvtec", str(root)), cache_dir=root.parent / "cache")


def strata_of(sample: Sample) -> tuple[str, ...]:
    return ("faintness=faint",) if sample.defect_type == "dent" else ("faintness=clear",)


def test_counts_strata_and_pictures_by_category(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(layouts.mvtec(tmp_path / "data", "bottle"), "cable"))
    page = render("mine", dataset, find_problems(dataset), strata_of)
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert "2 categories, 24 images" in text
    assert "nothing looks odd" in text
    assert text.count("train good 4 test good 3 test crack 3 test dent 2") == 2
    assert text.count("faintness=clear 3 60 % faintness=faint 2 40 %") == 2
    sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(source))).size for source in sources]
    assert len(sizes) == 2 and sizes[0] == sizes[1]
    assert "<script" not in page
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)""", page) == []


def test_names_are_never_markup(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data", '<b>bold & "quoted"')
    dataset = load(root)
    odd = Problem("x", str(root / "<img src=x>.png"), "</ul><script>alert(1)</script>", fatal=False)
    page = render("<i>mine</i>", dataset, [odd], strata_of)
    assert not re.search(r"<(b|i|script|img src=x)>", page)
    assert "&lt;img src=x&gt;.png" in page


def test_broken_files_are_listed_first_and_without_pictures(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    dataset = load(root)
    notes = [Problem("bottle", str(root / f"{i}.png"), "odd", fatal=False) for i in range(150)]
    fatal = Problem("bottle", str(root / "bottle/000.png"), "cannot be read", fatal=True)
    page = render("mine", dataset, [*notes, fatal], None)
    assert page.index("cannot be read") < page.index("odd")
    assert "51 more" in page
    assert "data:image" not in page and "stratum" not in page


def test_bytes_that_are_no_text_are_written(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(tmp_path / "data"))
    odd = Problem("bottle", str(tmp_path / "data" / "\udcff.png"), "odd", fatal=False)
    path = write_data_page(tmp_path / "new/page.html", "mine", dataset, [odd], None)
    assert "\\udcff.png" in path.read_text(encoding="utf-8")
