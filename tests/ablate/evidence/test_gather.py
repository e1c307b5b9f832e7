"""Gathering: a study's folder at every stage of its life, as one record.

Behavioural; the folders are written by :mod:`tests.ablate.report_inputs` with the project's own planner.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ablate.evidence.gather import gather, opening_comment
from model.errors import StorageError
from tests.ablate.report_inputs import SPEC, write_study


def test_gather_reads_plan_spec_and_frame(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    assert made.variants == ("dinomaly", "top-q", "directional", "control")
    assert (made.baseline, made.primary, made.split) == ("dinomaly", "image_auroc", "report")
    assert made.seeds == (0, 1, 2, 3, 4) and made.categories == ("domain_a", "domain_b", "domain_c")
    assert made.settings["top-q"]["tail.q"] == 0.02 and made.settings["dinomaly"]["tail.alpha"] == 0
    assert len(made.claims) == 3 and len(made.runs) == 20
    assert made.comments[0].startswith("Does a directional tail help")
    assert made.warnings == ()


def test_what_rows_train_on_is_a_setting_where_they_differ_in_it(tmp_path: Path) -> None:
    spec = SPEC.replace("{tail.q: 0.02}", "{tail.q: 0.02, data.pseudo.kind: blob}")
    assert spec != SPEC
    made = write_study(tmp_path / "s", spec, pictures=False)
    drawn = {v: values["data.pseudo.kind"] for v, values in made.settings.items()}
    assert drawn == {"dinomaly": "none", "top-q": "blob", "directional": "none", "control": "none"}
    assert not any("data.max_train" in values for values in made.settings.values())


def test_names_stay_text(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    frame = made.frame.assign(category="001", variant="NA")
    (tmp_path / "bare").mkdir()
    frame.to_csv(tmp_path / "bare" / "runs.csv", index=False)
    bare = gather(tmp_path / "bare")
    assert bare.categories == ("001",) and bare.variants == ("NA",)


def test_runs_csv_alone_is_enough(tmp_path: Path) -> None:
    write_study(tmp_path / "s", pictures=False)
    for name in ("plan.json", "spec.yaml"):
        (tmp_path / "s" / name).unlink()
    made = gather(tmp_path / "s")
    assert made.baseline == "dinomaly" and len(made.variants) == 4
    assert len(made.warnings) == 2


def test_the_frame_is_remade_where_it_is_missing(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    (tmp_path / "s" / "runs.csv").unlink()
    pd.testing.assert_frame_equal(
        gather(tmp_path / "s").frame, made.frame, check_dtype=False, check_exact=False
    )


def test_unset_variables_in_the_spec_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "/data")
    spec = SPEC.replace("{dataset: stripes}", "{dataset: stripes, root: '${WHERE}'}")
    write_study(tmp_path / "s", spec, pictures=False)
    monkeypatch.delenv("WHERE")
    assert gather(tmp_path / "s").warnings == ()


def test_runs_of_different_devices_are_pointed_out(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    for i, key in enumerate(sorted({run.key for run in made.runs})):
        facts = {"device": "cuda:1", "hardware": {"gpu": "H100"}} if i == 0 else {"device": "cpu"}
        folder = made.run_folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "provenance.json").write_text(json.dumps(facts))
    (warning,) = gather(tmp_path / "s").warnings
    assert "different devices" in warning and "H100" in warning and "cpu" in warning


def test_runs_that_met_the_end_of_memory_are_pointed_out(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    for key, sizes in zip(
        sorted({run.key for run in made.runs}), ({"0": 8, "7": 2}, {"3": 4}, {}), strict=False
    ):
        folder = made.run_folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "provenance.json").write_text(json.dumps({"micro_batches": sizes}))
    (warning,) = gather(tmp_path / "s").warnings
    assert (
        warning.startswith("Runs whose batch did not fit")
        and "memory: 2." in warning
        and "size 2 at" in warning
    )


def test_selection_split_is_not_reported(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    other = made.frame.assign(split="selection", value=0.0)
    pd.concat([other, made.frame]).to_csv(tmp_path / "s" / "runs.csv", index=False)
    again = gather(tmp_path / "s")
    assert set(again.frame["split"]) == {"report"} and len(again.frame) == len(made.frame)


def test_reasons_of_undefined_metrics_are_found(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    frame = pd.read_csv(tmp_path / "s" / "runs.csv")
    gone = (frame["metric"] == "aupro") & (frame["category"] == "domain_b")
    frame.loc[gone, "value"] = float("nan")
    frame.to_csv(tmp_path / "s" / "runs.csv", index=False)
    for key in {r.key for r in made.runs}:
        path = tmp_path / "s" / "runs" / key / "metrics.csv"
        metrics = pd.read_csv(path).astype({"reason": object})
        metrics.loc[(metrics["metric"] == "aupro") & (metrics["category"] == "domain_b"), "reason"] = (
            "no masks"
        )
        metrics.to_csv(path, index=False)
    assert gather(tmp_path / "s").reason("control", "aupro", "domain_b") == "no masks"


def test_same_configuration_under_two_names(tmp_path: Path) -> None:
    spec = SPEC.replace("claims:", "factors:\n  design: one-at-a-time\n  tail.q: [0.02, 0.1]\nclaims:")
    made = write_study(tmp_path / "s", spec, pictures=False)
    assert made.same_as == {"tail.q=0.02": "top-q", "tail.q=0.1": "dinomaly"}


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such study"):
        gather(tmp_path / "absent")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StorageError, match="is missing"):
        gather(tmp_path / "bad")


def test_the_opening_comment_is_read_by_paragraph() -> None:
    text = "# Question: one thing\n# and another?\n#\n# Cost: much\n# more.\nstudy: x\n# not this\n"
    assert opening_comment(text) == ("Question: one thing and another?", "Cost: much more.")
