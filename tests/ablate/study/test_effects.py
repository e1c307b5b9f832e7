"""Behavioural: a setting that changes no row is named with its line; one that changes a row never is."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from ablate.study import spec as spec_module
from ablate.study.effects import idle_settings
from ablate.study.reading import load_spec, parse_spec

ROOT = Path(__file__).parents[3]
HEAD = "study: s\ndata: {dataset: stripes}\n"


def idle(text: str) -> list[str]:
    return list(idle_settings(parse_spec(HEAD + text, Path("s.yaml"), env={})))


@pytest.mark.parametrize(
    ("text", "place", "path"),
    [
        ("variants:\n  a: {}\n  b: {tail.q: 0.02, tail.direction: vertical}\n", "5:21", "tail.direction"),
        ("base: {bias.half_width: 3}\nvariants: {a: {}, b: {tail.q: 0.02}}\n", "3:8", "bias.half_width"),
        ("factors: {design: grid, tail.beta: [0.1, 0.2]}\n", "3:25", "tail.beta"),
        ("variants:\n  a: {}\n  b: {token_dropout: {rate: 0.3}}\n", "5:23", "token_dropout.rate"),
    ],
)
def test_a_setting_that_nothing_reads_is_named(text: str, place: str, path: str) -> None:
    (line,) = idle(text)
    assert line.startswith(f"s.yaml:{place}: ") and f"'{path}'" in line


@pytest.mark.parametrize(
    "text",
    [
        "variants: {a: {}, b: {tail.q: 0.02, tail.alpha: 0.5, tail.direction: vertical}}\n",
        "variants: {a: {}, same: {tail.q: 0.1}}\n",  # the default, written out
        "variants: {a: {image.crop: 392}, b: {tail.q: 0.02}}\n",  # the default in another spelling
        "base: {tail.direction: vertical}\nvariants: {a: {}, b: {tail.alpha: 0.5}}\n",  # one row reads it
        "variants: {a: {tail.beta: 0.2}}\nfactors: {design: grid, tail.alpha: [0.1, 0.5]}\n",
        "factors: {design: grid, tail.alpha: [0, 0.5], tail.beta: [0.1, 0.2]}\n",
    ],
)
def test_a_setting_that_a_row_reads_is_not(text: str) -> None:
    assert idle(text) == []


def test_all_are_named_in_the_order_of_the_file() -> None:
    variants = "variants:\n  a: {tail.beta: 0.3}\n  b: {tail.length: 5, tail.q: 0.02}\n"
    text = f"base: {{bias.half_width: 3}}\n{variants}"
    assert [line.split(":")[1] for line in idle(text)] == ["3", "5", "6"]


def test_many_variants_take_as_many_looks_each_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    variants = "".join(f"  v{i}: {{tail.q: 0.{i + 2}, tail.alpha: 0.5}}\n" for i in range(7))
    spec = parse_spec(f"{HEAD}variants:\n{variants}", Path("s.yaml"), env={})
    rows, configs = Mock(wraps=spec_module.rows_of), Mock(wraps=spec_module.build_config)
    monkeypatch.setattr(spec_module, "rows_of", rows)
    monkeypatch.setattr(spec_module, "build_config", configs)
    assert idle_settings(spec) == ()
    assert rows.call_count == 1
    assert configs.call_count == 7 * (1 + 2)  # each as it is, and without each of its settings


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_say_nothing_in_vain(path: Path) -> None:
    spec = load_spec(path, env={"DATA": "/data", "MVTEC": "/mvtec"})
    assert list(idle_settings(spec)) == []
