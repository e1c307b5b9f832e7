"""Behavioural: the command line in real processes (few, they cost half a second each), exit codes, and
the helpers that turn options into what the parts below take."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import model
from ablate.cli import arguments as options
from ablate.cli import commands as cli
from ablate.cli.doctor import examine
from ablate.cli.printing import print_study
from ablate.study.reading import parse_spec
from ablate.study.spec import StudySpec
from model.config import EncoderConfig
from model.errors import ConfigError
from tests.ablate.report_inputs import write_study
from tests.model.data import layouts

ROOT = Path(__file__).parents[3]

STUDY = """\
study: tiny
data: {dataset: stripes, categories: [domain_a], stripes: {size: 32, train: 2, test_good: 2, test_bad: 2}}
base: {preset: pocket}
variants: {dinomaly: {}, top-q: {tail.q: 0.02}, same: {tail.q: 0.1}}
seeds: 2
"""


def ablate(
    *arguments: str | Path, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "ablate", *map(str, arguments)],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    return path


def outcome(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(str(ended.value.code))


# ------------------------------------------------------------------------- real processes


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys\nfrom ablate.cli.commands import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "slow = {'torch', 'pandas', 'optuna', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    commands = (
        "run", "plan", "status", "logs", "resume", "report", "clean", "show", "schema", "init",
        "doctor", "dashboard", "data", "encode", "evaluate", "priors", "ls", "open", "gate", "repair",
    )  # fmt: skip
    assert all(f" {command} " in done.stdout for command in commands)


def test_the_version_is_printed_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("--version") == 0
    assert capsys.readouterr().out == f"{model.__version__}\n"


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("run", "one per GPU, else per core"),
        ("run", "per user"),
        ("logs", "list all"),
        ("init", "standard output"),
        ("doctor", "the default one"),
        ("data check", "STUDY-data.png"),
    ],
)
def test_help_says_what_happens_without_an_option(
    command: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert outcome(*command.split(), "--help") == 0
    assert f"[default: ({hint})]" in " ".join(capsys.readouterr().out.split())


def test_a_users_mistake_is_one_line_and_exit_code_2(study: Path) -> None:
    study.write_text(STUDY.replace("tail.q: 0.02", "tail.qq: 0.02"))
    done = ablate("plan", study)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: {study}:4:34: unknown key 'tail.qq' in variants.top-q (did you mean 'tail.q'?)\n"
    )


def test_plan_says_what_would_run(study: Path, tmp_path: Path) -> None:
    done = ablate("plan", study, "--set", "seeds=1", cwd=tmp_path, ABLATE_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "set seeds = 1 (was 2)" in done.stdout
    assert "3 cells, 2 runs: 2 new, 0 cached, 1 duplicates" in done.stdout
    assert not (tmp_path / "results").exists()


def test_plan_as_json(study: Path, tmp_path: Path) -> None:
    falling = "base.bias.lambda={from: 0.4, to: 0}"
    done = ablate("plan", study, "--json", "--cache", tmp_path / "cache", "--set", falling, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    (means,) = content["means"].items()
    assert means[0].startswith("bias.lambda 0.2") and len(means[1]) == 3
    assert (content["study"], content["runs"], content["duplicates"]) == ("tiny", 4, 2)
    assert [cell["state"] for cell in content["cells"]] == ["new", "new", "duplicate"] * 2
    assert len({cell["key"] for cell in content["cells"]}) == 4


# ----------------------------------------------------------------------------- exit codes


def test_init_then_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fresh.yaml"
    assert outcome("init", "fresh", "--q", "0.02,0.05", "--schedule", "cosine", "--out", path) == 0
    assert outcome("show", path) == 0
    shown = capsys.readouterr().out
    assert "q-0.05-cosine" in shown
    assert "tail.q over training, 0.5" in shown
    assert outcome("init", "fresh", "--out", path) == 2
    assert "exists already (--force replaces it)" in capsys.readouterr().err


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "ablate study"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["plan"],
        ["plan", "x.yaml", "--nonsense"],
        ["run", "x.yaml", "--workers", "0"],
        ["status", "nowhere"],
    ],
    ids=" ".join,
)
def test_mistaken_arguments_are_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(*arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ConfigError("wrong", where="f:1:2", hint="mend it"), 2, "error: f:1:2: wrong (mend it)\n"),
        (KeyboardInterrupt(), 130, ""),
        (OSError(errno.ENOSPC, "No space left on device", "/r/x"), 2,
         "error: /r/x: the disk is full (free some space)\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/r/x"), 2, "error: /r/x: Permission denied\n"),
    ],
    ids=["user", "interrupt", "disk", "permission"],
)  # fmt: skip
def test_what_ends_a_command_decides_the_exit_code(
    raised: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr("ablate.study.reading.load_spec", fail)
    assert outcome("plan", "x.yaml") == code
    assert capsys.readouterr().err.endswith(said)


def test_debug_shows_the_traceback_and_defects_always_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError):
        cli.main(["--debug", "plan", "nothing.yaml"])

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ablate.study.reading.load_spec", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["plan", "nothing.yaml"])


@pytest.mark.parametrize("code", [0, 1, 130, 143])
def test_run_hands_the_runners_exit_code_on(
    code: int,
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: dict[str, Any] = {}

    def run_study(plan: Any, root: Path, options: Any, *, view: Any) -> SimpleNamespace:
        given.update(plan=plan, root=root, options=options, view=view)
        return SimpleNamespace(exit_code=code, lines=("closing line",), state=SimpleNamespace(finished=0))

    monkeypatch.setattr("ablate.running.supervisor.run_study", run_study)
    arguments: list[str | Path] = [
        "run", study, "--workers", "3", "--timeout", "2m", "--fail-fast", "--max-runs", "5",
        "--set", "seeds=1",
        "--results", tmp_path / "out", "--cache", tmp_path / "cache", "--device", "cuda:1,3",
    ]  # fmt: skip
    assert outcome(*arguments) == code
    assert "closing line" in capsys.readouterr().out
    assert given["root"] == tmp_path / "out"
    assert given["plan"].spec.invocation.overrides == ("seeds=1",)
    chosen = given["options"]
    assert (chosen.workers, chosen.timeout, chosen.fail_fast, chosen.max_runs) == (3, 120.0, True, 5)
    assert (chosen.device, chosen.gpus, chosen.cache_dir) == ("cuda", ("1", "3"), str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("seeds", "given", "meant"),
    [
        ("3", [], (3, 20)),
        ("3", ["--max-seeds", "8"], (3, 8)),
        ("[0, 1]", [], (2, 20)),
        ("{start: 5, max: 50}", [], (5, 50)),
        ("{start: 5, max: 50}", ["--max-seeds", "8"], (5, 8)),
    ],
)
def test_until_decided_keeps_what_the_study_declares(
    seeds: str, given: list[str], meant: tuple[int, int], study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.write_text(STUDY.replace("seeds: 2", f"seeds: {seeds}\nclaims: [top-q > dinomaly]"))
    specs: list[StudySpec] = []
    monkeypatch.setattr("ablate.study.reading.MOST_RUNS", 5)
    monkeypatch.setattr("ablate.cli.study_commands.ask_if_changed", lambda *_, **__: None)
    monkeypatch.setattr("ablate.cli.study_commands._start", lambda spec, *_: specs.append(spec) or 0)
    assert outcome("run", study, "--until-decided", "--max-plan", "15", *given) == 0
    (spec,) = specs
    assert (len(spec.seeds), spec.max_seeds) == meant


@pytest.mark.parametrize(
    ("seeds", "given", "said"),
    [
        (
            "[7, 8, 9]",
            ["--until-decided"],
            "counts seeds up from 0, the study has 7, 8, 9 (write: seeds: 3)",
        ),
        ("3", ["--max-seeds", "8"], "--max-seeds says how far --until-decided goes (give both)"),
    ],
)
def test_seeds_that_cannot_grow_as_asked_are_refused(
    seeds: str, given: list[str], said: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text(STUDY.replace("seeds: 2", f"seeds: {seeds}"))
    assert outcome("run", study, *given) == 2
    assert said in capsys.readouterr().err


def test_run_and_resume_speak_json_as_they_go(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    specs: list[StudySpec] = []

    def run_study(plan: Any, *_: Any, view: Any) -> SimpleNamespace:
        specs.append(plan.spec)
        view.say("at work")
        return SimpleNamespace(
            exit_code=1, lines=("closing line",), state=SimpleNamespace(finished=0, runs=[1], failed=[])
        )

    monkeypatch.setattr("ablate.running.supervisor.run_study", run_study)
    places = ("--results", tmp_path / "results", "--cache", tmp_path / "cache")
    assert outcome("run", study, "--json", "--set", "seeds=1", "--threads", "2", *places) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line.get("text")) for line in lines] == [
        ("note", "at work"), ("note", "closing line"), ("finished", None),
    ]  # fmt: skip
    assert (lines[-1]["exit_code"], lines[-1]["runs"]) == (1, 1)
    folder = tmp_path / "results" / "tiny"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    (folder / "spec.yaml").write_text(specs[0].text)
    (folder / "invocation.json").write_text(specs[0].invocation.to_json())
    assert outcome("resume", "tiny", "--json", *places) == 1
    assert all(json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert specs[1].seeds == specs[0].seeds == (0,)
    assert specs[1].invocation.threads == specs[0].invocation.threads == 2


def test_workers_that_nobody_asked_for_leave_each_run_its_threads(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[StudySpec, int]] = []

    def run_study(plan: Any, _: Path, options: Any, **__: Any) -> SimpleNamespace:
        begun.append((plan.spec, options.workers))
        return SimpleNamespace(exit_code=1, lines=(), state=SimpleNamespace(finished=0))

    monkeypatch.setattr("ablate.running.supervisor.run_study", run_study)
    monkeypatch.setattr("ablate.running.capacity.available_cores", lambda: 8)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=64e9))
    places = ("--results", tmp_path / "results", "--cache", tmp_path / "cache", "--device", "cpu")
    outcome("run", study, "--set", "seeds=1", "--threads", "2", *places)
    folder = tmp_path / "results" / "tiny"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    (folder / "spec.yaml").write_text(begun[0][0].text)
    (folder / "invocation.json").write_text(begun[0][0].invocation.to_json())
    outcome("resume", "tiny", *places)
    assert [workers for _, workers in begun] == [4, 4]


def test_a_dry_run_runs_nothing(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert outcome("run", study, "--dry-run", "--smoke", "--cache", tmp_path / "cache") == 0
    assert "6 cells, 4 runs" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


# --------------------------------------------------------------------------------- helpers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172800)],
)
def test_times(text: str | None, seconds: float | None) -> None:
    assert options.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-3", "3 weeks"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--timeout: cannot read"):
        options.seconds(text)


def test_the_cache_is_the_users_unless_given(tmp_path: Path) -> None:
    assert options.cache_dir(tmp_path) == tmp_path
    assert options.cache_dir(None).name == "ablate"


def test_the_dashboard_is_the_installed_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/bin/optuna-dashboard")
    command = options.dashboard_command(tmp_path, 8081)
    assert command == ["/bin/optuna-dashboard", str(tmp_path / "optuna.journal"), "--port", "8081"]
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(
        ConfigError, match=r"not installed \(install it with: pip install 'ablate\[dashboard\]'\)"
    ):
        options.dashboard_command(tmp_path, 8081)


def test_show_prints_levels_in_brackets_as_they_are() -> None:
    text = STUDY.replace("tail.q: 0.02", "token_dropout: {pattern: segment, length: [1, 4]}")
    out = io.StringIO()
    print_study(Console(width=100, file=out), parse_spec(text, Path("s.yaml"), (), {}), None)
    assert "token_dropout.length   [2,6] -> [1,4]" in out.getvalue()


def test_show_knows_its_variants(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("show", study, "--variant", "top-r") == 2
    assert "no variant is called 'top-r'" in capsys.readouterr().err


def test_encode_names_a_device_that_is_not_there(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("encode", study, "--device", "gpu", "--cache", study.parent / "cache") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: --device: torch cannot use 'gpu': ")


def test_the_doctor_says_what_is_missing_and_what_an_encoder_is_good_for(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_bytes(bytes(2_000_000))
    encoder = EncoderConfig(name="vit_tiny_patch16_224", weights=str(tmp_path / "none.pth"))
    findings = examine(tmp_path / "cache", tmp_path / "results" / "deep", encoder)
    found = {finding.subject: finding for finding in findings}
    assert found["cache"].text == f"{tmp_path / 'cache'} (0.00 GB; safe to delete)"
    assert found["weights"].level == "problem"
    assert "conclusions need DINOv2-class weights" in found["conclusions"].text
    assert "conclusions" not in {f.subject for f in examine(tmp_path, tmp_path, EncoderConfig())}


def test_the_doctor_wants_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = {f.subject: f for f in examine(tmp_path / "file", tmp_path, EncoderConfig())}
    assert found["free for cache"].level == "problem"


def test_a_published_frame_is_a_study_without_its_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``spec.yaml`` and ``runs.csv`` are enough to remake a report; nothing else can be asked of them."""
    published = tmp_path / "results" / "shared"
    write_study(published, pictures=False)
    for path in published.iterdir():
        if path.name not in ("spec.yaml", "runs.csv"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert outcome("report", "shared", "--results", tmp_path / "results") == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert outcome("status", "shared", "--results", tmp_path / "results") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_studies_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("ls", "--results", tmp_path) == 0
    assert capsys.readouterr().out == "no studies here\n"
    write_study(tmp_path / "mine")
    (tmp_path / "published").mkdir()
    (tmp_path / "published/runs.csv").touch()
    assert outcome("ls", "--results", tmp_path) == 0
    assert "published" in capsys.readouterr().out
    assert outcome("ls", "--json", "--results", tmp_path) == 0
    mine, published = json.loads(capsys.readouterr().out)
    assert (mine["study"], published["study"]) == ("mine", "published")
    assert mine["finished"] == mine["counts"]["done"] > 0
    assert published["finished"] is None


def test_a_strict_check_of_data_ends_with_1_if_anything_is_noted(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    spec = tmp_path / "own.yaml"
    spec.write_text(
        STUDY.split("data:")[0] + f"data: {{dataset: mvtec, root: {root}}}\nvariants: {{a: {{}}}}\n"
    )
    command = ("data", "check", spec, "--cache", tmp_path / "cache", "--out", tmp_path / "sheet.png")
    assert outcome(*command, "--strict") == 0
    layouts.mask(root / "bottle/ground_truth/crack/lost_mask.png")
    assert outcome(*command, "--strict") == 1
    assert outcome(*command) == 0


def test_a_check_of_data_writes_a_page_whatever_it_finds(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    spec = tmp_path / "own.yaml"
    spec.write_text(
        STUDY.split("data:")[0] + f"data: {{dataset: mvtec, root: {root}}}\nvariants: {{a: {{}}}}\n"
    )
    page = tmp_path / "page.html"
    command = ("data", "check", spec, "--cache", tmp_path / "cache", "--html", page)
    assert outcome(*command) == 0
    assert "image/jpeg" in page.read_text()
    assert not (tmp_path / "tiny-data.png").exists()
    (root / "bottle/test/good/000.png").write_bytes(b"no image")
    assert outcome(*command) == 2
    assert "cannot read image" in page.read_text()


def test_claims_are_printed_and_strict_about_open_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "directional-tail"
    write_study(folder, pictures=False)
    named = ("claims", "directional-tail", "--results", tmp_path / "results")
    assert outcome(*named) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "directional > dinomaly", "directional > control on domain_c", "top-q < control",
    ]  # fmt: skip
    assert outcome(*named, "--json", "--strict") == 1
    printed = json.loads(capsys.readouterr().out)["claims"]
    verdicts = [claim["verdict"] for claim in printed]
    assert verdicts[0] == "supported" and {"refuted", "undecided"} & set(verdicts)
    assert printed[0]["low_new_images"] is None  # the runs' scores are not there
