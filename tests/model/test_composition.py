"""Behavioural: priors compose, gradients reach everything, and A and B leave inference alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.config import ModelConfig
from model.evaluation import predict
from model.losses import LooseLoss
from model.student import Student
from model.training import fit, tail_knobs
from tests.model.priors.listing import TAIL, TOKEN_DROPOUT
from tests.model.tiny_model import RandomFeatures, tiny_config

SCHEDULES = st.one_of(
    st.floats(0.05, 0.5),
    st.builds(
        lambda a, b, shape: {"from": a, "to": b, "shape": shape},
        st.floats(0.05, 0.5),
        st.floats(0.05, 0.5),
        st.sampled_from(["constant", "linear", "cosine", "exponential", "step"]),
    ),
)
PARTS: dict[str, st.SearchStrategy] = {
    "groups": st.sampled_from(["one", "two", "three", "four", "dense"]),
    "recentre.mode": st.sampled_from(["none", "targets", "inputs", "both"]),
    "bottleneck.rank": st.sampled_from([None, 3]),
    "train.amsgrad": st.booleans(),
    "bottleneck.noise": st.sampled_from(["dropout", "gaussian"]),
    "bottleneck.dropout": SCHEDULES,
    "decoder.attention": st.sampled_from(["linear", "softmax"]),
    "token_dropout.pattern": st.sampled_from(["none", "token", "segment", "stripe", "block"]),
    "token_dropout.direction": st.sampled_from(["horizontal", "vertical", "both"]),
    "token_dropout.fill": st.sampled_from(
        ["zero", "mean", "neighbour", "learned", "noise", "donor", "swap"]
    ),
    "token_dropout.strength": SCHEDULES,
    "token_dropout.budget": st.sampled_from(["mean", "exact"]),
    "token_dropout.mean_rate": st.sampled_from([None, 0.1]),
    "token_dropout.rate": SCHEDULES,
    "token_dropout.length": st.sampled_from([[1, 1], [2, 3], [1, {"from": 2, "to": 4}]]),
    "token_dropout.site": st.sampled_from(["bottleneck_input", "decoder_input", "decoder_blocks"]),
    "tail.q": SCHEDULES,
    "tail.alpha": SCHEDULES,
    "tail.scope": st.sampled_from(["batch", "image"]),
    "tail.structure": st.sampled_from(["box", "line", "coherence"]),
    "tail.combine": st.sampled_from(["blend", "product", "intersect", "union"]),
    "tail.background": SCHEDULES,
    "tail.direction": st.sampled_from(["horizontal", "vertical", "both"]),
    "tail.form": st.sampled_from(["gradient", "masked"]),
    "bias.lambda": st.one_of(SCHEDULES, st.just("learned"), st.just(1.0), st.just(0.0)),
    "bias.kernel": st.sampled_from(["box", "triangle", "gaussian"]),
    "bias.half_width": st.sampled_from([1, 3, "row"]),
    "bias.direction": st.sampled_from(["horizontal", "vertical", "both"]),
    "bias.form": st.sampled_from(["weights", "values"]),
    "bias.rows": st.sampled_from([0, 1]),
    "bias.relative": st.sampled_from(["none", "learned"]),
    "decoder.neighbour_mask_form": st.sampled_from(["zeroed", "masked"]),
    "bias.blocks": st.sampled_from([None, [0], [1, 3]]),
    "train.precision": st.sampled_from(["float32", "bfloat16"]),
}


def complete(chosen: dict) -> dict:
    """Values that only make sense together."""
    if chosen["token_dropout.site"] == "decoder_blocks":
        chosen["token_dropout.blocks"] = [0, 2]
    if chosen["token_dropout.fill"] == "zero":
        chosen["token_dropout.rescale"] = True
    if chosen["decoder.attention"] == "softmax":
        chosen["decoder.neighbour_mask"] = 3
        if chosen["bias.half_width"] == 1:  # every pair that the bias weakens would be forbidden
            chosen["bias.half_width"] = 2
    if chosen["bias.lambda"] == 1.0:  # a factor of 0 leaves a table no gradient
        chosen["bias.relative"] = "none"
    if chosen["bias.direction"] == "both":
        chosen["bias.rows"] = 0
    if chosen["decoder.attention"] == "linear" and chosen["train.precision"] == "bfloat16":
        chosen["decoder.attention_eps"] = 1e-6
    return chosen


def build(config: ModelConfig, groups: int) -> tuple[Student, RandomFeatures]:
    features = RandomFeatures(groups=groups)
    return Student(features.shape, config), features


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(chosen=st.fixed_dictionaries(PARTS).map(complete))
def test_any_combination_trains(chosen: dict):
    config = tiny_config({**chosen, "train.iterations": 3, "train.warmup": 0})
    model, features = build(config, config.stored_count)
    history = fit(model, features, torch.arange(len(features)), seed=0)
    assert len(history) == 3

    # Fresh gradients with the whole map in the tail, so that none is zero for being outside it.
    model.train()
    model.set_progress(0.5)
    model.token_dropout.rate = min(model.token_dropout.rate, 0.3)
    model.seed_noise(0, 0)
    model.zero_grad(set_to_none=True)
    knobs = tail_knobs(config.tail, 2, 0.5)
    en, de = model(features[torch.arange(len(features))])
    LooseLoss(config.tail)(
        en, de, q=1.0, alpha=knobs.alpha, beta=knobs.beta, factor=knobs.factor
    ).backward()
    unreached = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert unreached == []


@pytest.mark.parametrize("option", [*TOKEN_DROPOUT, *TAIL], ids=lambda o: o.name)
def test_inference_is_unchanged_by_a_and_b(option):
    """With equal weights, every variant of A and B gives the baseline's maps bit for bit."""
    base, features = build(tiny_config(), 2)
    base.initialise(0)
    variant, _ = build(tiny_config(option.values), 2)
    missing, unexpected = variant.load_state_dict(base.state_dict(), strict=False)
    assert not unexpected
    assert all("token_dropout" in name for name in missing)  # a learned fill token, unused here
    everything = torch.arange(len(features))
    device = torch.device("cpu")
    expected = predict(base, features, everything, device=device)
    actual = predict(variant, features, everything, device=device)
    assert (actual.maps == expected.maps).all()
    assert (actual.scores == expected.scores).all()
