"""The commands that train: plan, sweep, train, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import click

from mixscale.cli.options import (
    FILE,
    details_option,
    executor_option,
    gpus_per_run_option,
    ignore_memory_option,
    json_option,
    workers_option,
)
from mixscale.cli.output import note, print_json, print_table
from mixscale.runtime.extras import require


@click.command()
@click.argument("experiment", type=FILE)
@workers_option
@gpus_per_run_option
@click.option(
    "--price-per-hour",
    type=click.FloatRange(min=0, min_open=True),
    help="Of a GPU, or of a machine without; also a key of EXPERIMENT.",
)
@click.option("--no-calibrate", is_flag=True, help="Do not measure the speed of a run.")
@ignore_memory_option
@json_option
def plan(
    experiment: Path,
    workers: int | None,
    gpus_per_run: float | None,
    price_per_hour: float | None,
    no_calibrate: bool,
    ignore_memory: bool,
    as_json: bool,
) -> None:
    """Show the runs of EXPERIMENT (experiment.yaml): tokens, epochs over domains, memory, time.

    Epochs stand beside those of the target; `design.repetition: as_target` makes them the same.
    Each size of model in `models` is measured and priced by itself.

    The time comes from short runs, about half a minute in all. What the shard set cannot give is
    refused here.

    \b
    Example:
      mixscale plan experiment.yaml --price-per-hour 2.5
    """
    require("train", "mixscale plan")
    from mixscale.train.output.plan import plan_summary, plan_table
    from mixscale.train.sweep.plan import plan as plan_experiment

    result = plan_experiment(
        experiment,
        workers=workers,
        measure=not no_calibrate,
        price_per_hour=price_per_hour,
        gpus_per_run=gpus_per_run,
        ignore_memory=ignore_memory,
    )
    if as_json:
        print_json(result.as_json())
        return
    print_table(plan_table(result))
    click.echo(plan_summary(result))


@click.command()
@click.argument("experiment", type=FILE)
@workers_option
@executor_option
@gpus_per_run_option
@ignore_memory_option
@details_option
@json_option
def sweep(
    experiment: Path,
    workers: int | None,
    executor: str,
    gpus_per_run: float | None,
    ignore_memory: bool,
    details: bool,
    as_json: bool,
) -> None:
    """Run the proxy runs of EXPERIMENT that have no record yet.

    Interrupted or killed, the same command runs what is missing. Exit status 1 when a run left
    no result. What was done and what to do next is printed first; --details adds the losses.

    \b
    Examples:
      mixscale sweep experiment.yaml --workers 2
      RAY_ADDRESS=head:6379 mixscale sweep experiment.yaml --executor ray --gpus-per-run 0.25
    """
    require("train", "mixscale sweep")
    if executor == "ray":
        require("ray", "sweep --executor ray")
    from mixscale.train.output.sweep import sweep_answer, sweep_table
    from mixscale.train.sweep.sweep import sweep as run_sweep

    result = run_sweep(
        experiment,
        workers=workers,
        report=note,
        executor=executor,
        gpus_per_run=gpus_per_run,
        ignore_memory=ignore_memory,
    )
    if as_json:
        print_json(result.as_json())
    else:
        for line in sweep_answer(result, str(experiment)):
            click.echo(line)
        if details:
            print_table(sweep_table(result))
        else:
            click.echo("--details shows the losses of each run")
    if not result.is_complete:
        sys.exit(1)


@click.command()
@click.argument("run", type=FILE)
@click.option("--out", type=FILE, help="Folder that gets runs/<run id>; default: that of RUN.")
@click.option(
    "--cpu",
    is_flag=True,
    help="Train on the processor, even what is written for GPUs: in fp32, not sharded.",
)
@json_option
def train(run: Path, out: Path | None, cpu: bool, as_json: bool) -> None:
    """Train one model as RUN (run.yaml, in LLM Foundry's layout) describes.

    A run that has its record is not run again: remove its result.json for that. Where no GPU is
    visible, a file with fsdp_config is tried on the processor, in fp32 and not sharded.

    On several GPUs: composer -n 8 -m mixscale.train run.yaml

    \b
    Example:
      mixscale train run.yaml
      mixscale train gpt2-small.yaml --cpu
    """
    require("train", "mixscale train")
    from mixscale.train.config import load_run_config
    from mixscale.train.output.run import run_table
    from mixscale.train.run.from_file import train_file
    from mixscale.train.run.warm_up import warm_up_warning

    warning = warm_up_warning(load_run_config(run))
    if warning is not None:
        note(f"warning: {warning}")
    record, folder = train_file(run, out, report=note, cpu=cpu)
    if as_json:
        print_json({"folder": str(folder), **record.model_dump(mode="json")})
    else:
        print_table(run_table(record))
        reason = "" if record.error is None else f": {record.error}"
        click.echo(f"{record.status}{reason}; record in {folder}")
    if record.status != "finished":
        sys.exit(1)


@click.command()
@click.argument("source", metavar="CHECKPOINT", type=FILE)
@click.option("--out", type=FILE, required=True, help="New folder for the model.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Type of the weights in the file.",
)
@json_option
def export(source: Path, out: Path, precision: str, as_json: bool) -> None:
    """Write a trained model as a Hugging Face folder: config, safetensors, tokenizer.

    CHECKPOINT is a checkpoint of Composer, a folder of them (the latest is taken), or runs/<run id>
    of a run with `save_folder`.

    \b
    Example:
      mixscale export checkpoints/latest-rank0.pt --out model
    """
    require("train", "mixscale export")
    from mixscale.train.run.export import export_checkpoint
    from mixscale.train.run.huggingface import Precision

    checkpoint = export_checkpoint(source, out, cast("Precision", precision))
    if as_json:
        print_json({"checkpoint": str(checkpoint), "folder": str(out)})
    else:
        click.echo(f"wrote {out} from {checkpoint}")
