"""Proxy runs from Python: what they would take, and running them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mixscale.runtime.extras import require

if TYPE_CHECKING:
    from mixscale.train.sweep.plan import Plan
    from mixscale.train.sweep.sweep import SweepResult


def plan(
    experiment: str | os.PathLike[str],
    *,
    workers: int | None = None,
    calibrate: bool = True,
    price_per_hour: float | None = None,
    gpus_per_run: float | None = None,
    ignore_memory: bool = False,
) -> Plan:
    """List the runs of an experiment: tokens, epochs over domains, memory, time, cost.

    Args:
        experiment: The file experiment.yaml.
        workers: Runs at a time; one for each GPU, or each core, when absent.
        calibrate: Train short runs, about half a minute in all, to know the speed.
        price_per_hour: Of a GPU, or of a machine without one.
        gpus_per_run: Share of a GPU for each run; 0 trains on the processor.
        ignore_memory: Measure the speed of runs that cannot fit into the memory, too.

    Raises:
        UserError: The experiment asks for more than the shard set has, its runs do not work, or
            the extra `train` is not installed.
    """
    require("train", "plan")
    from mixscale.train.sweep.plan import plan as plan_experiment

    return plan_experiment(
        Path(experiment),
        workers=workers,
        measure=calibrate,
        price_per_hour=price_per_hour,
        gpus_per_run=gpus_per_run,
        ignore_memory=ignore_memory,
    )


def sweep(
    experiment: str | os.PathLike[str],
    *,
    workers: int | None = None,
    executor: str = "local",
    gpus_per_run: float | None = None,
    ignore_memory: bool = False,
    report: Callable[[str], None] = print,
) -> SweepResult:
    """Run the proxy runs of an experiment that have no record yet.

    Interrupted or killed, the same call runs what is missing.

    Args:
        experiment: The file experiment.yaml.
        workers: Runs at a time; one for each GPU, or each core, when absent.
        executor: `local` or `ray`.
        gpus_per_run: Share of a GPU for each run; 0 trains on the processor.
        ignore_memory: Start runs that need more memory than there is, too.
        report: Gets one line for each thing worth saying.

    Raises:
        UserError: The experiment or the shard set is wrong, the runs cannot fit into the memory,
            another process runs this sweep, or an extra that is needed is not installed.
    """
    require("train", "sweep")
    if executor == "ray":
        require("ray", "executor 'ray'")
    from mixscale.train.sweep.sweep import sweep as run_sweep

    return run_sweep(
        Path(experiment),
        workers=workers,
        report=report,
        executor=executor,
        gpus_per_run=gpus_per_run,
        ignore_memory=ignore_memory,
    )
