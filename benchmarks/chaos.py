"""A study that is killed, stopped, torn and starved at random, until it has to be complete all the same.

    python -m benchmarks.chaos [--runs 60] [--workers 4] [--kills 200] [--stops 20] [--torn 20]
                               [--disk 3] [--restarts 3] [--store journal postgresql] [--seed 0]

Runs are fakes of a few steps with a checkpoint every third. Hit are workers, supervisors and everything at
once; while a run begins, writes its checkpoint, is committed, while the journal is written, and while a
reader brings runs.csv up to date. Torn are checkpoints, committed files and the journal. At the end it says
whether every run stands, whole, in a table that equals the undisturbed study's byte for byte; what was left
behind; and how many steps were computed again beyond what lay between checkpoints. Exit code 1 if not.

Moments are drawn by the progress of the runs, never by the clock, so a storm is as hard on a slow machine.
``--disk`` needs the right to mount a small tmpfs; ``postgresql`` needs its programs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
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
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ablate.running.clean import clean
from ablate.running.folder import Workspace
from ablate.running.journal import Journal, quiet_optuna
from ablate.running.ledger import Ledger
from ablate.running.manifest import damage
from ablate.running.recorded import load_plan
from ablate.running.reporter import Reporter
from ablate.running.server import STORAGE, Address, Remote
from ablate.running.session import RunOptions
from ablate.study.plan import Run
from benchmarks.scale import plan_of
from model.errors import InterruptedRun
from model.files import write_text

STEPS = 12
EVERY = 3
"""Steps between checkpoints."""
LOG = "CHAOS_LOG"
"""Environment variable: file with a line per step."""
STUDY = "chaos"
PATIENCE = 120.0
"""Seconds without any progress after which the storm is over, and lost."""


# --- what workers compute -------------------------------------------------------------------------


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
        workers=workers, retries=10_000, executor="benchmarks.chaos:execute", preparer=None
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


# --- the storm ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """How much of what."""

    runs: int = 60
    workers: int = 4
    kills: int = 200
    stops: int = 20
    torn: int = 20
    disk: int = 3
    restarts: int = 3
    seed: int = 0


@dataclass
class Outcome:
    """What a storm has left."""

    done: Counter[str] = field(default_factory=Counter)
    """Blows that were dealt, by kind."""
    wrong: list[str] = field(default_factory=list)
    """Everything that should not be."""
    steps: int = 0
    """Distinct ones."""
    repeated: int = 0
    beyond: float = 0.0
    """Share of steps that were repeated although a checkpoint could have saved them."""
    sessions: Counter[int] = field(default_factory=Counter)
    """How supervisors ended."""


class Storm:
    """One study under fire.

    ``restart``: stops or kills the server and starts it again. ``filler``: where a file fills the disk.
    """

    def __init__(
        self,
        plan: Plan,
        root: Path,
        *,
        url: str | None = None,
        restart: Callable[[], None] | None = None,
        small_disk: bool = False,
    ) -> None:
        self.plan = plan
        self.root = root
        self.workspace = Workspace(root / STUDY)
        self.log = root.parent / f"{root.name}.log"
        self.orders = Path(f"{self.log}.orders")
        self._until = Path(f"{self.log}.until")
        self._torn: Counter[str] = Counter()
        """Keys whose work we have spoilt, and how often."""
        self.restart = restart
        self.small_disk = small_disk
        self.random = random.Random(plan.seed)
        self.environment = {**os.environ, LOG: str(self.log), "OMP_NUM_THREADS": "1"}
        self.environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        if url is not None:
            self.environment[STORAGE] = url
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Let it rage, let the study come to its end, and look at what is there."""
        self.orders.mkdir(parents=True, exist_ok=True)
        blows = self._blows()
        expected = self.plan.runs * STEPS
        try:
            for blow in blows:
                lines = self.random.randint(0, max(3 * expected // (2 * len(blows)), 1))
                if not self._wait(lines):
                    break
                blow()
            self._calm()
        finally:
            self._end_all()
        self._judge()
        return self.outcome

    def _blows(self) -> list[Callable[[], None]]:
        plan = self.plan
        kills = [
            self._kill_worker,
            self._kill_worker,
            self._kill_worker,
            self._order_checkpoint,
            self._order_commit,
            self._order_commit,
            self._kill_supervisor,
            self._kill_everything,
            self._kill_reader,
        ]
        blows: list[Callable[[], None]] = [kills[i % len(kills)] for i in range(plan.kills)]
        blows += [self._stop] * plan.stops + [self._tear] * plan.torn
        blows += [self._fill] * (plan.disk if self.small_disk else 0)
        blows += [self._restart] * (plan.restarts if self.restart else 0)
        self.random.shuffle(blows)
        return blows

    # --- blows ---------------------------------------------------------------------------------

    def _kill(self, pid: int, what: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.outcome.done[what] += 1

    def _kill_worker(self) -> None:
        if found := self._workers():
            self._kill(self.random.choice(found), "worker killed")

    def _kill_supervisor(self) -> None:
        if self.supervisor:
            self._kill(self.supervisor.pid, "supervisor killed")

    def _kill_everything(self) -> None:
        pids = [*self._workers(), *([self.supervisor.pid] if self.supervisor else [])]
        self.random.shuffle(pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.outcome.done["everything killed"] += 1

    def _order_checkpoint(self) -> None:
        (self.orders / f"checkpoint-{self.random.random()}").touch()
        self.outcome.done["killed amid a checkpoint"] += 1

    def _order_commit(self) -> None:
        (self.orders / f"commit-{self.random.random()}").touch()
        self.outcome.done["killed amid a commit"] += 1

    def _kill_reader(self) -> None:
        code = (
            "import sys; from pathlib import Path; from ablate.running.frame import refresh_frame; "
            "refresh_frame(Path(sys.argv[1]))"
        )
        reader = subprocess.Popen(
            [sys.executable, "-c", code, str(self.workspace.study_dir)],
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            reader.wait(self.random.random())
        reader.kill()
        reader.wait()
        self.outcome.done["reader killed"] += 1

    def _stop(self) -> None:
        pids = [*self._workers(), *([self.supervisor.pid] if self.supervisor else [])]
        if not pids:
            return
        pid = self.random.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self.random.random() * 2)
            os.kill(pid, signal.SIGCONT)
            self.outcome.done["stopped for a while"] += 1

    def _tear(self) -> None:
        """Truncate a file, or flip one of its bytes; the journal only while nobody works on it."""
        kind = self.random.choice(["checkpoint", "run", "journal"])
        files = {
            "checkpoint": lambda: list(self.workspace.attempts.glob("*/checkpoint.pt")),
            "run": lambda: [path for path in self.workspace.runs.glob("*/*") if path.is_file()],
            "journal": lambda: [path for path in [self.workspace.journal] if path.is_file()],
        }[kind]()
        if not files:
            return
        if kind == "journal":
            self._kill_everything()
            self._end_all()
        path = self.random.choice(files)
        with contextlib.suppress(OSError):
            content = bytearray(path.read_bytes())
            if not content:
                return
            middle = self.random.randrange(len(content))
            if kind == "journal":
                content[middle : middle + 20] = bytes(20)  # as file systems leave it after a power cut
            elif self.random.random() < 0.5:
                del content[middle:]
            else:
                content[middle] ^= 1
            path.write_bytes(bytes(content))
            self._torn[path.parent.name.partition(".")[0]] += 1
            self.outcome.done[f"{kind} torn"] += 1

    def _fill(self) -> None:
        filler = self.root / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(1 << 16))
        self._wait(5, seconds=3.0)
        filler.unlink(missing_ok=True)
        self.outcome.done["disk full"] += 1

    def _restart(self) -> None:
        assert self.restart is not None
        self.restart()
        self.outcome.done["server restarted"] += 1

    # --- processes -----------------------------------------------------------------------------

    def _start(self) -> None:
        words = ["work", str(self.root), str(self.plan.runs), str(self.plan.workers)]
        with (self.root.parent / f"{self.root.name}.supervisor").open("ab") as stream:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos", *words],
                env=self.environment,
                stdout=stream,
                stderr=stream,
                cwd=Path(__file__).parents[1],
            )

    def _workers(self) -> list[int]:
        """Processes that work on the study, but for the supervisor."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline"]):
            words = process.info["cmdline"] or []
            if str(self.workspace.study_dir) in words and len(words) > 4:
                found.append(int(process.info["pid"]))
        return found

    def _alive(self) -> bool:
        """Whether a supervisor is at work, started anew if need be; False once the study is complete."""
        if self.supervisor is not None:
            code = self.supervisor.poll()
            if code is None:
                return True
            self.supervisor = None
            self.outcome.sessions[code] += 1
            if code == 0:
                return False
        self._start()
        return True

    def _wait(self, lines: int, seconds: float = PATIENCE) -> bool:
        """Let so many more lines be noted, and wait for them; False once the study is complete."""
        goal, deadline = lines_of(self.log) + lines, time.monotonic() + seconds
        write_text(self._until, str(goal), durable=False)
        while time.monotonic() < deadline:
            if not self._alive():
                return False
            if lines_of(self.log) >= goal:
                return True
            time.sleep(0.01)
        if seconds == PATIENCE:
            self.outcome.wrong.append(f"nothing happened for {PATIENCE:g} s")
        return seconds != PATIENCE

    def _calm(self) -> None:
        """Once more, undisturbed, until nothing is left: damage is found when a session begins."""
        shutil.rmtree(self.orders)
        self._until.unlink(missing_ok=True)
        if self.supervisor is not None:
            self.supervisor.wait(PATIENCE)
            self.supervisor = None
        for _ in range(3):
            self._start()
            assert self.supervisor is not None
            code = self.supervisor.wait(PATIENCE)
            self.supervisor = None
            if code == 0:
                return
        self.outcome.wrong.append(f"the undisturbed session ended with {code}")

    def _end_all(self) -> None:
        if self.supervisor is not None:
            self.supervisor.kill()
            self.supervisor.wait()
            self.supervisor = None
        deadline = time.monotonic() + PATIENCE
        while self._workers() and time.monotonic() < deadline:
            time.sleep(0.05)

    # --- what is left --------------------------------------------------------------------------

    def _judge(self) -> None:
        wrong, workspace = self.outcome.wrong, self.workspace
        plan = load_plan(workspace)
        for run in plan.runs:
            why = damage(workspace.run_dir(run.key), run.key)
            if why:
                wrong.append(f"run {run.key}: {why}")
        if workspace.journal.exists():
            open_trials = [
                t for t in Ledger(Journal(workspace), STUDY).trials() if not t.state.is_finished()
            ]
            wrong += [f"trial {trial.number} is {trial.state.name}" for trial in open_trials]
        if workspace.frame.read_bytes() != undisturbed(self.plan):
            wrong.append("runs.csv differs from the undisturbed study's")
        wrong += [f"process {pid} still works" for pid in self._workers()]
        clean(workspace.study_dir, dry=False, interrupted=True)
        left = [
            *workspace.study_dir.rglob("*.tmp"),
            *workspace.attempts.iterdir(),
            *workspace.workers.iterdir(),
        ]
        wrong += [f"left behind: {path}" for path in left]
        self._count()

    def _count(self) -> None:
        lines = [line.split() for line in self.log.read_text().splitlines()]
        steps = Counter((words[1], words[2]) for words in lines if words[0] == "step")
        begins = Counter(words[1] for words in lines if words[0] == "began")
        repeated: Counter[str] = Counter()
        for (key, _), times in steps.items():
            repeated[key] += times - 1
        self.outcome.steps, self.outcome.repeated = len(steps), sum(repeated.values())
        excused = {key: EVERY * (begins[key] - 1) + STEPS * self._torn[key] for key in repeated}
        beyond = sum(max(count - excused[key], 0) for key, count in repeated.items())
        self.outcome.beyond = beyond / max(len(steps), 1)


def undisturbed(plan: Plan) -> bytes:
    """runs.csv of the same study without a storm."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, LOG: str(Path(folder) / "log")}
        environment.pop(STORAGE, None)
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        words = ["work", str(Path(folder) / "results"), str(plan.runs), str(plan.workers)]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.chaos", *words],
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


def storm_on(store: str, plan: Plan, folder: Path) -> Outcome:
    """A storm on one of the stores, below ``folder``."""
    with contextlib.ExitStack() as stack:
        root = folder / store / "results"
        full = bool(plan.disk) and stack.enter_context(small_disk(root))
        root.mkdir(parents=True, exist_ok=True)
        if store == "journal":
            return Storm(plan, root, small_disk=full).run()
        from tests.ablate.running.postgresql import PostgresServer

        place = Path(tempfile.mkdtemp(prefix="ablate-chaos-"))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        place.chmod(0o755)
        server = PostgresServer(place / "cluster")
        server.start()
        stack.callback(server.stop)
        how = random.Random(plan.seed)

        def restart() -> None:
            server.stop(how.choice([signal.SIGINT, signal.SIGKILL]))
            time.sleep(how.random() * 3)
            server.start()

        return Storm(plan, root, url=server.url, restart=restart, small_disk=full).run()


def main() -> int:
    """Entry point."""
    if sys.argv[1:2] == ["work"]:
        root, runs, workers = sys.argv[2:]
        return work(Path(root), int(runs), int(workers))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for entry in dataclasses.fields(Plan):
        parser.add_argument(f"--{entry.name}", type=int, default=entry.default)
    parser.add_argument("--store", nargs="+", default=["journal", "postgresql"])
    options = vars(parser.parse_args())
    stores = options.pop("store")
    quiet_optuna()
    failed = False
    for store in stores:
        with tempfile.TemporaryDirectory(prefix="ablate-chaos-") as folder:
            began = time.monotonic()
            found = storm_on(store, Plan(**options), Path(folder))
            print(f"{store}: {time.monotonic() - began:.0f} s; {dict(found.done)}")
            print(f"  supervisors ended with {dict(found.sessions)}")
            print(
                f"  {found.steps} steps, {found.repeated} repeated, {found.beyond:.1%} beyond checkpoints"
            )
            for line in found.wrong:
                print(f"  WRONG: {line}")
            failed = failed or bool(found.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
