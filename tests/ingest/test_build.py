import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from transformers import AutoTokenizer

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import read_shardset
from mixscale.ingest.build import build

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "up"]


def sentence(number: int) -> str:
    return f"{number}: " + " ".join(WORDS[(number * 7 + n * n) % len(WORDS)] for n in range(30))


NASTY = [
    "before <|endoftext|> after <|endoftext|>",
    "\x00nul\x00\x00 in it\x00",
    "line\u2028paragraph\u2029next\x85vt\x0bff\x0c",
    "\ufeffbyte order mark \ufeff",
    "carriage\r\nreturn\r",
    "\U0001d518\U0001f469\u200d\U0001f467 \u0627\u0644 \u4e2d\u6587",
    " ",
    "\n\n\n",
]


def quiet(corpus: Path, out: Path, **options: Any) -> Any:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


@pytest.fixture
def two_domains(write_lines: Callable, write_corpus: Callable) -> Callable[..., Path]:
    """A corpus of two domains with copies inside and across."""

    def make(**settings: Any) -> Path:
        write_lines("a/1.jsonl", [{"text": sentence(n % 40)} for n in range(50)])
        write_lines("a/2.jsonl", [{"text": sentence(n)} for n in range(30, 80)])
        write_lines("b/1.jsonl", [{"text": sentence(n)} for n in range(70, 150)])
        domains = {"a": {"paths": "a/*.jsonl"}, "b": {"paths": ["b/*.jsonl"]}}
        return write_corpus(**{"domains": domains, **settings})

    return make


def test_streams_hold_the_kept_texts_in_order(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_built: Callable
) -> None:
    texts = [*NASTY, *(sentence(n) for n in range(60))]
    write_lines("d/a.jsonl", [{"text": t, "meta": {"n": n}} for n, t in enumerate(texts)])
    corpus = write_corpus(
        domains={"d": {"paths": "d/*"}}, split={"validation_documents": 9}, sequence_length=20
    )
    quiet(corpus, tmp_path / "out")
    built = read_built(tmp_path / "out")
    by_place = {("d/a.jsonl", row): text for row, text in enumerate(texts, start=1)}
    built.check_stream("d", "train", by_place)
    built.check_stream("d", "validation", by_place)
    rows = built.documents("d")
    assert [row["source_row"] for row in rows] == list(range(1, len(texts) + 1))
    assert [row["chars"] for row in rows] == [len(text) for text in texts]
    assert [row["bytes"] for row in rows] == [len(text.encode()) for text in texts]
    assert [json.loads(row["meta"]) for row in rows] == [{"n": n} for n in range(len(texts))]
    assert sum(row["split"] == "validation" for row in rows) == 9
    assert not list((tmp_path / "out").glob(".build"))


def test_only_the_first_copy_stays(two_domains: Callable, tmp_path: Path, read_built: Any) -> None:
    quiet(two_domains(), tmp_path / "out")
    built = read_built(tmp_path / "out")
    rows = built.all_documents()
    assert len(rows) == 180
    kept = [row for row in rows if row["status"] == "kept"]
    assert len({row["doc_id"] for row in kept}) == len(kept) == 150
    copies = {(r["source_file"], r["source_row"]): r for r in rows if r["status"] == "duplicate"}
    assert len(copies) == 30
    assert copies["a/1.jsonl", 41]["detail"] == "a/1.jsonl:1"
    assert copies["a/2.jsonl", 1]["detail"] == "a/1.jsonl:31"
    assert copies["b/1.jsonl", 1]["detail"] == "a/2.jsonl:41"
    assert all(
        r["tokens"] == 0 and r["split"] is r["first_sample"] is None for r in copies.values()
    )


@pytest.mark.parametrize(
    ("duplicates", "kept_a", "kept_b"),
    [
        ({"priority": ["b"]}, 70, 80),
        ({"scope": "domain"}, 80, 80),
        ({"scope": "none"}, 100, 80),
    ],
)
def test_which_copies_stay_is_configured(
    two_domains: Callable,
    tmp_path: Path,
    read_built: Any,
    duplicates: dict[str, Any],
    kept_a: int,
    kept_b: int,
) -> None:
    corpus = two_domains(duplicates=duplicates, split={"validation_documents": 10})
    shardset = quiet(corpus, tmp_path / "out")
    kept = {n: sum(s.documents for s in d.values()) for n, d in shardset.domains.items()}
    assert kept == {"a": kept_a, "b": kept_b}
    rows = [r for r in read_built(tmp_path / "out").all_documents() if r["status"] == "kept"]
    held_out = {row["doc_id"] for row in rows if row["split"] == "validation"}
    assert not held_out & {row["doc_id"] for row in rows if row["split"] == "train"}


def test_bytes_do_not_depend_on_workers_or_folder(
    two_domains: Callable, tmp_path: Path, read_tree: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = two_domains(split={"validation": 0.2})
    monkeypatch.setattr("mixscale.ingest.readers.cut_units.UNIT_BYTES", 1000)
    quiet(corpus, tmp_path / "one")
    one = read_tree(tmp_path / "one")
    assert len([name for name in one if name.startswith("documents/a/")]) > 5
    quiet(corpus, tmp_path / "three", workers=3)
    assert read_tree(tmp_path / "three") == one
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("a", "b", "corpus.yaml"):
        (tmp_path / name).rename(elsewhere / name)
    quiet(elsewhere / "corpus.yaml", tmp_path / "four")
    assert read_tree(tmp_path / "four") == one


def test_units_do_not_show_in_the_shards(
    two_domains: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_built: Any
) -> None:
    corpus = two_domains()
    whole = quiet(corpus, tmp_path / "whole")
    monkeypatch.setattr("mixscale.ingest.readers.cut_units.UNIT_BYTES", 700)
    cut = quiet(corpus, tmp_path / "cut")
    assert cut.content_sha256 == whole.content_sha256
    both = (read_built(tmp_path / name).all_documents() for name in ("whole", "cut"))
    first, second = both
    assert first == second


def test_every_format_gives_the_same_stream(
    tmp_path: Path, write_corpus: Callable, write_lines: Callable
) -> None:
    records = [{"text": sentence(n), "meta": {"n": n}} for n in range(40)]
    lines = write_lines("plain.jsonl", records).read_bytes()
    (tmp_path / "packed.jsonl.zst").write_bytes(zstandard.compress(lines))
    (tmp_path / "array.json").write_text(json.dumps(records, indent=1))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "table.parquet")
    with pa.ipc.new_stream(
        str(tmp_path / "table.arrow"), pa.Table.from_pylist(records).schema
    ) as w:
        w.write_table(pa.Table.from_pylist(records))
    names = ["plain.jsonl", "packed.jsonl.zst", "array.json", "table.parquet", "table.arrow"]
    domains = {name.replace(".", "_"): {"paths": name} for name in names}
    corpus = write_corpus(domains=domains, duplicates={"scope": "domain"})
    shardset = quiet(corpus, tmp_path / "out")
    streams = [splits["train"] for splits in shardset.domains.values()]
    assert len({stream.sha256 for stream in streams}) == 1
    assert streams[0].documents == 40


def test_fsspec_addresses_are_read(
    tmp_path: Path, write_corpus: Callable, write_lines: Callable, read_built: Any
) -> None:
    import fsspec

    data = write_lines("a.jsonl", [{"text": sentence(n)} for n in range(30)]).read_bytes()
    with fsspec.open("memory://bucket/part/a.jsonl", "wb") as stream:
        stream.write(data)  # type: ignore[union-attr]
    corpus = write_corpus(domains={"m": {"paths": "memory://bucket/*/*.jsonl"}})
    quiet(corpus, tmp_path / "out")
    rows = read_built(tmp_path / "out").documents("m")
    assert len(rows) == 30
    assert rows[0]["source_file"] == "memory:///bucket/part/a.jsonl"
    assert quiet(corpus, tmp_path / "out").domains["m"]["train"].documents == 30


def test_filters_minimum_and_window(
    tmp_path: Path, write_corpus: Callable, write_lines: Callable, read_built: Any
) -> None:
    records = [
        {"text": sentence(n), "meta": {"language": "de" if n % 5 == 0 else "en"}} for n in range(50)
    ]
    write_lines("a.jsonl", [*records, {"text": "short", "meta": {"language": "en"}}])
    domain = {
        "paths": "a.jsonl",
        "filters": "meta.language == en",
        "min_characters": 20,
        "window": {"random": 30, "seed": 3},
    }
    quiet(write_corpus(domains={"a": domain}), tmp_path / "out")
    built = read_built(tmp_path / "out")
    rows = built.documents("a")
    assert [row["status"] for row in rows[::5]] == ["filtered"] * 10 + ["too_short"]
    assert rows[0]["detail"] == "meta.language == en"
    assert rows[50]["detail"] == "5 characters, fewer than 20"
    kept = [row for row in rows if row["status"] == "kept"]
    assert {row["chars"] for row in kept} == {30}
    decoded = built.tokenizer.decode(built.samples("a", "train")[0].tolist())
    assert not decoded.startswith(sentence(1)[:10])
    assert any(decoded[:20] in sentence(n) for n in range(50))


def test_route_sends_records_to_their_domains(
    tmp_path: Path, write_corpus: Callable, write_lines: Callable, read_built: Any
) -> None:
    names = ["RedPajamaC4", "RedPajamaGithub", "RedPajamaOther"]
    records: list[Any] = [
        {"text": sentence(n), "meta": {"redpajama_set_name": names[n % 3]}} for n in range(90)
    ]
    write_lines("root/train/chunk1/a.jsonl", [*records, "not JSON", {"text": "no meta"}])
    corpus = write_corpus(
        preset="slimpajama", root="root", domains={"c4": {}, "github": {"min_characters": 5}}
    )
    quiet(corpus, tmp_path / "out")
    built = read_built(tmp_path / "out")
    by_place = {
        ("train/chunk1/a.jsonl", n): record["text"] for n, record in enumerate(records, start=1)
    }
    built.check_stream("c4", "train", by_place)
    built.check_stream("github", "train", by_place)
    unrouted = built.documents("unrouted")
    assert [row["status"] for row in unrouted] == ["filtered"] * 30 + ["malformed", "filtered"]
    assert len(built.all_documents()) == 92


def test_redpajama_v2_documents(
    tmp_path: Path, write_corpus: Callable, read_built: Callable
) -> None:
    texts: dict[tuple[str, int], str] = {}
    for number, bucket in enumerate(["head", "middle", "tail"]):
        name = f"documents/2023-06/000{number}/en_{bucket}.json.gz"
        path = tmp_path / "v2" / name
        path.parent.mkdir(parents=True)
        records = []
        for n in range(40 * number, 40 * number + 40):
            texts[name, n % 40 + 1] = sentence(n)
            # The fields of the published files.
            records.append(
                {
                    "url": f"https://example.org/{n}",
                    "date_download": "2023-02-01T00:00:00Z",
                    "digest": f"sha1:{n:032}",
                    "length": len(sentence(n)),
                    "nlines": 1,
                    "source_domain": "example.org",
                    "title": str(n),
                    "raw_content": sentence(n),
                    "language": "en",
                    "language_score": 0.5 + n % 40 / 100,
                    "perplexity": 300.5,
                    "bucket": bucket,
                }
            )
        lines = "".join(json.dumps(record) + "\n" for record in records)
        path.write_bytes(gzip.compress(lines.encode()))
    domains = {"en_head_middle": {"filters": "language_score >= 0.6"}, "en_tail": {}}
    quiet(
        write_corpus(preset="redpajama-v2", root="v2", domains=domains), tmp_path / "out", workers=2
    )
    built = read_built(tmp_path / "out")
    built.check_stream("en_head_middle", "train", texts)
    built.check_stream("en_tail", "train", texts)
    rows = built.documents("en_head_middle")
    assert [row["status"] for row in rows].count("filtered") == 20
    meta = json.loads(rows[-1]["meta"])
    assert (meta["bucket"], meta["source_domain"]) == ("middle", "example.org")
    assert "raw_content" not in meta


def test_tokenizer_loads_in_transformers(two_domains: Callable, tmp_path: Path) -> None:
    shardset = quiet(two_domains(), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "out" / shardset.tokenizer.path))
    assert tokenizer.is_fast
    assert tokenizer.eos_token_id == shardset.tokenizer.eos_token_id
    assert len(tokenizer) == shardset.tokenizer.vocab_size


def test_trained_tokenizer_is_the_same_every_time(
    two_domains: Callable, tmp_path: Path, read_tree: Callable
) -> None:
    corpus = two_domains(tokenizer={"train": {"vocab_size": 300}})
    first = quiet(corpus, tmp_path / "one")
    assert first.tokenizer.vocab_size == 300
    quiet(corpus, tmp_path / "two", workers=2)
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two")


def test_finished_set_is_left_as_it_is(two_domains: Callable, tmp_path: Path, capsys: Any) -> None:
    corpus = two_domains()
    first = quiet(corpus, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    (tmp_path / "a" / "1.jsonl").touch()
    assert quiet(corpus, tmp_path / "out", progress=True) == first
    assert "already built from the same settings and inputs" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before


def test_changes_are_noticed(two_domains: Callable, write_lines: Callable, tmp_path: Path) -> None:
    out = tmp_path / "out"
    quiet(two_domains(), out)
    with pytest.raises(UserError, match="setting sequence_length: was 16, is 32"):
        quiet(two_domains(sequence_length=32), out)
    corpus = two_domains()
    write_lines("a/2.jsonl", [{"text": sentence(n + 1000)} for n in range(30, 80)])
    with pytest.raises(UserError, match=r"input changed: a:a/2\.jsonl"):
        quiet(corpus, out)
    (tmp_path / "a" / "2.jsonl").unlink()
    with pytest.raises(UserError, match=r"input gone: a:a/2\.jsonl\n.*another folder"):
        quiet(corpus, out)
    assert (out / "shardset.json").exists()


def test_other_folder_is_not_touched(two_domains: Callable, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds something that is not a shard set"):
        quiet(two_domains(), out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        quiet(two_domains(), tmp_path / "file")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains": {"a": {"paths": "nowhere/*.jsonl"}}}, r"domains\.a\.paths: no file matches"),
        ({"domains": {"a": {"paths": "a"}}}, r"is a folder; write a pattern such as a/\*\.jsonl"),
        ({"domains": {"a": {"paths": "corpus.yaml"}}}, "cannot tell the format"),
        (
            {"domains": {"a": {"paths": "a/*"}, "b": {"paths": "a/1.jsonl"}}},
            "read twice, for 'a' and for 'b'",
        ),
        ({"sequence_length": 100_000}, r"too little text for one sample of 100000(?s:.*)a/train: "),
        ({"split": {"validation_documents": 1}, "sequence_length": 500}, "b/validation: 1 doc"),
        ({"tokenizer": "no/such/tokenizer"}, "there is no file or folder .*no/such/tokenizer"),
        ({"tokenizer": "no/tokenizer"}, "no local tokenizer.json"),
        ({"tokenizer": {"train": {"vocab_size": 90000}}}, "gives only [0-9]+ of 90000"),
        ({"domains": {"a": {"paths": "a/*", "text": "body"}}}, "too little text(?s:.*)a/train: 0"),
    ],
)
def test_mistakes_are_explained(
    two_domains: Callable, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        quiet(two_domains(**settings), tmp_path / "out")
    assert not (tmp_path / "out" / "shardset.json").exists()


def test_mend_and_go_on(two_domains: Callable, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too little text"):
        quiet(two_domains(sequence_length=100_000), tmp_path / "out")
    assert quiet(two_domains(), tmp_path / "out").domains["a"]["train"].documents == 80


def test_strict_names_the_places(two_domains: Callable, tmp_path: Path) -> None:
    corpus = two_domains()
    with (tmp_path / "b" / "1.jsonl").open("a") as stream:
        stream.write('{"text": "half')
    with pytest.raises(UserError, match=r"1 records cannot be read:\n  b/1\.jsonl:81: not JSON"):
        quiet(corpus, tmp_path / "out", strict=True)
    assert quiet(corpus, tmp_path / "out").domains["b"]["train"].documents == 70


def test_one_build_at_a_time(two_domains: Callable, tmp_path: Path) -> None:
    from mixscale.ingest.runtime.workspace import Workspace

    corpus = two_domains()
    with (
        Workspace(out=tmp_path / "out").locked(),
        pytest.raises(UserError, match="another build is writing here"),
    ):
        quiet(corpus, tmp_path / "out")
    quiet(corpus, tmp_path / "out")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails to read")
@pytest.mark.parametrize("workers", [1, 2])
def test_unreadable_file_stops_the_build_and_loses_nothing(
    two_domains: Callable, tmp_path: Path, workers: int
) -> None:
    corpus = two_domains()
    (tmp_path / "b" / "2.jsonl").symlink_to("/proc/self/mem")
    with pytest.raises(UserError, match=r"b/2\.jsonl: cannot read: Input/output error; once it"):
        quiet(corpus, tmp_path / "out", workers=workers)
    (tmp_path / "b" / "2.jsonl").unlink()
    assert quiet(corpus, tmp_path / "out").domains["b"]["train"].documents == 70


def test_real_corpus_loses_nothing(
    shared: Path, write_corpus: Callable, tmp_path: Path, read_built: Any
) -> None:
    root = shared / "corpus" / "redpajama-mini"
    manifest = json.loads((root / "manifest.json").read_text())
    corpus = write_corpus(
        preset="redpajama-v1",
        root=str(root),
        domains={name: {} for name in ("arxiv", "common_crawl", "wikipedia", "github")},
        sequence_length=512,
    )
    out = tmp_path / "out"
    shardset = quiet(corpus, out, workers=2)
    built = read_built(out)
    for name in shardset.domains:
        rows = built.documents(name)
        kept = [row for row in rows if row["status"] == "kept"]
        expected = manifest["domains"][name]
        assert len(rows) == expected["documents"]
        assert len(kept) == expected["distinct_documents"]
        assert sum(row["bytes"] for row in rows) == expected["utf8_bytes"]
        assert sum(row["chars"] for row in rows) == expected["characters"]
    assert read_shardset(out) == shardset
    assert re.fullmatch("[0-9a-f]{64}", shardset.content_sha256)
