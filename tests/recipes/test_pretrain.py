"""Behavioural: the pre-training recipe on a CPU, at toy size; how good its features are is not tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # recipes are run from the repository, not installed

from model.config import EncoderConfig  # noqa: E402
from model.encoders.build import build_encoder  # noqa: E402
from model.errors import ConfigError, DivergedError  # noqa: E402
from recipes import texture_targets  # noqa: E402
from recipes.pretrain_vit import LOSSES, Recipe, Trainer, main  # noqa: E402
from recipes.procedural import FAMILIES, Draws, add_events, procedural_images, standard, view  # noqa: E402
from recipes.self_distillation import (  # noqa: E402
    CollapseMonitor,
    blob_mask,
    ema_update,
    measure,
    sinkhorn,
)

TINY = {"arch": "test_vit", "side": 64, "batch": 4, "local_views": 1, "prototypes": 32}
TINY_FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


@pytest.fixture(autouse=True)
def few_whitening_images(monkeypatch):
    monkeypatch.setattr(texture_targets, "IMAGES", 16)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_draws_a_different_texture_for_each_image(family):
    fields = FAMILIES[family](Draws(seeded(), 3, 48))
    assert fields.shape == (3, 48, 48)
    assert fields.isfinite().all()
    assert (fields.std(dim=(1, 2)) > 1e-3).all()
    flat = standard(fields).flatten(1)
    assert (flat @ flat.T / flat.shape[1]).fill_diagonal_(0).abs().max() < 0.9


def test_images_are_in_range_determined_by_the_seed_and_varied():
    images = procedural_images(seeded(), 16, 48)
    assert images.shape == (16, 3, 48, 48)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(images, procedural_images(seeded(), 16, 48))
    assert not torch.equal(images, procedural_images(seeded(1), 16, 48))
    assert images.mean(dim=(1, 2, 3)).std() > 0.05
    assert images.std(dim=(1, 2, 3)).std() > 0.02
    assert procedural_images(seeded(), 3, 48).shape[0] == 3  # fewer images than families


def test_events_are_local_and_not_in_every_image():
    plain = torch.full((64, 3, 64, 64), 0.5)
    changed = ((add_events(Draws(seeded(), 64, 64), plain) - plain).abs().amax(dim=1) > 0.02).float()
    share = changed.mean(dim=(1, 2))
    assert 0.2 < (share > 0).float().mean() < 0.95
    assert share[share > 0].median() < 0.25


def test_views_are_squares_of_the_image_up_to_mirroring_and_mild_changes():
    ramp = torch.linspace(0.2, 0.8, 96).expand(8, 3, 96, 96)  # brightness tells the column
    views = view(seeded(), ramp, 48, (0.5, 0.5))
    assert views.shape == (8, 3, 48, 48)
    slope = views[..., -8:].mean(dim=(1, 2, 3)) - views[..., :8].mean(dim=(1, 2, 3))
    assert slope.abs().min() > 0.15
    assert slope.abs().max() < 0.36
    assert {-1.0, 1.0} == set(slope.sign().tolist())


def test_sinkhorn_balances_prototypes():
    logits = torch.randn(64, 8, generator=seeded()) * 0.1
    logits[:, 0] += 0.5  # one prototype that would take everything
    assert torch.softmax(logits / 0.05, dim=1).mean(dim=0)[0] > 0.9
    assigned = sinkhorn(logits, 0.05, iterations=20)
    assert torch.allclose(assigned.sum(dim=1), torch.ones(64), atol=1e-5)
    assert torch.allclose(assigned.sum(dim=0), torch.full((8,), 8.0), rtol=0.05)


def test_masks_hide_the_same_number_of_tokens_in_every_image():
    masks = blob_mask(seeded(), 6, (8, 8), 0.3)
    assert masks.sum(dim=1).tolist() == [19] * 6
    assert len(masks.unique(dim=0)) == 6


def test_teacher_is_the_moving_average_of_the_student():
    teacher, student = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = 0.9 * teacher.weight.detach() + 0.1 * student.weight.detach()
    ema_update(teacher, student, 0.9)
    assert torch.allclose(teacher.weight, wanted)


def constant_features() -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.ones(64, 16) + 1e-6 * torch.randn(64, 16, generator=seeded())
    return features, sinkhorn(features[:, :8], 0.05)


def features_on_a_line() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.randn(64, 1, generator=seeded())
    return draw * torch.linspace(-1, 1, 16), sinkhorn(torch.randn(64, 8, generator=seeded()), 0.05)


@pytest.mark.parametrize(
    ("collapsed", "symptom"), [(constant_features, "spread .*information"), (features_on_a_line, "rank")]
)
def test_monitor_stops_a_collapse_that_lasts(collapsed, symptom):
    monitor = CollapseMonitor(patience=2)
    features = torch.randn(64, 16, generator=seeded())
    healthy = measure(features, sinkhorn(features[:, :8], 0.05))
    assert healthy.rank > 10
    monitor.check(1, measure(*collapsed()))
    monitor.check(2, healthy)
    monitor.check(3, measure(*collapsed()))
    with pytest.raises(DivergedError, match=f"collapsed at step 4: .*{symptom}.* in 2 checks"):
        monitor.check(4, measure(*collapsed()))


def test_regression_improves_and_the_teacher_follows():
    trainer = Trainer(Recipe(**TINY, lr=2e-3), torch.device("cpu"))
    before = trainer.teacher.vit.patch_embed.proj.weight.clone()
    index = LOSSES.index("texture")
    with torch.no_grad():
        first = torch.stack([trainer.losses(step)[0][index] for step in range(100, 103)]).mean()
    for step in range(16):
        trainer.step(step, progress=0.1)
    with torch.no_grad():
        last = torch.stack([trainer.losses(step)[0][index] for step in range(100, 103)]).mean()
    assert last < 0.97 * first
    moved = (trainer.teacher.vit.patch_embed.proj.weight - before).norm()
    assert 0 < moved < (trainer.student.vit.patch_embed.proj.weight - before).norm()


def test_targets_are_white_and_in_patch_order():
    targets = texture_targets.TextureTargets(64, 16, 0, torch.device("cpu"))
    images = targets.normalised(procedural_images(seeded(3), 32, 64))
    patches = targets(images)
    assert patches.shape == (32, 16, targets.width)
    assert 0.5 < patches.std() < 1.5
    layers = torch.cat([layer[..., :-1] for layer in targets.encoder(images)], dim=-1)
    cells = ((layers - targets.mean) @ targets.whitening).reshape(32, 8, 8, -1)
    patch = [cells[:, row, column] for row in (4, 5) for column in (2, 3)]  # row 2, column 1
    assert torch.allclose(patches[:, 2 * 4 + 1], torch.cat(patch, dim=-1), atol=1e-4)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = Trainer(Recipe(**TINY), torch.device("cpu"))
    for step in range(3):
        whole.step(step, step / 3)
        if step == 1:
            whole.save_checkpoint(tmp_path / "at2.pt", 2, 1.5)
    resumed = Trainer(Recipe(**TINY), torch.device("cpu"))
    assert resumed.load_checkpoint(tmp_path / "at2.pt") == (2, 1.5)
    resumed.step(2, 2 / 3)
    wanted = whole.modules.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in resumed.modules.state_dict().items())


@pytest.mark.parametrize(
    ("arch", "side", "limit"), [("test_vit", 64, 1.0), ("vit_tiny_patch16_224", 192, 12.0)]
)
def test_saved_weights_load_as_an_encoder(tmp_path, arch, side, limit):
    trainer = Trainer(Recipe(**TINY | {"arch": arch, "side": side}), torch.device("cpu"))
    file = tmp_path / "weights.safetensors"
    trainer.export(file, step=0)
    assert file.stat().st_size < limit * 1e6
    config = EncoderConfig(name=arch, weights=str(file), blocks=(1, len(trainer.teacher.vit.blocks) - 1))
    encoder = build_encoder(config, (side, side))
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    image = torch.randn(1, 3, side, side, generator=seeded())
    with torch.no_grad():
        wanted = trainer.teacher(image).patches
        norm = trainer.teacher.vit.norm
        assert torch.allclose(norm(encoder(image)[-1][:, encoder.prefix :]), wanted, atol=0.02)
    other = build_encoder(config, (2 * side, side))  # the position embedding is resampled
    assert other(torch.randn(1, 3, 2 * side, side))[-1].isfinite().all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"side": 100}, "--side 100"),
        ({"arch": "vit_small_patch14_dinov2"}, r"patches of \[14, 14\]"),
        ({"arch": "vit_tinny"}, "unknown encoder 'vit_tinny'"),
        ({"batch": 1}, "--batch"),
    ],
)
def test_impossible_settings_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(**TINY | setting)


def test_mistakes_on_the_command_line_are_one_line(tmp_path, capsys):
    out = tmp_path / "w.safetensors"
    assert main([*TINY_FLAGS, "--steps=1", "--device=cpu", f"--out={out}", "--resume"]) == 2
    out.touch()
    assert main([*TINY_FLAGS, "--steps=1", "--device=cpu", f"--out={out}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no checkpoint" in lines[0]
    assert "exists already" in lines[1]


@pytest.mark.slow
def test_command_line_trains_and_resumes(tmp_path):
    out = tmp_path / "w.safetensors"
    command = [sys.executable, "-m", "recipes.pretrain_vit", *TINY_FLAGS, "--device=cpu", f"--out={out}"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    for flags in (["--steps=2"], ["--steps=3", "--resume"]):
        done = subprocess.run(
            [*command, "--log-every=1", *flags],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("step 3 ")
    assert done.stdout.splitlines()[-1].startswith(f"{out}: 3 steps")
    build_encoder(EncoderConfig(name="test_vit", weights=str(out), blocks=(5,)), (64, 64))
