"""Behavioural: workers as a SLURM array, on a real cluster of one node and a real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.cli.commands import main
from ablate.running.cluster import Joined
from ablate.running.folder import Workspace
from ablate.running.progress import PlainView
from ablate.running.remote import read_shared
from ablate.running.server import STORAGE
from ablate.running.session import RunOptions
from ablate.running.slurm import run_on_slurm_here, submit, worker_command
from ablate.study.slurm import SlurmConfig
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.postgresql import PostgresServer
from tests.ablate.running.slurm_node import SlurmNode, missing
from tests.ablate.running.studies import allow_sharing, wait_for
from tests.ablate.running.test_postgres import ROOT, plan_on, states

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmNode]:
    if missing() or os.geteuid() != 0:
        pytest.skip(f"no SLURM here ({', '.join(missing()) or 'not root'}): arrays are NOT TESTED")
    pytest.importorskip("submitit")
    folder = Path(tempfile.mkdtemp(prefix="ablate-slurm-"))
    node = SlurmNode(folder / "cluster")
    try:
        node.start()
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(slurm: SlurmNode, fresh_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> SlurmNode:
    for name, value in {**slurm.environment, STORAGE: fresh_server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    return slurm


def start(joined: Joined, root: Path, executor: str, **options: int | str) -> list[object]:
    """An array whose workers compute fakes."""
    code = (
        "import sys; from pathlib import Path; from tests.ablate import runner_fakes; "
        "runner_fakes.join(Path(sys.argv[1]), sys.argv[2], 1)"
    )
    command = (sys.executable, "-c", code, str(root), executor)
    return submit(joined.workspace, SlurmConfig(**options), command)  # type: ignore[arg-type]


def test_an_array_of_three_workers_finishes_a_study(
    cluster: SlurmNode, fresh_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    joined = plan_on(fresh_server, tmp_path, fakes.make_fake_plan(seeds=6), shared=True)
    start(joined, tmp_path, "gated", array=3)
    wait_for(lambda: sum(worker.label != "" for worker in read_shared(joined).live) == 3, cluster.account)
    jobs = {worker.job for worker in read_shared(joined).live}
    assert len(jobs) == 3
    assert len({job.partition("_")[0] for job in jobs}) == 1
    Path(f"{log}.gate").touch()
    wait_for(lambda: states(joined) == ["done"] * 6, cluster.account)
    wait_for(lambda: not cluster.client("squeue", "-h"), cluster.account)
    assert len(fakes.notes(log, "ran")) == 6


def test_a_cancelled_task_does_not_end_the_study(
    cluster: SlurmNode, fresh_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    plan = fakes.make_fake_plan(seeds=3)
    joined = plan_on(fresh_server, tmp_path, plan, shared=True, lease=3.0)
    start(joined, tmp_path, "gated", array=2)
    wait_for(lambda: sum(worker.label != "" for worker in read_shared(joined).live) == 2, cluster.account)
    victim = sorted(worker.job for worker in read_shared(joined).live)[0]
    cluster.client("scancel", victim)
    wait_for(lambda: cluster.client("squeue", "-h", "-r").count(b"\n") == 1, cluster.account)
    Path(f"{log}.gate").touch()
    wait_for(lambda: states(joined) == ["done"] * 3, cluster.account)
    wait_for(lambda: not cluster.client("squeue", "-h"), cluster.account)


def test_a_task_that_is_warned_puts_its_run_back_and_is_requeued(
    cluster: SlurmNode, fresh_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    joined = plan_on(fresh_server, tmp_path, fakes.make_fake_plan(iterations=50), shared=True)

    def account() -> str:
        tasks = sorted((joined.workspace.logs / "slurm").glob("*.*"))
        said = "\n".join(f"--- {t.name}\n{t.read_text()}" for t in tasks if t.suffix in (".out", ".err"))
        return f"{states(joined)}\n{said}\n{cluster.account()}"

    hold = Path(f"{log}.hold")
    hold.touch()  # the run shall not be over before it is warned, however long a warning takes
    start(joined, tmp_path, "steps", array=1, time="10")
    wait_for(lambda: len(fakes.notes(log, "step")) > 3, account)
    (worker,) = read_shared(joined).live
    cluster.client("scancel", "--signal=USR2", f"{worker.job}.0")
    wait_for(lambda: states(joined) == ["waiting"], account)
    hold.unlink()
    wait_for(lambda: states(joined) == ["done"], account)
    steps = [int(step) for _, step in fakes.notes(log, "step")]
    assert steps == list(range(50))
    assert len(fakes.notes(log, "ran")) == 2


def test_an_array_works_by_the_journal_where_hosts_may_share_it(
    cluster: SlurmNode, tmp_path: Path, log: Path
) -> None:
    allow_sharing(tmp_path)
    code = "import sys; from pathlib import Path; from tests.ablate import runner_fakes as fakes; "
    command = (sys.executable, "-c", f"{code}fakes.join_here(Path(sys.argv[1]), 'quick')", str(tmp_path))
    said: list[str] = []
    view = PlainView(said.append)
    plan, asked = fakes.make_fake_plan(seeds=6), SlurmConfig(array=3, time="10")
    result = run_on_slurm_here(plan, tmp_path, RunOptions(), asked, view, command=command)
    assert result.exit_code == 0
    assert result.state.finished == 6
    assert any("3 workers asked for" in line for line in said)
    assert len(fakes.notes(log, "ran")) == 6
    wait_for(lambda: not cluster.client("squeue", "-h"))
    again = run_on_slurm_here(plan, tmp_path, RunOptions(), asked, PlainView(said.append), command=command)
    assert again.exit_code == 0
    assert not cluster.client("squeue", "-h")  # nothing was left to submit


def test_slurm_without_a_server_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    with pytest.raises(SystemExit) as left:
        main(["run", str(ROOT / "studies" / "quickstart.yaml"), "--slurm", "--results", str(tmp_path)])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "no probe has shown" in said
    assert "--storage postgresql://" in said
    assert f"`ablate doctor --probe {tmp_path}` on two hosts" in said


def test_a_task_has_the_options_of_its_session(tmp_path: Path) -> None:
    options = RunOptions(timeout=5400.0, retries=3, device="cpu", cache_dir=str(tmp_path / "cache"))
    command = " ".join(worker_command(Workspace(tmp_path / "s"), options))
    assert "--timeout 5400 --retries 3 --device cpu" in command
    assert f"--cache {tmp_path / 'cache'}" in command
    plain = worker_command(Workspace(tmp_path / "s"), RunOptions())
    assert not {"--timeout", "--device", "--cache"} & set(plain)
