"""Small but real shard sets, made from seeded random tokens by the functions that a build uses."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixscale.contracts.atomic import atomic_path
from mixscale.contracts.evaluation import Evaluation, ItemValue, items_path
from mixscale.contracts.evaluation_items import write_items
from mixscale.contracts.run_record import (
    CurvePoint,
    DomainLoss,
    DomainTokens,
    RunRecord,
    write_record,
)
from mixscale.contracts.shardset import (
    SPLITS,
    ShardSet,
    SplitSummary,
    TokenizerSummary,
    content_sha256,
    folder_sha256,
    write_shardset,
)
from mixscale.contracts.sweep_record import SweepRecord, write_sweep
from mixscale.shards.sql.documents import DOCUMENTS
from mixscale.shards.sql.index import rebuild_index
from mixscale.shards.storage.checksums import write_checksums
from mixscale.shards.storage.mds import MdsOptions, TokenFile, shard_plan, token_dtype, write_shard
from mixscale.shards.storage.mds_index import finish_stream, shard_basename, stream_sha256

DOMAINS = ("arxiv", "github", "wikipedia")
EOS = 0


def write_tokens(folder: Path, tokens: np.ndarray[Any, Any], pieces: int) -> list[TokenFile]:
    """Write a stream as raw token files of nearly equal length, empty ones included."""
    files = []
    for number, piece in enumerate(np.array_split(tokens, pieces)):
        path = folder / f"{number:05}.tokens"
        piece.tofile(path)
        files.append(TokenFile(path=path, tokens=len(piece)))
    return files


def write_stream(
    folder: Path,
    tokens: np.ndarray[Any, Any],
    sequence_length: int,
    options: MdsOptions,
    pieces: int = 3,
) -> list[dict[str, Any]]:
    """Write one stream as shards, its shards in reverse order to show they are independent."""
    with tempfile.TemporaryDirectory() as scratch:
        files = write_tokens(Path(scratch), tokens, pieces)
        plan = shard_plan(len(tokens), sequence_length, tokens.dtype, options)
        entries = [
            write_shard(folder, shard, files, sequence_length, tokens.dtype, options)
            for shard in reversed(plan)
        ][::-1]
    finish_stream(folder, entries)
    return entries


def make_rows(domain: str, documents: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Make the rows of a domain: mostly kept documents, with every kind of reject among them."""
    rows: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    for number in range(1, documents + 1):
        row = _kept_row(domain, number, rng)
        fate = rng.random()
        if fate < 0.1 and kept:
            same = kept[int(rng.integers(len(kept)))]
            where = f"{same['source_file']}:{same['source_row']}"
            row |= {key: same[key] for key in ("doc_id", "chars", "bytes")}
            row |= {"status": "duplicate", "detail": where, "split": None, "tokens": 0}
        elif fate < 0.2:
            row |= {"status": "filtered", "detail": "language", "split": None, "tokens": 0}
        elif fate < 0.25:
            nothing = {"split": None, "doc_id": None, "chars": 0, "bytes": 0, "tokens": 0}
            row |= {"status": "malformed", "detail": "not JSON", "meta": None} | nothing
        else:
            kept.append(row)
        rows.append(row)
    return rows


def place(rows: Sequence[dict[str, Any]], sequence_length: int) -> None:
    """Give every kept document its place in its stream."""
    position = dict.fromkeys(SPLITS, 0)
    for row in rows:
        if row["status"] == "kept":
            split = row["split"]
            row["first_sample"], row["first_offset"] = divmod(position[split], sequence_length)
            position[split] += row["tokens"]


def make_shardset(
    folder: Path,
    *,
    domains: Sequence[str] = DOMAINS,
    documents: int = 60,
    sequence_length: int = 32,
    vocab_size: int = 5000,
    options: MdsOptions | None = None,
    seed: int = 17,
) -> ShardSet:
    """Make a finished shard set of random tokens with its documents and its index.

    Token ids say where they come from: a document's tokens are random but for the last, EOS.
    """
    options = options or MdsOptions(size_limit=2048)
    rng = np.random.default_rng(seed)
    streams: dict[str, dict[Any, SplitSummary]] = {}
    for domain in domains:
        rows = make_rows(domain, documents, rng)
        place(rows, sequence_length)
        _write_documents(folder, domain, rows)
        streams[domain] = {
            split: _make_stream(
                folder / domain / split,
                [row for row in rows if row["split"] == split],
                sequence_length,
                token_dtype(vocab_size),
                options,
                np.random.default_rng([seed, *f"{domain}/{split}".encode()]),
                vocab_size,
            )
            for split in SPLITS
        }
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    shardset = _summary(folder, streams, sequence_length, vocab_size)
    shardset = with_checksums(folder, shardset)
    rebuild_index(folder)
    return shardset


def with_checksums(folder: Path, shardset: ShardSet) -> ShardSet:
    """Hash the files as they are now, and write `shardset.json` again."""
    listed = write_checksums(folder, shardset.streams)
    shardset = shardset.model_copy(update={"files_sha256": listed}).sealed()
    write_shardset(folder, shardset)
    return shardset


def make_runs(out: Path, domains: Sequence[str] = DOMAINS, sweep: str = "demo") -> list[RunRecord]:
    """Write the records of three runs, one of them diverged, with the sweep that planned four."""
    records = [
        _run(f"{sweep}-base", "finished", domains, loss=3.0),
        _run(f"{sweep}-more", "finished", domains, loss=2.5),
        _run(f"{sweep}-bad", "diverged", domains, loss=float("nan")),
    ]
    for record in records:
        folder = out / "runs" / record.run_id
        for one in record.evaluations:
            rows = _items(one, record.run_id)
            write_items(items_path(folder, one.task, one.settings), rows)
        write_record(folder, record)
    planned = (*(record.run_id for record in records), f"{sweep}-next")
    write_sweep(out, SweepRecord(name=sweep, experiment={"name": sweep}, run_ids=planned))
    return records


def answers(run_id: str) -> list[float]:
    """The accuracy of a run of `make_runs` on each item of the task `quiz`."""
    rng = np.random.default_rng(sum(run_id.encode()))
    return rng.integers(0, 2, 12).astype(float).tolist()


def _quiz(run_id: str) -> Evaluation:
    values = answers(run_id)
    return Evaluation(
        task="quiz",
        metric="acc",
        value=float(np.mean(values)),
        stderr=float(np.std(values, ddof=1) / np.sqrt(len(values))),
        items=len(values),
        unit="fraction",
        higher_is_better=True,
        tokens=3000,
        settings="0123456789ab",
    )


def _items(one: Evaluation, run_id: str) -> list[ItemValue]:
    return [
        ItemValue(task=one.task, metric=one.metric, item=number, item_sha256=f"{number:032x}",
                  value=value, weight=1.0)
        for number, value in enumerate(answers(run_id))
    ]  # fmt: skip


def make_fit(out: Path, fit_id: str = "demo-ddo") -> dict[str, Any]:
    """Write a fit with one measured and one projected mixture."""
    fit = {
        "fit_id": fit_id,
        "law": "ddo",
        "objective": "loss",
        "mixtures": [
            {
                "kind": "measured",
                "token_budget": 1000000,
                "proportions": {"arxiv": 0.25, "github": 0.75},
                "predicted_objective": 2.75,
            },
            {
                "kind": "projected",
                "token_budget": 300000000000,
                "proportions": {"arxiv": 0.5, "github": 0.5},
                "predicted_objective": None,
            },
        ],
    }
    path = out / "fits" / fit_id / "fit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fit, indent=2))
    return fit


def _kept_row(domain: str, number: int, rng: np.random.Generator) -> dict[str, Any]:
    tokens = int(rng.lognormal(3, 1)) + 2
    doc_id = hashlib.md5(f"{domain} {number} {tokens}".encode()).hexdigest()
    split = "validation" if int(doc_id[:8], 16) % 5 == 0 else "train"
    part = 1 + number % 2
    return {
        "domain": domain,
        "split": split,
        "source_file": f"{domain}/{part}.jsonl",
        "source_row": (number + 1) // 2,
        "doc_id": doc_id,
        "chars": tokens * 4,
        "bytes": tokens * 4 + tokens // 3,
        "tokens": tokens,
        "status": "kept",
        "detail": None,
        "first_sample": None,
        "first_offset": None,
        "meta": json.dumps({"language": "en", "source": f"site-{number % 4}"}),
    }


def _write_documents(folder: Path, domain: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write a domain's rows as two Parquet files, in the order of the build."""
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        table = pa.Table.from_pylist(list(part), schema=DOCUMENTS)
        with atomic_path(folder / "documents" / domain / f"{number:05}.parquet") as path:
            pq.write_table(table, path, write_page_checksum=True)


def _make_stream(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    sequence_length: int,
    dtype: np.dtype[Any],
    options: MdsOptions,
    rng: np.random.Generator,
    vocab_size: int,
) -> SplitSummary:
    texts = [np.append(rng.integers(1, vocab_size, row["tokens"] - 1), EOS) for row in rows]
    tokens = np.concatenate([np.array([], dtype), *texts]).astype(dtype)
    entries = write_stream(folder, tokens, sequence_length, options)
    samples, remainder = divmod(len(tokens), sequence_length)
    return SplitSummary(
        documents=len(rows),
        text_bytes=sum(row["bytes"] for row in rows),
        tokens=len(tokens),
        samples=samples,
        remainder_tokens=remainder,
        shards=len(entries),
        shard_bytes=sum((folder / shard_basename(entry)).stat().st_size for entry in entries),
        sha256=stream_sha256(folder),
    )


def _summary(
    folder: Path, streams: dict[str, dict[Any, SplitSummary]], sequence_length: int, vocab_size: int
) -> ShardSet:
    tokenizer = TokenizerSummary(
        path="tokenizer",
        vocab_size=vocab_size,
        eos_token="<|endoftext|>",
        eos_token_id=EOS,
        sha256=folder_sha256(folder / "tokenizer"),
    )
    return ShardSet(
        mixscale_version="0",
        sequence_length=sequence_length,
        tokenizer=tokenizer,
        domains=streams,
        config={"sequence_length": sequence_length},
        versions={"numpy": np.__version__},
        content_sha256=content_sha256(tokenizer.sha256, streams),
    )


def _run(run_id: str, status: Any, domains: Sequence[str], loss: float) -> RunRecord:
    seen, available = 3000, 12000
    losses = {domain: loss + 0.1 * number for number, domain in enumerate(domains)}
    return RunRecord(
        run_id=run_id,
        sweep="demo",
        role="base",
        scale_tokens=seen * len(domains),
        seed=17,
        status=status,
        error="loss is not a number" if status == "diverged" else None,
        parameters=125000,
        token_budget=seen * len(domains),
        seen_tokens=seen * len(domains),
        domains={
            domain: DomainTokens(
                proportion=1 / len(domains),
                planned_tokens=seen,
                seen_tokens=seen,
                unique_tokens=seen,
                available_tokens=available,
                epochs=seen / available,
            )
            for domain in domains
        },
        evaluation={
            domain: DomainLoss(
                loss_nats=value,
                standard_error=0.01,
                tokens=640,
                perplexity=float(np.exp(value)),
                bits_per_byte=value / float(np.log(2)) / 4,
            )
            for domain, value in losses.items()
        },
        evaluations=() if status == "diverged" else (_quiz(run_id),),
        learning_curve=(
            CurvePoint(tokens=seen, losses={d: value + 1 for d, value in losses.items()}),
            CurvePoint(tokens=2 * seen, losses=losses),
        ),
        seconds=12.5,
        train_seconds=10.0,
        tokens_per_second=seen * len(domains) / 10.0,
        device="cpu",
        precision="fp32",
        shardset_sha256="0" * 64,
        versions={"torch": "2.7"},
        started="2026-01-01T00:00:00Z",
    )
