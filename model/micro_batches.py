"""Training where an accelerator's memory does not hold a batch: layer by layer, in micro-batches.

Splitting a batch into steps of their own would change numbers wherever images of a batch meet: in the tail
of the whole batch, in tokens taken from another image, in noise scaled by the batch's own spread. So only
what treats images apart, the decoder's blocks, runs on some images at a time, keeps nothing but its input
and computes the rest again for its gradient; everything else sees the whole batch. The gradients of all
micro-batches add up to those of the batch, up to rounding, for one more forward pass.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.errors import OutOfMemoryError

T = TypeVar("T")


def in_micro_batches(layer: nn.Module, x: Tensor, size: int, *arguments: Any) -> Tensor:
    """``layer(x, *arguments)`` for x [B, ...] whose images it treats apart, ``size`` images at a time."""
    parts = [
        checkpoint(layer, part, *arguments, use_reentrant=False, preserve_rng_state=False)
        for part in x.split(size)
    ]
    return torch.cat(parts)


def kept_by_its_input(layer: nn.Module, x: Tensor, random: torch.Generator | None) -> Tensor:
    """``layer(x)``, of which nothing but x is kept: the rest is computed again, of the same random numbers.

    random: what the layer draws from, if it does.
    """
    state = None if random is None else random.get_state()

    def compute(x: Tensor) -> Tensor:
        if random is not None and state is not None:
            random.set_state(state)
        return layer(x)

    return checkpoint(compute, x, use_reentrant=False, preserve_rng_state=False)


def halved_until_it_fits(compute: Callable[[], T], sizes: dict[int, int], iteration: int, batch: int) -> T:
    """What ``compute`` returns; where memory runs out, repeated with micro-batches of half the size.

    Parameters
    ----------
    compute: one step's loss and gradients, the same however often it is called; reads ``sizes``.
    sizes: iteration -> images of a micro-batch from then on; what is found out is added.
    batch: images of the step.

    Raises
    ------
    OutOfMemoryError: not even one image at a time fits.
    """
    while True:
        try:
            return compute()
        except torch.OutOfMemoryError as error:
            said = " ".join(str(error).partition(" GPU ")[0].split())  # its statistics go into no line
        # Outside the handler: the error's frames, which hold what did not fit, are gone here.
        size = current_size(sizes) or batch
        if size == 1:
            raise OutOfMemoryError(
                f"the device's memory does not hold a training step, not even one image at a time: {said}",
                hint="leave the device to fewer processes, take one with more memory, or lower "
                f"train.batch_size ({batch}): another experiment",
            )
        sizes[iteration] = size // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            f"out of memory at iteration {iteration}: the step is repeated, and training goes on, in "
            f"micro-batches of size {size // 2}; gradients are those of all {batch} images, up to rounding",
            stacklevel=2,
        )


def current_size(sizes: dict[int, int]) -> int | None:
    """Images of a micro-batch at present; None where the whole batch fits."""
    return next(reversed(sizes.values()), None) if sizes else None
