"""Composer's optimizers, schedulers, algorithms, callbacks, loggers by their names in YAML."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from composer import Algorithm, Callback, algorithms, callbacks, loggers, optim

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.train.config import Named
from mixscale.train.run.housekeeping import RunTimeout, ScheduledGarbageCollector
from mixscale.train.run.huggingface import HuggingFaceCheckpointer
from mixscale.train.run.optimizers import DecoupledLion, InverseSquareRootWithWarmup

OPTIMIZERS: Mapping[str, Callable[..., Any]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "decoupled_adamw": optim.DecoupledAdamW,
    "decoupled_lionw": DecoupledLion,
    "decoupled_sgdw": optim.DecoupledSGDW,
    "lion": DecoupledLion,
    "sgd": torch.optim.SGD,
}
SCHEDULERS: Mapping[str, Callable[..., Any]] = {
    "constant": optim.ConstantScheduler,
    "constant_with_warmup": optim.ConstantWithWarmupScheduler,
    "cosine": optim.CosineAnnealingScheduler,
    "cosine_with_warmup": optim.CosineAnnealingWithWarmupScheduler,
    "inv_sqrt_with_warmup": InverseSquareRootWithWarmup,
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
    "nan_monitor": callbacks.NaNMonitor,
    "oom_observer": callbacks.OOMObserver,
    "optimizer_monitor": callbacks.OptimizerMonitor,
    "run_timeout": RunTimeout,
    "runtime_estimator": callbacks.RuntimeEstimator,
    "scheduled_gc": ScheduledGarbageCollector,
    "speed_monitor": callbacks.SpeedMonitor,
    "system_metrics_monitor": callbacks.SystemMetricsMonitor,
    "threshold_stopper": callbacks.ThresholdStopper,
}
LOGGERS: Mapping[str, Callable[..., Any]] = {
    "comet_ml": loggers.CometMLLogger,
    "file": loggers.FileLogger,
    "in_memory": loggers.InMemoryLogger,
    "inmemory": loggers.InMemoryLogger,
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
    make = check(kind, registry, named, *leading)
    try:
        return make(*leading, **named.arguments)
    # A component raises what it likes about its arguments; Composer's have plain `Exception`s, too.
    except Exception as error:
        given = f"{named.arguments}: " if named.arguments else ""
        raise UserError(f"{kind} {named.name!r}: {given}{error}") from error


def check(
    kind: str, registry: Mapping[str, Callable[..., Any]], named: Named, *leading: object
) -> Callable[..., Any]:
    """Find the component that `named` asks for, and look whether it takes the arguments.

    Args:
        kind: The key in the YAML.
        registry: Components by name; a name with dots is the import path of one of your own.
        named: Name and arguments.
        leading: Arguments that come first and are not in the YAML.

    Raises:
        UserError: As for `build`.
    """
    if named.name not in registry and "." not in named.name:
        raise unknown_name(f"{kind}.name", named.name, registry)
    make = registry.get(named.name) or _import(kind, named.name)
    signature = inspect.signature(make)
    try:
        signature.bind(*leading, **named.arguments)
    except TypeError as error:
        allowed = [name for name in signature.parameters if name != "params"]
        raise UserError(f"{kind} {named.name!r}: {error}; arguments are {allowed}") from error
    return make


def _import(kind: str, path: str) -> Callable[..., Any]:
    """Import a class by `package.module.Class`."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    # Importing a module runs it.
    except Exception as error:
        raise UserError(
            f"{kind}: {path!r}: cannot import it ({type(error).__name__}: {error}); its package "
            "must be installed or in PYTHONPATH"
        ) from error
    base = _BASES[kind]
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise UserError(f"{kind}: {path!r} is no class made from {base.__module__}.{base.__name__}")
    return found


_BASES: Mapping[str, type] = {
    "optimizer": torch.optim.Optimizer,
    "scheduler": optim.ComposerScheduler,
    "algorithms": Algorithm,
    "callbacks": Callback,
    "loggers": loggers.LoggerDestination,
}
"""By key, what a component of one's own must be made from."""


def build_all(
    kind: str,
    registry: Mapping[str, Callable[..., Any]],
    wanted: Mapping[str, Mapping[str, Any] | None],
) -> list[Any]:
    """Make every component of a YAML mapping from names to arguments.

    Raises:
        UserError: As for `build`.
    """
    return [build(kind, registry, named) for named in all_named(wanted)]


def all_named(wanted: Mapping[str, Mapping[str, Any] | None]) -> list[Named]:
    """Read a YAML mapping from names to arguments."""
    return [
        Named.model_validate({**(arguments or {}), "name": name})
        for name, arguments in wanted.items()
    ]


def check_compile(arguments: Mapping[str, Any] | None) -> None:
    """Look whether `torch.compile` takes the arguments of `compile_config`.

    Raises:
        UserError: It has none of that name; the message lists what it has.
    """
    known = [name for name in inspect.signature(torch.compile).parameters if name != "model"]
    for name in arguments or {}:
        if name not in known:
            raise unknown_name("compile_config", name, known)


def build_optimizer(named: Named, parameters: Iterable[torch.nn.Parameter]) -> Any:
    """Make the optimizer of a run; `betas` may come as a list from YAML.

    Raises:
        UserError: As for `build`.
    """
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
