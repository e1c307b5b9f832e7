"""Behavioural: what a person at a terminal (a real pseudo-terminal) sees."""

from __future__ import annotations

import os
import pty
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from ablate.cli.printing import print_ending
from tests.ablate.report_inputs import judged

STUDY = """\
study: tiny
data: {dataset: stripes, categories: [domain_a]}
base: {preset: pocket, encoder: {name: vit_base_patch14_dinov2, weights: nowhere/weights.pth}}
variants: {dinomaly: {}, top-q: {tail.q: 0.02}}
seeds: 2
"""


def at_terminal(*arguments: str) -> tuple[int, str]:
    """Exit code and all output of ``ablate`` at a terminal of its own."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="40")
        os.execv(sys.executable, [sys.executable, "-m", "ablate", *arguments])
    output = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other side has closed
            break
        if not part:
            break
        output += part
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), output.decode(errors="replace")


def test_missing_weights_are_said_before_anything_slow_and_the_cursor_comes_back(tmp_path: Path) -> None:
    spec = tmp_path / "study.yaml"
    spec.write_text(STUDY, encoding="utf-8")
    code, output = at_terminal("run", str(spec), "--results", str(tmp_path / "results"))
    assert code == 2
    assert "reading" in output
    assert "weights file nowhere/weights.pth does not exist" in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    assert not (tmp_path / "results").exists()


def test_plain_lines_at_a_terminal_hold_no_control_sequences(tmp_path: Path) -> None:
    spec = tmp_path / "study.yaml"
    spec.write_text(STUDY, encoding="utf-8")
    code, output = at_terminal("run", str(spec), "--plain", "--results", str(tmp_path / "results"))
    assert code == 2
    assert "reading" in output
    assert "\x1b" not in output


def test_the_reports_path_is_a_link(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    output = StringIO()
    print_ending(Console(file=output, force_terminal=True, width=100), judged(), page)
    assert page.as_uri() in output.getvalue()
    assert f"{page}" in output.getvalue().replace(page.as_uri(), "")


def test_what_was_set_stands_on_lines_of_its_own(tmp_path: Path) -> None:
    spec = tmp_path / "study.yaml"
    spec.write_text(
        "study: s\ndata: {dataset: folder, root: nowhere}\nbase: {preset: pocket}\nvariants: {a: {}}\n"
    )
    code, output = at_terminal("run", str(spec), "--set", "seeds=1", "--results", str(tmp_path / "results"))
    assert code == 2 and "nowhere does not exist" in output
    # The turning sign's line has been wiped before anything else is written on it.
    before = output[: output.index("set seeds")]
    assert before.rindex("\x1b[2K") > before.rindex("reading")
