"""Views of what runs reach: named metrics of validation domains and tasks, and their items."""

from __future__ import annotations

from mixscale.contracts.evaluation import ItemValue
from mixscale.contracts.metrics import MEASURES
from mixscale.contracts.run_record import RunRecord
from mixscale.shards.sql.json_rows import json_rows
from mixscale.shards.sql.parquet_rows import parquet_rows
from mixscale.shards.sql.quoting import literal
from mixscale.shards.sql.view import View

_COLUMNS = {
    "run_id": "run",
    "name": "metric and task, as in loss:arxiv and acc:arc_easy",
    "task": "task of lm-eval, or validation domain",
    "metric": "loss, ppl, bpb and masked_acc of domains; of tasks acc, bpb and so on",
    "value": "its value",
    "stderr": "standard error over items or samples",
    "items": "items asked; null for domains",
    "unit": "nats, perplexity, bits per byte, fraction; empty for a bare number",
    "higher_is_better": "whether a larger value is better; null where that is not known",
    "num_fewshot": "examples before each item; null for domains",
    "item_limit": "the first so many items, below 1 that share; null for all",
    "tokens": "training tokens that the model had seen",
    "settings": "hash of what was asked; null for domains",
}
_OF_DOMAINS = {
    "loss": ("loss_nats", "standard_error"),
    "ppl": ("perplexity", "standard_error * perplexity"),
    "bpb": ("bits_per_byte", "standard_error * bits_per_byte / loss_nats"),
    "masked_acc": ("masked_accuracy", "masked_accuracy_error"),
}
"""Metrics of a validation domain: value and standard error, from the columns of `run_domains`."""


def _of_domain(metric: str) -> str:
    value, error = _OF_DOMAINS[metric]
    return f"""
SELECT run_id, {literal(metric)} AS metric, domain AS task, {value} AS value, {error} AS stderr,
       NULL AS items, {literal(MEASURES[metric].unit)} AS unit,
       {str(MEASURES[metric].higher_is_better).lower()} AS higher_is_better,
       NULL AS num_fewshot, NULL AS item_limit, seen AS tokens, NULL AS settings
FROM run_domains JOIN (SELECT run_id, seen_tokens AS seen FROM runs) USING (run_id)
WHERE {value} IS NOT NULL"""


_EVALUATIONS = View(
    row="a metric of a run on one task or validation domain",
    columns=_COLUMNS,
    sql=f"""
WITH listed AS (
    SELECT run_id, unnest(evaluations) AS one
    FROM {json_rows("$runs", RunRecord, ["run_id", "evaluations"])}),
found AS ({" UNION ALL ".join(map(_of_domain, _OF_DOMAINS))}
UNION ALL
SELECT run_id, one.metric, one.task, one.value, one.stderr, one.items, one.unit,
       one.higher_is_better, one.num_fewshot, one."limit", one.tokens, one.settings
FROM listed)
SELECT run_id, metric || ':' || task AS name, task, metric, value, stderr, items, unit,
       higher_is_better, num_fewshot, item_limit, tokens, settings
FROM found""",
)

_EVALUATION_ITEMS = View(
    row="a metric of a run on one item of a task, or one sample of a validation domain",
    columns={
        "run_id": "run",
        "task": "task, or validation domain",
        "metric": "metric; those alone that are means over items",
        "item": "number of the item in the task, from 0",
        "item_sha256": "hash of the item",
        "value": "the metric there",
        "weight": "weight of the item in the metric's mean: bytes or tokens of a text, else 1",
        "settings": "hash of what was asked; null for domains",
    },
    sql=f"""
WITH placed AS (
    SELECT *, regexp_extract(filename, '([^/]+)/evaluations/[^/]+$$', 1) AS run_id,
           nullif(regexp_extract(filename, '-([0-9a-f]{{12}})[.]parquet$$', 1), '') AS settings
    FROM {parquet_rows("$items", ItemValue)})
SELECT run_id, task, metric, item, item_sha256, value, weight, settings
FROM placed WHERE settings IS NULL OR EXISTS (
    FROM evaluations WHERE evaluations.run_id = placed.run_id AND evaluations.task = placed.task
    AND evaluations.settings = placed.settings)""",
)

VIEWS = {"evaluations": _EVALUATIONS, "evaluation_items": _EVALUATION_ITEMS}
"""In an order in which each uses only those before it."""
