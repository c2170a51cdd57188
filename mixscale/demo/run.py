"""The main job from raw text to a checked mixture, step by step."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.config import format_tokens, load_config
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment
from mixscale.contracts.run_record import RESULT, RunRecord, read_record, run_folder
from mixscale.demo.gather import DOMAINS, gather

if TYPE_CHECKING:
    from mixscale.fit.apply.run_yaml import ApplyResult

_LARGE_RUN_TOKENS = 3_200_000
Report = Callable[[str], None]


def run_demo(out: Path, *, workers: int | None, report: Report) -> dict[str, Any]:
    """Do the main job once on text found on this machine; every step is skipped if done before.

    Args:
        out: Folder of all artefacts.
        workers: Runs at a time.
        report: Gets the lines that a person reads.

    Returns:
        Plain values: where things are, both losses of the check, the seconds it took.

    Raises:
        UserError: The folder holds something else, or a run failed.
    """
    started = time.monotonic()
    _claim(out)
    _gather(out, report)
    _build(out, workers, report)
    _sweep(out, workers, report)
    fit_folder = _fit(out, report)
    other = _apply(out, fit_folder, report)
    check = _check(out, other, workers, report)
    seconds = time.monotonic() - started
    report(f"\nall of it took {seconds:.0f} s and lies in {out}:")
    for name, meaning in _ARTEFACTS.items():
        report(f"  {out / name}  {meaning}")
    report(f"  {fit_folder / 'report.html'}  the fit as a page")
    return {"out": str(out), "fit": str(fit_folder), "seconds": round(seconds, 1), **check}


_ARTEFACTS = {
    "corpus": "the text, four domains of JSON lines",
    "corpus.yaml": "what to read, and how to split and tokenize it",
    "shardset": "the shard set with index, proxy runs, fit",
    "experiment.yaml": "which proxy runs to try, for which token budgets",
    "run.yaml": "the large run with uniform proportions",
    "run-projected.yaml": "the same with the recommended proportions",
}


def _claim(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / "experiment.yaml").is_file():
        raise UserError(f"{out}: not empty, and no folder of the demo; choose another with --out")
    out.mkdir(parents=True, exist_ok=True)
    for name in ("corpus.yaml", "run.yaml", "experiment.yaml"):
        if not (out / name).exists():
            text = resources.files("mixscale.demo").joinpath(name).read_text(encoding="utf-8")
            # An absolute path in run.yaml lets the run start from any folder.
            text = text.replace("  shardset: shardset", f"  shardset: {out.resolve() / 'shardset'}")
            with atomic_write(out / name) as stream:
                stream.write(text)


def _gather(out: Path, report: Report) -> None:
    report("1. Text: four domains from what this installation brings along")
    corpus = out / "corpus"
    if all((corpus / domain / f"{domain}.jsonl").is_file() for domain in DOMAINS):
        report(f"   {corpus} is there already")
        return
    for domain, size in gather(corpus).items():
        report(f"   {domain:<12}{size / 1e6:5.1f} MB")


def _build(out: Path, workers: int | None, report: Report) -> None:
    from mixscale.ingest.build import build
    from mixscale.shards.sql.query import run_sql

    report("\n2. Shard set: mixscale build corpus.yaml --out shardset")
    build(out / "corpus.yaml", out / "shardset", workers=workers, progress=sys.stderr.isatty())
    query = (
        "SELECT domain, split, documents, tokens, samples, duplicates, tokens_per_byte FROM domains"
    )
    report(f'   mixscale sql shardset "{query}"')
    run_sql(out / "shardset", query)


def _sweep(out: Path, workers: int | None, report: Report) -> None:
    from mixscale.train.output.plan import plan_summary
    from mixscale.train.output.sweep import sweep_summary, sweep_table
    from mixscale.train.sweep.plan import plan
    from mixscale.train.sweep.sweep import sweep

    report("\n3. Proxy runs: mixscale sweep experiment.yaml")
    report(f"   {plan_summary(plan(out / 'experiment.yaml', workers=workers))}")
    result = sweep(
        out / "experiment.yaml", workers=workers, report=lambda line: report(f"   {line}")
    )
    Console(width=120).print(sweep_table(result))
    report(sweep_summary(result))
    if not result.is_complete:
        raise UserError(f"{out}: a proxy run left no result; run the demo again")


def _fit(out: Path, report: Report) -> Path:
    from mixscale.contracts.fit_record import read_fit
    from mixscale.fit.fit_experiment import fit_experiment
    from mixscale.fit.output.page import report as write_page
    from mixscale.fit.output.terminal import lines, render

    report("\n4. Law: mixscale fit experiment.yaml --law ddo")
    folder = fit_experiment(out / "experiment.yaml", law="ddo")
    write_page(folder)
    record = read_fit(folder)
    Console(width=140).print(render(record))
    for line in lines(record):
        report(f"   {line}")
    return folder


def _apply(out: Path, fit_folder: Path, report: Report) -> str:
    """Write the recommended proportions; return what the check compares the uniform run with."""
    from mixscale.fit.apply.run_yaml import Estimate, apply

    def write(name: str, estimate: Estimate, option: str = "") -> ApplyResult:
        budget = format_tokens(_LARGE_RUN_TOKENS)
        report(f"\n5. Proportions: mixscale apply {fit_folder} --tokens {budget} run.yaml{option}")
        result = apply(
            fit_folder, _LARGE_RUN_TOKENS, out / "run.yaml", output=out / name, estimate=estimate
        )
        report(result.diff)
        report(f"   advice: {result.advice}")
        return result

    recommended = write("run-projected.yaml", "recommended")
    if "+        proportion" in recommended.diff:
        return "projected"
    report(
        "   The uniform run is the recommended one. The check tries the law's optimum all the same."
    )
    write("run-optimum.yaml", "optimum", " --estimate optimum")
    return "optimum"


def _check(out: Path, other: str, workers: int | None, report: Report) -> dict[str, Any]:
    experiment = load_config(out / "experiment.yaml", Experiment)
    report(
        f"6. Check: both runs at {format_tokens(_LARGE_RUN_TOKENS)} tokens; the largest proxy base "
        f"had {format_tokens(max(experiment.design.scales))}"
    )
    records = _train_both(out, other, workers, report)
    losses = {name: _mean_loss(record) for name, record in records.items()}
    errors = {name: _mean_error(record) for name, record in records.items()}
    report("   validation loss, nats per token")
    domains = list(records["uniform"].evaluation)
    report("   " + "".join(f"{name:>12}" for name in ["", *domains, "mean"]))
    for name, record in records.items():
        cells = [record.evaluation[domain].loss_nats for domain in domains] + [losses[name]]
        report("   " + f"{name:>12}" + "".join(f"{cell:12.4f}" for cell in cells))
    gain = losses["uniform"] - losses[other]
    better = f"{other if gain > 0 else 'uniform'} is better"
    report(
        f"   {better} by {abs(gain):.4f} (one run each; each mean is known to "
        f"+-{max(errors.values()):.4f} from the validation sample alone)"
    )
    return {"losses": losses, "gain": gain}


def _train_both(out: Path, other: str, workers: int | None, report: Report) -> dict[str, RunRecord]:
    from mixscale.train.config import load_run_config
    from mixscale.train.executors.job import Job
    from mixscale.train.executors.local import run_jobs
    from mixscale.train.executors.progress import JobProgress
    from mixscale.train.run.run_id import content_of, run_id

    jobs = {}
    for label, name in (("uniform", "run.yaml"), (other, f"run-{other}.yaml")):
        config = load_run_config(out / name)
        job_name = run_id(config, content_of(config), f"check-{label}")
        folder = run_folder(out / "shardset", job_name)
        jobs[label] = Job(
            name=job_name, config=config, folder=folder, purpose={}, tokens=_LARGE_RUN_TOKENS
        )
    missing = [job for job in jobs.values() if not (job.folder / RESULT).is_file()]
    tokens = {job.name: job.tokens for job in missing}
    with JobProgress(tokens, lambda line: report(f"   {line}")) as progress:
        died = run_jobs(missing, workers=workers, retries=1, progress=progress)
    for name, reason in died.items():
        raise UserError(f"{name}: {reason}")
    return {label: read_record(job.folder / RESULT) for label, job in jobs.items()}


def _mean_loss(record: RunRecord) -> float:
    return statistics.fmean(loss.loss_nats for loss in record.evaluation.values())


def _mean_error(record: RunRecord) -> float:
    """Standard error of the mean over domains, whose samples are independent."""
    errors = [loss.standard_error or 0.0 for loss in record.evaluation.values()]
    return sum(error**2 for error in errors) ** 0.5 / len(errors)
