# ruff: noqa: ARG001 - executors and preparers share one signature
"""Executors that take milliseconds and misbehave on demand, and plans to run them on.

Workers import them by name (``tests.ablate.runner_fakes:behave``). Each execution and step leaves a line
in the file that ``FAKE_LOG`` names, so that tests can count what was really done, by whom.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablate.running.recorded import StoredPlan
from ablate.running.reporter import Reporter
from ablate.study.plan import Plan, Run, Sources, make_plan
from ablate.study.reading import parse_spec
from ablate.study.spec import Invocation
from model.errors import DataError, DivergedError, InterruptedRun

STEP = 0.02


@dataclass
class Listener:
    """A reporter that remembers, and stops when told to."""

    cache: Path
    device: str = "cpu"
    stop: bool = False
    notes: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.notes.append(f"{done}/{total} {note}")

    def should_stop(self) -> bool:
        return self.stop


def note(*words: object) -> None:
    """Append a line to the log in one write, which the kernel keeps whole."""
    descriptor = os.open(os.environ["FAKE_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


def notes(path: Path, first: str) -> list[list[str]]:
    """The log's lines that begin with the word ``first``, without it."""
    if not path.exists():
        return []
    lines = (line.split() for line in path.read_text().splitlines())
    return [words[1:] for words in lines if words[0] == first]


def value_of(run: Run) -> float:
    """The score a fake run gets: best at q = 0.3, seeds differ a little."""
    q = run.config.tail.q
    assert isinstance(q, float)
    return round(0.9 - (q - 0.3) ** 2 + 0.001 * run.seed, 6)


def write_metrics(run: Run, folder: Path, value: float, reason: str = "") -> None:
    """metrics.csv with one metric per category, on both splits."""
    lines = ["category,split,stratum,metric,value,reason"]
    for category in run.categories:
        for split in ("report", "selection"):
            lines.append(f"{category},{split},all,image_auroc,{value},{reason}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def quick(run: Run, folder: Path, reporter: Reporter) -> None:
    """Done at once."""
    note("ran", run.key, os.getpid())
    reporter.progress(1, 1, "loss 0.1")
    write_metrics(run, folder, value_of(run))


def with_aupro(run: Run, folder: Path, reporter: Reporter) -> None:
    """Done at once, unnoted: image_auroc is best at q = 0.3, aupro at the highest q; what is reported is
    worse than what selects."""
    q = run.config.tail.q
    assert isinstance(q, float)
    found = {"image_auroc": 0.9 - (q - 0.3) ** 2, "aupro": 0.5 + q / 10}
    lines = ["category,split,stratum,metric,value,reason"]
    for category in run.categories:
        for metric, value in found.items():
            lines += [f"{category},selection,all,{metric},{value},", f"{category},report,all,{metric},0.1,"]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def gated(run: Run, folder: Path, reporter: Reporter) -> None:
    """Not done before the test opens the gate."""
    while not Path(f"{os.environ['FAKE_LOG']}.gate").exists():
        if reporter.should_stop():
            raise InterruptedRun
        time.sleep(STEP)
    quick(run, folder, reporter)


def fail(run: Run, folder: Path, reporter: Reporter) -> None:
    """Never works."""
    raise ValueError("no")


def steps(run: Run, folder: Path, reporter: Reporter) -> None:
    """One checkpointed step per iteration; stops when asked. The last waits while a test holds it."""
    note("ran", run.key, os.getpid())
    checkpoint = folder / "checkpoint.pt"
    begin = int(checkpoint.read_text()) if checkpoint.exists() else 0
    last, hold = run.config.train.iterations - 1, Path(f"{os.environ['FAKE_LOG']}.hold")
    for step in range(begin, last + 1):
        while True:
            if reporter.should_stop():
                raise InterruptedRun
            time.sleep(STEP)
            if step < last or not hold.exists():
                break
        note("step", run.key, step)
        draft = folder / "checkpoint.tmp"
        draft.write_text(str(step + 1))
        draft.replace(checkpoint)
        reporter.progress(step + 1, run.config.train.iterations, f"loss {1 / (step + 1):.3f}")
    write_metrics(run, folder, value_of(run))


def _once(run: Run) -> bool:
    """True the first time a run comes here, ever."""
    marker = Path(f"{os.environ['FAKE_LOG']}.{run.key}")
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _raise(error: BaseException) -> Callable[[Run, Path, Reporter], None]:
    def misbehave(run: Run, folder: Path, reporter: Reporter) -> None:
        note("ran", run.key, os.getpid())
        raise error

    return misbehave


def _kill(number: int, *, once: bool) -> Callable[[Run, Path, Reporter], None]:
    def misbehave(run: Run, folder: Path, reporter: Reporter) -> None:
        note("ran", run.key, os.getpid())
        if not once or _once(run):
            (folder / "checkpoint.pt").write_text("3")
            os.kill(os.getpid(), number)
            time.sleep(10)
        write_metrics(run, folder, value_of(run))

    return misbehave


def _leave(code: int) -> Callable[[Run, Path, Reporter], None]:
    def misbehave(run: Run, folder: Path, reporter: Reporter) -> None:
        note("ran", run.key, os.getpid())
        if _once(run):
            os._exit(code)
        write_metrics(run, folder, value_of(run))

    return misbehave


def _stubborn(run: Run, folder: Path, reporter: Reporter) -> None:
    note("ran", run.key, os.getpid())
    time.sleep(1000)  # longer than any test is patient


def _nan(run: Run, folder: Path, reporter: Reporter) -> None:
    write_metrics(run, folder, float("nan"))


def _threads(run: Run, folder: Path, reporter: Reporter) -> None:
    note("threads", os.environ["OMP_NUM_THREADS"])
    write_metrics(run, folder, value_of(run))


def _undefined(run: Run, folder: Path, reporter: Reporter) -> None:
    write_metrics(run, folder, float("nan"), "no defects")


def _silent(run: Run, folder: Path, reporter: Reporter) -> None:
    print("I compute nothing")


def _full(run: Run, folder: Path, reporter: Reporter) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        raise RuntimeError("could not write the checkpoint") from error


BEHAVIOURS: dict[str, Callable[[Run, Path, Reporter], None]] = {
    "diverges": _raise(DivergedError("loss is nan at iteration 7")),
    "raises": _raise(ValueError("no such thing\non two lines")),
    "user": _raise(DataError("image a.png is unreadable", hint="remove it")),
    "memory": _raise(MemoryError()),
    "exits": _raise(SystemExit(4)),
    "full": _full,
    "killed": _kill(signal.SIGKILL, once=False),
    "killed-once": _kill(signal.SIGKILL, once=True),
    "leaves-once": _leave(0),
    "segfaults": _kill(signal.SIGSEGV, once=False),
    "stubborn": _stubborn,
    "nan": _nan,
    "threads": _threads,
    "undefined": _undefined,
    "silent": _silent,
}


def behave(run: Run, folder: Path, reporter: Reporter) -> None:
    """What the variant's name says; ``quick`` if it says nothing."""
    BEHAVIOURS.get(run.variant, quick)(run, folder, reporter)


def prepare(plan: StoredPlan, reporter: Reporter) -> None:
    """Takes note of having been called."""
    note("prepared", len(plan.runs), os.environ["OMP_NUM_THREADS"])
    reporter.progress(1, 1, "encoded")


def __getattr__(name: str) -> Callable[[Run, Path, Reporter], None]:
    """``killed_three_times``: kills whoever looks it up, three times; then it is :func:`quick`.

    ``always_killed``: the same, without an end. ``first_killed``: only in the first worker.
    """
    if name not in ("killed_three_times", "always_killed", "first_killed"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    note("born", os.getpid())
    spared = {
        "killed_three_times": len(notes(Path(os.environ["FAKE_LOG"]), "born")) > 3,
        "always_killed": False,
        "first_killed": sys.argv[-2:-1] != ["1"],
    }
    if not spared[name]:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return quick


def bad_prepare(plan: StoredPlan, reporter: Reporter) -> None:
    """A user's error before any run."""
    raise DataError("the dataset is empty", where="data/", hint="fill it")


SOURCES = Sources(
    categories=lambda data: data.categories or ("a", "b"),
    data=lambda *_: "data",
    encoder=lambda _: "weights",
)


def make_sources(cache: Path) -> Sources:
    """Stands in for :func:`ablate.study.plan.real_sources`."""
    return SOURCES


def make_fake_plan(
    variants: Sequence[str] = ("base",),
    seeds: int = 1,
    *,
    study: str = "study",
    iterations: int = 10,
    extra: str = "",
    distinct: bool = True,
    threads: int = 1,
) -> Plan:
    """A plan of one run per variant and seed, on categories a and b.

    ``distinct``: give each variant another learning rate, hence keys of its own. ``threads``: of a run.
    """
    rows = [
        f"  {name}: {{train.lr: {0.001 * (1 + number * distinct):g}}}"
        for number, name in enumerate(variants)
    ]
    text = "\n".join(
        [
            f"study: {study}",
            "data: {dataset: stripes, selection: half}",
            f"base: {{train: {{iterations: {iterations}}}}}",
            "variants:",
            *rows,
            f"seeds: {seeds}",
            extra,
        ]
    )
    spec = parse_spec(text, Path("study.yaml"))
    spec = replace(spec, invocation=Invocation(threads=threads))
    return make_plan(spec, cache_dir=Path(), sources=SOURCES)


def join(root: Path, executor: str, workers: int) -> None:
    """``ablate worker`` for a study of fakes, on the server that the environment names."""
    from ablate.running import remote
    from ablate.running.server import find_address
    from ablate.running.session import RunOptions

    options = RunOptions(workers=workers, executor=f"tests.ablate.runner_fakes:{executor}", preparer=None)
    address = find_address(None)
    assert address is not None
    result = remote.work_on(remote.join("study", root, address), options)
    print("\n".join(result.lines), flush=True)
    sys.exit(result.exit_code)


def join_here(root: Path, executor: str) -> None:
    """``ablate worker`` for a study of fakes, by its own journal."""
    from ablate.running.folder import Workspace
    from ablate.running.joining import join_here as work
    from ablate.running.session import RunOptions
    from ablate.running.supervisor import PlainView, print_error

    options = RunOptions(workers=1, executor=f"tests.ablate.runner_fakes:{executor}", preparer=None)
    result = work(Workspace(root / "study"), options, PlainView(print_error))
    print("\n".join(result.lines), flush=True)
    sys.exit(result.exit_code)


if __name__ == "__main__":  # a supervisor in a process of its own, for tests that kill it
    from ablate.running.supervisor import RunOptions, run_study

    root, executor, workers, variants, seeds, iterations = sys.argv[1:]
    plan = make_fake_plan(variants.split(","), int(seeds), iterations=int(iterations))
    options = RunOptions(
        workers=int(workers), executor=f"tests.ablate.runner_fakes:{executor}", preparer=None
    )
    result = run_study(plan, Path(root), options)
    print("\n".join(result.lines), flush=True)
    sys.exit(result.exit_code)
