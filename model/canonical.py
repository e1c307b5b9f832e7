"""One form for configurations that cannot give different results.

Two rows of a study that differ only in a setting nobody reads (the direction of a tail whose
``alpha`` is 0) are one run. The rules below are used for run keys, so each must hold bit for bit;
where that is doubtful (another order of sums, another use of a random stream) there is no rule.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from model.config import (
    BiasConfig,
    BottleneckConfig,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    Schedule,
    TailConfig,
    TokenDropoutConfig,
    knobs_of,
)
from model.encoders.build import entry_of


def canonical(config: ModelConfig) -> ModelConfig:
    """The representative of all configurations with exactly the results of ``config``.

    Settings that have no effect take their defaults; schedules that never move become numbers.
    ``canonical(canonical(c)) == canonical(c)``. What only concerns resources (``cache.budget_gb``,
    ``train.checkpoint_every``) is left as it is: a run needs it, its key does not.
    """
    config = _steady(config)
    return replace(
        config,
        encoder=_encoder(config.encoder),
        decoder=_decoder(config.decoder),
        bottleneck=_bottleneck(config.bottleneck),
        token_dropout=_token_dropout(config.token_dropout),
        tail=_tail(config.tail),
        bias=_bias(config.bias, config.decoder.depth),
    )


def _steady(config: ModelConfig) -> ModelConfig:
    """Schedules that never move, as numbers: ``constant`` is ``to`` throughout."""
    changes: dict[str, Any] = {}
    for part in fields(config):
        section: Any = getattr(config, part.name)
        knobs = {name: getattr(section, name) for name in knobs_of(type(section))}
        steady = {
            name: knob.to
            for name, knob in knobs.items()
            if isinstance(knob, Schedule) and (knob.shape == "constant" or knob.from_ == knob.to)
        }
        if steady:
            changes[part.name] = replace(section, **steady)
    return replace(config, **changes)


def _encoder(config: EncoderConfig) -> EncoderConfig:
    """Which settings say where the weights come from: some bring their own, a file wins over names."""
    default = EncoderConfig()
    if entry_of(config.name).own_weights:
        return replace(config, pretrained=default.pretrained, weights=None, seed=default.seed)
    if config.weights:
        return replace(config, pretrained=default.pretrained, seed=default.seed)
    return replace(config, seed=default.seed) if config.pretrained else config


def _decoder(config: DecoderConfig) -> DecoderConfig:
    """The denominator that ``attention_eps`` guards exists in linear attention only."""
    return replace(config, attention_eps=0.0) if config.attention == "softmax" else config


def _bottleneck(config: BottleneckConfig) -> BottleneckConfig:
    """No noise has no kind."""
    return replace(config, noise="dropout") if config.dropout == 0 else config


def _token_dropout(config: TokenDropoutConfig) -> TokenDropoutConfig:
    """Prior A switched off, or what its pattern has not: a length, a direction.

    A learned fill is a parameter even at rate 0, so it stays. Blocks are a set.
    """
    default = TokenDropoutConfig()
    if config.pattern == "none" or (config.rate == 0 and config.fill != "learned"):
        return default
    if config.pattern in ("token", "stripe"):
        config = replace(config, length=default.length)
    if config.pattern in ("token", "block"):
        config = replace(config, direction=default.direction)
    return replace(config, blocks=tuple(sorted(set(config.blocks))))


def _tail(config: TailConfig) -> TailConfig:
    """Prior B where all tokens are in the tail, or where only the distance ranks them."""
    default = TailConfig()
    if config.form == "masked":
        config = replace(config, factor=default.factor)
    elif config.q == 1 or config.factor == 1:  # nothing outside the tail, or treated alike there
        return replace(default, q=1.0)
    if config.q == 1:  # every criterion selects every token, from the first iteration on
        config = replace(config, alpha=0.0, ramp=default.ramp)
    if config.alpha == 0:
        config = replace(
            config,
            structure=default.structure,
            direction=default.direction,
            length=default.length,
            beta=default.beta,
        )
    if config.structure == "coherence":  # has no box across the direction
        config = replace(config, beta=default.beta)
    return config


def _bias(config: BiasConfig, depth: int) -> BiasConfig:
    """Prior C switched off, or its blocks in one spelling."""
    if config.lambda_ == 0 or config.blocks == ():
        return BiasConfig()
    if config.blocks is None:
        return config
    blocks = tuple(sorted(set(config.blocks)))
    return replace(config, blocks=None if blocks == tuple(range(depth)) else blocks)
