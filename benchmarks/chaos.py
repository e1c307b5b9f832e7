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
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ablate.running.clean import clean
from ablate.running.folder import Workspace
from ablate.running.journal import Journal, quiet_optuna
from ablate.running.ledger import Ledger
from ablate.running.manifest import damage
from ablate.running.recorded import load_plan
from ablate.running.server import STORAGE
from benchmarks.chaos_runs import EVERY, LOG, STEPS, STUDY, lines_of, small_disk, undisturbed
from model.files import write_text

PATIENCE = 120.0
"""Seconds without any progress after which the storm is over, and lost."""


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
        self._said = root.parent / f"{root.name}.supervisor"
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
            self._order_commit,
            self._kill_supervisor,
            self._order_checkpoint,
            self._kill_everything,
            self._kill_reader,
            self._kill_worker,
            self._order_commit,
            self._kill_worker,
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
        words = [str(self.root), str(self.plan.runs), str(self.plan.workers)]
        with self._said.open("ab") as stream:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos_runs", *words],
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
        if workspace.frame.read_bytes() != undisturbed(self.plan.runs, self.plan.workers):
            wrong.append("runs.csv differs from the undisturbed study's")
        said = self._said.read_text(errors="replace")
        wrong += [f"a traceback: {part[:2000]}" for part in said.split("Traceback (most")[1:]]
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
