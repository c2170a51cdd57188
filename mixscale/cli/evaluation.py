"""The commands that measure models: evaluate, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mixscale.cli.options import FILE, TokenBudget, json_option
from mixscale.cli.output import note, print_json, print_table
from mixscale.contracts.errors import UserError
from mixscale.runtime.extras import require


class BatchSize(click.ParamType):
    """How many items at a time: a number, or `auto`."""

    name = "auto|number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Read it; None stands for auto."""
        if value is None or value == "auto":
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r}: write auto or a whole number, 1 or more", param, ctx)
        return int(value)


@click.command()
@click.argument("target", type=FILE)
@click.argument("shardset", type=FILE, required=False)
@click.option(
    "--tasks", help="Tasks, groups or tags of lm-eval, patterns, YAML files; by commas: a,b."
)
@click.option(
    "--include-path", type=FILE, help="Folder with YAML files of tasks of your own, for --tasks."
)
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    help="The first so many items of each task; below 1 that share of them.",
)
@click.option(
    "--num-fewshot", type=click.IntRange(min=0), help="Examples before each item of a task."
)
@click.option("--device", help="cpu, cuda or cuda:1; for tasks. The GPU where there is one.")
@click.option("--domain", "domains", multiple=True, help="A domain; all when absent. Repeatable.")
@click.option("--split", default="validation", show_default=True, help="Split of the shard set.")
@click.option(
    "--tokens-per-domain",
    type=TokenBudget(),
    help="So many tokens of each domain, in whole batches; all when absent.",
)
@click.option(
    "--batch-size",
    type=BatchSize(),
    default="auto",
    show_default=True,
    help="Samples, or items of tasks, in one forward pass; auto: 16, for tasks by memory.",
)
@click.option(
    "--out",
    type=FILE,
    help="Folder with runs/, for a run's id; gets the results of other models. SHARDSET, or the "
    "current folder, when absent.",
)
@json_option
def evaluate(
    target: Path,
    shardset: Path | None,
    tasks: str | None,
    include_path: Path | None,
    limit: float | None,
    num_fewshot: int | None,
    device: str | None,
    domains: tuple[str, ...],
    split: str,
    tokens_per_domain: int | None,
    batch_size: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure TARGET on the validation domains of SHARDSET, on tasks, or on both.

    TARGET is a run's id or folder, a checkpoint of Composer or a folder of them, or a Hugging Face
    folder. Its tokenizer must be that of SHARDSET. Tasks are those of EleutherAI's lm-eval and your
    own; results go into the run's record. Interrupted, the same command asks what is missing.

    \b
    Examples:
      mixscale evaluate checkpoints/latest-rank0.pt shardset --domain code
      mixscale evaluate shardset/runs/RUN --tasks arc_easy,hellaswag --limit 500
      mixscale evaluate model --tasks my_quiz --include-path tasks
    """
    require("train", "mixscale evaluate")
    if shardset is None and tasks is None:
        raise click.UsageError("give SHARDSET, for losses, or --tasks, or both")
    if tasks is not None:
        require("eval", "mixscale evaluate --tasks")
    elif include_path or limit or num_fewshot is not None:
        raise UserError("--include-path, --limit and --num-fewshot are for --tasks")
    from mixscale.api.evaluation import evaluate as run
    from mixscale.train.output.evaluation import task_table
    from mixscale.train.output.run import loss_table

    result = run(
        target,
        shardset,
        tasks=tasks,
        include_path=include_path,
        limit=limit,
        num_fewshot=num_fewshot,
        device=device,
        domains=domains or None,
        split=split,
        tokens_per_domain=tokens_per_domain,
        batch_size=batch_size,
        out=out,
        report=note,
    )
    if as_json:
        print_json(result.losses_json() if tasks is None else result.as_json())
        return
    if shardset is not None:
        print_table(loss_table(f"{target} on {shardset}, {split}", result.losses))
    if tasks is not None:
        print_table(task_table(str(target), result.evaluations))
        click.echo(f"results in {result.folder}")


@click.command()
@click.argument("first", metavar="RUN_A", type=FILE)
@click.argument("second", metavar="RUN_B", type=FILE)
@click.option(
    "--out",
    multiple=True,
    type=FILE,
    help="Folder with runs/, in which ids are looked for; the current folder when absent. "
    "Repeatable.",
)
@json_option
def compare(first: Path, second: Path, out: tuple[Path, ...], as_json: bool) -> None:
    """Compare two runs in every metric: RUN_B less RUN_A, with 95 % intervals, and tokens saved.

    RUN_A and RUN_B are ids, folders, or records of runs. Where both were asked the same items,
    differences are taken item by item. The intervals speak of other items, not of other seeds.

    \b
    Example:
      mixscale compare BEFORE AFTER --out shardset
    """
    from mixscale.api.comparison import compare as run
    from mixscale.cli.comparison_tables import difference_table, saved_lines

    result = run(first, second, out=out or (Path(),))
    for warning in result.warnings:
        note(f"warning: {warning}")
    if as_json:
        print_json(result.as_json())
        return
    print_table(difference_table(result))
    for line in saved_lines(result):
        click.echo(line)
