"""Every option of the priors, by name: what tests, benchmarks and documentation iterate over.

An option is a change to a configuration in the spec's own words (dotted YAML paths), so an entry can
be pasted into a study as a variant. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any, get_args

from model.config import Direction


@dataclass(frozen=True)
class Option:
    """One way to set a prior."""

    name: str
    """Short and unique, e.g. ``segment-horizontal-zero``."""
    description: str
    """One line for a reader who does not know the code."""
    values: Mapping[str, Any]
    """Dotted YAML path -> plain value."""

    def nested(self) -> dict[str, Any]:
        """The values as nested dicts, as ``model.config.build_config`` takes them."""
        tree: dict[str, Any] = {}
        for path, value in self.values.items():
            *sections, leaf = path.split(".")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
            node[leaf] = value
        return tree


_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_ALONG = {"horizontal": "along rows", "vertical": "along columns", "both": "along either axis"}
_FILLS = {
    "zero": "zeros",
    "mean": "the image's mean token",
    "neighbour": "random kept tokens of the image",
    "learned": "a learned token",
}
_PATTERNS = {"token": "single tokens", "segment": "runs", "stripe": "whole lines", "block": "squares"}


def _option(name: str, description: str, values: Mapping[str, Any]) -> Option:
    return Option(name, description, MappingProxyType(dict(values)))


def _token_dropout() -> tuple[Option, ...]:
    shapes: list[tuple[str, Direction | None]] = [
        *product(("segment", "stripe"), _DIRECTIONS),
        ("token", None),
        ("block", None),
    ]
    options = [
        _option(
            "-".join(filter(None, (pattern, direction, fill))),
            " ".join(
                filter(
                    None,
                    (_PATTERNS[pattern], direction and _ALONG[direction], "replaced by", _FILLS[fill]),
                )
            ),
            {"token_dropout.pattern": pattern, "token_dropout.fill": fill}
            | ({"token_dropout.direction": direction} if direction else {}),
        )
        for (pattern, direction), fill in product(shapes, _FILLS)
    ]
    segment = {"token_dropout.pattern": "segment"}
    options += [
        _option(
            "segment-rescale",
            "kept tokens rescaled by 1 / (1 - rate)",
            segment | {"token_dropout.rescale": True},
        ),
        _option(
            "segment-bottleneck_input",
            "cut before the bottleneck",
            segment | {"token_dropout.site": "bottleneck_input"},
        ),
        _option(
            "segment-decoder_blocks",
            "cut before two of the decoder's blocks",
            segment | {"token_dropout.site": "decoder_blocks", "token_dropout.blocks": [0, 1]},
        ),
        _option(
            "segment-scheduled",
            "rate annealed from 0",
            segment | {"token_dropout.rate": {"from": 0.0, "to": 0.3, "shape": "cosine"}},
        ),
    ]
    return tuple(options)


def _tail() -> tuple[Option, ...]:
    options = [
        _option(
            f"{form}-{scope}-pixel",
            f"top q of the distances per {scope}, {form} form",
            {"tail.form": form, "tail.scope": scope, "tail.ramp": 0},
        )
        for form, scope in product(("gradient", "masked"), ("batch", "image"))
    ]
    options += [
        _option(
            f"{form}-{scope}-{structure}-{direction}-{alpha:g}",
            f"{structure} structure {_ALONG[direction]} weighs {alpha:g} per {scope}, {form} form",
            {
                "tail.form": form,
                "tail.scope": scope,
                "tail.structure": structure,
                "tail.direction": direction,
                "tail.alpha": alpha,
                "tail.ramp": 0,
            },
        )
        for form, scope, structure, direction, alpha in product(
            ("gradient", "masked"), ("batch", "image"), ("box", "coherence"), _DIRECTIONS, (0.5, 1.0)
        )
    ]
    options.append(
        _option(
            "scheduled",
            "q, alpha and beta move during training",
            {
                "tail.q": {"from": 0.5, "to": 0.02, "shape": "exponential"},
                "tail.alpha": {"from": 0.0, "to": 0.5},
                "tail.beta": {"from": 0.0, "to": 1.0, "shape": "step"},
            },
        )
    )
    return tuple(options)


def _bias() -> tuple[Option, ...]:
    attentions = ("linear", "softmax")
    options = [
        _option(
            f"{attention}-{kernel}-{width}-{direction}",
            f"{kernel} of half-width {width} {_ALONG[direction]}, {attention} attention",
            {
                "decoder.attention": attention,
                "bias.lambda": 0.5,
                "bias.kernel": kernel,
                "bias.half_width": width,
                "bias.direction": direction,
            },
        )
        for attention, kernel, width, direction in product(
            attentions, ("box", "triangle", "gaussian"), (2, "row"), _DIRECTIONS
        )
    ]
    for attention in attentions:
        base = {"decoder.attention": attention}
        options += [
            _option(
                f"{attention}-full",
                f"tokens of a row ignore each other, {attention}",
                base | {"bias.lambda": 1.0},
            ),
            _option(
                f"{attention}-learned",
                f"a learned strength per head, {attention}",
                base | {"bias.lambda": "learned"},
            ),
            _option(
                f"{attention}-scheduled",
                f"strength annealed from 0, {attention}",
                base | {"bias.lambda": {"from": 0.0, "to": 0.5}},
            ),
        ]
    options.append(
        _option(
            "softmax-neighbour_mask",
            "with the neighbour mask on top, softmax",
            {"decoder.attention": "softmax", "decoder.neighbour_mask": 3, "bias.lambda": 0.5},
        )
    )
    return tuple(options)


TOKEN_DROPOUT: tuple[Option, ...] = _token_dropout()
"""Prior A: every pattern x direction x fill, and one of each remaining switch."""

TAIL: tuple[Option, ...] = _tail()
"""Prior B: every form x scope x criterion x direction, and a schedule."""

BIAS: tuple[Option, ...] = _bias()
"""Prior C: every attention x kernel x half-width x direction, and full, learned and scheduled."""
