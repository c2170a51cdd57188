"""The measured runs that laws are fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.fit.arrays import Bools, Floats

BASE = ""
MIXTURE = "*"


@dataclass(frozen=True, kw_only=True)
class Runs:
    """One row for each run."""

    domains: tuple[str, ...]
    validation: tuple[str, ...]
    tokens: Floats
    """(runs, domains) training tokens; shares where the budget is not known."""
    losses: Floats
    """(runs, validation) nats per token."""
    errors: Floats | None
    """(runs, validation) standard errors of the losses from the evaluation sample."""
    scale: Floats
    """(runs,) token budget of the base run of the run's scale; 1 where it is not known."""
    changed: tuple[str, ...]
    """The domain changed against the base; `BASE` for a base run, `MIXTURE` for neither."""
    labels: tuple[str, ...]
    """Equal for runs that differ by their seed alone."""
    seeds: tuple[int, ...] = ()
    """By run. Runs of one scale and seed share initialisation and samples. Empty when unknown."""

    def __len__(self) -> int:
        """The number of runs."""
        return len(self.tokens)

    @property
    def scales(self) -> Floats:
        """(scales,) in increasing order."""
        return np.unique(self.scale)

    @property
    def proportions(self) -> Floats:
        """(runs, domains) shares of each run's tokens."""
        return self.tokens / self.tokens.sum(-1, keepdims=True)

    def where(self, keep: Bools | Sequence[int]) -> Runs:
        """The runs of a mask, or of indices."""
        rows = np.arange(len(self))[np.asarray(keep)]
        return replace(
            self,
            tokens=self.tokens[rows],
            losses=self.losses[rows],
            errors=None if self.errors is None else self.errors[rows],
            scale=self.scale[rows],
            changed=tuple(self.changed[i] for i in rows),
            labels=tuple(self.labels[i] for i in rows),
            seeds=tuple(self.seeds[i] for i in rows) if self.seeds else (),
        )

    def at(self, scale: float) -> Runs:
        """The runs of one scale."""
        return self.where(self.scale == scale)


def runs_from_records(records: Sequence[RunRecord]) -> Runs:
    """Gather finished run records.

    Raises:
        UserError: There are none, or they do not share their domains.
    """
    if not records:
        raise UserError("no finished run to fit; `mixscale sweep experiment.yaml` runs them")
    domains = tuple(records[0].domains)
    validation = tuple(records[0].evaluation)
    for record in records:
        for key, names in (("domains", domains), ("evaluation", validation)):
            differing = sorted(set(getattr(record, key)) ^ set(names))
            if differing:
                raise UserError(
                    f"run {record.run_id}: {key} differ from run {records[0].run_id}: {differing}; "
                    "the runs of one experiment must share them"
                )
    errors = _by_validation(records, validation, "standard_error")
    return Runs(
        domains=domains,
        validation=validation,
        tokens=np.array([[r.domains[d].seen_tokens for d in domains] for r in records], float),
        losses=_by_validation(records, validation, "loss_nats"),
        errors=errors if np.isfinite(errors).all() else None,
        scale=np.array([r.scale_tokens or r.token_budget for r in records], float),
        changed=tuple(_changed(record) for record in records),
        labels=tuple(_label(record) for record in records),
        seeds=tuple(record.seed for record in records),
    )


def bits_per_nat(records: Sequence[RunRecord], validation: Sequence[str]) -> Floats:
    """(validation,) bits per byte of a loss of one nat, from the measured pairs; nan without."""
    bits = _by_validation(records, validation, "bits_per_byte")
    return (bits / _by_validation(records, validation, "loss_nats")).mean(0)


def _by_validation(records: Sequence[RunRecord], names: Sequence[str], field: str) -> Floats:
    rows = [[getattr(r.evaluation[name], field) for name in names] for r in records]
    return np.array(rows, dtype=np.float64)


def _changed(record: RunRecord) -> str:
    if record.role == "base":
        return BASE
    if record.role in ("increased", "reduced") and record.domain is not None:
        return record.domain
    return MIXTURE


def _label(record: RunRecord) -> str:
    scale = record.scale_tokens or record.token_budget
    if record.role == "mixture":
        return f"{record.mixture}@{scale}"
    if record.role == "single":
        return record.run_id
    return f"{record.role} {record.domain or ''} {record.factor:g}@{scale}"
