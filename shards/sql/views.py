"""The SQL of a shard set's index: its views and macros, with the unit of every column."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mixscale.shards.sql.documents import DOCUMENT_COLUMNS, DOCUMENTS, REJECTED

VERSION = 2
"""Changes when a column or a view does; an index of another version is made again."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A view: what a row is, what its columns are, and the SQL, with `$name` for file patterns."""

    row: str
    columns: dict[str, str]
    sql: str


def _json_rows(pattern: str, columns: dict[str, str]) -> str:
    """Write the SQL that reads JSON objects, with `filename`; no file is a table without rows."""
    # Without a file, DuckDB forgets the columns it was told; a table without rows recalls them.
    typed = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
    given = ", ".join(f"{name}: {literal(kind)}" for name, kind in columns.items())
    return f"""(
    SELECT {typed}, NULL::VARCHAR AS filename WHERE false
    {_if_any(pattern)}UNION ALL BY NAME
    FROM read_json({pattern}, format = 'unstructured', allow_empty = true, filename = true,
                   columns = {{{given}}}){_END})"""


_END = "/*end*/"


def _if_any(pattern: str) -> str:
    """Mark what a DuckDB that cannot read no file at all has to leave out, up to `_END`."""
    return f"/*if {pattern.removeprefix('$')}*/"


def without_files(sql: str, absent: Collection[str]) -> str:
    """Rewrite a view's SQL for DuckDB 1, which has no `allow_empty`.

    Args:
        sql: The view.
        absent: File patterns that match nothing; what reads them is left out.
    """
    for name in absent:
        sql = re.sub(rf"/\*if {name}\*/.*?/\*end\*/", "", sql, flags=re.DOTALL)
    return sql.replace("allow_empty = true, ", "")


def literal(text: str) -> str:
    """Quote text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


_STREAM_SUMMARY = (
    "STRUCT(documents UBIGINT, text_bytes UBIGINT, tokens UBIGINT, samples UBIGINT, "
    "remainder_tokens UBIGINT, shards UINTEGER, shard_bytes UBIGINT, sha256 VARCHAR)"
)

_STORED_FILE = "STRUCT(basename VARCHAR, bytes UBIGINT, hashes MAP(VARCHAR, VARCHAR))"
_INDEX_JSON = _json_rows(
    "$indexes",
    {
        "shards": f"STRUCT(samples UBIGINT, compression VARCHAR, raw_data {_STORED_FILE}, "
        f"zip_data {_STORED_FILE})[]"
    },
)
_RUN_TYPES = {
    "run_id": "VARCHAR",
    "sweep": "VARCHAR",
    "role": "VARCHAR",
    "domain": "VARCHAR",
    "factor": "DOUBLE",
    "mixture": "VARCHAR",
    "scale_tokens": "UBIGINT",
    "seed": "BIGINT",
    "status": "VARCHAR",
    "error": "VARCHAR",
    "parameters": "UBIGINT",
    "token_budget": "UBIGINT",
    "seen_tokens": "UBIGINT",
    "seconds": "DOUBLE",
    "train_seconds": "DOUBLE",
    "tokens_per_second": "DOUBLE",
    "device": "VARCHAR",
    "precision": "VARCHAR",
    "shardset_sha256": "VARCHAR",
    "started": "VARCHAR",
}
_RUN_MAPS = {
    "run_id": "VARCHAR",
    "domains": "MAP(VARCHAR, STRUCT(proportion DOUBLE, planned_tokens UBIGINT, "
    "seen_tokens UBIGINT, unique_tokens UBIGINT, available_tokens UBIGINT, epochs DOUBLE))",
    "evaluation": "MAP(VARCHAR, STRUCT(loss_nats DOUBLE, standard_error DOUBLE, tokens UBIGINT, "
    "perplexity DOUBLE, bits_per_byte DOUBLE))",
    "learning_curve": "STRUCT(tokens UBIGINT, losses MAP(VARCHAR, DOUBLE))[]",
}

_SHARDSET = View(
    row="the shard set (one row)",
    columns={
        "mixscale_version": "version that built it",
        "sequence_length": "tokens in a sample",
        "vocab_size": "one more than the largest token id",
        "eos_token": "end-of-text token",
        "eos_token_id": "its id",
        "content_sha256": "hash over the streams and the tokenizer",
        "config": "the corpus config, JSON",
    },
    sql="""
SELECT mixscale_version, sequence_length, tokenizer.vocab_size, tokenizer.eos_token,
       tokenizer.eos_token_id, content_sha256, config
FROM read_json($shardset, format = 'unstructured', columns = {
    mixscale_version: 'VARCHAR', sequence_length: 'UINTEGER', content_sha256: 'VARCHAR',
    tokenizer: 'STRUCT(vocab_size UINTEGER, eos_token VARCHAR, eos_token_id UINTEGER)',
    config: 'JSON'})""",
)

_STREAMS = View(
    row="a stream, as the build summed it up in shardset.json",
    columns={
        "domain": "domain",
        "split": "train or validation",
        "position": "place of the domain in the corpus config, from 1",
        "documents": "documents kept",
        "text_bytes": "UTF-8 bytes of the kept texts",
        "tokens": "tokens of the kept documents, end-of-text tokens included",
        "samples": "whole samples",
        "remainder_tokens": "tokens after the last whole sample, in no shard",
        "shards": "shards",
        "shard_bytes": "bytes of the shard files on disk",
        "sha256": "hash over the shards",
    },
    sql=f"""
WITH entries AS (
    SELECT unnest(map_entries(domains)) AS entry,
           generate_subscripts(map_entries(domains), 1) AS position
    FROM read_json($shardset, format = 'unstructured',
                   columns = {{domains: 'MAP(VARCHAR, MAP(VARCHAR, {_STREAM_SUMMARY}))'}})),
splits AS (
    SELECT entry.key AS domain, position, unnest(map_entries(entry.value)) AS split FROM entries)
SELECT domain, split.key AS split, position, unnest(split.value) FROM splits""",
)

# Parquet holds `meta` as text.
_SELECTED = ["meta::JSON AS meta" if name == "meta" else name for name in DOCUMENT_COLUMNS]

_DOCUMENTS = View(
    row="an input record, whatever became of it",
    columns=DOCUMENT_COLUMNS,
    sql=f"SELECT {', '.join(_SELECTED)} FROM $documents",
)

_SHARDS = View(
    row="a shard file",
    columns={
        "domain": "domain",
        "split": "train or validation",
        "shard": "number of the shard in its stream, from 0",
        "path": "file, relative to the shard set",
        "first_sample": "its first sample, counted in the stream from 0",
        "samples": "samples",
        "tokens": "tokens",
        "bytes": "bytes of the file on disk",
        "raw_bytes": "bytes after decompression",
        "compression": "compression; null when there is none",
        "hashes": "hashes of the file on disk, by algorithm",
    },
    sql=f"""
WITH listed AS (
    SELECT parse_path(filename, 'both_slash')[-3] AS domain,
           parse_path(filename, 'both_slash')[-2] AS split,
           unnest(shards) AS entry, generate_subscripts(shards, 1) - 1 AS shard
    FROM {_INDEX_JSON}),
files AS (
    SELECT domain, split, shard, entry.samples AS samples, entry.compression AS compression,
           entry.raw_data.bytes AS raw_bytes, coalesce(entry.zip_data, entry.raw_data) AS file
    FROM listed)
SELECT domain, split, shard::UINTEGER AS shard,
       concat_ws('/', domain, split, file.basename) AS path,
       (sum(files.samples) OVER earlier - files.samples)::UBIGINT AS first_sample,
       files.samples,
       files.samples * sequence_length AS tokens,
       file.bytes AS bytes, raw_bytes, compression, file.hashes AS hashes
FROM files JOIN streams USING (domain, split), shardset
WINDOW earlier AS (PARTITION BY domain, split ORDER BY shard)""",
)

_DOMAINS = View(
    row="a domain's split, or, with a null split, the records of a domain that were not kept",
    columns={
        "domain": "domain",
        "split": "train, validation, or null for the records that were not kept",
        "records": "input records",
        "documents": "documents kept",
        "tokens": "tokens of the kept documents, end-of-text tokens included",
        "samples": "whole samples in the shards",
        "remainder_tokens": "tokens after the last whole sample, in no shard",
        "chars": "Unicode code points of the texts",
        "bytes": "UTF-8 bytes of the texts",
        "tokens_per_byte": "tokens per UTF-8 byte of the kept texts",
        "tokens_p05": "tokens of a document: 5% are shorter",
        "tokens_p25": "tokens of a document: 25% are shorter",
        "tokens_p50": "tokens of a document: the median",
        "tokens_p75": "tokens of a document: 75% are shorter",
        "tokens_p95": "tokens of a document: 95% are shorter",
        "tokens_max": "tokens of the longest document",
        "duplicates": "records left out as exact or near duplicates",
        "near_duplicates": "those of them that are near duplicates",
        "rejects": "records left out for another reason",
        "shards": "shard files",
        "shard_bytes": "bytes of the shard files on disk",
    },
    sql="""
WITH counted AS (
    SELECT domain, split, count(*) AS records,
           count(*) FILTER (status = 'kept') AS documents,
           sum(tokens)::UBIGINT AS tokens, sum(chars)::UBIGINT AS chars,
           sum(bytes)::UBIGINT AS bytes,
           quantile_cont(tokens, [0.05, 0.25, 0.5, 0.75, 0.95])
               FILTER (status = 'kept') AS quantiles,
           max(tokens) FILTER (status = 'kept') AS tokens_max,
           count(*) FILTER (status IN ('duplicate', 'near_duplicate')) AS duplicates,
           count(*) FILTER (status = 'near_duplicate') AS near_duplicates
    FROM documents GROUP BY domain, split),
stored AS (
    SELECT domain, split, count(*) AS shards, sum(samples)::UBIGINT AS samples,
           sum(tokens)::UBIGINT AS tokens, sum(bytes)::UBIGINT AS bytes
    FROM shards GROUP BY domain, split),
places AS (SELECT DISTINCT domain, position FROM streams)
SELECT named.domain, named.split,
       coalesce(counted.records, 0)::UBIGINT AS records,
       coalesce(counted.documents, 0)::UBIGINT AS documents,
       coalesce(counted.tokens, 0) AS tokens,
       coalesce(stored.samples, 0) AS samples,
       coalesce(counted.tokens, 0)::BIGINT - coalesce(stored.tokens, 0)::BIGINT AS remainder_tokens,
       coalesce(counted.chars, 0) AS chars, coalesce(counted.bytes, 0) AS bytes,
       CASE WHEN counted.documents > 0 THEN counted.tokens / nullif(counted.bytes, 0) END
           AS tokens_per_byte,
       quantiles[1] AS tokens_p05, quantiles[2] AS tokens_p25, quantiles[3] AS tokens_p50,
       quantiles[4] AS tokens_p75, quantiles[5] AS tokens_p95, tokens_max,
       coalesce(duplicates, 0)::UBIGINT AS duplicates,
       coalesce(near_duplicates, 0)::UBIGINT AS near_duplicates,
       coalesce(counted.records - counted.documents - duplicates, 0)::UBIGINT AS rejects,
       coalesce(stored.shards, 0)::UINTEGER AS shards,
       coalesce(stored.bytes, 0) AS shard_bytes
FROM (SELECT domain, split FROM streams UNION SELECT domain, split FROM counted) AS named
LEFT JOIN counted
    ON counted.domain = named.domain AND counted.split IS NOT DISTINCT FROM named.split
LEFT JOIN stored ON stored.domain = named.domain AND stored.split = named.split
LEFT JOIN places ON places.domain = named.domain
ORDER BY position, named.domain, named.split NULLS LAST""",
)

_REJECTS = View(
    row="a record that was left out for what it is, not for repeating another",
    columns={
        "domain": "domain the record was read for",
        "status": "why: " + ", ".join(REJECTED),
        "detail": "more about why",
        "source_file": "input file",
        "source_row": "record number in the input file, from 1",
        "doc_id": "hash of the text; null when there is no text",
        "chars": "Unicode code points of the text",
        "bytes": "UTF-8 bytes of the text",
    },
    sql="""
SELECT domain, status, detail, source_file, source_row, doc_id, chars, bytes
FROM documents WHERE status NOT IN ('kept', 'duplicate', 'near_duplicate')""",
)

_DUPLICATES = View(
    row="a duplicate with the kept document that stays in its place",
    columns={
        "domain": "domain of the duplicate",
        "status": "duplicate or near_duplicate",
        "detail": "file and row of the record that stays",
        "source_file": "input file of the duplicate",
        "source_row": "its record number",
        "doc_id": "hash of the text",
        "bytes": "UTF-8 bytes of the text",
        "kept_domain": "domain of the kept document",
        "kept_split": "split of the kept document",
        "kept_file": "input file of the kept document",
        "kept_row": "its record number",
    },
    sql="""
WITH copies AS (
    SELECT *, regexp_extract(detail, '(?s)^(.*):[0-9]+$$', 1) AS file_that_stays,
           try_cast(regexp_extract(detail, ':([0-9]+)$$', 1) AS UBIGINT) AS row_that_stays
    FROM documents WHERE status IN ('duplicate', 'near_duplicate'))
SELECT copies.domain, copies.status, copies.detail, copies.source_file, copies.source_row,
       copies.doc_id, copies.bytes,
       kept.domain AS kept_domain, kept.split AS kept_split,
       kept.source_file AS kept_file, kept.source_row AS kept_row
FROM copies
LEFT JOIN documents AS kept ON kept.status = 'kept'
    AND kept.source_file = file_that_stays AND kept.source_row = row_that_stays""",
)

_RUN_COLUMNS = {
    "run_id": "readable name with a hash of the settings",
    "sweep": "experiment the run was made for",
    "role": "base, increased, reduced, mixture or single",
    "domain": "the domain that was changed",
    "factor": "its tokens as a multiple of the base run's",
    "mixture": "name of the mixture",
    "scale_tokens": "token budget of the base run of this run's scale",
    "seed": "random seed",
    "status": "finished, diverged, out_of_memory, data_error or died",
    "error": "why, when it did not finish",
    "parameters": "trainable parameters of the model",
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
    row="a training run that is over",
    columns=_RUN_COLUMNS,
    sql=f"""
SELECT {", ".join(_RUN_COLUMNS)}
FROM {_json_rows("$runs", _RUN_TYPES)}""",
)

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
        "epochs": "seen tokens by available tokens",
        "loss_nats": "mean validation cross-entropy, nats per token",
        "standard_error": "standard error of the loss over samples, nats per token",
        "evaluated_tokens": "validation tokens predicted",
        "perplexity": "exp(loss_nats)",
        "bits_per_byte": "validation loss in bits per UTF-8 byte of text",
    },
    sql=f"""
WITH records AS (
    SELECT run_id, domains, evaluation
    FROM {_json_rows("$runs", _RUN_MAPS)}),
trained AS (SELECT run_id, unnest(map_entries(domains)) AS entry FROM records),
measured AS (SELECT run_id, unnest(map_entries(evaluation)) AS entry FROM records)
SELECT coalesce(trained.run_id, measured.run_id) AS run_id,
       coalesce(trained.entry.key, measured.entry.key) AS domain,
       trained.entry.value.proportion, trained.entry.value.planned_tokens,
       trained.entry.value.seen_tokens, trained.entry.value.unique_tokens,
       trained.entry.value.available_tokens, trained.entry.value.epochs,
       measured.entry.value.loss_nats, measured.entry.value.standard_error,
       measured.entry.value.tokens AS evaluated_tokens, measured.entry.value.perplexity,
       measured.entry.value.bits_per_byte
FROM trained FULL JOIN measured
    ON trained.run_id = measured.run_id AND trained.entry.key = measured.entry.key""",
)

_LEARNING_CURVES = View(
    row="a run's loss on one domain at one moment",
    columns={
        "run_id": "run",
        "tokens": "training tokens seen",
        "domain": "validation domain",
        "loss_nats": "mean cross-entropy, nats per token",
    },
    sql=f"""
WITH points AS (
    SELECT run_id, unnest(learning_curve) AS point
    FROM {_json_rows("$runs", _RUN_MAPS)}),
losses AS (
    SELECT run_id, point.tokens AS tokens, unnest(map_entries(point.losses)) AS loss FROM points)
SELECT run_id, tokens, loss.key AS domain, loss.value AS loss_nats FROM losses""",
)

_SWEEPS = View(
    row="a run that an experiment consists of, over or not",
    columns={
        "sweep": "name of the experiment",
        "position": "place of the run in the plan, from 1",
        "run_id": "run",
        "status": "how it ended, as in `runs`; null when it is not over",
    },
    sql=f"""
WITH planned AS (
    SELECT name AS sweep, unnest(run_ids) AS run_id,
           generate_subscripts(run_ids, 1)::UINTEGER AS position
    FROM {_json_rows("$sweeps", {"name": "VARCHAR", "run_ids": "VARCHAR[]"})})
SELECT planned.sweep, position, run_id, runs.status
FROM planned LEFT JOIN runs USING (run_id)""",
)

_FITS = View(
    row="a fitted mixing law",
    columns={
        "fit_id": "name of the fit",
        "law": "mixing law",
        "objective": "what was minimised, text or JSON",
        "fit": "the whole fit.json",
    },
    sql="""
SELECT coalesce(json ->> 'fit_id', parse_path(filename, 'both_slash')[-2]) AS fit_id,
       json ->> 'law' AS law, json ->> 'objective' AS objective, json AS fit
FROM (SELECT NULL::JSON AS json, NULL::VARCHAR AS filename WHERE false
      /*if fits*/UNION ALL BY NAME
      FROM read_json_objects($fits, format = 'unstructured',
                             allow_empty = true, filename = true)/*end*/)""",
)

_MIXTURES = View(
    row="a domain's share in an optimal mixture of a fit",
    columns={
        "fit_id": "fit",
        "kind": "measured (at a scale with runs) or projected",
        "token_budget": "tokens of the run that the mixture is for",
        "domain": "domain",
        "proportion": "share of the tokens",
        "predicted_objective": "predicted value of the objective, in its own unit",
    },
    sql="""
WITH listed AS (
    SELECT fit_id, unnest(from_json(fit -> 'mixtures',
        '[{"kind": "VARCHAR", "token_budget": "UBIGINT",
           "proportions": "MAP(VARCHAR, DOUBLE)", "predicted_objective": "DOUBLE"}]')) AS mixture
    FROM fits),
shares AS (SELECT fit_id, mixture, unnest(map_entries(mixture.proportions)) AS share FROM listed)
SELECT fit_id, mixture.kind, mixture.token_budget, share.key AS domain, share.value AS proportion,
       mixture.predicted_objective
FROM shares""",
)

VIEWS = {
    "shardset": _SHARDSET,
    "streams": _STREAMS,
    "documents": _DOCUMENTS,
    "shards": _SHARDS,
    "domains": _DOMAINS,
    "rejects": _REJECTS,
    "duplicates": _DUPLICATES,
    "runs": _RUNS,
    "run_domains": _RUN_DOMAINS,
    "learning_curves": _LEARNING_CURVES,
    "sweeps": _SWEEPS,
    "fits": _FITS,
    "mixtures": _MIXTURES,
}
"""Every view, in an order in which each uses only those before it."""


@dataclass(frozen=True, kw_only=True)
class Macro:
    """A table macro: what it answers, its parameters, its columns and its SQL."""

    answers: str
    parameters: tuple[str, ...]
    columns: dict[str, str]
    sql: str


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
}
"""Every table macro."""

INFO_TABLE = "index_info"
CREATE_INFO = f"""
CREATE TABLE {INFO_TABLE} (
    schema_version INTEGER NOT NULL, -- VERSION when the index was made
    content_sha256 VARCHAR NOT NULL -- of the shard set it was made for
)"""


INSERT_INFO = f"INSERT INTO {INFO_TABLE} VALUES (?, ?)"
SELECT_INFO = f"SELECT schema_version, content_sha256 FROM {INFO_TABLE}"
EXPLAIN_PLAN = "EXPLAIN (FORMAT json)"
DOMAIN_TABLE = "FROM domains"
DOCUMENTS_IN_SAMPLE = "FROM documents_in_sample(?, ?, ?)"
SAMPLES_OF_DOCUMENT = "FROM samples_of_document(?)"


def identifier(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def escape_glob(folder: Path) -> str:
    """Write a folder's name so that a file pattern takes it literally."""
    return glob.escape(str(folder))


def file_patterns(root: Path | None, out: Path | None) -> dict[str, str]:
    """Write the SQL of every file pattern of the views.

    Args:
        root: Folder of the shard set; `None` for patterns relative to it.
        out: Folder with `runs/`, `sweeps/` and `fits/`; `None` for patterns relative to it.
    """
    here, there = (f"{escape_glob(folder)}/" if folder else "" for folder in (root, out))
    # The temporary files of an unfinished write begin with a dot.
    documents = f"{here}documents/*/[!.]*.parquet"
    return {
        "shardset": literal(f"{here}shardset.json"),
        "documents": f"read_parquet({literal(documents)})",
        "indexes": literal(f"{here}*/*/index.json"),
        "runs": literal(f"{there}runs/*/result.json"),
        "sweeps": literal(f"{there}sweeps/[!.]*.json"),
        "fits": literal(f"{there}fits/*/fit.json"),
    }


def no_documents() -> str:
    """Write the SQL that stands for the Parquet files when there is none."""
    types = {"string": "VARCHAR", "uint64": "UBIGINT", "uint32": "UINTEGER"}
    columns = (f"NULL::{types[str(field.type)]} AS {field.name}" for field in DOCUMENTS)
    return f"(SELECT {', '.join(columns)} WHERE false)"


def create_views(patterns: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of every view with the statement that makes it."""
    for name, view in VIEWS.items():
        yield name, f"CREATE VIEW {name} AS {Template(view.sql).substitute(patterns)}"


def create_broken_view(name: str, message: str) -> str:
    """Write the statement that makes a view which only says why it cannot be read."""
    columns = ", ".join(f"NULL AS {column}" for column in VIEWS[name].columns)
    return f"CREATE VIEW {name} AS SELECT {columns} WHERE error({literal(message)}) IS NULL"


def create_macros() -> Iterator[str]:
    """Yield the statements that make the macros, once there are views."""
    for name, macro in MACROS.items():
        yield f"CREATE MACRO {name}({', '.join(macro.parameters)}) AS TABLE {macro.sql}"


def comments() -> Iterator[str]:
    """Yield the statements that write into the database what its views and columns mean."""
    for name, view in VIEWS.items():
        yield f"COMMENT ON VIEW {name} IS {literal(view.row)}"
        for column, unit in view.columns.items():
            yield f"COMMENT ON COLUMN {name}.{column} IS {literal(unit)}"
