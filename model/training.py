"""fit(): deterministic, resumable training of the student on features."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import load_checkpoint, save_checkpoint, set_aside
from model.config import ModelConfig, TailConfig
from model.device import precision_on, warn_of_emulation
from model.errors import DivergedError, InterruptedRun
from model.features import Features
from model.losses import LooseLoss
from model.low_rank import LowRankBottleneck
from model.micro_batches import halved_until_it_fits
from model.optim import StableAdamW, learning_rate
from model.plateau import first_look, levelled_off
from model.priors.schedule import value_at
from model.pseudo import PseudoDefects
from model.resident import rows_on
from model.streams import generator
from model.student import Student

#: Steps between looks at the loss, each of which waits for the device.
FLUSH_EVERY = 25
#: Seconds after which it is looked all the same: who asks a slow run to stop does not wait for 25 steps.
LOOK_EVERY = 1.0


@dataclass(frozen=True)
class Step:
    """One optimiser step as the history keeps it."""

    iteration: int
    loss: float
    lr: float
    grad_norm: float
    """Before clipping."""
    knobs: dict[str, float]
    """Current value of every scalar knob, by its YAML path."""


@dataclass
class TailKnobs:
    """Current values of the loss's knobs."""

    q: float
    alpha: float
    beta: float
    factor: float
    background: float = 0.0


def tail_knobs(config: TailConfig, iteration: int, progress: float) -> TailKnobs:
    """The tail's knobs at a step; q shrinks from 1 over ``ramp`` iterations as in the reference.

    The reference ramps p = 1 - q linearly from 0, p_i = p * min(i / ramp, 1).
    """
    p = 1 - value_at(config.q, progress)
    if config.ramp:
        # In the reference's order: p * (i / ramp) rounds to another number of tokens now and then.
        p = min(p * iteration / config.ramp, p)
    return TailKnobs(
        q=1 - p,
        alpha=value_at(config.alpha, progress),
        beta=value_at(config.beta, progress),
        factor=value_at(config.factor, progress),
        background=value_at(config.background, progress),
    )


def batches(count: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Endless index batches: a fresh permutation per epoch, its incomplete last batch dropped.

    With fewer images than a batch, a batch is all of them. Depends on (seed, epoch) alone.
    """
    size = min(batch_size, count)
    epoch = 0
    while True:
        order = torch.randperm(count, generator=generator(seed, "data order", epoch))
        yield from order[: count - count % size].split(size)
        epoch += 1


@dataclass
class Fit:
    """State of a training run; what a checkpoint holds."""

    iteration: int = 0
    history: list[Step] = field(default_factory=list)


def fit(
    student: Student,
    features: Features,
    indices: Tensor,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    pseudo: PseudoDefects | None = None,
    checkpoint: Path | None = None,
    key: str = "",
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Step]:
    """Train ``student`` in place on the features at ``indices`` [n] and return its history.

    Parameters
    ----------
    seed: replicate; drives init, data order and both noises through separate streams.
    pseudo: copies of the images with pseudo-defects, some of which are shown in their place.
    checkpoint: file to resume from and to save to every ``train.checkpoint_every`` steps; one that is
        damaged, or of another run than ``key``, is set aside with a warning, and training begins anew.
    on_step: told (iteration, iterations, loss) every few steps.
    should_stop: asked every few steps, and at least every second; True saves the checkpoint and raises.

    Raises
    ------
    DivergedError: the loss or the gradient became NaN or infinite.
    InterruptedRun: stopped by request; the checkpoint continues it.
    OutOfMemoryError: a step does not fit even in micro-batches of one image. Where larger ones do, they are
        trained with, see :mod:`model.micro_batches`; ``student.micro_batches`` says since when.
    StorageError: a checkpoint cannot be written.
    """
    device = torch.device(device)
    config = student.config
    warn_of_emulation(config.train.precision, device)
    student.initialise(seed)
    student.micro_batches = {}
    student.to(device).train()
    optimiser = StableAdamW(
        _parameter_groups(student),
        lr=config.train.lr,
        betas=config.train.betas,
        eps=config.train.eps,
        weight_decay=config.train.weight_decay,
        update_clip=config.train.update_clip,
        amsgrad=config.train.amsgrad,
    )
    state = _load(checkpoint, key, student, optimiser)
    loss_of = LooseLoss(config.tail)
    order = batches(len(indices), config.train.batch_size, seed)
    for _ in range(state.iteration):
        next(order)
    rows = rows_on(device, features, indices)
    pending: list[_Pending] = []
    every, looked = config.train.checkpoint_every, time.monotonic()
    with _numerics(config, device):
        for iteration in range(state.iteration, config.train.iterations):
            lr = learning_rate(iteration, config.train)
            progress = iteration / config.train.iterations
            knobs = student.set_progress(progress)
            tail = tail_knobs(config.tail, iteration, progress)
            batch = next(order)
            groups = rows(batch)
            seen = None if pseudo is None else pseudo.shown(groups, indices[batch], seed, iteration)
            gradients = partial(_gradients, student, groups, loss_of, tail, seen, seed, iteration)
            loss = halved_until_it_fits(gradients, student.micro_batches, iteration, len(groups))
            norm = update(student, optimiser, lr)
            tail_values = {f"tail.{name}": v for name, v in dataclasses.asdict(tail).items()}
            pending.append(
                _Pending(iteration, loss, lr, norm, knobs | tail_values, learned_strengths(student))
            )
            state.iteration = iteration + 1
            last = state.iteration == config.train.iterations
            due = bool(every) and state.iteration % every == 0
            if _looks_for_plateau(config, state.iteration):
                state.history += _flush(pending, student)
                losses = [step.loss for step in state.history]
                last = last or levelled_off(losses, config.train.plateau_window, config.train.plateau_gain)
            if last or due or len(pending) >= FLUSH_EVERY or time.monotonic() - looked > LOOK_EVERY:
                looked = time.monotonic()
                state.history += _flush(pending, student)
                on_step(state.iteration, config.train.iterations, state.history[-1].loss)
                stop = should_stop() and not last
                if stop or (due and not last):
                    _save(checkpoint, key, state, student, optimiser)
                if stop:
                    raise InterruptedRun(f"stopped by request at iteration {state.iteration}")
            if last:
                break
    student.eval()
    student.set_progress(1.0)
    return state.history


def train_step(
    student: Student,
    groups: Tensor,
    optimiser: StableAdamW,
    loss_of: LooseLoss,
    lr: float,
    tail: TailKnobs,
    seen: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step on group means [B, G, T, C]; returns the loss and the gradient norm (scalars).

    ``seen``: what the decoder reads in their place, of images with pseudo-defects.
    """
    loss = loss_and_gradients(student, groups, loss_of, tail, seen)
    return loss, update(student, optimiser, lr)


def loss_and_gradients(
    student: Student, groups: Tensor, loss_of: LooseLoss, tail: TailKnobs, seen: Tensor | None = None
) -> Tensor:
    """First half of :func:`train_step`: the loss, its gradients left in the parameters."""
    half = precision_on(student.config.train.precision, groups.device) == "bfloat16"
    student.zero_grad(set_to_none=True)
    with torch.autocast(groups.device.type, dtype=torch.bfloat16, enabled=half):
        en, de = student(groups, seen)
    loss = loss_of(
        [e.float() for e in en],
        [d.float() for d in de],
        q=tail.q,
        alpha=tail.alpha,
        beta=tail.beta,
        factor=tail.factor,
        background=tail.background,
        weights=student.plugins.token_weights if student.plugins else None,
    )
    loss.backward()
    return loss.detach()


def update(student: Student, optimiser: StableAdamW, lr: float) -> Tensor:
    """Second half of :func:`train_step`: clips the gradients and steps; returns their norm (scalar)."""
    norm = torch.nn.utils.clip_grad_norm_(student.parameters(), student.config.train.grad_clip)
    for group in optimiser.param_groups:
        group["lr"] = lr * group["scale"]
    optimiser.step()
    return norm.detach()


def _gradients(
    student: Student,
    groups: Tensor,
    loss_of: LooseLoss,
    tail: TailKnobs,
    seen: Tensor | None,
    seed: int,
    iteration: int,
) -> Tensor:
    """:func:`loss_and_gradients` that may be repeated: the step's noise is drawn from its start."""
    student.seed_noise(seed, iteration)
    return loss_and_gradients(student, groups, loss_of, tail, seen)


def _parameter_groups(student: Student) -> list[dict[str, Any]]:
    """The student's parameters; those with a peak learning rate of their own apart, by its ``scale``."""
    scales: dict[str, float] = {}
    if isinstance(student.bottleneck, LowRankBottleneck):
        peak = student.config.train.lr
        scales = {f"bottleneck.{name}": lr / peak for name, lr in student.bottleneck.peak_rates().items()}
    groups: dict[float, list[Tensor]] = {1.0: []}
    for name, parameter in student.named_parameters():
        groups.setdefault(scales.get(name, 1.0), []).append(parameter)
    return [{"params": params, "scale": scale} for scale, params in groups.items()]


def learned_strengths(student: Student) -> Tensor | None:
    """Current strength of each learned attention bias [block.head], all heads of a block together.

    None where none is learned. Left on the device, which a step must not wait for.
    """
    strengths = [attention.strength() for attention in student.attentions()]
    learned = [strength.detach() for strength in strengths if isinstance(strength, Tensor)]
    return torch.cat(learned) if learned else None


def _strength_names(student: Student) -> list[str]:
    """Names of :func:`learned_strengths`: ``bias.lambda[block.head]``."""
    attentions = enumerate(student.attentions())
    return [f"bias.lambda[{i}.{head}]" for i, a in attentions if a.learned for head in range(a.heads)]


@dataclass(frozen=True)
class _Pending:
    """A step of which some numbers are still on the device."""

    iteration: int
    loss: Tensor
    lr: float
    norm: Tensor
    knobs: dict[str, float]
    strengths: Tensor | None

    def step(self, names: Sequence[str]) -> Step:
        learned = {} if self.strengths is None else dict(zip(names, self.strengths.tolist(), strict=True))
        return Step(self.iteration, float(self.loss), self.lr, float(self.norm), self.knobs | learned)


def _looks_for_plateau(config: ModelConfig, iteration: int) -> bool:
    train = config.train
    return (
        train.until == "plateau"
        and iteration >= first_look(config)
        and iteration % train.plateau_window == 0
    )


def _flush(pending: list[_Pending], student: Student) -> list[Step]:
    """The steps, read from the device; none stays pending. Raises DivergedError."""
    names = _strength_names(student)
    steps = [step.step(names) for step in pending]
    pending.clear()
    for step in steps:
        if not (math.isfinite(step.loss) and math.isfinite(step.grad_norm)):
            what = "loss" if not math.isfinite(step.loss) else "gradient"
            raise DivergedError(
                f"the {what} became {step.loss if what == 'loss' else step.grad_norm} "
                f"at iteration {step.iteration}; {cure(student.config)}"
            )
    return steps


def cure(config: ModelConfig) -> str:
    """What to try where numbers stop being finite, most likely cause first."""
    steps = []
    if config.train.precision != "float32":
        steps.append("train.precision: float32")
    if config.decoder.attention == "linear" and config.decoder.attention_eps < 1e-6:
        steps.append("decoder.attention_eps: 1e-6")  # linear attention divides by a sum that may vanish
    steps.append(f"train.lr: {config.train.lr / 2:g}")
    return f"try {', then '.join(steps)}"


@contextlib.contextmanager
def _numerics(config: ModelConfig, device: torch.device) -> Iterator[None]:
    """Deterministic kernels while training, and what was set before afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    if config.train.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.train.deterministic, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)


def _save(path: Path | None, key: str, state: Fit, student: Student, optimiser: StableAdamW) -> None:
    if path is not None:
        content = {
            "history": [dataclasses.asdict(step) for step in state.history],
            "student": student.state_dict(),
            "optimiser": optimiser.state_dict(),
            "micro_batches": student.micro_batches,
        }
        save_checkpoint(path, key, state.iteration, content)


def _load(path: Path | None, key: str, student: Student, optimiser: StableAdamW) -> Fit:
    """What the checkpoint holds, weights and optimiser put in place; a fresh start without a usable one."""
    found = None if path is None else load_checkpoint(path, key)
    if path is None or found is None:
        return Fit()
    iteration, content = found
    history = [Step(**step) for step in content["history"]]
    if [step.iteration for step in history] != list(range(iteration)):
        set_aside(path, f"its history has not {iteration} iterations")
        return Fit()
    student.load_state_dict(content["student"])
    optimiser.load_state_dict(content["optimiser"])
    student.micro_batches = content["micro_batches"]
    return Fit(iteration=iteration, history=history)
