"""The table macros: documents in samples, samples in shards, one run against another."""

from __future__ import annotations

from mixscale.shards.sql.view import Macro

_PLACED = """
    SELECT documents.*, first_sample * sequence_length + first_offset AS first_token,
           sequence_length::UBIGINT AS length
    FROM documents, shardset WHERE status = 'kept'"""

MACROS = {
    "documents_in_sample": Macro(
        answers="the documents, or parts of documents, that a sample of a stream holds, in order",
        parameters=("of_domain", "of_split", "of_sample"),
        columns={
            "doc_id": "document",
            "source_file": "input file",
            "source_row": "record number in the input file, from 1",
            "from_offset": "first token of the part, counted in the sample from 0",
            "to_offset": "one past its last token",
            "from_token": "the same first token, counted in the document from 0",
            "tokens": "tokens of the part",
            "document_tokens": "tokens of the whole document",
        },
        sql=f"""
WITH placed AS ({_PLACED}
        AND domain = of_domain AND split = of_split AND first_sample <= of_sample),
parts AS (
    SELECT *, greatest(first_token, of_sample::UBIGINT * length) AS start,
           least(first_token + tokens, (of_sample::UBIGINT + 1) * length) AS stop
    FROM placed WHERE first_token + tokens > of_sample::UBIGINT * length)
SELECT doc_id, source_file, source_row, start - of_sample::UBIGINT * length AS from_offset,
       stop - of_sample::UBIGINT * length AS to_offset, start - first_token AS from_token,
       stop - start AS tokens, parts.tokens AS document_tokens
FROM parts ORDER BY start""",
    ),
    "samples_of_document": Macro(
        answers="the samples that hold a document, with the place of each part",
        parameters=("of_doc_id",),
        columns={
            "domain": "domain",
            "split": "train or validation",
            "sample": "sample, counted in the stream from 0",
            "from_offset": "first token of the part, counted in the sample from 0",
            "to_offset": "one past its last token",
            "from_token": "the same first token, counted in the document from 0",
            "path": "shard file, relative to the shard set; null in the remainder",
            "sample_in_shard": "the sample, counted in its shard from 0",
        },
        sql=f"""
WITH placed AS ({_PLACED} AND doc_id = of_doc_id),
samples AS (
    SELECT *, unnest(range((first_token // length)::BIGINT,
                           ((first_token + tokens - 1) // length)::BIGINT + 1))::UBIGINT AS sample
    FROM placed)
SELECT samples.domain, samples.split, sample,
       greatest(first_token, sample * length) - sample * length AS from_offset,
       least(first_token + samples.tokens, (sample + 1) * length) - sample * length AS to_offset,
       greatest(first_token, sample * length) - first_token AS from_token,
       shards.path, sample - shards.first_sample AS sample_in_shard
FROM samples LEFT JOIN shards
    ON shards.domain = samples.domain AND shards.split = samples.split
    AND sample >= shards.first_sample AND sample < shards.first_sample + shards.samples
ORDER BY samples.domain, samples.split, sample""",
    ),
    "run_difference": Macro(
        answers="how two runs differ by domain: what they took of it and how well they predict it",
        parameters=("of_first", "of_second"),
        columns={
            "domain": "domain",
            "first_proportion": "share of the first run's samples",
            "second_proportion": "share of the second's",
            "first_seen_tokens": "training tokens that the first run's batches held",
            "second_seen_tokens": "those of the second",
            "first_loss_nats": "validation loss of the first run, nats per token",
            "second_loss_nats": "that of the second",
            "difference_nats": "second less first: below 0 the second run is better",
            "standard_error": "of the difference, nats per token, had each run samples of its own;"
            " on the same samples, as in a sweep, it is less",
        },
        sql="""
WITH one AS (SELECT * FROM run_domains WHERE run_id = of_first),
other AS (SELECT * FROM run_domains WHERE run_id = of_second)
SELECT coalesce(one.domain, other.domain) AS domain, one.proportion AS first_proportion,
       other.proportion AS second_proportion, one.seen_tokens AS first_seen_tokens,
       other.seen_tokens AS second_seen_tokens, one.loss_nats AS first_loss_nats,
       other.loss_nats AS second_loss_nats, other.loss_nats - one.loss_nats AS difference_nats,
       sqrt(one.standard_error ^ 2 + other.standard_error ^ 2) AS standard_error
FROM one FULL JOIN other ON one.domain = other.domain ORDER BY 1""",
    ),
    "curve_difference": Macro(
        answers="how two runs' losses differ while both go on, wherever either was evaluated",
        parameters=("of_first", "of_second"),
        columns={
            "domain": "validation domain",
            "tokens": "training tokens, of each run",
            "first_loss_nats": "loss of the first run there, nats per token; on a straight line "
            "between its evaluations",
            "second_loss_nats": "that of the second",
            "difference_nats": "second less first: below 0 the second run is better",
        },
        sql="""
WITH points AS (
    SELECT run_id, domain, tokens, avg(loss_nats) AS loss FROM learning_curves
    WHERE run_id = of_first OR run_id = of_second GROUP BY ALL),
pieces AS (
    SELECT *, lead(tokens) OVER w AS next_tokens, lead(loss) OVER w AS next_loss FROM points
    WINDOW w AS (PARTITION BY run_id, domain ORDER BY tokens)),
moments AS (SELECT DISTINCT domain, tokens FROM points),
lines AS (
    SELECT run_id, pieces.domain AS domain, moments.tokens AS tokens,
           CASE WHEN moments.tokens = pieces.tokens THEN loss
                ELSE loss + (next_loss - loss) * (moments.tokens - pieces.tokens)
                            / (next_tokens - pieces.tokens) END AS loss
    FROM moments JOIN pieces ON moments.domain = pieces.domain AND moments.tokens >= pieces.tokens
        AND (moments.tokens = pieces.tokens OR moments.tokens < next_tokens))
SELECT one.domain, one.tokens, one.loss AS first_loss_nats, other.loss AS second_loss_nats,
       other.loss - one.loss AS difference_nats
FROM lines AS one JOIN lines AS other ON one.domain = other.domain AND one.tokens = other.tokens
WHERE one.run_id = of_first AND other.run_id = of_second ORDER BY one.domain, one.tokens""",
    ),
    "evaluation_difference": Macro(
        answers="how two runs differ in every metric, item by item where both were asked the same",
        parameters=("of_first", "of_second"),
        columns={
            "name": "metric and task, as in loss:arxiv and acc:arc_easy",
            "unit": "of the metric",
            "higher_is_better": "whether a larger value is better; null where not known",
            "first_value": "of the first run, over the shared items where there are any",
            "second_value": "of the second",
            "difference": "second less first",
            "standard_error": "of the difference: over pairs of items; where there are none, as if "
            "each run had items of its own",
            "shared_items": "items that both were asked; null where they are not known",
        },
        sql="""
WITH pairs AS (
    SELECT one.task, one.metric, one.value AS first_value, other.value AS second_value,
           one.weight AS weight
    FROM (FROM evaluation_items WHERE run_id = of_first) AS one
    JOIN (FROM evaluation_items WHERE run_id = of_second) AS other
        ON one.task = other.task AND one.metric = other.metric AND one.item = other.item
        AND one.item_sha256 = other.item_sha256),
means AS (
    SELECT task, metric, count(*) AS shared,
           sum(weight * first_value) / sum(weight) AS first_mean,
           sum(weight * second_value) / sum(weight) AS second_mean
    FROM pairs GROUP BY ALL HAVING count(*) > 1),
paired AS (
    SELECT task, metric, any_value(shared) AS shared, any_value(first_mean) AS first_mean,
           any_value(second_mean) AS second_mean,
           sqrt(sum((weight * (second_value - first_value - second_mean + first_mean)) ^ 2)
                * count(*) / (count(*) - 1)) / sum(weight) AS error
    FROM pairs JOIN means USING (task, metric) GROUP BY ALL),
one AS (SELECT * FROM evaluations WHERE run_id = of_first),
other AS (SELECT * FROM evaluations WHERE run_id = of_second)
SELECT one.name, one.unit, coalesce(one.higher_is_better, other.higher_is_better)
           AS higher_is_better,
       coalesce(first_mean, one.value) AS first_value,
       coalesce(second_mean, other.value) AS second_value,
       coalesce(second_mean - first_mean, other.value - one.value) AS difference,
       coalesce(error, sqrt(one.stderr ^ 2 + other.stderr ^ 2)) AS standard_error,
       shared AS shared_items
FROM one JOIN other ON one.name = other.name
LEFT JOIN paired ON paired.task = one.task AND paired.metric = one.metric ORDER BY 1""",
    ),
    "tokens_saved": Macro(
        answers="where the learning curve of one run comes down to the final loss of the other",
        parameters=("of_first", "of_second"),
        columns={
            "domain": "validation domain",
            "run_id": "the run that is sooner there",
            "target_loss_nats": "final loss of the other, nats per token",
            "tokens": "training tokens at which it is reached, on a straight line between two "
            "evaluations",
            "other_tokens": "training tokens of the other at its end",
            "share": "part of the other's tokens that is not needed",
        },
        sql="""
WITH points AS (
    SELECT run_id, shardset_sha256, learning_curves.domain AS domain, tokens,
           avg(loss_nats) AS loss
    FROM learning_curves JOIN runs USING (run_id)
    WHERE run_id = of_first OR run_id = of_second GROUP BY ALL),
pieces AS (
    SELECT *, lead(tokens) OVER w AS next_tokens, lead(loss) OVER w AS next_loss FROM points
    WINDOW w AS (PARTITION BY run_id, domain ORDER BY tokens)),
ends AS (
    SELECT run_id, shardset_sha256, domain, max(tokens) AS end_tokens,
           max_by(loss, tokens) AS final FROM points GROUP BY ALL),
reached AS (
    SELECT pieces.domain AS domain, pieces.run_id AS run_id, final, end_tokens,
           min(tokens + (next_tokens - tokens) * (loss - final) / (loss - next_loss)) AS needed
    FROM pieces JOIN ends ON pieces.domain = ends.domain AND pieces.run_id <> ends.run_id
        AND pieces.shardset_sha256 = ends.shardset_sha256
        AND loss > final AND next_loss <= final
    GROUP BY ALL)
SELECT domain, run_id, final AS target_loss_nats, needed AS tokens,
       end_tokens AS other_tokens, 1 - needed / end_tokens AS share
FROM reached WHERE needed < end_tokens ORDER BY domain, run_id""",
    ),
}
"""By name."""
