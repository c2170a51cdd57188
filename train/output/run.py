"""What one run saw and reached, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from mixscale.contracts.run_record import DomainLoss, DomainTokens, RunRecord


def run_table(record: RunRecord) -> Table:
    """Draw the record of a run: a row for each domain."""
    size = "" if record.parameters is None else f"{record.parameters:,} parameters on "
    table = Table(title=f"{record.run_id}: {size}{record.device}")
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


def loss_table(title: str, losses: Mapping[str, DomainLoss]) -> Table:
    """Draw the losses of a model: a row for each validation domain."""
    table = Table(title=title)
    table.add_column("domain")
    masked = any(loss.masked_accuracy is not None for loss in losses.values())
    last = ("masked accuracy", "its standard error") if masked else ("perplexity",)
    for column in ("tokens", "loss", "standard error", "bits per byte", *last):
        table.add_column(column, justify="right")
    for domain, loss in losses.items():
        cells = [f"{loss.perplexity:.4g}"]
        if masked:
            both = (loss.masked_accuracy, loss.masked_accuracy_error)
            cells = ["" if number is None else f"{number:.4f}" for number in both]
        table.add_row(domain, f"{loss.tokens:,}", *_loss_cells(loss), *cells)
    return table


def _token_cells(tokens: DomainTokens) -> tuple[str, ...]:
    return (f"{tokens.proportion:.4f}", f"{tokens.seen_tokens:,}", f"{tokens.epochs:.2f}")


def _loss_cells(loss: DomainLoss) -> tuple[str, ...]:
    error = "" if loss.standard_error is None else f"{loss.standard_error:.4f}"
    bits = "" if loss.bits_per_byte is None else f"{loss.bits_per_byte:.4f}"
    return (f"{loss.loss_nats:.4f}", error, bits)
