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
}
"""By name."""
