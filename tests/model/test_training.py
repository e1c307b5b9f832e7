"""Behavioural: training is deterministic, resumable, fed by common random numbers, and says NaN."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.checkpoint import load_checkpoint
from model.config import ModelConfig, TailConfig
from model.errors import DivergedError, InterruptedRun
from model.priors.tail import tail_size
from model.streams import generator
from model.student import Student
from model.training import Step, batches, cure, fit, tail_knobs
from tests.model.tiny_model import RandomFeatures, tiny_config

EVERYTHING = {
    "token_dropout.pattern": "segment",
    "token_dropout.rate": {"from": 0.1, "to": 0.4},
    "tail.q": 0.2,
    "tail.alpha": 0.5,
    "bias.lambda": {"from": 0.0, "to": 0.5, "shape": "cosine"},
}


def train(
    config: ModelConfig, seed: int = 0, features: RandomFeatures | None = None, **kwargs
) -> tuple[Student, list[Step]]:
    features = features or RandomFeatures()
    model = Student(features.shape, config)
    return model, fit(model, features, torch.arange(len(features)), seed, **kwargs)


def same_weights(a: Student, b: Student) -> bool:
    others = dict(b.named_parameters())
    return all(torch.equal(p, others[name]) for name, p in a.named_parameters())


def test_a_repeat_is_identical_and_another_seed_is_not():
    config = tiny_config(EVERYTHING)
    first, history = train(config)
    again, repeated = train(config)
    other, _ = train(config, seed=1)
    assert history == repeated
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_training_lowers_the_loss():
    _, history = train(tiny_config({"train.iterations": 60, "bottleneck.dropout": 0.0}))
    assert history[-1].loss < 0.8 * history[0].loss


def test_an_interrupted_run_continues_bit_for_bit(tmp_path: Path):
    config = tiny_config({**EVERYTHING, "train.iterations": 60})
    whole, history = train(config)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(InterruptedRun, match="at iteration"):
        train(config, checkpoint=checkpoint, should_stop=lambda: True)
    resumed, continued = train(config, checkpoint=checkpoint)
    assert continued == history
    assert same_weights(whole, resumed)


def test_a_killed_run_continues_from_its_last_periodic_checkpoint(tmp_path: Path):
    config = tiny_config({**EVERYTHING, "train.iterations": 60, "train.checkpoint_every": 10})
    checkpoint = tmp_path / "checkpoint.pt"

    def die(done: int, *_: object) -> None:
        if done >= 35:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, checkpoint=checkpoint, on_step=die)
    iteration, _ = load_checkpoint(checkpoint, "") or (0, {})
    assert iteration > 0
    assert iteration % 10 == 0
    resumed, history = train(config, checkpoint=checkpoint)
    whole, expected = train(config)
    assert history == expected
    assert same_weights(whole, resumed)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def further(content: bytes) -> bytes:
    return content.replace(b'"iteration": 5', b'"iteration": 6', 1)


DAMAGE = {
    "not one": lambda _: b"not a checkpoint",
    "empty": lambda _: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "a flipped bit": flipped,
    "another iteration": further,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_training_begins_anew(tmp_path: Path, damage):
    checkpoint = tmp_path / "checkpoint.pt"
    config = tiny_config({"train.checkpoint_every": 5})
    with pytest.raises(InterruptedRun, match="iteration 5"):
        train(config, checkpoint=checkpoint, should_stop=lambda: True)
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.warns(UserWarning, match="the checkpoint is not used.*begins anew"):
        _, history = train(config, checkpoint=checkpoint)
    assert history == train(config)[1]
    assert not list(tmp_path.glob("[!.]*damaged*"))


def test_another_runs_checkpoint_is_not_continued(tmp_path: Path):
    checkpoint = tmp_path / "checkpoint.pt"
    config = tiny_config({"train.checkpoint_every": 5})
    with pytest.raises(InterruptedRun):
        train(config, seed=1, checkpoint=checkpoint, key="one", should_stop=lambda: True)
    with pytest.warns(UserWarning, match="it belongs to run one"):
        _, history = train(config, checkpoint=checkpoint, key="two")
    assert history == train(config)[1]


@pytest.mark.parametrize("every", [0, 1, 3, 500])
def test_a_stop_is_heard_however_often_checkpoints_are_saved(tmp_path: Path, every: int):
    config = tiny_config({"train.iterations": 60, "train.checkpoint_every": every})
    with pytest.raises(InterruptedRun):
        train(config, checkpoint=tmp_path / "checkpoint.pt", should_stop=lambda: True)


def test_a_stop_is_heard_between_slow_steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("model.training.LOOK_EVERY", 0.0)
    with pytest.raises(InterruptedRun, match=r"iteration 1$"):
        train(tiny_config(), should_stop=lambda: True)


@pytest.mark.parametrize(
    "name", ["bottleneck.fc1.weight", "decoder.0.attn.qkv.weight", "decoder.3.mlp.fc2.weight"]
)
def test_initial_weights_come_from_the_stream_of_their_name(name: str):
    """Names are part of the method: a renamed module would start every published run from other weights."""
    student = Student(RandomFeatures().shape, tiny_config())
    student.initialise(5)
    weight = dict(student.named_parameters())[name]
    drawn = torch.nn.init.trunc_normal_(
        torch.empty(weight.shape), std=0.01, a=-0.03, b=0.03, generator=generator(5, "init", name)
    )
    assert torch.equal(weight, drawn)


@pytest.mark.parametrize("attention", ["linear", "softmax"])
def test_zero_strength_equals_the_baseline_bit_for_bit(attention: str):
    base, history = train(tiny_config({"decoder.attention": attention}))
    neutral = {"bias.lambda": 0.0, "tail.alpha": 0.0, "token_dropout.pattern": "none"}
    same, repeated = train(tiny_config({"decoder.attention": attention, **neutral}))
    assert [s.loss for s in history] == [s.loss for s in repeated]
    assert same_weights(base, same)


@pytest.mark.parametrize("tokens", [16 * 28 * 28, 16 * 25 * 25, 16 * 20 * 20, 100])
@pytest.mark.parametrize("ramp", [1000, 500])
def test_the_ramp_holds_as_many_tokens_as_the_reference_at_every_step(tokens: int, ramp: int):
    """int(n (1 - p)) with p = min(0.9 i / ramp, 0.9), in that order: another one rounds otherwise."""
    wanted = [int(tokens * (1 - min(0.9 * i / ramp, 0.9))) for i in range(ramp + 2)]
    config = TailConfig(q=0.1, ramp=ramp)
    assert [tail_size(tokens, tail_knobs(config, i, 0.0).q) for i in range(ramp + 2)] == wanted


@pytest.mark.parametrize(
    "options",
    [
        {"bias.lambda": "learned"},
        {"token_dropout.pattern": "token", "token_dropout.fill": "learned", "token_dropout.rate": 0.5},
    ],
    ids=["learned strength", "learned fill"],
)
def test_a_trained_model_starts_anew(options: dict):
    model, first = train(tiny_config(options))
    features = RandomFeatures()
    again = fit(model, features, torch.arange(len(features)), 0)
    assert again == first


def test_a_prior_shifts_no_other_random_stream():
    """lambda = 0 and lambda = 1e-9 see the same data and the same noise, hence all but equal losses;
    so do a run without token dropout and one whose rate is next to nothing."""
    _, plain = train(tiny_config())
    _, biased = train(tiny_config({"bias.lambda": 1e-9}))
    assert [s.loss for s in biased] == pytest.approx([s.loss for s in plain], rel=1e-5)
    rare = {"token_dropout.pattern": "segment", "token_dropout.rate": 1e-9}
    _, dropped = train(tiny_config(rare))
    assert [s.loss for s in dropped] == [s.loss for s in plain]


def test_noise_of_a_step_depends_on_seed_and_step_alone():
    model = Student(RandomFeatures().shape, tiny_config())
    draws = []
    for prior_draws in (0, 3):
        model.seed_noise(7, iteration=5)
        for _ in range(prior_draws):
            torch.rand(4, generator=model.token_dropout.generator)
        draws.append(torch.rand(4, generator=model.bottleneck.generator))
    assert torch.equal(*draws)
    model.seed_noise(7, iteration=6)
    assert not torch.equal(draws[0], torch.rand(4, generator=model.bottleneck.generator))


def test_every_epoch_visits_each_image_at_most_once_and_fills_batches():
    order = batches(10, 4, seed=3)
    epochs = [torch.cat([next(order), next(order)]) for _ in range(3)]
    assert all(len(set(epoch.tolist())) == 8 for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert len(next(batches(3, 16, seed=0))) == 3


def test_history_holds_every_knob_at_its_current_value():
    config = tiny_config({**EVERYTHING, "train.iterations": 8, "tail.ramp": 4})
    _, history = train(config)
    assert [s.iteration for s in history] == list(range(8))
    assert history[0].knobs["token_dropout.rate"] == 0.1
    assert history[4].knobs["token_dropout.rate"] == pytest.approx(0.25)
    assert [s.knobs["tail.q"] for s in history[:5]] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert history[0].knobs["bias.lambda"] == 0.0
    assert history[0].lr == 0.0
    assert history[2].lr == pytest.approx(config.train.lr)


def test_learned_strengths_are_recorded_per_head_and_move():
    _, history = train(tiny_config({"bias.lambda": "learned", "train.iterations": 20}))
    names = {n for n in history[0].knobs if n.startswith("bias.lambda[")}
    assert names == {f"bias.lambda[{block}.{head}]" for block in range(4) for head in range(2)}
    assert all(0 < history[-1].knobs[n] < 1 for n in names)
    assert any(history[-1].knobs[n] != history[0].knobs[n] for n in names)


def test_nan_is_reported_with_its_iteration():
    features = RandomFeatures()
    features._groups[:, :, 3] = float("nan")
    with pytest.raises(DivergedError, match="iteration 0"):
        train(tiny_config(), features=features)


def test_half_precision_trains_close_to_single():
    _, single = train(tiny_config({"bottleneck.dropout": 0.0}))
    _, half = train(tiny_config({"bottleneck.dropout": 0.0, "train.precision": "bfloat16"}))
    assert [s.loss for s in half] == pytest.approx([s.loss for s in single], rel=0.05)
    assert [s.loss for s in half] != [s.loss for s in single]


def test_auto_is_half_precision_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch):
    losses = {}
    for native in (True, False):
        monkeypatch.setattr("model.device._has_bfloat16", lambda native=native: native)
        _, history = train(tiny_config({"train.precision": "auto"}))
        losses[native] = [s.loss for s in history]
    for native, precision in ((True, "bfloat16"), (False, "float32")):
        _, history = train(tiny_config({"train.precision": precision}))
        assert [s.loss for s in history] == losses[native]


PLATEAU = {
    "train.iterations": 200,
    "train.until": "plateau",
    "train.plateau_window": 20,
    "train.plateau_gain": 0.05,
}


def test_a_run_ends_where_its_loss_has_levelled_off():
    """A plateau is found at a window's end, the steps before are those of a run that goes on, and a run
    that is asked for almost no gain goes on."""
    _, history = train(tiny_config(PLATEAU))
    assert 40 <= len(history) < 200
    assert len(history) % 20 == 0
    losses = [s.loss for s in history]
    assert sum(losses[-20:]) > 0.95 * sum(losses[-40:-20])
    _, whole = train(tiny_config({"train.iterations": 200}))
    assert history == whole[: len(history)]
    _, longer = train(tiny_config({**PLATEAU, "train.plateau_gain": 0.0}))
    assert len(longer) > len(history)


def test_an_interrupted_run_finds_the_same_plateau(tmp_path: Path):
    config = tiny_config(PLATEAU)
    with pytest.raises(InterruptedRun):
        train(config, checkpoint=tmp_path / "checkpoint.pt", should_stop=lambda: True)
    _, resumed = train(config, checkpoint=tmp_path / "checkpoint.pt")
    _, whole = train(config)
    assert resumed == whole


def test_what_is_not_finite_comes_with_what_to_try():
    assert cure(tiny_config()) == "try decoder.attention_eps: 1e-6, then train.lr: 0.001"
    guarded = {"decoder.attention_eps": 1e-6, "train.precision": "bfloat16", "train.lr": 1e-3}
    assert cure(tiny_config(guarded)) == "try train.precision: float32, then train.lr: 0.0005"
