"""Views of training runs, their losses, and the sweeps they belong to."""

from __future__ import annotations

from mixscale.contracts.metrics import LOSS, metrics
from mixscale.contracts.run_record import DomainLoss, RunRecord
from mixscale.contracts.sweep_record import SweepRecord
from mixscale.shards.sql.json_rows import json_rows
from mixscale.shards.sql.view import View

_RUN_COLUMNS = {
    "run_id": "readable name with a hash of the settings",
    "sweep": "experiment the run was made for",
    "role": "base, increased, reduced, mixture or single",
    "domain": "the domain that was changed",
    "factor": "its tokens as a multiple of the base run's",
    "mixture": "name of the mixture",
    "scale_tokens": "token budget of the base run of this run's scale",
    "seed": "random seed",
    "status": "finished, stopped, diverged, out_of_memory, data_error or died",
    "error": "why, when it did not finish",
    "parameters": "trainable parameters of the model; null (0 in older records) without one",
    "non_embedding_parameters": "those of them that are no embeddings; null in older records",
    "token_budget": "tokens planned",
    "seen_tokens": "tokens trained on",
    "seconds": "seconds, evaluations included",
    "train_seconds": "seconds of training alone",
    "tokens_per_second": "seen tokens by training seconds",
    "device": "device",
    "precision": "precision",
    "shardset_sha256": "content hash of the shard set it ran on",
    "started": "start of the run, UTC",
}

_RUNS = View(
    row="a training run that has ended",
    columns=_RUN_COLUMNS,
    sql=f"""
SELECT {", ".join(_RUN_COLUMNS)}
FROM {json_rows("$runs", RunRecord, _RUN_COLUMNS)}""",
)

_STORED = [name for name in metrics() if name in DomainLoss.model_fields]
_COMPUTED = {
    metric.name: metric.from_loss.sql
    for metric in metrics().values()
    if metric is not LOSS and metric.from_loss is not None and metric.name not in _STORED
}

_RUN_DOMAINS = View(
    row="a run's domain: what it trained on, how well it predicts it",
    columns={
        "run_id": "run",
        "domain": "domain",
        "proportion": "share of the samples planned",
        "planned_tokens": "training tokens planned",
        "seen_tokens": "training tokens that batches held",
        "unique_tokens": "seen tokens without repeats",
        "available_tokens": "training tokens of the domain in the shard set",
        "pool_tokens": "those of them that the run could see",
        "epochs": "seen tokens by those that the run could see",
        "loss_nats": LOSS.meaning,
        "standard_error": "standard error of the loss over samples, nats per token",
        "evaluated_tokens": "validation tokens predicted",
        "masked_accuracy": "of a masked model: share of the hidden tokens that it finds",
        "masked_accuracy_error": "standard error of that over samples",
        **{name: metrics()[name].meaning for name in (*_STORED, *_COMPUTED)},
    },
    sql=f"""
WITH records AS (
    SELECT * FROM {json_rows("$runs", RunRecord, ["run_id", "domains", "evaluation"])}),
trained AS (SELECT run_id, unnest(map_entries(domains)) AS entry FROM records),
measured AS (SELECT run_id, unnest(map_entries(evaluation)) AS entry FROM records),
joined AS (
SELECT coalesce(trained.run_id, measured.run_id) AS run_id,
       coalesce(trained.entry.key, measured.entry.key) AS domain,
       trained.entry.value.proportion, trained.entry.value.planned_tokens,
       trained.entry.value.seen_tokens, trained.entry.value.unique_tokens,
       trained.entry.value.available_tokens,
       coalesce(trained.entry.value.pool_tokens, trained.entry.value.available_tokens)
           AS pool_tokens,
       trained.entry.value.epochs,
       measured.entry.value.loss_nats, measured.entry.value.standard_error,
       measured.entry.value.tokens AS evaluated_tokens,
       measured.entry.value.masked_accuracy, measured.entry.value.masked_accuracy_error,
       {", ".join(f"measured.entry.value.{name}" for name in _STORED)}
FROM trained FULL JOIN measured
    ON trained.run_id = measured.run_id AND trained.entry.key = measured.entry.key)
SELECT {", ".join(["*", *(f"{sql} AS {name}" for name, sql in _COMPUTED.items())])} FROM joined""",
)

_LEARNING_CURVES = View(
    row="a run's loss on one domain at one point of its training",
    columns={
        "run_id": "run",
        "tokens": "training tokens seen",
        "domain": "validation domain",
        "loss_nats": "mean cross-entropy, nats per token",
    },
    sql=f"""
WITH points AS (
    SELECT run_id, unnest(learning_curve) AS point
    FROM {json_rows("$runs", RunRecord, ["run_id", "learning_curve"])}),
losses AS (
    SELECT run_id, point.tokens AS tokens, unnest(map_entries(point.losses)) AS loss FROM points)
SELECT run_id, tokens, loss.key AS domain, loss.value AS loss_nats FROM losses""",
)

_SWEEPS = View(
    row="a planned run of an experiment, whether it has ended or not",
    columns={
        "sweep": "name of the experiment",
        "position": "number of the run in the plan, from 1",
        "run_id": "run",
        "status": "how it ended, as in `runs`; null until then",
    },
    sql=f"""
WITH planned AS (
    SELECT name AS sweep, unnest(run_ids) AS run_id,
           generate_subscripts(run_ids, 1)::UINTEGER AS position
    FROM {json_rows("$sweeps", SweepRecord, ["name", "run_ids"])})
SELECT planned.sweep, position, run_id, runs.status
FROM planned LEFT JOIN runs USING (run_id)""",
)

VIEWS = {
    "runs": _RUNS,
    "run_domains": _RUN_DOMAINS,
    "learning_curves": _LEARNING_CURVES,
    "sweeps": _SWEEPS,
}
"""In an order in which each uses only those before it."""
