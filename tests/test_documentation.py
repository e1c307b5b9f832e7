"""Behavioural: the documentation site is built without a warning, links lead somewhere, and what the
site says of commands, functions and settings is all that there is."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import ablate
import model
from ablate.study.reading import parse_spec
from model.config import ModelConfig
from model.data.readers import READERS
from model.presets import PRESETS
from tests.shown_commands import mistake, shown_in_page, shown_in_shell

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE_WITH_THE_SITE = DOCS / "reference/command-line.md"

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

needs_the_generator = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="LOUD: the extra 'docs' is not installed, so the documentation site is not built",
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def links(path: Path) -> Iterator[str]:
    """Targets of a page's links and images, those to other hosts left out."""
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        for part in token.children or ():
            target = part.attrs.get("href") or part.attrs.get("src")
            if target and not re.match(r"[a-z]+:", str(target)):
                yield str(target)


def anchors(path: Path) -> set[str]:
    """What may stand behind ``#`` in a link to a page."""
    tokens = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    titles = [
        text.content for heading, text in itertools.pairwise(tokens) if heading.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    dead = []
    for target in links(path):
        name, _, anchor = target.partition("#")
        there = path.parent.joinpath(name).resolve() if name else path
        if there == MADE_WITH_THE_SITE:
            continue
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(target)
    assert dead == []


def test_dead_links_are_seen(tmp_path: Path) -> None:
    """The test above can fail."""
    page = tmp_path / "page.md"
    page.write_text("# One *two*, three\n\n[a](gone.md) ![b](gone.png) [c](https://x.org) [d](#one-two)\n")
    assert list(links(page)) == ["gone.md", "gone.png", "#one-two"]
    assert anchors(page) == {"one-two-three"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@needs_the_generator
@pytest.mark.slow
def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    fetched = (
        r"""<(?:script|img|iframe|link(?=[^>]*stylesheet))[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>"""
    )
    assert [(page.name, found) for page in pages for found in re.findall(fetched, page.read_text())] == []


@needs_the_generator
@pytest.mark.slow
def test_every_door_setting_and_command_is_in_the_reference(site: Path) -> None:
    def said(page: str) -> str:
        return (site / "reference" / page).read_text(encoding="utf-8")

    doors = {f"ablate.{name}" for name in ablate.__all__ if not name.startswith("_")}
    assert [name for name in sorted(doors) if f'id="{name}"' not in said("ablate.html")] == []
    doors = {f"model.{name}" for name in model.__all__ if not name.startswith("_")}
    assert [name for name in sorted(doors) if f'id="{name}"' not in said("model.html")] == []
    for field in fields(ModelConfig):
        assert f'id="model.config.ModelConfig.{field.name}"' in said("settings.html")
    assert "--until-decided" in said("command-line.html")
    assert "ablate data check" in said("command-line.html")


@needs_the_generator
@pytest.mark.slow
def test_docstrings_and_tables_are_rendered(site: Path) -> None:
    reference = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    assert ":class:" not in reference
    assert "====" not in reference
    assert reference.count(">Parameters:<") >= 5
    assert r"\|" not in (site / "studies.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*PAGES, ROOT / "results/README.md"], ids=named)
def test_every_command_shown_exists(path: Path) -> None:
    shown = list(shown_in_page(path.read_text(encoding="utf-8")))
    assert [said for said in map(mistake, shown) if said] == []


def test_every_command_shown_by_the_program_exists() -> None:
    """In docstrings, messages and hints, between backticks."""
    shown = [
        command
        for package in ("ablate", "model")
        for path in (ROOT / package).rglob("*.py")
        for code in re.findall(r"`(ablate [^`{}]*)`", path.read_text(encoding="utf-8"))
        for command in shown_in_shell(" ".join(code.split()))
    ]
    assert len(shown) > 5
    assert [said for said in map(mistake, shown) if said] == []


def test_wrong_commands_are_seen() -> None:
    """The tests above can fail."""
    page = (
        "Do `ablate runn x.yaml`, or `X=1 ablate run x.yaml --wrokers\n2`.\n\n"
        "    pip install . && ablate data chek x.yaml    what it does\n\n"
        "```console\n$ ablate run x.yaml \\\n    --set a=b y.yaml\n```\n\n`ablate run --storage`\n"
    )
    said = [mistake(command) for command in shown_in_page(page)]
    assert said == [
        "no command runn in: ablate runn x.yaml",
        "no option --wrokers in: ablate run x.yaml --wrokers 2",
        "no command chek in: ablate data chek x.yaml",
        "one argument too many, y.yaml, in: ablate run x.yaml --set a=b y.yaml",
        None,
    ]


def test_the_readme_names_what_there_is() -> None:
    """Every preset and layout, and no preset that is not there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:dinomaly|pocket)[\w-]*)`", text))
    assert named == set(PRESETS)
    names = {"mvtec": "MVTec", "mvtec_ad2": "MVTec AD 2", "loco": "LOCO", "btad": "BTAD", "visa": "VisA",
             "realiad": "Real-IAD", "magnetic_tile": "Magnetic Tile", "folder": "plain folders",
             "stripes": "`stripes`"}  # fmt: skip
    assert set(names) == set(READERS)
    assert [name for name in names.values() if name not in " ".join(text.split())] == []


def test_the_study_in_the_readme_is_one() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"(?:^ {4}.*\n)+", text[text.index("    study:") :], re.MULTILINE)
    assert block is not None
    spec = parse_spec(textwrap.dedent(block[0]), Path("readme.yaml"), (), {})
    assert spec.study == "directional-tail"
    assert len(spec.variants) == 4
    assert len(spec.claims) == 1
