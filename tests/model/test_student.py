"""Behavioural: what the student reads and rebuilds, by grouping and by reading of recentring."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.errors import ConfigError
from model.student import Student
from model.training import fit
from tests.model.tiny_model import RandomFeatures, tiny_config


def student(**values) -> tuple[Student, RandomFeatures]:
    config = tiny_config({path.replace("__", "."): value for path, value in values.items()})
    features = RandomFeatures(groups=config.stored_count)
    built = Student(features.shape, config)
    built.initialise(0)
    return built.eval(), features


def test_forward_is_what_the_probes_take_apart():
    model, features = student()
    groups = features[torch.arange(3)]
    targets, x = model.targets_and_input(groups)
    en, de = model(groups)
    assert all(torch.equal(a, b) for a, b in zip([*en, *de], [*targets, *model.decode(x)], strict=True))


@pytest.mark.parametrize(
    ("mode", "targets_move", "inputs_move"),
    [("none", True, True), ("targets", False, True), ("inputs", True, False), ("both", False, False)],
)
def test_what_recentring_takes_out_of_targets_and_inputs(mode, targets_move, inputs_move):
    """A vector added to every token of an image vanishes where the class token is subtracted."""
    model, features = student(recentre__mode=mode, recentre__drop_prefix=mode != "none")
    groups = features[torch.arange(3)]
    moved = groups + torch.ones(groups.shape[-1])
    (targets, x), (targets_after, x_after) = model.targets_and_input(groups), model.targets_and_input(moved)
    assert torch.allclose(targets[0], targets_after[0], atol=1e-5) != targets_move
    patches = slice(model.prefix, None)
    assert torch.allclose(x[:, patches], x_after[:, patches], atol=1e-6) != inputs_move


def test_a_dropped_prefix_never_reaches_the_decoder():
    model, features = student(recentre__mode="both", recentre__drop_prefix=True)
    groups = features[torch.arange(2)]
    _, x = model.targets_and_input(groups)
    assert x.shape[1] == features.shape.grid[0] * features.shape.grid[1]
    assert model.decode(x)[0].shape[2:] == features.shape.grid


@pytest.mark.parametrize(("groups", "count"), [("one", 1), ("three", 3), ("four", 4), ("sparse", 2)])
def test_every_grouping_trains(groups, count):
    model, features = student(groups=groups, train__iterations=3)
    history = fit(model, features, torch.arange(len(features)), seed=0)
    assert len(history) == 3
    assert len(model(features[torch.arange(2)])[1]) == count


def test_sparse_compares_the_last_layer_of_each_of_two_groups():
    config = tiny_config({"groups": "sparse"})
    assert config.splits(8) == [[3], [7]]
    assert tiny_config({"groups": "three"}).splits(8) == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_sparse_rebuilds_two_layers_and_reads_all() -> None:
    model, features = student(groups="sparse")
    groups = features[torch.arange(2)]
    targets, x = model.targets_and_input(groups)
    assert len(targets) == 2
    assert torch.equal(torch.stack([t.flatten(2).mT for t in targets], 1), groups[:, :2, model.prefix :])
    assert torch.equal(x, model.bottleneck(groups[:, 2]))


def test_the_low_rank_layer_learns_at_its_own_rate():
    def movement(rank_lr: float | None) -> dict[str, float]:
        values = {"bottleneck__rank": 3, "bottleneck__rank_lr": rank_lr, "train__iterations": 2}
        model, features = student(**values, train__warmup=0, train__weight_decay=0.0)
        before = {name: p.detach().clone() for name, p in model.bottleneck.named_parameters()}
        fit(model, features, torch.arange(len(features)), seed=0)
        return {
            name: float((p.detach() - before[name]).abs().max())
            for name, p in model.bottleneck.named_parameters()
        }

    slow, common = movement(1e-6), movement(None)
    assert slow["reduce.weight"] < 0.01 * common["reduce.weight"]
    assert slow["fc2.weight"] == pytest.approx(common["fc2.weight"], rel=0.5)


def test_a_register_is_not_subtracted() -> None:
    config = tiny_config({"recentre.mode": "both", "recentre.norm": "none"})
    shape = RandomFeatures(prefix=4).shape
    Student(shape, config)
    registers_only = replace(shape, class_token=False)
    for without in (registers_only, RandomFeatures(prefix=0).shape):
        with pytest.raises(ConfigError, match="needs a class token"):
            Student(without, config)
    Student(registers_only, tiny_config())  # without recentring, any prefix will do


def test_recentring_subtracts_the_class_token_from_the_patches() -> None:
    features = RandomFeatures(prefix=3)
    built = Student(features.shape, tiny_config({"recentre.mode": "both", "recentre.norm": "none"})).eval()
    groups = features[torch.arange(2)]
    en, _ = built(groups)
    expected = (groups[:, 0, 3:] - groups[:, 0, :1]).mT.reshape(2, 64, 4, 5)
    assert torch.equal(en[0], expected)


def test_the_state_is_the_trainable_part_alone() -> None:
    built = Student(RandomFeatures(prefix=1).shape, tiny_config())
    assert all(parameter.requires_grad for parameter in built.parameters())
    assert set(built.state_dict()) == {name for name, _ in built.named_parameters()}
