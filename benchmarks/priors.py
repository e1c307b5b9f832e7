"""What the directional priors cost: A against a decoder, B against a loss, C against plain attention.

    python -m benchmarks.priors [--dim 768 384] [--side 28 64] [--batch 2] [--device cuda]

Times are the medians of repetitions, the candidates interleaved so that drift hits all alike: CPU
time of one thread (other processes do not count), or device time between synchronisations on CUDA.
"Step" is a forward and a backward pass in training mode.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from model.attention import LinearAttention
from model.config import BiasConfig, DecoderConfig, TailConfig, TokenDropoutConfig
from model.decoder import DecoderBlock
from model.losses import LooseLoss
from model.priors.token_dropout import TokenDropout

PREFIX = 5
DEPTH = 8
BIASES: Mapping[str, BiasConfig] = {
    "horizontal, box, row": BiasConfig(lambda_=0.5),
    "horizontal, gaussian, w = 3": BiasConfig(lambda_=0.5, kernel="gaussian", half_width=3),
    "vertical, box, row": BiasConfig(lambda_=0.5, direction="vertical"),
    "both, box, row": BiasConfig(lambda_=0.5, direction="both"),
    "horizontal, learned": BiasConfig(lambda_="learned"),
    "horizontal, values": BiasConfig(lambda_=0.5, form="values"),
    "horizontal, rows 1": BiasConfig(lambda_=0.5, rows=1),
    "horizontal, rows 2": BiasConfig(lambda_=0.5, rows=2),
    "horizontal, learned table": BiasConfig(relative="learned"),
}


def medians(candidates: Mapping[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median milliseconds per call of each candidate, interleaved, after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    clock = time.perf_counter if device == "cuda" else time.process_time
    for _ in range(repeats + 1):
        for name, call in candidates.items():
            if device == "cuda":
                torch.cuda.synchronize()
            start = clock()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def step(module: nn.Module, x: Tensor, grid: tuple[int, int]) -> None:
    """One forward and backward pass."""
    module.zero_grad()
    module(x, grid, PREFIX).sum().backward()


def predict(module: nn.Module, x: Tensor, grid: tuple[int, int]) -> None:
    """One forward pass without gradients."""
    with torch.no_grad():
        module(x, grid, PREFIX)


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)


def token_dropout_cost(dim: int, heads: int, side: int, batch: int, repeats: int, device: str) -> None:
    """Prior A, once per step, against the step of the 8-block decoder it feeds (8 x one block)."""
    grid = (side, side)
    x = torch.randn(batch, PREFIX + side * side, dim, device=device, requires_grad=True)
    block = DecoderBlock(dim, heads, DecoderConfig(), None).to(device)
    decoder = DEPTH * medians({"": partial(step, block, x, grid)}, max(3, repeats // 3), device)[""]

    def cut(config: TokenDropoutConfig) -> Callable[[], object]:
        module = TokenDropout(config, dim).to(device).train()
        module.generator = torch.Generator(device=device).manual_seed(0)
        return partial(step, module, x, grid)

    candidates: dict[str, Callable[[], object]] = {}
    for pattern in ("token", "segment", "stripe", "block"):
        for fill in ("zero", "mean", "neighbour", "learned", "noise", "donor", "swap"):
            config = TokenDropoutConfig(pattern=pattern, fill=fill)
            candidates[f"{pattern}, {fill}"] = cut(config)
        exact = TokenDropoutConfig(pattern=pattern, budget="exact")
        candidates[f"{pattern}, zero, exact budget"] = cut(exact)
    rows = [
        [name, f"{ms:.2f}", f"{100 * ms / decoder:.2f} %"]
        for name, ms in medians(candidates, repeats, device).items()
    ]
    title = f"A: N = {side * side}, C = {dim}, B = {batch}; the decoder's step takes {decoder:.0f} ms"
    print_table(title, ["pattern, fill", "ms", "of the decoder's step"], rows)


def loss_cost(dim: int, side: int, batch: int, repeats: int, device: str) -> None:
    """Prior B: forward and backward of the loss on two groups."""
    en, de = (
        [torch.randn(batch, dim, side, side, device=device, requires_grad=True) for _ in range(2)]
        for _ in range(2)
    )

    def run(config: TailConfig, q: float, alpha: float) -> None:
        LooseLoss(config)(en, de, q=q, alpha=alpha, beta=1.0, factor=0.1).backward()

    coherent, line = TailConfig(structure="coherence"), TailConfig(structure="line")
    times = medians(
        {
            "no mining": partial(run, TailConfig(), 1.0, 0.0),
            "reference's tail": partial(run, TailConfig(), 0.1, 0.0),
            "box, alpha 0.5": partial(run, TailConfig(), 0.1, 0.5),
            "coherence, alpha 0.5": partial(run, coherent, 0.1, 0.5),
            "line, alpha 0.5": partial(run, line, 0.1, 0.5),
            **{
                f"{combine}, box, alpha 0.5": partial(run, TailConfig(combine=combine), 0.1, 0.5)
                for combine in ("product", "intersect", "union")
            },
            "masked, box, alpha 0.5": partial(run, TailConfig(form="masked"), 0.1, 0.5),
        },
        repeats,
        device,
    )
    reference = times["reference's tail"]
    rows = [[name, f"{ms:.2f}", f"{ms / reference:.2f}"] for name, ms in times.items()]
    title = f"B: N = {side * side}, C = {dim}, B = {batch}"
    print_table(title, ["loss", "ms per step", "of the reference's tail"], rows)


def bias_cost(dim: int, heads: int, side: int, batch: int, repeats: int, device: str) -> None:
    """Prior C: a biased linear attention module against the plain one."""
    grid = (side, side)
    x = torch.randn(batch, PREFIX + side * side, dim, device=device, requires_grad=True)
    modules = {"plain": LinearAttention(dim, heads).to(device)}
    modules |= {
        name: LinearAttention(dim, heads, bias=b, grid=grid).to(device) for name, b in BIASES.items()
    }
    forward, both = (
        medians({name: partial(what, m, x, grid) for name, m in modules.items()}, repeats, device)
        for what in (predict, step)
    )

    def cell(times: dict[str, float], name: str) -> str:
        return f"{times[name]:.1f}" + (
            "" if name == "plain" else f" ({100 * (times[name] / times['plain'] - 1):+.1f} %)"
        )

    rows = [[name, cell(forward, name), cell(both, name)] for name in modules]
    title = f"C: N = {side * side}, C = {dim}, {heads} heads, B = {batch}"
    print_table(title, ["linear attention", "forward ms", "step ms"], rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dim", type=int, nargs="+", default=[768, 384], help="widths C")
    parser.add_argument("--side", type=int, nargs="+", default=[28, 64], help="grid sides H = W")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rest = (options.batch, options.repeats, options.device)
    for dim in options.dim:
        for side in options.side:
            bias_cost(dim, dim // 64, side, *rest)
    dim, side = options.dim[0], options.side[0]
    token_dropout_cost(dim, dim // 64, side, *rest)
    loss_cost(dim, side, *rest)


if __name__ == "__main__":
    main()
