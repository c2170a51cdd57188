"""`runs/<run_id>/result.json` and the list of a sweep's runs: what `train/` leaves for `fit/`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixscale.contracts.atomic import write_json
from mixscale.contracts.config import Config, read_json, validate
from mixscale.contracts.errors import UserError

RESULT = "result.json"
RUN_YAML = "run.yaml"


class DomainTokens(Config):
    """What a run took from one domain."""

    proportion: float = Field(ge=0, le=1)
    """Share of the samples planned."""
    planned_tokens: int = Field(ge=0)
    seen_tokens: int = Field(ge=0)
    """Tokens that training batches really held."""
    unique_tokens: int = Field(ge=0)
    """Seen tokens without repeats."""
    available_tokens: int = Field(ge=0)
    """Training tokens of the domain in the shard set."""
    epochs: float = Field(ge=0)
    """`seen_tokens / available_tokens`."""


class DomainLoss(Config):
    """How well a model predicts one validation domain."""

    loss_nats: float
    """Mean cross-entropy, nats per predicted token."""
    standard_error: float | None
    """Standard error of `loss_nats` over the evaluated samples."""
    tokens: int = Field(ge=0)
    """Predicted tokens."""
    perplexity: float
    """`exp(loss_nats)`."""
    bits_per_byte: float | None
    """`loss_nats` in bits, times the tokens per UTF-8 byte of the domain."""


class CurvePoint(Config):
    """The losses at one moment of a run."""

    tokens: int = Field(ge=0)
    """Training tokens seen."""
    losses: dict[str, float]
    """Nats per token by validation domain."""


Status = Literal["finished", "diverged", "out_of_memory", "data_error", "died"]
"""`out_of_memory` and `data_error` (a shard is missing or damaged) may go well on another machine,
or with the data restored: a sweep tries such runs again, and also those that `died`, for which the
sweep itself writes the record: a killed process, or an error that no other status names."""
Role = Literal["base", "increased", "reduced", "mixture", "single"]


class RunRecord(Config):
    """The result of one training run."""

    format: Literal[1] = 1
    run_id: str
    sweep: str | None = None
    """Name of the experiment the run was made for."""
    role: Role = "single"
    domain: str | None = None
    """The domain that was changed, for the roles `increased` and `reduced`."""
    factor: float = 1.0
    """Its tokens as a multiple of the base run's."""
    mixture: str | None = None
    """Name of the mixture, for the role `mixture`."""
    scale_tokens: int | None = None
    """Token budget of the base run of this run's scale."""
    seed: int
    status: Status
    error: str | None = None
    """Why, when the status is not `finished`."""
    parameters: int
    """Trainable parameters of the model; 0 when the run failed before it had one."""
    token_budget: int
    """Tokens planned."""
    seen_tokens: int
    domains: dict[str, DomainTokens]
    evaluation: dict[str, DomainLoss] = Field(default_factory=dict)
    """By validation domain, at the end of the run; empty when the run did not finish."""
    learning_curve: tuple[CurvePoint, ...] = ()
    seconds: float
    """From the first batch to the end of the last evaluation."""
    train_seconds: float
    """Training alone."""
    tokens_per_second: float
    """Seen tokens by training seconds."""
    device: str
    precision: str
    shardset_sha256: str
    """`content_sha256` of the shard set."""
    versions: dict[str, str]
    started: str
    """UTC, ISO 8601."""


class Sweep(Config):
    """The runs that an experiment consists of now: `sweeps/<name>.json`."""

    format: Literal[1] = 1
    name: str
    experiment: dict[str, Any]
    run_ids: tuple[str, ...]


def run_folder(out: str | Path, run_id: str) -> Path:
    """Say where a run's files lie: `out/runs/<run_id>`."""
    return Path(out) / "runs" / run_id


def write_record(folder: str | Path, record: RunRecord) -> Path:
    """Write `result.json` into a run's folder, atomically; its presence says the run is over."""
    path = Path(folder) / RESULT
    write_json(path, record.model_dump(mode="json"))
    return path


def read_record(path: str | Path) -> RunRecord:
    """Read one `result.json`.

    Raises:
        UserError: The file is missing or not a run record.
    """
    return validate(read_json(path), RunRecord, str(path))


def write_sweep(out: str | Path, sweep: Sweep) -> Path:
    """Write the list of an experiment's runs under `out/sweeps`."""
    path = Path(out) / "sweeps" / f"{sweep.name}.json"
    write_json(path, sweep.model_dump(mode="json"))
    return path


def read_sweep(out: str | Path, name: str) -> Sweep:
    """Read the list of an experiment's runs.

    Raises:
        UserError: The sweep was never started.
    """
    path = Path(out) / "sweeps" / f"{name}.json"
    if not path.is_file():
        raise UserError(f"{path}: no sweep of that name; `mixscale sweep experiment.yaml` runs it")
    return validate(read_json(path), Sweep, str(path))


def sweep_records(out: str | Path, name: str) -> Iterator[RunRecord]:
    """Yield the records of a sweep's runs that are over, in the order of the plan.

    Raises:
        UserError: The sweep was never started, or a record is damaged.
    """
    for run_id in read_sweep(out, name).run_ids:
        path = run_folder(out, run_id) / RESULT
        if path.is_file():
            yield read_record(path)
