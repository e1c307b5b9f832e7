"""Results: why values are missing, and what is still to come."""

from __future__ import annotations

from dataclasses import replace

from tests.ablate.report_inputs import results


def test_reasons_come_from_the_metric_first_and_then_from_failed_runs() -> None:
    made = results(seeds=2)
    runs = tuple(
        replace(r, state="failed", reason=f"NaN in seed {r.seed}") if r.variant == "top-q" else r
        for r in made.runs
    )
    made = replace(made, runs=runs, nan_reasons={("control", "aupro", "domain_a"): "no masks"})
    assert made.reason("control", "aupro", "domain_a") == "no masks"
    assert made.reason("control", "aupro", None) == "no masks"
    assert made.reason("control", "aupro", "domain_b") == ""
    assert made.reason("top-q", "aupro", "domain_b") == "failed: NaN in seed 0; NaN in seed 1"


def test_a_failed_run_of_one_category_does_not_explain_another() -> None:
    made = results(seeds=1)
    runs = (replace(made.runs[0], state="failed", reason="out of memory", category="domain_a"),)
    made = replace(made, runs=runs)
    assert made.reason("dinomaly", "aupro", "domain_a") == "failed: out of memory"
    assert made.reason("dinomaly", "aupro", "domain_b") == ""


def test_waiting_is_what_is_neither_done_nor_failed() -> None:
    made = results(seeds=1)
    states = ("done", "failed", "running", "waiting")
    made = replace(made, runs=tuple(replace(r, state=s) for r, s in zip(made.runs, states, strict=True)))
    assert [made.waiting(v) for v in made.variants] == [False, False, True, True]


def test_intervals_are_called_by_their_coverage() -> None:
    assert results(seeds=1).coverage == "95 %"
    assert replace(results(seeds=1), alpha=0.1).coverage == "90 %"
