"""One form for configurations that cannot give different results.

Two rows of a study that differ only in a setting nobody reads (the direction of a tail whose
``alpha`` is 0) are one run. The rules below are used for run keys, so each must hold bit for bit;
where that is doubtful (another order of sums, another use of a random stream) there is no rule.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from model.baselines import METHODS
from model.baselines.config import canonical as canonical_baseline
from model.config import (
    BiasConfig,
    BottleneckConfig,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    Schedule,
    TailConfig,
    ThresholdConfig,
    TokenDropoutConfig,
    TrainConfig,
    knobs_of,
    sections_of,
)
from model.data.config import DataConfig, PseudoConfig
from model.encoders.build import entry_of
from model.priors.schedule import lengths_at


def canonical(config: ModelConfig) -> ModelConfig:
    """The representative of all configurations with exactly the results of ``config``.

    Settings that have no effect take their defaults; schedules that never move become numbers.
    ``canonical(canonical(c)) == canonical(c)``. What only concerns resources (``cache.budget_gb``,
    ``train.checkpoint_every``) is left as it is: a run needs it, its key does not.
    """
    if config.method != "dinomaly":
        return _reference_row(config)
    matched = config.token_dropout.matched(config.train.iterations)
    config = _steady(replace(config, token_dropout=matched))
    return replace(
        _only_own_sections(config),
        encoder=_encoder(config.encoder),
        decoder=_decoder(config.decoder),
        bottleneck=_bottleneck(config.bottleneck),
        token_dropout=_token_dropout(config.token_dropout, config.train.iterations),
        tail=_tail(config.tail),
        bias=_bias(config.bias, config.decoder.depth),
        train=_train(config.train),
    )


def canonical_data(data: DataConfig, config: ModelConfig) -> DataConfig:
    """The same for what a model reads: what is not drawn has no settings, and nothing is drawn for a model
    that is not trained."""
    drawn = data.pseudo if config.method == "dinomaly" and data.pseudo.kind != "none" else PseudoConfig()
    return data if data.pseudo == drawn else replace(data, pseudo=drawn)


def _only_own_sections(config: ModelConfig) -> ModelConfig:
    """What the method does not read, at its defaults; no threshold holds nothing out."""
    default, own = ModelConfig(), sections_of(config.method)
    if config.score.threshold.quantile is None:
        config = replace(config, score=replace(config.score, threshold=ThresholdConfig()))
    others = {part.name: getattr(default, part.name) for part in fields(config) if part.name not in own}
    return replace(config, **others)


def _reference_row(config: ModelConfig) -> ModelConfig:
    """A method without training reads its own section, the features and the score alone."""
    section = METHODS[config.method].section
    config = _only_own_sections(config)
    knobs = canonical_baseline(getattr(config, section))
    changes: dict[str, Any] = {"encoder": _encoder(config.encoder), section: knobs}
    return replace(config, **changes)


def _steady(config: ModelConfig) -> ModelConfig:
    """Schedules that never move, as numbers: ``constant`` is ``to`` throughout."""
    changes: dict[str, Any] = {}
    for part in fields(config):
        section: Any = getattr(config, part.name)
        if steady := _steady_knobs(section):
            changes[part.name] = replace(section, **steady)
    plugged = {name: _steady_knobs(section) for name, section in config.plugins.items()}
    return replace(config, plugins=config.plugins.replaced(plugged), **changes)


def _steady_knobs(section: Any) -> dict[str, float]:
    """Knobs of a section whose schedules never move, as numbers."""
    knobs = {name: getattr(section, name) for name in knobs_of(type(section))}  # type: ignore[arg-type]
    return {
        name: knob.to
        for name, knob in knobs.items()
        if isinstance(knob, Schedule) and (knob.shape == "constant" or knob.from_ == knob.to)
    }


def _encoder(config: EncoderConfig) -> EncoderConfig:
    """Which settings say where the weights come from: some bring their own, a file wins over names."""
    default = EncoderConfig()
    if entry_of(config.name).own_weights:
        return replace(config, pretrained=default.pretrained, weights=None, seed=default.seed)
    if config.weights:
        return replace(config, pretrained=default.pretrained, seed=default.seed)
    return replace(config, seed=default.seed) if config.pretrained else config


def _decoder(config: DecoderConfig) -> DecoderConfig:
    """``attention_eps`` guards linear attention's denominator; no neighbour mask has no form."""
    default = DecoderConfig()
    if config.attention == "softmax":
        config = replace(config, attention_eps=default.attention_eps)
    if not config.neighbour_mask:
        config = replace(config, neighbour_mask_form=default.neighbour_mask_form)
    return config


def _train(config: TrainConfig) -> TrainConfig:
    """Where nothing looks for a plateau, it has no definition."""
    default = TrainConfig()
    if config.until == "iterations":
        config = replace(config, plateau_window=default.plateau_window, plateau_gain=default.plateau_gain)
    return config


def _bottleneck(config: BottleneckConfig) -> BottleneckConfig:
    """No noise has no kind, and two layers have no rank to learn at a rate of its own."""
    if config.dropout == 0:
        config = replace(config, noise="dropout")
    return replace(config, rank_lr=BottleneckConfig().rank_lr) if config.rank is None else config


def _token_dropout(config: TokenDropoutConfig, iterations: int) -> TokenDropoutConfig:
    """Prior A switched off, or what its pattern has not: a length, a direction.

    A learned fill is a parameter even at rate 0, so it stays. Blocks are a set; a length that rounds
    to the same tokens throughout is a number.
    """
    default = TokenDropoutConfig()
    if config.pattern == "none" or (config.rate == 0 and config.fill != "learned"):
        return default
    if config.pattern in ("token", "stripe"):
        config = replace(config, length=default.length)
    if config.pattern in ("token", "block"):
        config = replace(config, direction=default.direction)
    if any(isinstance(length, Schedule) for length in config.length):
        course = {lengths_at(config.length, i / iterations) for i in range(iterations)}
        config = replace(config, length=course.pop()) if len(course) == 1 else config
    return replace(config, blocks=tuple(sorted(set(config.blocks))))


def _tail(config: TailConfig) -> TailConfig:
    """Prior B where all tokens are in the tail, or where only the distance ranks them."""
    default = TailConfig()
    if config.form == "masked":
        if config.background == 1:  # all tokens carry the loss, whatever the tail
            return replace(default, form=config.form, background=1.0)
        config = replace(config, factor=default.factor)
    elif config.q == 1 or config.factor == 1:  # nothing outside the tail, or treated alike there
        return replace(default, q=1.0)
    else:
        config = replace(config, background=default.background)
    if config.q == 1:  # every criterion selects every token, from the first iteration on
        config = replace(config, alpha=0.0, ramp=default.ramp)
    if config.alpha == 0:
        config = replace(
            config,
            combine=default.combine,
            structure=default.structure,
            direction=default.direction,
            length=default.length,
            beta=default.beta,
        )
    if config.structure == "coherence":  # has no box across the direction
        config = replace(config, beta=default.beta)
    return config


def _bias(config: BiasConfig, depth: int) -> BiasConfig:
    """Prior C switched off, what only a lambda or only a parameter has, its blocks in one spelling."""
    default = BiasConfig()
    if config.blocks == () or (config.lambda_ == 0 and config.relative == "none"):
        return default
    if config.lambda_ == 0:  # a table alone reaches along the whole line
        config = replace(config, kernel=default.kernel, half_width=default.half_width)
    if config.lambda_ != "learned" and config.relative == "none":
        config = replace(config, lr_multiplier=default.lr_multiplier)
    if config.blocks is None:
        return config
    blocks = tuple(sorted(set(config.blocks)))
    return replace(config, blocks=None if blocks == tuple(range(depth)) else blocks)
