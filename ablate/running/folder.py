"""Where everything of a study lies on disk: paths, nothing else.

    results/                      root: studies here reuse each other's runs
      .probe.json                 whether locks here hold between hosts, as `ablate doctor --probe` found
      .locks/<key>.lock           held by the process that computes that run, whatever its study
      <study>/
        spec.yaml                 what is to be run, as written
        invocation.json           what the command line changed of it
        plan.json                 the same fully resolved
        search.json  search.csv   of a search: what it looks for, and what it has tried
        claims.jsonl              what was declared before the first run, later changes, looks
        optuna.journal            every attempt at every run, and how it ended
        runs/<key>/               committed runs: appear by one rename, never change afterwards
        runs.csv                  tidy long frame of all committed runs, remade at will
        report/  logs/<key>.log
        .lock                     short critical sections (planning, taking runs)
        .damaged/<key>.<n>/         committed runs whose files have changed: set aside, never read
        .attempts/<key>/          a run in the making; stable, so that its checkpoint is found again
        .workers/                 sessions (supervisors) and workers: live state for ``status``

``runs/`` is the truth: the journal can be lost and is rebuilt from it. No torch, pandas or Optuna
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from model.files import storage_errors

CHECKPOINT = "checkpoint.pt"
ATTEMPT = "attempt.json"
REUSED = "reused_from.json"
"""In a run that another study has computed: which one."""
HISTOGRAMS = "score_histograms"
"""Folder in a run's: pixel scores per image and region, one file per category."""


@dataclass(frozen=True)
class Workspace:
    """The paths of one study; ``study_dir`` is ``results/<study>``."""

    study_dir: Path

    @property
    def root(self) -> Path:
        """The results root, shared by all studies that may reuse each other's runs."""
        return self.study_dir.parent

    @property
    def spec(self) -> Path:
        """Verbatim copy of the study file."""
        return self.study_dir / "spec.yaml"

    @property
    def invocation(self) -> Path:
        """What the command line changed of the study file."""
        return self.study_dir / "invocation.json"

    @property
    def plan(self) -> Path:
        """The resolved plan."""
        return self.study_dir / "plan.json"

    @property
    def claims(self) -> Path:
        """The ledger of what was declared, and of looks."""
        return self.study_dir / "claims.jsonl"

    @property
    def journal(self) -> Path:
        """Optuna's journal."""
        return self.study_dir / "optuna.journal"

    @property
    def runs(self) -> Path:
        """Committed runs."""
        return self.study_dir / "runs"

    @property
    def search(self) -> Path:
        """What a search looks for; only in a study that is one."""
        return self.study_dir / "search.json"

    @property
    def search_frame(self) -> Path:
        """The configurations a search has tried."""
        return self.study_dir / "search.csv"

    def search_lock(self, number: int) -> Path:
        """Lock of one configuration of a search."""
        return self.study_dir / ".search" / f"{number}.lock"

    @property
    def frame(self) -> Path:
        """The tidy frame."""
        return self.study_dir / "runs.csv"

    @property
    def logs(self) -> Path:
        """One log per run, one per worker."""
        return self.study_dir / "logs"

    @property
    def attempts(self) -> Path:
        """Runs in the making."""
        return self.study_dir / ".attempts"

    @property
    def workers(self) -> Path:
        """Sessions and workers."""
        return self.study_dir / ".workers"

    @property
    def lock(self) -> Path:
        """Lock of the study's short critical sections."""
        return self.study_dir / ".lock"

    def run_dir(self, key: str) -> Path:
        """Folder of a committed run."""
        return self.runs / key

    def attempt_dir(self, key: str) -> Path:
        """Folder of a run in the making."""
        return self.attempts / key

    def log(self, key: str) -> Path:
        """Log of all attempts at a run."""
        return self.logs / f"{key}.log"

    def key_lock(self, key: str) -> Path:
        """Lock of a run's key, common to all studies of the root."""
        return self.root / ".locks" / f"{key}.lock"

    def session_lock(self, session: str) -> Path:
        """Lock held by a supervisor for its whole life."""
        return self.workers / f"{session}.lock"

    def session_file(self, session: str) -> Path:
        """A supervisor's options and identity."""
        return self.workers / f"{session}.session.json"

    def worker_file(self, worker: str) -> Path:
        """A worker's live state."""
        return self.workers / f"{worker}.worker.json"

    def committed(self, key: str) -> bool:
        """Whether the run is finished in this study."""
        return self.run_dir(key).is_dir()

    def elsewhere(self, key: str) -> list[Path]:
        """Folders of the same run in other studies of this root, sound or not."""
        return [path for path in sorted(self.root.glob(f"*/runs/{key}")) if path != self.run_dir(key)]

    def create(self) -> None:
        """Make the study's folders.

        Raises :class:`StorageError` if they cannot be made.
        """
        with storage_errors(self.study_dir):
            for folder in (self.runs, self.logs, self.attempts, self.workers):
                folder.mkdir(parents=True, exist_ok=True)


def cache_folder(given: Path | str | None = None) -> Path:
    """Where features, ground truth and drawn datasets are kept: as given, else the user's own."""
    return user_cache_path("ablate") if given is None else Path(given).expanduser()
