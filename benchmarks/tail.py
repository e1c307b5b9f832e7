"""Which structure finds faint, broken streaks: the share of prior B's tail that lies on them.

    python -m benchmarks.tail [--images 400] [--seed 0]

Maps are drawn, not learned: noise on 28 x 28 tokens, a broken horizontal streak of faint tokens, and
one kind of distractor as a loss meets it: isolated hot tokens, round blobs, or vertical streaks like
the horizontal one. The tail holds as many tokens as the map has streak tokens, so a share of 1 is
possible. The default of ``tail.beta`` is the value with the best mean over distractors and alphas.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from itertools import product

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from model.config import TailConfig
from model.priors.tail import tail_mask

SIDE = 28
RUN, GAP, RUNS = 4, 2, 3
"""A streak is RUNS pieces of RUN tokens, GAP tokens apart."""
FAINT, HOT, NOISE = 0.12, 0.2, 0.05
"""Distances above the ground: streak and blob tokens, isolated tokens; sd of the ground."""
HOT_TOKENS = 8
ALPHAS = (0.25, 0.5, 0.75, 1.0)
BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)

Draw = Callable[[torch.Generator], Tensor]
"""generator -> amplitudes above the ground [SIDE, SIDE] of one distractor."""


def _place(generator: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (), generator=generator))


def streak(generator: torch.Generator) -> Tensor:
    """A broken horizontal streak: amplitudes [SIDE, SIDE]."""
    length = RUNS * RUN + (RUNS - 1) * GAP
    row, left = _place(generator, SIDE), _place(generator, SIDE - length + 1)
    amplitude = torch.zeros(SIDE, SIDE)
    for run in range(RUNS):
        start = left + run * (RUN + GAP)
        amplitude[row, start : start + RUN] = FAINT
    return amplitude


def hot_tokens(generator: torch.Generator) -> Tensor:
    """Isolated tokens, each brighter than a streak."""
    amplitude = torch.zeros(SIDE * SIDE)
    amplitude[torch.randperm(SIDE * SIDE, generator=generator)[:HOT_TOKENS]] = HOT
    return amplitude.view(SIDE, SIDE)


def blob(generator: torch.Generator) -> Tensor:
    """A square of 4 x 4 tokens as bright as the streak."""
    row, left = _place(generator, SIDE - 3), _place(generator, SIDE - 3)
    amplitude = torch.zeros(SIDE, SIDE)
    amplitude[row : row + 4, left : left + 4] = FAINT
    return amplitude


def vertical_streak(generator: torch.Generator) -> Tensor:
    """The streak along a column."""
    return streak(generator).mT


DISTRACTORS: Mapping[str, Draw] = {
    "hot tokens": hot_tokens,
    "blob": blob,
    "vertical streak": vertical_streak,
}


def scenes(distractor: Draw, images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Distances and where the horizontal streaks are: [images, SIDE, SIDE] each."""
    generator = torch.Generator().manual_seed(seed)
    ground = 0.2 + NOISE * torch.randn(images, SIDE, SIDE, generator=generator)
    streaks = torch.stack([streak(generator) for _ in range(images)])
    others = torch.stack([distractor(generator) for _ in range(images)])
    return ground + torch.maximum(streaks, others), streaks > 0


def share_on_streaks(
    d: Tensor, streaks: Tensor, alpha: float, beta: float, structure: str, combine: str = "blend"
) -> float:
    """Share of the tail on streaks; the tail is as large as the streaks."""
    config = TailConfig(structure=structure, combine=combine)  # type: ignore[arg-type]
    q = streaks.float().mean().item() + 1e-9
    tail = tail_mask(d, q, alpha, beta, config)
    return (tail & streaks).sum().item() / tail.sum().item()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=110)
    maps = {name: scenes(draw, options.images, options.seed) for name, draw in DISTRACTORS.items()}

    def row(*criterion: float | str) -> list[str]:
        shares = [share_on_streaks(d, s, *criterion) for d, s in maps.values()]  # type: ignore[arg-type]
        return [f"{share:.3f}" for share in (*shares, min(shares))]

    table = Table(title="share of the tail on broken horizontal streaks", title_justify="left")
    for name in ("structure", "alpha", "beta", *maps, "worst"):
        table.add_column(name, justify="left" if name == "structure" else "right")
    table.add_row("-", "0", "-", *row(0.0, 0.0, "box"))
    for structure, alpha in product(("box", "line"), ALPHAS):
        for beta in BETAS:
            table.add_row(structure, f"{alpha:g}", f"{beta:g}", *row(alpha, beta, structure))
    for alpha in ALPHAS:
        table.add_row("coherence", f"{alpha:g}", "-", *row(alpha, 0.0, "coherence"))
    console.print(table)

    table = Table(title="mean over distractors and alphas", title_justify="left")
    for name in ("structure", *(f"beta {beta:g}" for beta in BETAS)):
        table.add_column(name, justify="left" if name == "structure" else "right")
    for structure in ("box", "line"):
        means = [
            sum(
                share_on_streaks(d, s, alpha, beta, structure) for d, s in maps.values() for alpha in ALPHAS
            )
            / (len(maps) * len(ALPHAS))
            for beta in BETAS
        ]
        table.add_row(structure, *(f"{mean:.3f}" for mean in means))
    console.print(table)

    table = Table(title="by combination, beta 0.5", title_justify="left")
    for name in ("combine", "structure", "alpha", *maps, "worst"):
        table.add_column(name, justify="left" if name in ("combine", "structure") else "right")
    for combine, structure in product(("blend", "product", "intersect", "union"), ("box", "line")):
        for alpha in ALPHAS[:-1]:
            table.add_row(combine, structure, f"{alpha:g}", *row(alpha, 0.5, structure, combine))
    console.print(table)


if __name__ == "__main__":
    main()
