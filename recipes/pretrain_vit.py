"""Pre-train a small ViT on procedural images, for use as a frozen encoder where no download is possible.

Expected cost: the budget it is given, meant to be 20 to 30 minutes on one recent data-centre GPU; how many
steps that buys has not been measured. UNPROVEN: tested on a CPU only, for a few steps (a few hundred at
toy size), never run on a GPU. Nothing trained by it ships with this project, and whether its features
beat the built-in texture encoder is an open question. Halve --batch if the GPU's memory runs short.

    python -m recipes.pretrain_vit --minutes 25 --out pretrained.safetensors        # from the repository
    python -m recipes.pretrain_vit --minutes 25 --out pretrained.safetensors --resume

Gate it before use. Add a variant to a copy of studies/encoders_stripes.yaml and ``ablate run`` the copy;
it passes if it beats the ``texture`` variant, not merely the random one, on every domain:

    variants:
      pretrained:
        encoder: {name: vit_tiny_patch16_224, weights: pretrained.safetensors, blocks: [2, 4, 6, 8]}
        image: {resize: 256, crop: 256}

Two objectives on the same views. (1) Self-distillation: a student matches the teacher, its moving average,
on the class token across views (DINO) and on masked patches (iBOT). (2) Dense regression of every patch
onto the texture descriptors of its 8 x 8 pixel cells (``model.encoders.texture``), whitened over the
procedural images. It is read from a middle block, since Dinomaly takes middle blocks; masked patches have
to infer their texture. The teacher is what is saved.

With ``--steps`` a run is determined by its seed (up to the GPU's own nondeterminism) and a resumed run
equals an uninterrupted one; with ``--minutes`` the schedules follow the clock instead.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from model.encoders.timm_vit import architecture
from model.errors import CheckpointError, ConfigError, DivergedError, UserError
from model.files import replacing
from model.streams import derive_seed
from recipes.procedural import procedural_images, view
from recipes.self_distillation import (
    CollapseMonitor,
    Health,
    PrototypeHead,
    blob_mask,
    cross_entropy,
    ema_update,
    measure,
    sinkhorn,
)
from recipes.texture_targets import TextureTargets

GLOBAL_SHARE, LOCAL_SHARE = (0.55, 0.95), (0.25, 0.45)
"""Sides of the views, as shares of the drawn image's."""
TEACHER_TEMPERATURE = 0.05
WARMUP = 0.05
"""Share of the budget over which the learning rate rises."""
CLIP = 3.0
LOSSES = ("dino", "ibot", "texture")


@dataclass(frozen=True)
class Recipe:
    """What determines the weights; budget, device and files apart."""

    arch: str = "vit_tiny_patch16_224"
    side: int = 192
    batch: int = 256
    local_views: int = 4
    prototypes: int = 4096
    lr: float = 1e-3
    texture_weight: float = 10.0
    """Its loss starts at 0.3 and the other two at log(prototypes) = 8: this brings them to one order."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side % 32 or self.side < 64:
            raise ConfigError(f"--side {self.side} is not a multiple of 32, at least 64")
        if min(self.batch, self.prototypes) < 2 or self.local_views < 0 or not self.lr > 0:
            raise ConfigError("--batch and --prototypes start at 2, --local-views at 0; --lr is positive")
        patch = architecture(self.arch).patch
        if patch not in ((8, 8), (16, 16)):
            raise ConfigError(f"--arch {self.arch} has patches of {list(patch)}, not of 8 or 16 pixels")


class Tokens(NamedTuple):
    """Of one view: the final block's class token [B, C] and patches [B, N, C], a middle block's patches."""

    summary: Tensor
    patches: Tensor
    middle: Tensor


class Branch(nn.Module):
    """A ViT with a mask token and a prototype head: the student, and its moving average, the teacher."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        vit: Any = timm.create_model(
            recipe.arch, img_size=recipe.side, dynamic_img_size=True, num_classes=0, pretrained=False
        )
        if not isinstance(vit, VisionTransformer) or vit.cls_token is None:
            raise ConfigError(f"--arch {recipe.arch} is not a plain Vision Transformer with a class token")
        self.vit: Any = vit
        self.mask_token = nn.Parameter(0.02 * torch.randn(vit.embed_dim))
        self.head = PrototypeHead(vit.embed_dim, recipe.prototypes)

    def forward(self, images: Tensor, masked: Tensor | None = None) -> Tokens:
        """Normalised [B, 3, S, S], masked bool [B, N] -> tokens."""
        vit = self.vit
        x = vit.patch_embed(images)  # [B, H, W, C]
        if masked is not None:
            x = torch.where(masked.reshape(*x.shape[:3], 1), self.mask_token.to(x.dtype), x)
        x = vit.norm_pre(vit.patch_drop(vit._pos_embed(x)))
        middle = x
        for index, block in enumerate(vit.blocks):
            x = block(x)
            if index == 2 * len(vit.blocks) // 3:
                middle = x
        x = vit.norm(x)
        return Tokens(x[:, 0], x[:, vit.num_prefix_tokens :], middle[:, vit.num_prefix_tokens :])


class Trainer:
    """Student, teacher, optimiser and the losses of one step."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(recipe.seed, "init"))
            self.student = Branch(recipe)
            vit = self.student.vit
            self.targets = TextureTargets(recipe.side, vit.patch_embed.patch_size[0], recipe.seed, device)
            dim = vit.embed_dim
            self.regressor = nn.Sequential(
                nn.LayerNorm(dim),
                nn.Linear(dim, 2 * dim),
                nn.GELU(),
                nn.Linear(2 * dim, self.targets.width),
            )
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        names = ("student", "teacher", "regressor", "targets")
        self.modules = nn.ModuleDict({name: getattr(self, name) for name in names}).to(device)
        self.trained = [p for p in self.modules.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in self.trained if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for p in self.trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.lr)

    def _views(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Normalised [2 B, 3, S, S] and [local_views * B, 3, s, s], views of an image B apart."""
        recipe = self.recipe
        drawn = procedural_images(generator, recipe.batch, 3 * recipe.side // 2)
        kinds = [(recipe.side, GLOBAL_SHARE)] * 2 + [(recipe.side // 2, LOCAL_SHARE)] * recipe.local_views
        views = [self.targets.normalised(view(generator, drawn, side, share)) for side, share in kinds]
        return torch.cat(views[:2]), torch.cat(views[2:]) if views[2:] else views[0][:0]

    def losses(self, step: int) -> tuple[Tensor, Callable[[], Health]]:
        """The terms [3] in the order of ``LOSSES``, and how to take the teacher's pulse."""
        seed = derive_seed(self.recipe.seed, "pretraining", step)
        generator = torch.Generator(self.device).manual_seed(seed)
        whole, local = self._views(generator)
        grid = self.student.vit.patch_embed.grid_size
        masked = blob_mask(generator, len(whole), grid, ratio=random.Random(seed).uniform(0.15, 0.5))
        indices = masked.flatten().nonzero()[:, 0]
        targets = self.targets(whole)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            with torch.no_grad():
                teacher = self.teacher(whole)
                assigned = sinkhorn(self.teacher.head(teacher.summary), TEACHER_TEMPERATURE)
                hidden = self.teacher.head(teacher.patches.flatten(0, 1)[indices])
                assigned_patches = sinkhorn(hidden, TEACHER_TEMPERATURE)
            student = self.student(whole, masked)
            summaries = list(self.student.head(student.summary).chunk(2))
            if len(local):
                summaries += self.student.head(self.student(local).summary).chunk(self.recipe.local_views)
            pairs = [
                cross_entropy(logits, assignment)
                for index, assignment in enumerate(assigned.chunk(2))
                for other, logits in enumerate(summaries)
                if other != index
            ]
            dino = torch.stack(pairs).mean()
            guessed = self.student.head(student.patches.flatten(0, 1)[indices])
            ibot = cross_entropy(guessed, assigned_patches)
            predicted = self.regressor(student.middle)
        texture = functional.smooth_l1_loss(predicted.float(), targets)

        def pulse() -> Health:
            # One position of every image: features that tell nothing but positions count as collapsed.
            return measure(teacher.patches[:, teacher.patches.shape[1] // 2], assigned)

        return torch.stack([dino, ibot, texture]), pulse

    def step(self, step: int, progress: float) -> tuple[Tensor, Callable[[], Health]]:
        """One update at ``progress`` in [0, 1]; as ``losses``."""
        cosine = (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.lr * min(1.0, (progress + 1e-3) / WARMUP) * (0.01 + 0.99 * cosine)
        terms, pulse = self.losses(step)
        self.optimiser.zero_grad(set_to_none=True)
        weights = terms.new_tensor([1.0, 1.0, self.recipe.texture_weight])
        (terms * weights).sum().backward()
        nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimiser.step()
        ema_update(self.teacher, self.student, momentum=1 - 0.006 * cosine)
        return terms.detach(), pulse

    def save_checkpoint(self, path: Path, step: int, seconds: float) -> None:
        """Everything a resumed run needs, written atomically."""
        state = {
            "recipe": dataclasses.asdict(self.recipe),
            "step": step,
            "seconds": seconds,
            "modules": self.modules.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with replacing(path) as stream:
            torch.save(state, stream)

    def load_checkpoint(self, path: Path) -> tuple[int, float]:
        """Steps done and seconds spent. Raises CheckpointError if there is none of this recipe."""
        if not path.is_file():
            raise CheckpointError(f"no checkpoint {path} to resume from", hint="start without --resume")
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # the libraries raise a dozen unrelated types on a bad file
            raise CheckpointError(
                f"cannot read checkpoint {path}", hint="start without --resume"
            ) from error
        if state["recipe"] != dataclasses.asdict(self.recipe):
            raise CheckpointError(f"{path} is of another recipe: {state['recipe']}")
        self.modules.load_state_dict(state["modules"])
        self.optimiser.load_state_dict(state["optimiser"])
        return state["step"], state["seconds"]

    def export(self, path: Path, step: int) -> None:
        """The teacher's ViT in timm's naming and half precision, as ``encoder.weights`` takes it."""
        state = {
            name: value.half().cpu().contiguous() for name, value in self.teacher.vit.state_dict().items()
        }
        wrong = [name for name, value in state.items() if not value.isfinite().all()]
        if wrong:
            raise DivergedError(f"weights not finite in half precision: {', '.join(wrong[:3])}")
        settings = {name: str(value) for name, value in dataclasses.asdict(self.recipe).items()}
        save_file(state, path, metadata=settings | {"steps": str(step)})


def train(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train within the budget, report every ``log_every`` steps, write ``options.out``."""
    if options.out.exists() and not options.resume:
        raise ConfigError(f"--out {options.out} exists already", hint="remove it or write elsewhere")
    trainer = Trainer(recipe, torch.device(options.device))
    monitor = CollapseMonitor()
    checkpoint = options.out.with_suffix(".resume.pt")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    step, before = trainer.load_checkpoint(checkpoint) if options.resume else (0, 0.0)
    start = time.monotonic() - before

    def progress() -> float:
        by_time = (time.monotonic() - start) / (60 * options.minutes) if options.minutes else 0.0
        return max(by_time, step / options.steps if options.steps else 0.0)

    while (now := progress()) < 1:
        terms, pulse = trainer.step(step, now)
        step += 1
        if step % options.log_every == 0:
            values = dict(zip(LOSSES, terms.tolist(), strict=True))
            if not all(map(math.isfinite, values.values())):
                raise DivergedError(f"losses not finite at step {step}: {values}; try a lower --lr")
            health = pulse()
            line = {**values, **health._asdict()}
            print(
                f"step {step} ({min(now, 1):.1%}, {time.monotonic() - start:.0f} s) "
                + " ".join(f"{name} {value:.4g}" for name, value in line.items()),
                flush=True,
            )
            monitor.check(step, health)
        if step % options.checkpoint_every == 0:
            trainer.save_checkpoint(checkpoint, step, time.monotonic() - start)
    trainer.save_checkpoint(checkpoint, step, time.monotonic() - start)
    trainer.export(options.out, step)
    print(f"{options.out}: {step} steps, {options.out.stat().st_size / 1e6:.1f} MB")


def _minutes(text: str) -> float:
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return float(text)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Command line. Returns 0 when done, 2 for a mistake of the user's, 3 when training broke down."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.pretrain_vit", description=(__doc__ or "").split("\n")[0]
    )
    cuda = torch.cuda.is_available()
    for setting in dataclasses.fields(Recipe):
        kind = type(setting.default)
        flag = f"--{setting.name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=setting.default, help=f"default: {setting.default}")
    parser.add_argument("--minutes", type=_minutes, help="budget in time (default, without --steps: 25)")
    parser.add_argument("--steps", type=_count, help="budget in steps; with both, the first one reached")
    parser.add_argument("--out", type=Path, default=Path("pretrained.safetensors"), help="file to write")
    parser.add_argument("--resume", action="store_true", help="continue from OUT's .resume.pt")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if cuda else "cpu")
    parser.add_argument("--log-every", type=_count, default=50, help="steps between reports")
    parser.add_argument("--checkpoint-every", type=_count, default=1000, help="steps between checkpoints")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not cuda:
        parser.error("--device cuda: this PyTorch finds no CUDA device")
    if options.steps is None and options.minutes is None:
        options.minutes = 25.0
    torch.set_float32_matmul_precision("high")
    try:
        train(Recipe(**{f.name: getattr(options, f.name) for f in dataclasses.fields(Recipe)}), options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except DivergedError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted; --resume continues from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
