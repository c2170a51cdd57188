"""One run that a person asks for with a `run.yaml`."""

from __future__ import annotations

import os
from pathlib import Path

from rich.table import Table

from mixscale.contracts.run_record import DomainLoss, DomainTokens, RunRecord, run_folder
from mixscale.train.config import load_run_config
from mixscale.train.run.identity import content_of, run_id


def train_file(run_yaml: str | Path, out: str | Path | None = None) -> tuple[RunRecord, Path]:
    """Train what a `run.yaml` describes.

    Args:
        run_yaml: The config; relative paths in it count from the current folder, as in LLM Foundry.
        out: Folder that gets `runs/<run_id>/`; the folder of `run_yaml` by default.

    Returns:
        The record, and the folder that holds it as `result.json`.

    Raises:
        UserError: The config is wrong or its data is missing.
    """
    config = load_run_config(run_yaml)
    name = run_id(config, content_of(config), config.run_name or Path(run_yaml).stem)
    folder = run_folder(Path(run_yaml).resolve().parent if out is None else out, name)
    # Composer imports torch's compiler, which would start processes that few runs need.
    os.environ.setdefault("TORCH_WARM_POOL", "0")
    # It takes seconds to import, too: mistakes in the file are found before.
    from mixscale.train.run.training import train

    return train(config, folder), folder


def render(record: RunRecord) -> Table:
    """Draw a record for a terminal: a row for each domain."""
    table = Table(title=f"{record.run_id}: {record.parameters:,} parameters on {record.device}")
    table.add_column("domain")
    for column in (
        "proportion",
        "seen tokens",
        "epochs",
        "loss",
        "standard error",
        "bits per byte",
    ):
        table.add_column(column, justify="right")
    for domain in dict.fromkeys([*record.domains, *record.evaluation]):
        tokens, loss = record.domains.get(domain), record.evaluation.get(domain)
        table.add_row(
            domain,
            *(("", "", "") if tokens is None else _token_cells(tokens)),
            *(("", "", "") if loss is None else _loss_cells(loss)),
        )
    return table


def _token_cells(tokens: DomainTokens) -> tuple[str, ...]:
    return (f"{tokens.proportion:.4f}", f"{tokens.seen_tokens:,}", f"{tokens.epochs:.2f}")


def _loss_cells(loss: DomainLoss) -> tuple[str, ...]:
    error = "" if loss.standard_error is None else f"{loss.standard_error:.4f}"
    bits = "" if loss.bits_per_byte is None else f"{loss.bits_per_byte:.4f}"
    return (f"{loss.loss_nats:.4f}", error, bits)
