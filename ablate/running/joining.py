"""Work on a study whose journal lies in a folder that hosts share: ``ablate worker`` without a server.

Nothing differs from a second supervisor on one host: the journal's locks are all there is between them, so
the folder has to be one where these hold (:mod:`ablate.running.file_systems`).
"""

from __future__ import annotations

import contextlib

from ablate.running.conclusion import Result
from ablate.running.file_systems import Mounts, check_shared_journal, mounted
from ablate.running.folder import Workspace
from ablate.running.journal import quiet_optuna, sound_journal
from ablate.running.progress import View
from ablate.running.recorded import check_code, load_plan
from ablate.running.session import RunOptions, announced, live_sessions, new_session
from ablate.running.supervisor import planned_work, supervise
from model.errors import ConfigError


def join_here(workspace: Workspace, options: RunOptions, view: View, mounts: Mounts = mounted) -> Result:
    """Work on a study as its folder records it, until nothing is left.

    Raises
    ------
    ConfigError: hosts may not share a journal in this folder, the study is a search, or it
        was planned with other code.
    StorageError: there is no such study, or another supervisor runs another plan here.
    """
    quiet_optuna()
    plan = load_plan(workspace)
    check_code(plan)
    check_shared_journal(workspace.root, "ablate worker", mounts)
    if plan.search:
        raise ConfigError("a search runs on one machine", hint="ablate resume goes on with it")
    session = new_session(plan.digest, options)
    with announced(workspace, session, None, None), contextlib.closing(view) as shown:
        journal, notes = sound_journal(workspace, alone=len(live_sessions(workspace)) == 1)
        return supervise(workspace, planned_work(journal, plan, options, notes), session, shown)
