"""Behavioural: specs that would hang, crash or leak end in one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.study.reading import MOST_BYTES, load_spec, parse_spec
from model.errors import ConfigError

STUDY = """\
study: small
data: {dataset: stripes, root: PLACE}
base: {preset: pocket}
variants: {baseline: {}, top-q: {tail.q: 0.02}}
seeds: 2
"""


def laughs(first: str, row: str) -> str:
    """Ten aliases of ten aliases of ...: 10^12 values in a kilobyte."""
    lines = [f"a0: &a0 {first}"]
    for i in range(1, 13):
        lines.append(f"a{i}: &a{i} " + row.format(", ".join([f"*a{i - 1}"] * 10)))
    return "\n".join(lines) + "\n" + STUDY


def as_map(depth: int = 12) -> str:
    lines = ["a0: &a0 {x: 1}"]
    for i in range(1, depth + 1):
        items = ", ".join(f"k{j}: *a{i - 1}" for j in range(10))
        lines.append(f"a{i}: &a{i} {{{items}}}")
    return "\n".join(lines) + "\n" + STUDY


GRID = "factors:\n  design: grid\n" + "".join(
    f"  {path}: [{', '.join(str((i + 1) / 200) for i in range(100))}]\n"
    for path in ("tail.q", "bias.lambda", "tail.factor")
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (laughs("[x]", "[{}]"), "more than 100,000 values"),
        (as_map(), "more than 100,000 values"),
        (laughs("{x: 1}", "{{<<: [{}]}}"), "more than 100,000 values"),
        (STUDY + "x: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        (STUDY + "x: " + "[" * 60 + "]" * 60, "nested too deeply"),
        (STUDY.replace("seeds: 2", "seeds: 1000000000"), "seeds: 1000000000 seeds; at most 1000000"),
        (STUDY.replace("seeds: 2", "seeds: 500000"), "this plan has 1,000,000 runs (--max-plan raises"),
        (STUDY.replace("seeds: 2", "seeds: " + "9" * 5000), "a number of 5,000 characters"),
        (STUDY + GRID, "runs (--max-plan raises the limit)"),
        (STUDY.replace("root: PLACE", "stripes: {size: 1000000}"), "outside the allowed range (0, 8192]"),
        (STUDY.replace("root: PLACE", "stripes: {train: 5000000}"), "allowed range (0, 100000]"),
        (STUDY.replace("top-q", "Baseline"), "variants 'baseline' and 'Baseline' differ in case only"),
    ],
    ids=["lists", "maps", "merges", "3000 levels", "60 levels", "10^9 seeds", "10^6 runs", "digits",
         "grid", "large images", "many images", "case"],
)  # fmt: skip
def test_a_hostile_spec_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_spec(text, Path("hostile.yaml"), env={})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(100 * MOST_BYTES)
    with pytest.raises(ConfigError, match="larger than 512 KiB"):
        load_spec(path)


def test_the_number_of_runs_can_be_raised() -> None:
    text = STUDY.replace("seeds: 2", "seeds: 60000")
    assert len(parse_spec(text, Path("x.yaml"), most_runs=120_000).seeds) == 60_000


@pytest.mark.parametrize("name", ["HF_TOKEN", "DB_PASSWORD", "client_secret", "AWS_ACCESS_KEY_ID", "KEYS"])
def test_a_secret_is_not_taken_into_a_study(name: str) -> None:
    text = STUDY.replace("PLACE", f'"${{{name}:-nothing}}"')
    with pytest.raises(ConfigError) as error:
        parse_spec(text, Path("x.yaml"), env={name: "hunter2"})
    assert f"{name} looks like a secret" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_other_variables_are_taken(tmp_path: Path) -> None:
    text = STUDY.replace("PLACE", '"${MONKEY_DIR}"')
    assert parse_spec(text, Path("x.yaml"), env={"MONKEY_DIR": str(tmp_path)}).data.root == str(tmp_path)
