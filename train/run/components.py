"""Composer's optimizers, schedulers, algorithms, callbacks, loggers by their names in YAML."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from composer import algorithms, callbacks, loggers, optim

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.train.config import Named
from mixscale.train.run.huggingface import HuggingFaceCheckpointer

OPTIMIZERS: Mapping[str, Callable[..., Any]] = {
    "adamw": torch.optim.AdamW,
    "decoupled_adamw": optim.DecoupledAdamW,
    "decoupled_sgdw": optim.DecoupledSGDW,
    "sgd": torch.optim.SGD,
}
SCHEDULERS: Mapping[str, Callable[..., Any]] = {
    "constant": optim.ConstantScheduler,
    "constant_with_warmup": optim.ConstantWithWarmupScheduler,
    "cosine": optim.CosineAnnealingScheduler,
    "cosine_with_warmup": optim.CosineAnnealingWithWarmupScheduler,
    "linear": optim.LinearScheduler,
    "linear_decay_with_warmup": optim.LinearWithWarmupScheduler,
    "polynomial": optim.PolynomialScheduler,
    "polynomial_with_warmup": optim.PolynomialWithWarmupScheduler,
}
ALGORITHMS: Mapping[str, Callable[..., Any]] = {
    "alibi": algorithms.Alibi,
    "ema": algorithms.EMA,
    "gated_linear_units": algorithms.GatedLinearUnits,
    "gradient_clipping": algorithms.GradientClipping,
    "label_smoothing": algorithms.LabelSmoothing,
    "layer_freezing": algorithms.LayerFreezing,
    "low_precision_layernorm": algorithms.LowPrecisionLayerNorm,
    "seq_length_warmup": algorithms.SeqLengthWarmup,
    "swa": algorithms.SWA,
    "weight_standardization": algorithms.WeightStandardization,
}
CALLBACKS: Mapping[str, Callable[..., Any]] = {
    "activation_monitor": callbacks.ActivationMonitor,
    "early_stopper": callbacks.EarlyStopper,
    "lr_monitor": callbacks.LRMonitor,
    "free_outputs": callbacks.FreeOutputs,
    "hf_checkpointer": HuggingFaceCheckpointer,
    "memory_monitor": callbacks.MemoryMonitor,
    "memory_snapshot": callbacks.MemorySnapshot,
    "oom_observer": callbacks.OOMObserver,
    "optimizer_monitor": callbacks.OptimizerMonitor,
    "runtime_estimator": callbacks.RuntimeEstimator,
    "speed_monitor": callbacks.SpeedMonitor,
    "system_metrics_monitor": callbacks.SystemMetricsMonitor,
    "threshold_stopper": callbacks.ThresholdStopper,
}
LOGGERS: Mapping[str, Callable[..., Any]] = {
    "comet_ml": loggers.CometMLLogger,
    "file": loggers.FileLogger,
    "in_memory": loggers.InMemoryLogger,
    "mlflow": loggers.MLFlowLogger,
    "neptune": loggers.NeptuneLogger,
    "tensorboard": loggers.TensorboardLogger,
    "wandb": loggers.WandBLogger,
}


def build(
    kind: str, registry: Mapping[str, Callable[..., Any]], named: Named, *leading: object
) -> Any:
    """Make the component that `named` asks for.

    Raises:
        UserError: The name or an argument is unknown; the message lists what is allowed.
    """
    if named.name not in registry:
        raise unknown_name(f"{kind}.name", named.name, registry)
    make = registry[named.name]
    try:
        inspect.signature(make).bind(*leading, **named.arguments)
    except TypeError as error:
        allowed = [name for name in inspect.signature(make).parameters if name != "params"]
        raise UserError(f"{kind} {named.name!r}: {error}; arguments are {allowed}") from error
    try:
        return make(*leading, **named.arguments)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"{kind} {named.name!r}: {error}") from error


def build_all(
    kind: str,
    registry: Mapping[str, Callable[..., Any]],
    wanted: Mapping[str, Mapping[str, Any] | None],
) -> list[Any]:
    """Make every component of a YAML mapping from names to arguments."""
    return [
        build(kind, registry, Named.model_validate({"name": name, **(arguments or {})}))
        for name, arguments in wanted.items()
    ]


def build_optimizer(named: Named, parameters: Iterable[torch.nn.Parameter]) -> Any:
    """Make the optimizer of a run; `betas` may come as a list from YAML."""
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in named.arguments.items()
    }
    return build(
        "optimizer",
        OPTIMIZERS,
        Named.model_validate({"name": named.name, **arguments}),
        list(parameters),
    )
