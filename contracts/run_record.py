"""`runs/<run_id>/result.json`: what a training run saw and how well its model predicts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mixscale.contracts.atomic import write_json
from mixscale.contracts.config import Config, Count, read_json, validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.evaluation import Evaluation

RESULT = "result.json"
RUN_YAML = "run.yaml"
LOG = "log.txt"
"""What a run printed, and the traceback of what ended it."""


class DomainTokens(Config):
    """What a run took from one domain."""

    proportion: float = Field(ge=0, le=1)
    """Share of the samples planned."""
    planned_tokens: Count
    seen_tokens: Count
    """Tokens that training batches really held."""
    unique_tokens: Count
    """Seen tokens without repeats."""
    available_tokens: Count
    """Training tokens of the domain in the shard set."""
    pool_tokens: Count | None = None
    """Those of them that the run could see: all, unless the design asked for fewer; null in records
    of earlier versions, which had all."""
    epochs: float = Field(ge=0)
    """`seen_tokens` by the tokens that the run could see."""

    @property
    def supply_tokens(self) -> int:
        """Unique tokens that the run had to offer."""
        return self.available_tokens if self.pool_tokens is None else self.pool_tokens


class DomainLoss(Config):
    """How well a model predicts one validation domain."""

    loss_nats: float
    """Mean cross-entropy, nats per predicted token."""
    standard_error: float | None
    """Standard error of `loss_nats` over the evaluated samples."""
    tokens: Count
    """Predicted tokens."""
    perplexity: float
    """`exp(loss_nats)`; the largest number there is when that is larger."""
    bits_per_byte: float | None
    """`loss_nats` in bits, times the tokens per UTF-8 byte of the domain."""
    masked_accuracy: float | None = None
    """Of a masked model: share of the hidden tokens that it finds."""
    masked_accuracy_error: float | None = None
    """Standard error of that over the evaluated samples."""


class CurvePoint(Config):
    """The losses at one moment of a run."""

    tokens: Count
    """Training tokens seen."""
    losses: dict[str, float]
    """Nats per token by validation domain."""


Status = Literal["finished", "stopped", "diverged", "out_of_memory", "data_error", "died"]
"""A `stopped` run was ended by one of its callbacks before its tokens. `out_of_memory` and
`data_error` (a shard is missing or damaged) may go well on another machine, or with the data
restored: a sweep tries such runs again, and also those that `died`, for which the sweep itself
writes the record: a killed process, or an error that no other status names."""
ENDED: frozenset[Status] = frozenset({"finished", "stopped", "diverged"})
"""A run that ended so would do the same again."""
Role = Literal["base", "increased", "reduced", "mixture", "single"]


def _none_for_zero(parameters: object) -> object:
    # What earlier versions wrote of runs without a model.
    return None if parameters == 0 else parameters


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
    scale_tokens: Count | None = None
    """Token budget of the base run of this run's scale."""
    seed: int
    status: Status
    error: str | None = None
    """Why, when the status is not `finished`."""
    parameters: Annotated[Count | None, BeforeValidator(_none_for_zero)]
    """Trainable parameters of the model; null when the run ended before it had one."""
    non_embedding_parameters: Count | None = None
    """Those of them that are no embeddings, of words or of places; null in records of earlier
    versions, too."""
    token_budget: Count
    """Tokens planned."""
    seen_tokens: Count
    domains: dict[str, DomainTokens]
    evaluation: dict[str, DomainLoss] = Field(default_factory=dict)
    """By validation domain, at the end of the run; empty when the run did not finish."""
    evaluations: tuple[Evaluation, ...] = ()
    """On tasks, by `mixscale evaluate` or at the end of a run of a sweep; at most one for each task
    and metric, the latest."""
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


def run_folder(out: str | Path, run_id: str) -> Path:
    """Give the folder of a run's files: `out/runs/<run_id>`."""
    return Path(out) / "runs" / run_id


def write_record(folder: str | Path, record: RunRecord) -> Path:
    """Write `result.json` into a run's folder, atomically; where it is, the run has ended."""
    path = Path(folder) / RESULT
    write_json(path, record.model_dump(mode="json"))
    return path


def read_record(path: str | Path) -> RunRecord:
    """Read one `result.json`.

    Raises:
        UserError: The file is missing or not a run record.
    """
    return validate(read_json(path), RunRecord, str(path))


def find_run(name: str | Path, folders: Sequence[str | Path]) -> Path:
    """Find the folder of a run.

    Args:
        name: Its id, its folder, or its record.
        folders: Those with `runs/` in which an id is looked for.

    Raises:
        UserError: There is no such run; the message names the nearest.
    """
    path = Path(name)
    if path.name == RESULT and path.is_file():
        return path.parent
    if (path / RESULT).is_file():
        return path
    places = [Path(folder) / "runs" for folder in folders]
    for place in places:
        if (place / path / RESULT).is_file():
            return place / path
    known = [record.parent.name for place in places for record in place.glob(f"*/{RESULT}")]
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    looked = ", ".join(str(place) for place in places)
    raise UserError(f"{name}: no run of this id or folder; looked into {looked}.{hint}")
