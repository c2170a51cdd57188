"""The sizes of model that an experiment crosses with its scales."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment
from mixscale.train.config import RunConfig

_WIDTHS = ("n_embd", "hidden_size", "d_model", "dim")
"""What transformers' configs call the width."""
_LAYERS = ("n_layer", "num_hidden_layers", "n_layers", "num_layers")
_INITIALISATION = "initializer_range"
_USUAL_INITIALISATION = 0.02
"""Of GPT-2, Llama, GPT-NeoX and BERT in transformers."""

DEFAULT_MODEL = {
    "name": "hf_causal_lm",
    "pretrained_model_name_or_path": "gpt2",
    "pretrained": False,
    "config_overrides": {"n_embd": 64, "n_layer": 2, "n_head": 2},
}


def run_of_size(experiment: Experiment, size: str | None) -> dict[str, Any]:
    """Give the keys of run.yaml that the runs of a size share.

    What a size does not give follows from the narrowest: for a model `m` times as wide the learning
    rate divided by `m`, the standard deviation of the initial weights by `sqrt(m)`. That is what
    Yang et al. (arXiv 2203.03466, table 3) prescribe for matrices between hidden layers under Adam;
    here it holds for all weights, since an optimizer has one rate.

    Args:
        experiment: With the keys of `run`, whose rate and initialisation are the narrowest model's.
        size: A name in `models`; None for an experiment without.

    Raises:
        UserError: The widths or the rate to start from are not known.
    """
    run = {"model": DEFAULT_MODEL, **experiment.run}
    if size is None:
        return run
    asked = experiment.models[size]
    model = _merged(_mapping("model", run["model"], DEFAULT_MODEL), asked.model_keys)
    usual_optimizer = RunConfig.model_fields["optimizer"].default.model_dump()
    optimizer = _mapping("optimizer", run.get("optimizer"), usual_optimizer)
    overrides = dict(model.get("config_overrides") or {})
    if asked.lr is not None:
        optimizer = {**optimizer, "lr": asked.lr}
    else:
        rate = optimizer.get("lr")
        if not isinstance(rate, int | float) or isinstance(rate, bool):
            raise UserError(f"models.{size}: give `lr`, or `run.optimizer.lr` for the narrowest")
        optimizer = {**optimizer, "lr": rate / _times_as_wide(experiment, size, "lr")}
    if asked.init is not None:
        overrides[_INITIALISATION] = asked.init
    elif not model.get("pretrained") and _INITIALISATION not in asked.config_overrides:
        usual = overrides.get(_INITIALISATION, _USUAL_INITIALISATION)
        if not isinstance(usual, int | float) or isinstance(usual, bool):
            raise UserError(
                f"run.model.config_overrides.{_INITIALISATION}: expected a number (found {usual!r})"
            )
        width = _times_as_wide(experiment, size, "init")
        overrides[_INITIALISATION] = usual / math.sqrt(width)
    return {**run, "model": {**model, "config_overrides": overrides}, "optimizer": optimizer}


def work_per_token(config: RunConfig) -> float:
    """Estimate how the time for a token compares between sizes of model, in a unit of no meaning.

    Layers times the width squared, to which the weights between layers are proportional; 1 where
    the config does not give the width.
    """
    overrides = config.model.config_overrides
    width = next((overrides[key] for key in _WIDTHS if key in overrides), None)
    layers = next((overrides[key] for key in _LAYERS if key in overrides), 1)
    if not isinstance(width, int) or not isinstance(layers, int):
        return 1.0
    return float(layers * width**2)


def _mapping(key: str, value: object, absent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read a part of `run`, which is checked whole only when the sizes are in it.

    Raises:
        UserError: It is no mapping.
    """
    if value is None:
        return absent
    if not isinstance(value, Mapping):
        raise UserError(f"run.{key}: expected keys and values (found {value!r})")
    return value


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Add a size's keys to those of all; overrides are added up, but for another model type."""
    place = "pretrained_model_name_or_path"
    overrides = dict(own.get("config_overrides") or {})
    if own.get(place, shared.get(place)) == shared.get(place):
        both = _mapping("model.config_overrides", shared.get("config_overrides"), {})
        overrides = {**both, **overrides}
    return {**shared, **own, "config_overrides": overrides}


def _times_as_wide(experiment: Experiment, size: str, key: str) -> float:
    """Divide a size's width by that of the narrowest."""
    shared = _mapping("model", experiment.run.get("model"), DEFAULT_MODEL)
    widths = {}
    for name, asked in experiment.models.items():
        overrides = _merged(shared, asked.model_keys)["config_overrides"]
        width = next((overrides[key] for key in _WIDTHS if key in overrides), None)
        if not isinstance(width, int) or width < 1:
            raise UserError(
                f"models.{name}: its width is not given ({', '.join(_WIDTHS)} under "
                f"config_overrides), from which the `{key}` of {size!r} would follow; give the "
                f"width, or `{key}` for every size"
            )
        widths[name] = width
    return widths[size] / min(widths.values())
