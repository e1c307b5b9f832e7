"""What the machinery costs as a study grows: planning, enqueueing, claim and commit, status, runs.csv.

    python -m benchmarks.scale [--sizes 100 500 1000 5000] [--plans 1250 2500 5000 10000] [--server URL]

Runs are instant ones, so that nothing but the machinery is timed; finished ones are laid out beforehand.
What counts is growth: the exponent b of time ~ size ** b, fitted over the sizes (0: flat, 1: proportional).
Claim and commit are medians over as many runs as ``--claims``. ``--server``: the same on PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ablate.running.attempt import Attempt
from ablate.running.cluster import Joined, plan_study
from ablate.running.folder import Workspace
from ablate.running.frame import FrameWriter
from ablate.running.journal import Journal, quiet_optuna
from ablate.running.lease import Lease
from ablate.running.ledger import Ledger
from ablate.running.manifest import seal
from ablate.running.queue import Queue
from ablate.running.recorded import StoredPlan, write_plan
from ablate.running.remote import read_shared
from ablate.running.server import find_address, open_server
from ablate.running.session import WorkerId
from ablate.running.status import status
from ablate.study.plan import Plan, Run, Sources, make_plan
from ablate.study.reading import parse_spec
from benchmarks.scaling import exponent

SOURCES = Sources(
    categories=lambda data: data.categories or ("domain_a",),
    data=lambda *_: "data",
    encoder=lambda _: "weights",
)
SEEDS = 10
WORKER = WorkerId("20260101T000000-1-aaaaaa", 1, 1)


@contextlib.contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Append the seconds that the block takes."""
    start = time.perf_counter()
    yield
    into.append(time.perf_counter() - start)


def plan_of(runs: int, study: str = "scale") -> Plan:
    """A plan of so many distinct runs: variants x ten seeds."""
    variants = [f"  v{i}: {{train.lr: {1e-3 * (1 + i / runs):.9f}}}" for i in range(max(runs // SEEDS, 1))]
    text = "\n".join(
        [f"study: {study}", "data: {dataset: stripes}", "variants:", *variants, f"seeds: {SEEDS}"]
    )
    return make_plan(parse_spec(text, Path("scale.yaml")), cache_dir=Path(), sources=SOURCES)


def write_result(run: Run, folder: Path) -> None:
    """What an instant run leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name},report,all,image_auroc,0.9," for name in run.categories]
    (folder / "metrics.csv").write_text(
        "\n".join(["category,split,stratum,metric,value,reason", *lines, ""])
    )


def opened(root: Path, plan: Plan, finished: int) -> tuple[Workspace, StoredPlan]:
    """A study with so many runs finished already."""
    stored = StoredPlan.of(plan)
    workspace = Workspace(root / stored.study)
    workspace.create()
    write_plan(workspace, stored)
    for run in stored.runs[:finished]:
        write_result(run, workspace.run_dir(run.key))
        seal(workspace.run_dir(run.key), run.key)
    return workspace, stored


def claims(queue: Queue[Attempt] | Queue[Lease], runs: Sequence[Run], count: int) -> float:
    """Median seconds of take and commit of an instant run."""
    times: list[float] = []
    for _ in range(count):
        with timed(times):
            held = queue.take(runs, WORKER)
            assert isinstance(held, (Attempt, Lease))
            held.begin()
            with held.lock:
                write_result(held.run, held.attempt_dir)
                assert queue.commit(held)  # type: ignore[arg-type]
    return statistics.median(times)


def planning(sizes: Sequence[int]) -> dict[str, list[float]]:
    """Seconds to plan so many runs."""
    times: list[float] = []
    plan_of(SEEDS)  # the code's digests are read once per process
    for size in sizes:
        with timed(times):
            plan_of(size)
    return {"plan": times}


def on_journal(sizes: Sequence[int], count: int) -> dict[str, list[float]]:
    """Enqueue, claim + commit, status and runs.csv with ``sizes`` finished runs on the file journal."""
    found: dict[str, list[float]] = {"enqueue": [], "claim + commit": [], "status": [], "runs.csv": []}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            workspace, stored = opened(Path(folder), plan_of(size + SEEDS * (count // SEEDS + 1)), size)
            ledger = Ledger(Journal(workspace), stored.study)
            with timed(found["enqueue"]):
                ledger.plan(stored)
            found["claim + commit"].append(claims(ledger, stored.runs, count))
            with timed(found["status"]):
                assert status(workspace.study_dir).finished == size + count
            with timed(found["runs.csv"]):
                FrameWriter(workspace, stored).write()
    return found


def on_server(url: str, sizes: Sequence[int], count: int) -> dict[str, list[float]]:
    """The same on a PostgreSQL server, in a shared folder."""
    address = find_address(url)
    assert address is not None
    found: dict[str, list[float]] = {"server: claim + commit": [], "server: status": []}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            plan = plan_of(size + SEEDS * (count // SEEDS + 1), f"scale-{size}-{time.time_ns()}")
            workspace, stored = opened(Path(folder), plan, size)
            server = open_server(address, name="ablate scale")
            joined: Joined = plan_study(server, workspace, stored, plan.spec, shared=True)
            server.call(
                lambda c, s=stored, n=size: c.execute(  # type: ignore[misc]
                    "UPDATE ablate_run SET state = 'done' WHERE study = %s AND position < %s", (s.study, n)
                )
            )
            found["server: claim + commit"].append(claims(joined.queue(), stored.runs, count))
            with timed(found["server: status"]):
                assert read_shared(joined).finished == size + count
            server.call(
                lambda c, s=stored: c.execute("DELETE FROM ablate_run WHERE study = %s", (s.study,))
            )  # type: ignore[misc]
    return found


def show(console: Console, title: str, sizes: Sequence[int], rows: dict[str, list[float]]) -> None:
    """A table of milliseconds, a line per step, with its exponent."""
    table = Table("", *(f"{size:,}" for size in sizes), "exponent", title=f"{title} (ms)", box=None)
    for name, times in rows.items():
        table.add_row(name, *(f"{1e3 * t:.1f}" for t in times), f"{exponent(sizes, times):.2f}")
    console.print(table)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 500, 1000, 5000])
    parser.add_argument("--plans", type=int, nargs="+", default=[1250, 2500, 5000, 10000])
    parser.add_argument("--claims", type=int, default=30)
    parser.add_argument("--server", help="postgresql://user@host/database")
    options = parser.parse_args()
    quiet_optuna()
    console = Console(width=120)
    measured: list[tuple[str, Sequence[int], Callable[[], dict[str, list[float]]]]] = [
        ("runs planned", options.plans, lambda: planning(options.plans)),
        ("finished runs", options.sizes, lambda: on_journal(options.sizes, options.claims)),
    ]
    if options.server:
        run_on = options.server
        measured.append(
            ("finished runs", options.sizes, lambda: on_server(run_on, options.sizes, options.claims))
        )
    for title, sizes, measure in measured:
        show(console, title, sizes, measure())


if __name__ == "__main__":
    main()
