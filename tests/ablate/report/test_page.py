"""The report: made from a study's folder at every stage of its life, self-contained, reproducible.

Behavioural; the folders are written by :mod:`tests.ablate.report_inputs` with the project's own planner.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ablate.evidence.gather import gather, opening_comment
from ablate.evidence.results import RunState
from ablate.report import page as report
from model.errors import StorageError
from tests.ablate.report_inputs import SPEC, results, write_study


def text_of(page: Path) -> str:
    """The page's visible text."""
    body = re.sub(r"<style>.*?</style>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


# ---------------------------------------------------------------------------------- gather


def test_gather_reads_plan_spec_and_frame(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", pictures=False)
    assert made.variants == ("dinomaly", "top-q", "directional", "control")
    assert (made.baseline, made.primary, made.split) == ("dinomaly", "image_auroc", "report")
    assert made.seeds == (0, 1, 2, 3, 4) and made.categories == ("domain_a", "domain_b", "domain_c")
    assert made.settings["top-q"]["tail.q"] == 0.02 and made.settings["dinomaly"]["tail.alpha"] == 0
    assert len(made.claims) == 3 and len(made.runs) == 20
    assert made.comments[0].startswith("Does a directional tail help")
    assert made.warnings == ()


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
    findings = {f.subject: f.text for f in report.headline(made)}
    assert "configuration of top-q" in findings["tail.q=0.02 vs dinomaly"]


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such study"):
        gather(tmp_path / "absent")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StorageError, match="is missing"):
        gather(tmp_path / "bad")


# ---------------------------------------------------------------------------------- words


def test_headline_says_what_is_real_and_what_more_seeds_would_do() -> None:
    texts = {f.subject: f for f in report.headline(results())}
    assert texts["directional vs dinomaly"].verdict == "better"
    assert "(Holm over 3)" in texts["directional vs dinomaly"].text
    undecided = texts["top-q vs dinomaly"]
    assert undecided.verdict == "undecided"
    assert re.search(r"\+0\.\d points I-AUROC \[−\d\.\d, \d\.\d\] at 5 seeds", undecided.text)
    assert "seeds only differences from" in undecided.text


def test_two_seeds_name_the_seeds_needed() -> None:
    found = report.headline(results({"dinomaly": 0.0, "top-q": 0.012}, seeds=2, rng_seed=4))
    assert found[0].verdict == "undecided"
    assert re.search(r"Needs about \d+ more seeds? \(\d+ in all\)", found[0].text)


def test_one_seed_claims_nothing() -> None:
    made = results(seeds=1)
    assert {f.verdict for f in report.headline(made)} == {"undecided"}
    assert all("nothing follows" in f.text for f in report.headline(made))
    assert any("One seed" in line for line in report.caveats(made))


def test_caveats_name_what_a_reader_must_know() -> None:
    runs = (
        RunState("a", "dinomaly", 0, None, "failed", "NaN loss"),
        RunState("b", "x", 0, None, "waiting"),
    )
    made = replace(results(seeds=3), runs=runs, selects_on_report=True, encoder="texture")
    text = " ".join(report.caveats(made))
    for words in (
        "0.25",
        "1 of 2 runs are not finished",
        "1 run failed",
        "selected on",
        "not a DINOv2-class",
    ):
        assert words in text


# ---------------------------------------------------------------------------------- the page


@pytest.mark.slow
def test_report_is_one_self_contained_page_and_files(tmp_path: Path) -> None:
    write_study(tmp_path / "s")
    page = report.make_report(tmp_path / "s")
    source = page.read_text(encoding="utf-8")
    assert page == tmp_path / "s" / "report" / "index.html"
    assert not re.search(r"""(src|href)=["'](https?:)?//""", source) and "<script" not in source
    assert len(re.findall(r'src="data:image/png;base64,', source)) == source.count("<img")
    assert source.count("<img") >= 5
    for link in re.findall(r'href="([^"#]+)"', source):
        assert (page.parent / link).is_file(), link
    for anchor in re.findall(r'href="#([^"]+)"', source):
        assert f'id="{anchor}"' in source, anchor
    text = text_of(page)
    for words in (
        "Does a directional tail help",
        "supported",
        "Gallery",
        "worst miss",
        "20 done",
        "DINOv2-class weights",
    ):
        assert words in text
    assert not list(page.parent.rglob("*.tmp"))


@pytest.mark.slow
def test_report_is_the_same_twice_and_forgets_old_files(tmp_path: Path) -> None:
    write_study(tmp_path / "s", pictures=False)
    page = report.make_report(tmp_path / "s")
    before = {p.name: p.read_bytes() for p in page.parent.rglob("*") if p.is_file()}
    stale, mine = page.parent / "old.tex", page.parent / "mine.txt"
    stale.write_text("x")
    mine.write_text("keep")
    manifest = page.parent / ".files.json"
    manifest.write_text(json.dumps([*json.loads(manifest.read_text()), "old.tex", "../runs.csv"]))
    report.make_report(tmp_path / "s")
    after = {p.name: p.read_bytes() for p in page.parent.rglob("*") if p.is_file() and p != mine}
    assert after == before
    assert not stale.exists() and mine.exists() and (tmp_path / "s" / "runs.csv").exists()


@pytest.mark.slow
def test_half_finished_study_marks_what_is_missing(tmp_path: Path) -> None:
    skip = [("control", seed) for seed in range(5)] + [("directional", 4)]
    write_study(tmp_path / "s", skip=skip, pictures=False)
    text = text_of(report.make_report(tmp_path / "s"))
    assert "6 of 20 runs are not finished" in text
    assert "no data yet" in text and "4 of 5 seeds" in text and "not run yet" in text


@pytest.mark.slow
def test_study_without_results_still_has_a_page(tmp_path: Path) -> None:
    skip = [(v, s) for v in ("dinomaly", "top-q", "directional", "control") for s in range(5)]
    write_study(tmp_path / "s", skip=skip, pictures=False)
    text = text_of(report.make_report(tmp_path / "s"))
    assert "20 of 20 runs are not finished" in text


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    made = replace(results({"<b>x</b>": 0.0, "<script>": 0.01}, seeds=1, strata=False), folder=tmp_path)
    source = report.render(made, report.all_tables(made), {})
    assert "<script>" not in source and "<b>x</b>" not in source


def test_terminal_table(tmp_path: Path) -> None:
    write_study(tmp_path / "s", pictures=False)
    table = report.terminal_table(tmp_path / "s")
    assert table.row_count == 4


def test_the_opening_comment_is_read_by_paragraph() -> None:
    text = "# Question: one thing\n# and another?\n#\n# Cost: much\n# more.\nstudy: x\n# not this\n"
    assert opening_comment(text) == ("Question: one thing and another?", "Cost: much more.")
