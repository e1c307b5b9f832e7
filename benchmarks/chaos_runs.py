"""What the workers of ``benchmarks.chaos`` compute, and its supervisor as a process.

python -m benchmarks.chaos_runs ROOT RUNS WORKERS
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablate.running.reporter import Reporter
from ablate.running.server import STORAGE, Address, Remote
from ablate.running.session import RunOptions
from ablate.study.plan import Run
from benchmarks.scale import plan_of
from model.errors import InterruptedRun, UserError
from model.files import write_text

STEPS = 12
EVERY = 3
"""Steps between checkpoints."""
LOG = "CHAOS_LOG"
"""Environment variable: file with a line per step."""
STUDY = "chaos"


def execute(run: Run, folder: Path, reporter: Reporter) -> None:
    """A few checkpointed steps, whose result depends on all of them; may be told to die on the way."""
    note("began", run.key)
    state = _checkpoint(folder / "checkpoint.pt") or {"step": 0, "sum": 0}
    for step in range(int(state["step"]), STEPS):
        while not _allowed():
            if reporter.should_stop():
                raise InterruptedRun
            time.sleep(0.02)
        note("step", run.key, step)
        state = {"step": step + 1, "sum": int(state["sum"]) + (step + 1) * (run.seed + 1)}
        if (step + 1) % EVERY == 0:
            text = json.dumps(state)
            _die_if_told("checkpoint", folder / "checkpoint.pt", text)
            write_text(folder / "checkpoint.pt", f"{_hash(text)} {text}", durable=False)
        reporter.progress(step + 1, STEPS)
    value = 1 / (1 + int(state["sum"]))
    lines = [f"{name},report,all,image_auroc,{value:.9f}," for name in run.categories]
    head = "category,split,stratum,metric,value,reason"
    (folder / "metrics.csv").write_text("\n".join([head, *lines, ""]))
    _die_if_told("commit", folder, "")


def note(*words: object) -> None:
    """A line in the log, in one write."""
    with contextlib.suppress(OSError):
        descriptor = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
        os.close(descriptor)


def lines_of(log: Path) -> int:
    """Lines noted so far."""
    with contextlib.suppress(OSError):
        return log.read_bytes().count(b"\n")
    return 0


def _allowed() -> bool:
    """Whether the storm wants another step before its next blow; so none of its blows comes too late."""
    log = Path(os.environ[LOG])
    try:
        return lines_of(log) < int(Path(f"{log}.until").read_text())
    except (OSError, ValueError):
        return True


def _checkpoint(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        digest, _, text = path.read_text().partition(" ")
        if digest == _hash(text):
            return dict(json.loads(text))
    return None


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _die_if_told(where: str, path: Path, text: str) -> None:
    """Take one of the storm's orders to die here, if there is one: amid a write, or a little later."""
    for order in Path(f"{os.environ[LOG]}.orders").glob(f"{where}-*"):
        with contextlib.suppress(FileNotFoundError):
            order.unlink()
            if where == "checkpoint":
                path.with_name(f".{path.name}.half.tmp").write_text(text[: len(text) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            delay = f"sleep {random.random() * 0.05}; kill -9 {os.getpid()}"
            subprocess.Popen(["sh", "-c", delay], start_new_session=True)  # amid commit, record, next claim
            return


def work(root: Path, runs: int, workers: int) -> int:
    """A supervisor; the server, if there is one, is in the environment."""
    options = RunOptions(
        workers=workers, retries=10_000, executor="benchmarks.chaos_runs:execute", preparer=None
    )
    plan = plan_of(runs, STUDY)
    if STORAGE in os.environ:
        from ablate.running.remote import run_planned

        remote = Remote(Address.parse(os.environ[STORAGE]), shared=True, lease=6.0)
        result = run_planned(plan, root, options, remote)
    else:
        from ablate.running.supervisor import run_study

        result = run_study(plan, root, options)
    print("\n".join(result.lines), flush=True)
    return result.exit_code


def undisturbed(runs: int, workers: int) -> bytes:
    """runs.csv of the same study without a storm."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, LOG: str(Path(folder) / "log")}
        environment.pop(STORAGE, None)
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        words = [str(Path(folder) / "results"), str(runs), str(workers)]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.chaos_runs", *words],
            env=environment,
            check=True,
            capture_output=True,
            cwd=Path(__file__).parents[1],
        )
        return (Path(folder) / "results" / STUDY / "runs.csv").read_bytes()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = 64) -> Iterator[bool]:
    """A small tmpfs at ``folder``; False, aloud, where none may be mounted."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None and not subprocess.run(command, capture_output=True).returncode
    )
    if not mounted:
        print("no tmpfs can be mounted: full disks are NOT TESTED", file=sys.stderr)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def main() -> int:
    """Entry point."""
    root, runs, workers = sys.argv[1:]
    try:
        return work(Path(root), int(runs), int(workers))
    except UserError as error:
        print(error, flush=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
