"""The gallery: images chosen by its rule, the same in every column."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ablate.evidence.gallery import galleries
from tests.ablate.report_inputs import MVTEC, results, with_runs

if TYPE_CHECKING:
    pass


def test_gallery_follows_its_rule(tmp_path: Path) -> None:
    made = with_runs(results(seeds=2, strata=False), tmp_path)
    (gallery,) = galleries(made)
    assert gallery.variants == made.variants and gallery.seed == 0
    reference = np.load(tmp_path / "runs" / "dinomaly-0" / "maps.npz")
    here = reference["category"] == "domain_a"
    rows = {row.rule: row for row in gallery.rows if row.category == "domain_a"}
    defects, normals = here & (reference["label"] == 1), here & (reference["label"] == 0)
    assert rows["worst miss"].scores["dinomaly"] == reference["score"][defects].min()
    assert rows["worst false alarm"].scores["dinomaly"] == reference["score"][normals].max()
    assert rows["worst false alarm"].label == 0
    # The same image in every column, each with its own variant's map.
    other = np.load(tmp_path / "runs" / "control-0" / "maps.npz")
    i = list(other["path"]).index(rows["worst miss"].path)
    assert np.array_equal(rows["worst miss"].maps["control"], other["map"][i].astype(float))


def test_gallery_pages_keep_categories_whole(tmp_path: Path) -> None:
    made = with_runs(
        results({"dinomaly": 0.0, "top-q": 0.01}, seeds=1, categories=MVTEC, strata=False), tmp_path
    )
    pages = galleries(made)
    assert [len(page.rows) for page in pages] == [12, 12, 12, 9]
    assert len({(page.low, page.high) for page in pages}) == 1


def test_broken_maps_are_passed_over(tmp_path: Path) -> None:
    made = replace(results({"dinomaly": 0.0}, seeds=1, strata=False), folder=tmp_path)
    folder = tmp_path / "runs" / "dinomaly-0"
    folder.mkdir(parents=True)
    (folder / "maps.npz").write_bytes(b"no archive")
    assert galleries(made) == []
