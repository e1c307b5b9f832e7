"""How a session went: its exit code, and what to say at its end."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.running.attempt import NOT_ITS_FAULT
from ablate.running.folder import Workspace
from ablate.running.progress import duration, settled
from ablate.running.status import StudyStatus


@dataclass(frozen=True)
class Result:
    """How a session went."""

    exit_code: int
    """0 done; 1 some runs failed, or are left that should not be; 128 + signal if stopped by one."""
    state: StudyStatus
    lines: tuple[str, ...]
    """Closing lines for the user."""

    @property
    def stopped(self) -> bool:
        """Whether a signal stopped it."""
        return self.exit_code > 128


def failures(state: StudyStatus) -> int:
    """Runs, and configurations of a search, that failed."""
    return len(state.failed) + (state.search.failed if state.search else 0)


def conclude(
    workspace: Workspace,
    state: StudyStatus,
    stopped_by: int | None,
    elapsed: float,
    *,
    limited: bool = False,
) -> Result:
    """Exit code and closing lines of a session; ``limited``: it was to leave runs for later."""
    counts = state.counts
    done, total = settled(state)
    left = total - done
    parts = [f"{state.finished} of {len(state.runs)} runs done"]
    if counts.get("reused"):
        parts[0] += f" ({counts['reused']} reused from other studies)"
    parts += [f"{len(state.failed)} failed"] if state.failed else []
    parts += [f"{left} left"] if left else []
    lines = [f"{state.study}: {', '.join(parts)}, after {duration(elapsed)}"]
    lines += [f"failed: {run.label}: {run.reason} (log: {run.log})" for run in state.failed]
    again = [run for run in state.failed if run.kind in NOT_ITS_FAULT]
    if again:
        lines.append("runs that failed for a full disk are tried again by the next ablate run or resume")
    if len(again) < len(state.failed):
        others = "other failed runs" if again else "failed runs"
        lines.append(f"{others} are tried again only with --retry-failed")
    if left:
        lines.append(f"continue with: ablate resume {workspace.study_dir}")
    code = 128 + stopped_by if stopped_by else int(bool(state.failed) or (left > 0 and not limited))
    return Result(code, state, tuple(lines))
