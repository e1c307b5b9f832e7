"""A study without its runs' folders reports byte for byte what it did with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.evidence.kept import FILE, keep
from ablate.report.rendering import rendered
from ablate.report.tables.every import all_tables
from ablate.running.manifest import seal
from tests.ablate.report_inputs import write_study


def _tables(study_dir: Path) -> tuple[dict[str, str], Judgement]:
    made = Judgement(gather(study_dir))
    texts = {
        f"{table.name}{suffix}": text
        for table in all_tables(made)
        for suffix, text in rendered(table).items()
    }
    return texts, made


def _write_scores(study_dir: Path) -> None:
    made = gather(study_dir)
    labels = np.arange(30) % 2
    for number, run in enumerate(made.runs):
        own = np.random.default_rng(number % 7).normal(size=30) + labels
        tables = [
            pd.DataFrame({"image": [f"{c}{i}.png" for i in range(30)], "category": c, "split": "report",
                          "defect_type": "x", "label": labels, "score": own})
            for c in made.categories
        ]  # fmt: skip
        folder = study_dir / "runs" / run.key
        pd.concat(tables).to_csv(folder / "scores.csv", index=False)
        (folder / "provenance.json").write_text('{"code": {"commit": "abc", "dirty": true, "diff": "1"}}')
        seal(folder, run.key)


def test_without_the_runs_everything_is_said_again(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    _write_scores(made.folder)
    before, judgement = _tables(made.folder)
    assert any("in no commit" in line for line in judgement.results.warnings)
    assert "new images too" in before["differences.md"] and judgement.image_evidence.found
    keep(judgement.results, judgement.image_evidence.found)
    for gone in ("runs",):
        shutil.rmtree(made.folder / gone)
    (made.folder / "plan.json").unlink()
    after, again = _tables(made.folder)
    assert after == before
    assert again.results.warnings == judgement.results.warnings
    assert again.results.provenance == judgement.results.provenance
    raw = pd.DataFrame([{"image_floor": again.images(d)} for d in again.primary.differences.values()])
    assert raw["image_floor"].notna().all()


def test_a_report_of_a_published_study_leaves_the_note_alone(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    keep(made, {})
    note = (made.folder / FILE).read_bytes()
    shutil.rmtree(made.folder / "runs")
    keep(gather(made.folder), {})
    assert (made.folder / FILE).read_bytes() == note
