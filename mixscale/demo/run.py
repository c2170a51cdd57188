"""The main job from raw text to a checked mixture, step by step."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment, read_experiment
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.demo.check import EQUAL, FILES, RECOMMENDED, Check, check, write_others
from mixscale.demo.files import EXPERIMENT, claim
from mixscale.demo.gather import SCARCE, gather, is_gathered
from mixscale.demo.outcome import objective_of, outcome

Report = Callable[[str], None]
_WIDTH = 80
"""Characters of a line."""
_INDENT = "   "


def run_demo(out: Path, *, seed: int, workers: int | None, report: Report) -> dict[str, Any]:
    """Do the main job once on text found on this machine; every step is skipped if done before.

    Args:
        out: Folder of all artefacts.
        seed: Of the initialisations and orders of samples.
        workers: Runs at a time.
        report: Gets the lines that a person reads.

    Returns:
        Plain values: what was predicted and measured, where things are, the seconds it took.

    Raises:
        UserError: The folder holds something else, or a run failed.
    """
    from mixscale.contracts.fit_record import read_fit
    from mixscale.fit.output.page import PAGE

    started = time.monotonic()
    claim(out, seed)
    experiment = read_experiment(out / EXPERIMENT)
    tokens = max(target.tokens for target in experiment.targets)
    _gather(out, report)
    shardset = _build(out, experiment, tokens, workers, report)
    objective = _objective(experiment, shardset)
    _sweep(out, objective, workers, report)
    fit_folder = _fit(out, report)
    _apply(out, fit_folder, tokens, report)
    found = _check(out, objective, tokens, workers, report)
    result = outcome(read_fit(fit_folder), tokens, objective, found, fit_folder / PAGE)
    for line in result.report():
        report(_INDENT + line)
    seconds = time.monotonic() - started
    report(f"\n{seconds:.0f} s; {out} holds the text, the settings and all runs\n")
    for line in result.lines():
        report(line)
    return {
        "out": str(out),
        "fit": str(fit_folder),
        "seed": seed,
        "seconds": round(seconds, 1),
        **result.as_json(),
    }


def _objective(experiment: Experiment, shardset: ShardSet) -> dict[str, float]:
    weights = experiment.objective.weights or dict.fromkeys(shardset.domain_names, 1.0)
    return {name: weight / sum(weights.values()) for name, weight in weights.items() if weight}


def _gather(out: Path, report: Report) -> None:
    report("1. Text: four domains from what this installation brings along")
    corpus = out / "corpus"
    if is_gathered(corpus):
        report(f"   {corpus} is there already")
        return
    sizes = gather(corpus)
    report("   " + ", ".join(f"{domain} {size / 1e6:.1f} MB" for domain, size in sizes.items()))


def _build(
    out: Path, experiment: Experiment, tokens: int, workers: int | None, report: Report
) -> ShardSet:
    from mixscale.ingest.build import build

    report("\n2. Shard set: mixscale build corpus.yaml --out shardset")
    folder = out / "shardset"
    build(out / "corpus.yaml", folder, workers=workers, progress=sys.stderr.isatty())
    shardset = read_shardset(folder)
    available = {domain: shardset.train_tokens(domain) for domain in shardset.domain_names}
    listed = ", ".join(f"{name} {format_tokens(count)}" for name, count in available.items())
    report(f"   tokens to train on: {listed}")
    epochs = tokens / available[SCARCE]
    purpose = " and ".join(_objective(experiment, shardset))
    report(
        f"   The question: a model for {purpose}, trained on {format_tokens(tokens)} tokens. "
        f"Nothing but\n   {SCARCE} would be the same text {epochs:.0f} times, equal shares "
        f"{epochs / len(available):.0f} times."
    )
    return shardset


def _sweep(out: Path, objective: Mapping[str, float], workers: int | None, report: Report) -> None:
    from mixscale.train.sweep.sweep import sweep

    report("\n3. Proxy runs: mixscale sweep experiment.yaml")
    result = sweep(out / EXPERIMENT, workers=workers, report=lambda line: report(f"   {line}"))
    if not result.is_complete:
        raise UserError(f"{out}: a proxy run left no result; run the demo again")
    report(_text(_losses({str(one.mixture): one for one in result.records}, objective)))


def _fit(out: Path, report: Report) -> Path:
    from mixscale.contracts.fit_record import read_fit
    from mixscale.fit.fit_experiment import fit_experiment
    from mixscale.fit.output.page import PAGE
    from mixscale.fit.output.terminal import mixture_table, wrapped
    from mixscale.fit.output.verdict import verdict

    report("\n4. Mixture: mixscale fit experiment.yaml")
    folder = fit_experiment(out / EXPERIMENT)
    record = read_fit(folder)
    said = verdict(record)
    for sentence in (said.what, said.gain, said.rests_on):
        for line in wrapped(sentence, _WIDTH - len(_INDENT)):
            report(_INDENT + line)
    report(_text(mixture_table(record)))
    report(f"{_INDENT}What it is limited by: {folder / PAGE}")
    return folder


def _apply(out: Path, fit_folder: Path, tokens: int, report: Report) -> None:
    from mixscale.fit.apply.run_yaml import apply

    target = out / FILES[RECOMMENDED]
    report(
        f"\n5. Proportions: mixscale apply FIT --tokens {format_tokens(tokens)} run.yaml "
        f"--output {target.name}"
    )
    result = apply(fit_folder, tokens, out / FILES[EQUAL], output=target, backup=False)
    for line in result.diff.splitlines():
        if "proportion:" in line:
            report(_INDENT + line)


def _check(
    out: Path,
    objective: Mapping[str, float],
    tokens: int,
    workers: int | None,
    report: Report,
) -> Check:
    report(
        f"\n6. Check: the run itself, {format_tokens(tokens)} tokens, with each of four mixtures"
    )
    write_others(out, read_shardset(out / "shardset"), objective)
    found = check(out, objective, workers=workers, report=lambda line: report(f"   {line}"))
    report(_text(_losses(found.records, objective)))
    return found


def _losses(records: Mapping[str, RunRecord], objective: Mapping[str, float]) -> Table:
    """Draw a row for each run: its mixture, how often it read the scarce text, the objective."""
    domains = list(next(iter(records.values())).evaluation)
    table = Table(box=None, pad_edge=False)
    table.add_column("mixture")
    for column in (*domains, "epochs", "loss"):
        table.add_column(column, justify="right")
    for name, record in records.items():
        seen = {domain: one.seen_tokens for domain, one in record.domains.items()}
        table.add_row(
            name,
            *(f"{seen.get(domain, 0) / sum(seen.values()):.0%}" for domain in domains),
            f"{record.domains[SCARCE].epochs:.1f}" if SCARCE in record.domains else "0",
            f"{objective_of(record, objective):.3f}",
        )
    return table


def _text(table: Table) -> str:
    console = Console(width=_WIDTH - len(_INDENT), file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return "\n".join(_INDENT + line.rstrip() for line in captured.get().rstrip().split("\n"))
