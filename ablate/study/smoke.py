"""A study made tiny: every part runs, no number means anything."""

from __future__ import annotations

from dataclasses import replace

from ablate.study.spec import StudySpec

SMOKE = "-smoke"
"""What the name of a study made tiny ends with."""


def smoke(spec: StudySpec) -> StudySpec:
    """The same study made tiny: every part runs, no number means anything.

    Four training steps, two seeds, and the smallest data. It has a name of its own, so that its
    results never mix with the study's.
    """
    small = {
        "train.iterations": 4, "train.warmup": 1, "train.batch_size": 2, "train.checkpoint_every": 2,
        "tail.ramp": 2,
    }  # fmt: skip
    stripes = replace(spec.data.stripes, size=64, train=4, test_good=4, test_bad=4)
    search = spec.search and replace(
        spec.search,
        trials=2,
        seeds=spec.search.seeds[:1],
        fresh_seeds=spec.search.fresh_seeds[:2],
        pruner="none",  # one run per trial leaves nothing to stop
        constraints=(),  # which no tiny model keeps
    )
    return replace(
        spec,
        study=f"{spec.study}{SMOKE}",
        data=replace(spec.data, max_train=4, max_test=2, stripes=stripes),
        seeds=spec.seeds[:2],
        max_seeds=None,
        search=search,
        pinned={**spec.pinned, **small},
        invocation=replace(spec.invocation, smoke=True),
    )
