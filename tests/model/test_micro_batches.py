"""Behavioural: where memory runs out, a step is repeated in micro-batches and comes to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.decoder import DecoderBlock
from model.errors import InterruptedRun, OutOfMemoryError
from model.student import Student
from model.training import Step, fit
from tests.model.tiny_model import RandomFeatures, tiny_config

DOUBLE = 1e-9
"""Of weights in float64 after three steps; the loss is taken in float32, of the whole batch."""

OPTIONS: dict[str, dict[str, Any]] = {
    "dropout and a tail of the batch": {"tail.q": 0.2, "tail.ramp": 0},
    "directional tail": {"tail.q": 0.2, "tail.ramp": 0, "tail.alpha": 0.5},
    "masked loss": {"tail.form": "masked", "tail.q": 0.3, "tail.ramp": 0},
    "noise scaled by the batch": {"bottleneck.noise": "gaussian"},
    "low rank": {"bottleneck.rank": 8, "bottleneck.rank_lr": 1e-3},
    "tokens of another image": {
        "token_dropout.pattern": "segment",
        "token_dropout.rate": 0.4,
        "token_dropout.fill": "donor",
    },
    "cuts between blocks": {
        "token_dropout.pattern": "segment",
        "token_dropout.rate": 0.4,
        "token_dropout.fill": "donor",
        "token_dropout.site": "decoder_blocks",
        "token_dropout.blocks": [1, 3],
    },
    "learned bias": {"bias.lambda": "learned"},
    "softmax": {"decoder.attention": "softmax", "bias.lambda": 0.5},
}


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Memory for so many images in a block of the decoder; where more come, it runs out."""
    memory = {"images": 10**9, "faults": 0}
    forward = DecoderBlock.forward

    def limited(self: DecoderBlock, x: Tensor, *place: Any) -> Tensor:
        if len(x) > memory["images"]:
            memory["faults"] += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, x, *place)

    monkeypatch.setattr(DecoderBlock, "forward", limited)
    return memory


def train(options: dict[str, Any], **how: Any) -> tuple[Student, list[Step]]:
    features = RandomFeatures()
    config = tiny_config({"train.iterations": 3, "train.warmup": 0, **options})
    features._groups = features._groups.double()
    student = Student(features.shape, config).double()
    return student, fit(student, features, torch.arange(len(features)), 0, **how)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_in_micro_batches_is_the_step_of_the_whole_batch(full: dict[str, int], options: dict):
    whole, expected = train(options)
    assert whole.micro_batches == {}
    full["images"] = 1
    with pytest.warns(UserWarning, match="out of memory at iteration 0.*micro-batches of size 2"):
        parts, history = train(options)
    assert full["faults"] == 2  # with 4 images and with 2; the steps that follow know
    assert parts.micro_batches == {0: 1}
    assert [s.loss for s in history] == pytest.approx([s.loss for s in expected], rel=DOUBLE)
    assert [s.grad_norm for s in history] == pytest.approx([s.grad_norm for s in expected], rel=1e-6)
    others = dict(whole.named_parameters())
    for name, weight in parts.named_parameters():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=DOUBLE, msg=name)


class Overflow(torch.autograd.Function):
    """Identity whose backward pass needs memory for so many images."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, images: int) -> Tensor:
        ctx.images = images
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if len(gradient) > ctx.images:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return gradient, None


def test_gradients_of_a_backward_pass_that_broke_off_are_dropped(monkeypatch: pytest.MonkeyPatch):
    whole, _ = train({})
    forward = DecoderBlock.forward
    calls = [0]

    def limited(self: DecoderBlock, x: Tensor, *place: Any) -> Tensor:
        calls[0] += 1  # the first block of the first step: all others have their gradients by then
        return forward(self, Overflow.apply(x, 2) if calls[0] == 1 else x, *place)

    monkeypatch.setattr(DecoderBlock, "forward", limited)
    with pytest.warns(UserWarning, match="out of memory"):
        parts, _ = train({})
    assert parts.micro_batches == {0: 2}
    others = dict(whole.named_parameters())
    for name, weight in parts.named_parameters():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=DOUBLE, msg=name)


def kept_bytes(student: Student, groups: Tensor) -> int:
    """What a forward pass keeps for the backward pass, parameters excepted."""
    own = {p.data_ptr() for p in student.parameters()}
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    student.train()
    student.seed_noise(0, 0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        maps = student(groups)
    del maps
    return sum(kept.values())


def test_micro_batches_keep_a_fraction_for_the_gradient():
    student = Student(RandomFeatures().shape, tiny_config({"bottleneck.dropout": 0.2}))
    groups = RandomFeatures()[torch.arange(8)]
    whole = kept_bytes(student, groups)
    student.micro_batches = {0: 2}
    assert kept_bytes(student, groups) < whole / 10


def test_half_precision_comes_close(full: dict[str, int]):
    options = {"train.precision": "bfloat16"}
    _, expected = train(options)
    full["images"] = 2
    with pytest.warns(UserWarning, match="out of memory"):
        _, history = train(options)
    assert [s.loss for s in history] == pytest.approx([s.loss for s in expected], rel=1e-3)


def test_what_runs_out_in_the_middle_is_repeated_from_there(
    full: dict[str, int], monkeypatch: pytest.MonkeyPatch
):
    _, expected = train({"train.iterations": 6})

    def shrink(done: int, *_: object) -> None:
        full["images"] = 2 if done >= 2 else 10**9

    monkeypatch.setattr("model.training.LOOK_EVERY", -1.0)  # look at every step
    with pytest.warns(UserWarning, match="at iteration 2"):
        student, history = train({"train.iterations": 6}, on_step=shrink)
    assert student.micro_batches == {2: 2}
    assert [s.iteration for s in history] == list(range(6))
    assert history[:2] == expected[:2]
    assert [s.loss for s in history] == pytest.approx([s.loss for s in expected], rel=1e-6)


def test_an_interrupted_run_goes_on_in_its_micro_batches(full: dict[str, int], tmp_path: Path):
    options = {"train.iterations": 6, "train.checkpoint_every": 2}
    full["images"] = 2
    with pytest.warns(UserWarning, match="out of memory"):
        _, whole = train(options)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.warns(UserWarning, match="out of memory"), pytest.raises(InterruptedRun):
        train(options, checkpoint=checkpoint, should_stop=lambda: True)
    full["images"] = 10**9  # room again: the run stays what it was
    student, history = train(options, checkpoint=checkpoint)
    assert history == whole
    assert student.micro_batches == {0: 2}


def test_where_no_image_fits_one_line_says_so(full: dict[str, int]):
    full["images"] = 0
    with (
        pytest.warns(UserWarning, match="out of memory"),
        pytest.raises(OutOfMemoryError, match=r"memory does not hold.*one image.*2\.00 GiB") as caught,
    ):
        train({})
    assert "\n" not in str(caught.value)
    assert "train.batch_size (4)" in str(caught.value)


def test_scoring_takes_no_micro_batches(full: dict[str, int]):
    full["images"] = 1
    with pytest.warns(UserWarning, match="out of memory"):
        student, _ = train({})
    full["images"] = 10**9
    groups = RandomFeatures()[torch.arange(4)].double()
    _, maps = student(groups)
    student.micro_batches = {}
    assert all(torch.equal(a, b) for a, b in zip(maps, student(groups)[1], strict=True))
