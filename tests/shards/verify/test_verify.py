from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import read_shardset
from mixscale.ingest.build import build
from mixscale.shards.sql.documents import DOCUMENTS
from mixscale.shards.sql.index import open_index
from mixscale.shards.storage.mds import MdsOptions
from mixscale.shards.storage.mds_index import finish_stream, read_entries
from mixscale.shards.verify.verify import verify
from tests.shards.small_shardsets import make_shardset, with_checksums

SHARD = "arxiv/train/shard.00001.mds"


def problems(folder: Path) -> list[str]:
    return [f"{p.place}: {p.message}" for p in verify(folder, progress=False).problems]


def change_rows(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Rewrite a Parquet file of the documents with its rows changed."""
    path = folder / "documents" / "arxiv" / "00000.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(type(pq.read_table(path)).from_pylist(rows, schema=DOCUMENTS), path)


def first(rows: list[dict[str, Any]], status: str) -> dict[str, Any]:
    return next(row for row in rows if row["status"] == status)


def change_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    "options",
    [
        MdsOptions(),
        MdsOptions(size_limit=1000, hashes=("sha1", "xxh64")),
        MdsOptions(size_limit=1000, compression="zstd:7", hashes=("xxh3_64",)),
        MdsOptions(size_limit=1000, compression="gz"),
    ],
)
@pytest.mark.parametrize("vocab_size", [5000, 100_000])
def test_a_whole_shard_set_is_sound(
    options: MdsOptions, vocab_size: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shardset = make_shardset(tmp_path, options=options, vocab_size=vocab_size)
    report = verify(tmp_path)
    assert report.sound
    assert report.problems == ()
    assert report.records == 180
    assert report.streams == 6
    summaries = [s for splits in shardset.domains.values() for s in splits.values()]
    assert report.shards == sum(summary.shards for summary in summaries)
    assert report.shard_bytes == sum(summary.shard_bytes for summary in summaries)
    assert capfd.readouterr().out == ""


def test_real_text_is_sound(real: Path) -> None:
    assert verify(real, progress=False).problems == ()


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("hashes", [(), ("xxh64",)])
def test_a_flipped_bit_anywhere_in_a_shard_is_found(
    compression: str | None, hashes: tuple[str, ...], tmp_path: Path
) -> None:
    make_shardset(
        tmp_path,
        domains=["arxiv"],
        options=MdsOptions(size_limit=1500, compression=compression, hashes=hashes),
    )
    shards = sorted((tmp_path / "arxiv" / "train").glob("shard.*"))
    rng = random.Random(17)
    for _ in range(12):
        shard = rng.choice(shards)
        data = bytearray(shard.read_bytes())
        byte, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        data[byte] ^= bit
        shard.write_bytes(data)
        found = problems(tmp_path)
        assert any(line.startswith("arxiv/train: the shards are not the ones") for line in found)
        # With hashes in index.json the shard itself is named.
        assert not hashes or any(line.startswith(f"arxiv/train/{shard.name}: ") for line in found)
        data[byte] ^= bit
        shard.write_bytes(data)
    assert problems(tmp_path) == []


def test_a_flipped_bit_anywhere_in_an_index_is_found(tmp_path: Path) -> None:
    options = MdsOptions(size_limit=1500, compression="zstd", hashes=("xxh64",))
    make_shardset(tmp_path, domains=["arxiv"], options=options)
    path = tmp_path / "arxiv" / "train" / "index.json"
    whole = path.read_bytes()
    rng = random.Random(17)
    for _ in range(40):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        assert any("arxiv/train" in line for line in problems(tmp_path)), bytes(data)


def damage_shard(folder: Path) -> None:
    path = folder / SHARD
    path.write_bytes(path.read_bytes()[:-1])


def swap_shards(folder: Path) -> None:
    one, other = folder / "arxiv/train/shard.00000.mds", folder / SHARD
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])


def shift_tokens(folder: Path) -> None:
    """Move all tokens of a shard by one place, as a wrong cut would."""
    path = folder / SHARD
    data = path.read_bytes()
    path.write_bytes(data[:-66] + data[-2:] + data[-66:-2])


def shorten_index(folder: Path) -> None:
    stream = folder / "arxiv" / "train"
    finish_stream(stream, read_entries(stream)[:1])


def reorder_index(folder: Path) -> None:
    stream = folder / "arxiv" / "train"
    finish_stream(stream, read_entries(stream)[::-1])


def stale_index(folder: Path) -> None:
    path = folder / "shardset.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"content_sha256": "0" * 64}))


def flip_parquet(folder: Path) -> None:
    path = folder / "documents/arxiv/00000.parquet"
    chunk = pq.read_metadata(path).row_group(0).column(DOCUMENTS.get_field_index("bytes"))
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 16
    path.write_bytes(data)


def other_setting(folder: Path) -> None:
    change_text(folder / "arxiv/train/index.json", '"size_limit": 2048', '"size_limit": 2047')


def small_vocabulary(folder: Path) -> None:
    change_text(folder / "shardset.json", '"vocab_size": 5000', '"vocab_size": 9')


def other_summary(key: str, value: str) -> Callable[[Path], None]:
    """Change the beginning of a number in shardset.json."""
    return lambda folder: change_text(folder / "shardset.json", f'"{key}": ', f'"{key}": {value}')


def extra_stream(folder: Path) -> None:
    shutil.copytree(folder / "arxiv", folder / "copied")


def drop_row(rows: list[dict[str, Any]]) -> None:
    rows.remove(first(rows, "kept"))


def repeat_row(rows: list[dict[str, Any]]) -> None:
    rows.append(first(rows, "filtered"))


def leak(rows: list[dict[str, Any]]) -> None:
    kept = first(rows, "kept")
    other = next(r for r in rows if r["split"] not in (None, kept["split"]))
    other["doc_id"] = kept["doc_id"]


def move(rows: list[dict[str, Any]]) -> None:
    [row for row in rows if row["split"] == "train"][2]["first_offset"] += 1


FILE_CASES = {
    "cut shard": (damage_shard, r"^arxiv/train/shard\.00001\.mds: \d+ bytes, expected \d+"),
    "swapped shards": (swap_shards, r"^arxiv/train/shard\.0000[01]\.mds: "),
    "shifted tokens": (shift_tokens, r"shard\.00001\.mds: token \d+ of sample \d+ is not the end"),
    "missing shard": (
        lambda folder: (folder / SHARD).unlink(),
        r"^arxiv/train/shard\.00001\.mds: cannot read: No such file",
    ),
    "missing index": (
        lambda folder: (folder / "arxiv/train/index.json").unlink(),
        r"^arxiv/train/index\.json: .*cannot read",
    ),
    "extra shard": (
        lambda folder: shutil.copy(folder / SHARD, folder / "arxiv/train/shard.00009.mds"),
        r"^arxiv/train/shard\.00009\.mds: extra file, not in index\.json",
    ),
    "interrupted write": (
        lambda folder: (folder / "arxiv/train/.tmp-1-shard.00001.mds").touch(),
        r"^arxiv/train/\.tmp-1-shard\.00001\.mds: left by an interrupted write",
    ),
    "shorter index": (shorten_index, r"^arxiv/train/index\.json: 1 shards, but shardset\.json"),
    "reordered index": (reorder_index, r"^arxiv/train/index\.json: shard 0 is called shard\.00001"),
    "reformatted index": (
        lambda folder: change_text(folder / "arxiv/train/index.json", '": ', '":  '),
        r"^arxiv/train/index\.json: not as it was written",
    ),
    "other settings": (
        other_setting,
        r"^arxiv/train/(index\.json: settings of shard 1|shard\.00000\.mds: the header)",
    ),
    "damaged index": (
        lambda folder: change_text(folder / "arxiv/train/index.json", '"samples"', '"sample"'),
        r"^arxiv/train/index\.json: .*index\.json: shards\.0\.sample: unknown key.*samples",
    ),
    "other counts": (
        other_summary("remainder_tokens", "1"),
        r"^arxiv/train/index\.json: \d+ tokens in samples and remainder, but shardset",
    ),
    "other documents": (
        other_summary("documents", "1"),
        r"^documents/arxiv: \d+ documents kept in train, but shardset\.json says 1\d+",
    ),
    "other vocabulary": (
        small_vocabulary,
        r"mds: token id \d+ is outside the vocabulary of 9",
    ),
    "stale index": (stale_index, r"^index\.duckdb: stale or damaged"),
    "damaged database": (
        lambda folder: (folder / "index.duckdb").write_bytes(b"x" * 5000),
        r"^index\.duckdb: stale or damaged",
    ),
    "extra stream": (extra_stream, r"^copied/train: extra stream, not in shardset\.json"),
    "flipped bit in the documents": (flip_parquet, r"^documents/arxiv/00000\.parquet: cannot read"),
    "missing documents": (
        lambda folder: (folder / "documents/arxiv/00001.parquet").unlink(),
        r"^documents/arxiv: \d+ documents kept in train, but shardset\.json says \d+",
    ),
    "no documents": (
        lambda folder: shutil.rmtree(folder / "documents"),
        r"^documents/github: 0 tokens kept in train, but",
    ),
}  # fmt: skip

ROW_CASES = {
    "lost row": (drop_row, r"^documents/arxiv: \d+ documents kept in \w+, but shardset\.json says"),
    "repeated row": (repeat_row, r"^documents/arxiv: arxiv/\d\.jsonl:\d+: 2 rows for one record"),
    "leak": (leak, r"is in (train|validation), and in (train|validation) as well: documents/arxiv"),
    "moved": (move, r"starts at token \d+ of arxiv/train, but the documents before it end at \d+"),
    "status": (
        lambda rows: first(rows, "filtered").update(status="lost"),
        r"^documents/arxiv: .*: unknown status \(1 such records\)",
    ),
    "tokens of a reject": (
        lambda rows: first(rows, "filtered").update(tokens=3),
        r"has tokens but is not kept",
    ),
    "place of a reject": (
        lambda rows: first(rows, "filtered").update(first_sample=3),
        r"has a place in a stream but is not kept",
    ),
    "no place": (
        lambda rows: first(rows, "kept").update(first_sample=None),
        r"kept without a place",
    ),
    "offset": (
        lambda rows: first(rows, "kept").update(first_offset=32),
        r"first_offset is not inside a sample",
    ),
    "split": (
        lambda rows: first(rows, "kept").update(split="test"),
        r"kept in no known split",
    ),
    "domain": (
        lambda rows: first(rows, "kept").update(domain="books"),
        r"^documents/books: 1 documents kept in \w+, which is no stream",
    ),
    "doc_id": (
        lambda rows: first(rows, "kept").update(doc_id=None),
        r"kept without a doc_id",
    ),
    "bytes": (
        lambda rows: first(rows, "kept").update(bytes=1),
        r"bytes of text kept in",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILE_CASES)
def test_damage_to_files_is_located(case: str, copied: Path) -> None:
    damage, message = FILE_CASES[case]
    damage(copied)
    found = problems(copied)
    assert any(re.search(message, line) for line in found), found


@pytest.mark.parametrize("case", ROW_CASES)
def test_wrong_rows_are_located(case: str, copied: Path) -> None:
    change, message = ROW_CASES[case]
    change_rows(copied, change)
    found = problems(copied)
    assert any(re.search(message, line) for line in found), found


def test_verifying_changes_nothing(copied: Path) -> None:
    stale_index(copied)
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    assert problems(copied)
    after = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    assert before == after


def test_a_deleted_index_is_no_problem(copied: Path) -> None:
    (copied / "index.duckdb").unlink()
    assert problems(copied) == []


def test_records_that_belong_to_no_domain_are_fine(copied: Path) -> None:
    path = copied / "documents" / "unrouted" / "part.parquet"
    path.parent.mkdir()
    table = pq.read_table(copied / "documents" / "arxiv" / "00000.parquet")
    rows = [
        row | {"domain": "unrouted"} for row in table.to_pylist() if row["status"] == "filtered"
    ]
    pq.write_table(type(table).from_pylist(rows, schema=DOCUMENTS), path)
    assert problems(copied) == [
        "documents/unrouted/part.parquet: extra file, not in files.sha256",
    ]
    with_checksums(copied, read_shardset(copied))
    assert problems(copied) == []


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard set with every kind of file that a build leaves."""
    folder = tmp_path_factory.mktemp("grown")
    lines = [
        json.dumps({"text": f"{n}: " + " ".join(f"w{(n * k) % 97}" for k in range(30))})
        for n in range(60)
    ]
    (folder / "a.jsonl").write_text("\n".join([*lines, *lines[:3], "broken", ""]))
    corpus = folder / "corpus.yaml"
    corpus.write_text(
        "domains: {a: {paths: a.jsonl}}\ntokenizer: {train: {vocab_size: 280}}\n"
        "sequence_length: 64\nsplit: {validation: 0.2}\nduplicates: {near: true}\n"
        "shards: {size_limit: 3000}\n"
    )
    build(corpus, folder / "out", workers=1, progress=False)
    assert problems(folder / "out") == []
    return folder / "out"


def reported(folder: Path) -> list[str]:
    """The problems, or the one message about a shardset.json that cannot be read at all."""
    try:
        return problems(folder)
    except UserError as error:
        return str(error).replace(f"{folder}/", "").splitlines()


def test_a_flipped_bit_in_any_file_is_found_there(grown: Path) -> None:
    rng = random.Random(17)
    files = sorted(p for p in grown.rglob("*") if p.is_file() and p.name != "index.duckdb")
    kinds = {path.relative_to(grown).parts[0] for path in files}
    assert kinds == {
        *("a", "documents", "files.sha256", "inputs.json", "remainders"),
        *("shardset.json", "signatures", "tokenizer"),
    }
    for path in [*files, *rng.choices(files, k=20)]:
        whole = path.read_bytes()
        if not whole:
            continue
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        name = path.relative_to(grown).as_posix()
        assert any(line.startswith(f"{name}: ") for line in reported(grown)), name
        path.write_bytes(whole)
    assert problems(grown) == []


def test_a_damaged_index_is_noticed_or_answers_rightly(grown: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(grown, tmp_path / "copy")
    rng = random.Random(17)
    whole = (copy / "index.duckdb").read_bytes()
    query = "SELECT domain, split, records, documents, tokens FROM domains"

    def answer() -> list[tuple[Any, ...]]:
        with open_index(copy) as connection:
            return connection.execute(query).fetchall()

    expected = answer()
    for _ in range(8):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (copy / "index.duckdb").write_bytes(data)
        assert all(line.startswith("index.duckdb: ") for line in problems(copy))
        assert answer() == expected


def test_an_unfinished_shard_set_is_refused(copied: Path) -> None:
    (copied / "shardset.json").unlink()
    with pytest.raises(UserError, match="not a finished shard set"):
        verify(copied, progress=False)
