"""Behavioural: which modules count, and that comments do not."""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path

import pytest

from model.code_identity import changed, check_source, combined, file_digest, modules_below
from model.errors import ConfigError

TREE = {
    "start.py": "from model.part import add\ndef go():\n  from model.late import x\n  return add(x)\n",
    "model/part.py": '"""Adds."""\n\ndef add(x):\n    """One more."""\n    return x + 1  # more\n',
    "model/late.py": "import typing\nif typing.TYPE_CHECKING:\n  from model.unused import y\nx = 1\n",
    "model/unused.py": "y = 2\n",
    "model/errors.py": "z = 3\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_is_reached_counts_inside_functions_too(tree: Path) -> None:
    assert list(modules_below(["start"], folder=tree)) == ["model.late", "model.part", "start"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("def add( x ):\n    # another comment\n    return (x +\n        1)\n", True),
        ('"""Other words."""\ndef add(x):\n    """Of another kind."""\n    return x + 1\n', True),
        ("def add(x):\n    return x + 2\n", False),
        ("def add(x):\n    return x - 1\n", False),
        ("def add(x):\n    return 1 + x\n", False),
    ],
)
def test_a_digest_is_of_what_the_code_does(tree: Path, text: str, same: bool) -> None:
    before = modules_below(["start"], folder=tree)
    (tree / "model/part.py").write_text(text)
    after = modules_below(["start"], folder=tree)
    assert (combined(before) == combined(after)) is same
    assert changed(before, after) == (() if same else ("model/part.py",))


def test_a_file_that_does_not_parse_counts_by_its_bytes(tree: Path) -> None:
    (tree / "bad.py").write_text("def (\n")
    first = file_digest(tree / "bad.py")
    (tree / "bad.py").write_text("def ((\n")
    assert file_digest(tree / "bad.py") != first


def test_a_plug_in_counts_whole(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "plugged.py").write_text("def build():\n    from model.unused import y\n    return y\n")
    monkeypatch.syspath_prepend(tree)
    import plugged  # type: ignore[import-not-found]

    assert {"plugged", "model.unused"} <= set(modules_below([], entries=[plugged.build], folder=tree))


HELPERS = {
    "ideas.py": "import beside\ndef build():\n    return beside.y\n",
    "beside.py": "import json\ny = 1\n",
    "stranger.py": "z = 1\n",
    "pack/__init__.py": "from .first import build\n",
    "pack/first.py": "from . import second\nfrom .deep.third import t\ndef build():\n    return t\n",
    "pack/second.py": "def late():\n    from model.unused import y\n",
    "pack/deep/__init__.py": "",
    "pack/deep/third.py": "from ..fourth import f as t\n",
    "pack/fourth.py": "f = 4\n",
    "pack/other.py": "o = 5\n",
}


@pytest.mark.parametrize(
    ("module", "reached"),
    [
        ("ideas", {"ideas", "beside"}),
        (
            "pack.first",
            {"pack", "pack.first", "pack.second", "pack.deep", "pack.deep.third", "pack.fourth"}
            | {"model.unused"},
        ),
    ],
)
def test_a_plug_in_counts_with_what_it_brings_along(
    tree: Path, monkeypatch: pytest.MonkeyPatch, module: str, reached: set[str]
) -> None:
    for name, text in HELPERS.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)
    monkeypatch.syspath_prepend(tree)
    build = importlib.import_module(module).build
    found = modules_below([], entries=[build], folder=tree)
    assert {name for name in found if name != "model"} == reached
    helper = tree / ("beside.py" if module == "ideas" else "pack/fourth.py")
    helper.write_text(helper.read_text() + "more = 1\n")
    assert combined(modules_below([], entries=[build], folder=tree)) != combined(found)


def test_beside_an_installed_plug_in_lies_what_is_not_its_own(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tree / "lib" / "site-packages"
    packages.mkdir(parents=True)
    for name in ("ideas.py", "beside.py"):
        (packages / name).write_text(HELPERS[name])
    monkeypatch.syspath_prepend(packages)
    for name in ("ideas", "beside"):
        sys.modules.pop(name, None)
    build = importlib.import_module("ideas").build
    assert set(modules_below([], entries=[build], folder=tree)) == {"ideas"}


def test_a_decorated_function_is_its_own_module_s(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "dressed.py").write_text(
        "import contextlib\nclass quiet(contextlib.ContextDecorator):\n    def __enter__(self): pass\n"
        "    def __exit__(self, *_): pass\n@quiet()\ndef measure():\n    return 1\n"
    )
    monkeypatch.syspath_prepend(tree)
    measure = importlib.import_module("dressed").measure
    assert set(modules_below([], entries=[measure], folder=tree)) == {"dressed"}


def test_code_that_cannot_be_read_is_refused() -> None:
    check_source(str, "what builds it")
    with pytest.raises(ConfigError, match=r"what builds it must be a function .* not a partial"):
        check_source(functools.partial(str, 1), "what builds it")
