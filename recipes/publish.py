"""The published studies: run, reported, verified, and what is cited of them copied into ``results/``.

    python -m recipes.publish --work WORK [--workers N] [STUDY ...]

Resumable: what has finished is not computed again, and a folder is replaced only by one that verifies. Run
folders and checkpoints stay in WORK. Studies on Magnetic Tile read the folder that MAGNETIC_TILE names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from model.files import write_text

ROOT = Path(__file__).parents[1]

STUDIES = (
    "known_effects",
    "known_effects_tiles",
    "mechanism",
    "mechanism_tiles",
    "prior_a",
    "prior_b",
    "prior_c",
    "priors_tiles",
    "priors_combined",
    "priors_long",
    "pseudo",
    "reference_rows",
)
"""Files below ``studies/``, in the order in which the page of answers names them."""

KEPT = (
    "spec.yaml", "invocation.json", "claims.jsonl", "runs.csv", ".runs.csv.digest.json", "evidence.json",
    "quoted.csv", "search.csv",
)  # fmt: skip
"""Of a study's folder, beside its report: all that a report is made of where the runs are not at hand."""
FIGURES = ("forest.png", "mechanism.png", "completion.png")
"""Figures that are published as files; the page holds these and all others."""

BEGIN, END = "<!-- verdicts: made by recipes/publish.py -->", "<!-- end of verdicts -->"


TEXT = (".html", ".json", ".jsonl", ".yaml", ".md", ".tex", ".csv", ".txt")


def run(study: str, work: Path, cache: Path, workers: int | None) -> str:
    """Run what is missing of a study; returns its name. Raises CalledProcessError if runs are left."""
    from ablate.study.reading import load_spec

    path = ROOT / "studies" / f"{study}.yaml"
    command = [sys.executable, "-m", "ablate", "run", str(path), "--plain", "--results", str(work)]
    command += ["--cache", str(cache)]
    command += ["--workers", str(workers)] if workers else []
    subprocess.run(command, cwd=ROOT, check=True)
    return load_spec(path).study


def publish(folder: Path, into: Path, places: Mapping[str, str] | None = None) -> Path:
    """Report and verify a finished study, copy what is cited of it below ``into``, and verify the copy.

    ``places``: paths of this machine -> what stands for them in the copy.
    Returns the copy. Raises RuntimeError with the first difference if either does not verify.
    """
    from ablate.doors import make_report
    from ablate.report.verifying import verify

    make_report(folder)
    draft = into / f".{folder.name}.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in KEPT:
        if (folder / name).exists():
            shutil.copyfile(folder / name, draft / name)
    shutil.copytree(folder / "report", draft / "report", ignore=_unpublished)
    for path in draft.rglob("*"):
        if path.suffix in TEXT and path.name not in ("runs.csv", ".runs.csv.digest.json", "claims.jsonl"):
            path.write_text(without(path.read_text(encoding="utf-8"), places or {}), encoding="utf-8")
    for place in (folder, draft):
        if wrong := verify(place).wrong:
            raise RuntimeError(f"{place}: {wrong}")
    target = into / folder.name
    shutil.rmtree(target, ignore_errors=True)
    return draft.replace(target)


def without(text: str, places: Mapping[str, str]) -> str:
    """``text`` with paths replaced, the longest first."""
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    return text


def _unpublished(folder: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if Path(folder).name == "figures" and name not in FIGURES}


def answers(folders: Sequence[Path]) -> str:
    """The verdicts of published studies as Markdown: a heading and a table per study with claims."""
    from ablate.evidence.gather import gather
    from ablate.evidence.judgement import Judgement
    from ablate.report.findings import claim_findings
    from ablate.report.words import verdict_text

    parts = []
    for folder in folders:
        judgement = Judgement(gather(folder))
        if not judgement.claims:
            continue
        rows = [
            f"| {finding.subject} | **{verdict_text(judged.verdict)}** | {_after(finding.text)} |"
            for judged, finding in zip(judgement.claims, claim_findings(judgement), strict=True)
        ]
        question = " ".join(judgement.results.comments[:1])
        parts.append("\n".join((f"### [{folder.name}]({folder.name}/report/main.md)", "", question, "")))
        parts.append("\n".join(("| claim | verdict | evidence |", "|---|---|---|", *rows, "")))
    return "\n".join(parts)


def _after(text: str) -> str:
    """The evidence without the verdict that opens it; a cell of a table."""
    return text.partition(": ")[2].replace("|", "\\|") or text


def write_answers(page: Path, text: str) -> None:
    """Replace the part of ``page`` between the two marks. Raises ValueError if it has none."""
    before, mark, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"{page} has no place for verdicts: {BEGIN} ... {END}")
    write_text(page, f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, publish and rewrite the page of answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("studies", nargs="*", default=STUDIES, help="files below studies/, all by default")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs, kept between calls")
    parser.add_argument("--cache", type=Path, help="folder for features, kept too; WORK/.cache by default")
    parser.add_argument("--workers", type=int, help="worker processes")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where they are published")
    given = parser.parse_args(arguments)
    work = given.work.resolve()
    cache = (given.cache or work / ".cache").resolve()
    places = {str(work): "results", str(cache): "cache", str(ROOT): ".", str(Path.home()): "~"}
    if tiles := os.environ.get("MAGNETIC_TILE"):
        places[str(Path(tiles).resolve())] = "magnetic_tile"
    for study in given.studies:
        name = run(study, work, cache, given.workers)
        print(json.dumps({"published": str(publish(work / name, given.results, places))}), flush=True)
    folders = sorted(path.parent for path in given.results.glob("*/spec.yaml"))
    write_answers(given.results / "README.md", answers(folders))


if __name__ == "__main__":
    main()
