"""``ablate init``: a commented, valid study to start from. The same options give the same text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from ablate.study.reading import parse_spec
from ablate.study.schema import MODELINE
from ablate.study.spec import Design, StudySpec
from ablate.study.text import flow, label
from model.config import Shape
from model.errors import ConfigError
from model.presets import PRESETS
from model.suggest import suggestion

_SCHEDULED_FROM = {"tail.q": 1.0, "token_dropout.rate": 0.0, "bias.lambda": 0.0}
"""Where a schedule of a knob starts: with the prior switched off."""

_DEFAULT_RATE = 0.2
_MOST_LISTED = 20
"""Categories that a comment names."""


@dataclass(frozen=True)
class Options:
    """What a new study is to compare; every list is a factor's levels."""

    name: str
    dataset: str = "stripes"
    root: str | None = None
    categories: Sequence[str] = ()
    preset: str = "dinomaly-base"
    q: Sequence[float] = ()
    """Fractions of tokens in the loss's tail (prior B)."""
    alpha: Sequence[float] = ()
    """Weights of directional structure in the tail's criterion (prior B)."""
    mask: Sequence[str] = ()
    """Patterns of token dropout (prior A)."""
    bias: Sequence[float] = ()
    """Strengths of the attention bias (prior C)."""
    schedule: Sequence[str] = ("constant",)
    """Shapes that q, the dropout rate and the bias take over training (prior A2)."""
    seeds: int = 5
    design: Design = "one-at-a-time"
    per_category: bool = False
    schema: str | None = None
    """Where the editor's JSON schema lies, if it has been written."""
    found: Sequence[str] = ()
    """Categories that the dataset is known to have."""
    comment: Sequence[str] = field(default=())
    """Further lines for the head of the file."""


def init_text(options: Options) -> str:
    """The study's YAML text; guaranteed to load.

    Raises
    ------
    ConfigError: an option is not one of the values that a study accepts.
    """
    if options.preset not in PRESETS:
        raise ConfigError(
            f"--preset: unknown preset '{options.preset}'", hint=suggestion(options.preset, PRESETS)
        )
    if options.design not in get_args(Design):
        known = get_args(Design)
        hint = suggestion(options.design, known, list_all=False)
        raise ConfigError(f"--design: '{options.design}' is not one of {', '.join(known)}", hint=hint)
    for shape in options.schedule:
        if shape not in get_args(Shape):
            known = get_args(Shape)
            hint = suggestion(shape, known, list_all=False)
            raise ConfigError(f"--schedule: '{shape}' is not one of {', '.join(known)}", hint=hint)
    text = "\n".join(
        [*_head(options), *_data(options), *_base(options), *_comparison(options), *_tail(options)]
    )
    _check(text, options)
    return text


def _check(text: str, options: Options) -> StudySpec:
    try:
        return parse_spec(text, Path(f"{options.name}.yaml"))
    except ConfigError as error:  # the place is in a file that does not exist yet
        raise ConfigError(error.message, hint=error.hint) from error


def _head(options: Options) -> list[str]:
    lines = [MODELINE.format(path=options.schema)] if options.schema else []
    lines += [f"# Question: what do the changes below do to {options.preset} on {options.dataset}?"]
    lines += [f"# {line}" for line in options.comment]
    lines += [
        "# Before running:  ablate plan THIS_FILE   says how many runs, and how long they take",
        "#                  ablate show THIS_FILE   says what every variant resolves to",
        "#                  ablate run THIS_FILE --smoke   goes through everything in a minute or two",
        f"study: {flow(options.name)}",
        "",
    ]
    return lines


def _data(options: Options) -> list[str]:
    lines = ["data:", f"  dataset: {flow(options.dataset)}"]
    if options.dataset == "stripes":
        lines[-1] += "          # built in, drawn on demand; no download"
    if options.root is not None:
        lines.append(f"  root: {flow(options.root)}")
    if options.categories:
        lines.append(f"  categories: {flow(list(options.categories))}")
    else:
        known = flow(list(options.found[:_MOST_LISTED]) or ["a", "b"])
        lines.append(f"  # categories: {known}        # all that are found, if left out")
    setting = "per_category" if options.per_category else "unified"
    lines += [f"  setting: {setting}          # one model for all categories, or one for each", ""]
    return lines


def _base(options: Options) -> list[str]:
    summary = PRESETS[options.preset].summary
    return [
        "base:                           # shared by every variant",
        *(f"  # {line}" for line in textwrap.wrap(summary, 90)),
        f"  preset: {options.preset}",
        "  # train: {iterations: 10000}  # any setting of the model, nested or dotted",
        "",
    ]


def _comparison(options: Options) -> list[str]:
    return _grid(options) if options.design == "grid" else _one_at_a_time(options)


def _one_at_a_time(options: Options) -> list[str]:
    """One named variant per level, each a single change to the baseline."""
    lines = ["variants:                       # one row of the tables each", "  baseline: {}"]
    for title, rows in _changes(options):
        lines += [f"  # {title}"]
        lines += [f"  {flow(name)}: {flow(dict(values))}" for name, values in rows]
    if len(lines) == 2:
        lines += [
            "  # prior B, for example: the loss's tail holds fewer tokens",
            "  q-0.02: {tail.q: 0.02}",
        ]
    return [*lines, ""]


def _changes(options: Options) -> list[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    found: list[tuple[str, list[tuple[str, dict[str, Any]]]]] = []

    def add(title: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
        if rows:
            found.append((title, rows))

    add("prior B: the share q of tokens in the loss's tail", [
        (f"q-{label(q)}{_suffix(shape)}", {"tail.q": level, **_no_ramp(level)})
        for q in options.q for shape in options.schedule for level in [_level("tail.q", q, shape)]
    ])  # fmt: skip
    add("prior B: the tail ranks by directional structure, weight alpha (vertical: the control)", [
        (f"alpha-{label(alpha)}{ending}", {"tail.alpha": alpha, "tail.direction": direction})
        for alpha in options.alpha
        for direction, ending in (("horizontal", ""), ("vertical", "-vertical"))
        if alpha or direction == "horizontal"
    ])  # fmt: skip
    add("prior A: patch tokens are cut in training; all patterns cut the same share", [
        (
            f"mask-{pattern}{_suffix(shape)}",
            {
                "token_dropout.pattern": pattern,
                "token_dropout.rate": _level("token_dropout.rate", _DEFAULT_RATE, shape),
            },
        )
        for pattern in options.mask for shape in options.schedule
    ])  # fmt: skip
    add("prior C: attention within a row is weakened, strength lambda", [
        (f"bias-{label(bias)}{_suffix(shape)}", {"bias.lambda": _level("bias.lambda", bias, shape)})
        for bias in options.bias for shape in (options.schedule if bias else ("constant",))
    ])  # fmt: skip
    return found


def _grid(options: Options) -> list[str]:
    """Factors crossed with each other: every combination is a row."""
    levels: dict[str, list[Any]] = {
        "tail.q": [_level("tail.q", q, shape) for q in options.q for shape in options.schedule],
        "tail.alpha": list(options.alpha),
        "token_dropout.pattern": list(options.mask),
        "token_dropout.rate": [
            _level("token_dropout.rate", _DEFAULT_RATE, shape)
            for shape in options.schedule
            if options.mask and tuple(options.schedule) != ("constant",)
        ],
        "bias.lambda": [
            _level("bias.lambda", bias, shape)
            for bias in options.bias
            for shape in (options.schedule if bias else ("constant",))
        ],
    }
    lines = [
        "factors:",
        "  design: grid                  # every combination; one-at-a-time varies each alone",
    ]
    given = {path: values for path, values in levels.items() if values} or {"tail.q": [0.02, 0.1]}
    return [*lines, *(f"  {path}: {flow(values)}" for path, values in given.items()), ""]


def _tail(options: Options) -> list[str]:
    seeds = "seed" if options.seeds == 1 else "seeds"
    lines = [
        f"seeds: {options.seeds}                        # {options.seeds} {seeds}: the unit of replication",
        "",
        "# What the paper will say, stated before the runs; each gets a verdict in the report:",
        "#   claims:",
        f"#     - left > right on {_in_a_line(*options.found[:1]) or 'category'} by image_auroc",
        "",
        "report:",
    ]
    if options.design == "one-at-a-time":
        lines.append("  baseline: baseline")
    return [*lines, "  primary: image_auroc", ""]


def _in_a_line(*names: str) -> str:
    """Names as a comment may hold them: a folder's may contain line breaks."""
    return " ".join(" ".join(names).split())


def _level(path: str, value: float, shape: str) -> Any:
    """A knob's level: the number itself, or a schedule that ends there."""
    if shape == "constant":
        return value
    start = _SCHEDULED_FROM[path]
    if shape == "exponential" and start == 0:
        start = value / 10  # an exponential cannot start at 0
    return {"from": start, "to": value, "shape": shape}


def _no_ramp(level: Any) -> dict[str, Any]:
    """The reference's own ramp of q would add to a schedule that starts at 1."""
    return {"tail.ramp": 0} if isinstance(level, dict) else {}


def _suffix(shape: str) -> str:
    return "" if shape == "constant" else f"-{shape}"
