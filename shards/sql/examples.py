"""Example queries over a shard set, shown by the help and the documentation."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A question with the SQL that answers it."""

    question: str
    sql: str


EXAMPLES = {
    "tokens": Example(
        "How many training tokens does each domain have?",
        """\
SELECT domain, documents, tokens, round(tokens / sum(tokens) OVER (), 4) AS share
FROM domains WHERE split = 'train' ORDER BY tokens DESC""",
    ),
    "lengths": Example(
        "How long are the documents, in tokens?",
        """\
SELECT domain, tokens_p05, tokens_p25, tokens_p50, tokens_p75, tokens_p95, tokens_max
FROM domains WHERE split = 'train'""",
    ),
    "statuses": Example(
        "What became of the input records?",
        """\
SELECT domain, status, count(*) AS records, sum(bytes) AS bytes
FROM documents GROUP BY ALL ORDER BY ALL""",
    ),
    "left_out": Example(
        "About how many tokens did each filter cost? (bytes times the domain's tokens per byte)",
        """\
WITH ratios AS (
    SELECT domain, sum(tokens) / sum(bytes) AS tokens_per_byte
    FROM documents WHERE status = 'kept' GROUP BY domain)
SELECT domain, status, if(status = 'filtered', detail, NULL) AS filter, count(*) AS records,
       round(sum(bytes * tokens_per_byte))::BIGINT AS about_tokens
FROM documents JOIN ratios USING (domain)
WHERE status <> 'kept' GROUP BY ALL ORDER BY about_tokens DESC""",
    ),
    "duplicates": Example(
        "Which domains repeat texts of which?",
        """\
SELECT kept_domain, domain AS repeated_in, count(*) AS records, sum(bytes) AS bytes
FROM duplicates GROUP BY ALL ORDER BY records DESC""",
    ),
    "sources": Example(
        "Which input files give most tokens?",
        """\
SELECT domain, source_file, count(*) AS documents, sum(tokens) AS tokens
FROM documents WHERE status = 'kept' GROUP BY ALL ORDER BY tokens DESC LIMIT 10""",
    ),
    "sites": Example(
        "Which sites give most tokens, by the records' own meta field?",
        """\
SELECT domain, regexp_extract(meta ->> 'url', '://([^/]+)', 1) AS site,
       count(*) AS documents, sum(tokens) AS tokens
FROM documents WHERE status = 'kept' AND (meta ->> 'url') IS NOT NULL
GROUP BY ALL ORDER BY tokens DESC LIMIT 10""",
    ),
    "rejects": Example(
        "Which records could not be read?",
        """\
SELECT source_file, source_row, detail FROM rejects
WHERE status = 'malformed' ORDER BY ALL LIMIT 10""",
    ),
    "shards": Example(
        "How large are the shards?",
        """\
SELECT domain, split, count(*) AS shards, sum(samples) AS samples, max(bytes) AS largest_bytes
FROM shards GROUP BY ALL ORDER BY ALL""",
    ),
    "longest": Example(
        "Where do the longest documents lie in their streams?",
        """\
SELECT domain, split, doc_id, tokens, first_sample, first_offset
FROM documents WHERE status = 'kept' ORDER BY tokens DESC LIMIT 5""",
    ),
    "sample": Example(
        "Which documents does the first sample of a stream hold?",
        """\
FROM documents_in_sample(
    (SELECT min(domain) FROM streams), 'train', 0)""",
    ),
    "document": Example(
        "Which samples hold the longest document?",
        """\
FROM samples_of_document(
    (SELECT arg_max(doc_id, tokens) FROM documents)) LIMIT 10""",
    ),
    "seen": Example(
        "What did each run see of each domain?",
        """\
SELECT run_id, domain, proportion, seen_tokens, round(epochs, 3) AS epochs
FROM run_domains ORDER BY run_id, domain""",
    ),
    "losses": Example(
        "How well does each run predict each domain?",
        """\
SELECT run_id, d.domain, loss_nats, standard_error, perplexity, bits_per_byte
FROM run_domains AS d JOIN runs USING (run_id)
WHERE status = 'finished' ORDER BY d.domain, loss_nats""",
    ),
    "curves": Example(
        "How did the mean loss fall while each run went on?",
        """\
SELECT run_id, tokens, avg(loss_nats) AS mean_loss_nats
FROM learning_curves GROUP BY ALL ORDER BY ALL""",
    ),
    "difference": Example(
        "How does the best run differ from the worst, by domain?",
        """\
WITH means AS (
    SELECT run_id, avg(loss_nats) AS mean FROM run_domains JOIN runs USING (run_id)
    WHERE runs.status = 'finished' GROUP BY run_id)
FROM run_difference((SELECT arg_max(run_id, mean) FROM means),
                    (SELECT arg_min(run_id, mean) FROM means))""",
    ),
    "curve_difference": Example(
        "And while both went on?",
        """\
WITH ends AS (
    SELECT run_id, avg(loss_nats) AS mean FROM run_domains JOIN runs USING (run_id)
    WHERE runs.status = 'finished' GROUP BY run_id)
FROM curve_difference((SELECT arg_max(run_id, mean) FROM ends),
                      (SELECT arg_min(run_id, mean) FROM ends))""",
    ),
    "pending": Example(
        "Which runs of a sweep are still to come?",
        """\
SELECT sweep, position, run_id FROM sweeps WHERE status IS NULL ORDER BY ALL""",
    ),
    "mixtures": Example(
        "How do the best proportions move with the token budget?",
        """\
SELECT fit_id, token_budget, kind, domain, proportion
FROM mixtures ORDER BY fit_id, token_budget, proportion DESC""",
    ),
}
"""By a short name."""
