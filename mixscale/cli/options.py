"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)


class TokenBudget(click.ParamType):
    """A token budget on the command line: 300B, 1.2M, 50000."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number, or say how to write one."""
        from mixscale.api.budgets import read_budget
        from mixscale.contracts.errors import UserError

        try:
            return read_budget(value)
        except UserError as error:
            self.fail(str(error), param, ctx)


class ParameterCount(click.ParamType):
    """A number of parameters on the command line: 7B, 350M."""

    name = "parameters"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number, or say how to write one."""
        from mixscale.contracts.errors import UserError
        from mixscale.contracts.target import parse_parameters

        try:
            return parse_parameters(value)
        except UserError as error:
            self.fail(str(error), param, ctx)


class MetricName(click.ParamType):
    """The name of a metric, one of another package included."""

    name = "metric"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """List the metrics, where the help is asked for and not before."""
        from mixscale.contracts.experiment import TASK_METRICS
        from mixscale.contracts.metrics import metrics

        return f"[{'|'.join((*metrics(), *TASK_METRICS))}]"


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
details_option = click.option(
    "--details", is_flag=True, help="Print everything, not the answer alone."
)
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), help="How many at a time; one for each core or GPU."
)
executor_option = click.option(
    "--executor",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Work on this machine, or on the Ray cluster of RAY_ADDRESS or `ray start`.",
)
out_option = click.option(
    "--out", type=FILE, help="Folder with runs/, sweeps/ and fits/, if not the shard set."
)
gpus_per_run_option = click.option(
    "--gpus-per-run",
    type=click.FloatRange(0, 1),
    help="Share of a GPU for each run, as 0.25: four runs on one GPU; 0: train on the processor.",
)
ignore_memory_option = click.option(
    "--ignore-memory",
    is_flag=True,
    help="Start runs that need more memory than the GPU or the machine has, too.",
)
