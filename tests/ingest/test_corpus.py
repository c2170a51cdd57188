from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import read_corpus

REST = "tokenizer: gpt2\nsequence_length: 2k\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "corpus.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_preset_is_written_out(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "preset: redpajama-v1\nroot: data/\n" + REST))
    assert list(corpus.domains) == [
        "arxiv",
        "book",
        "c4",
        "common_crawl",
        "github",
        "stackexchange",
        "wikipedia",
    ]
    assert corpus.domains["common_crawl"].paths[1] == "data/common_crawl/*/*.jsonl.zst"
    assert corpus.sequence_length == 2000


def test_preset_is_adjusted(tmp_path: Path) -> None:
    domains = "domains: {wikipedia: {filters: meta.language == en}, extra: {paths: x.txt}}\n"
    corpus = read_corpus(write(tmp_path, f"preset: redpajama-v1\nroot: data\n{domains}{REST}"))
    assert corpus.domains["wikipedia"].filters == ("meta.language == en",)
    assert corpus.domains["wikipedia"].paths[0] == "data/wikipedia/*.jsonl"
    assert corpus.domains["extra"].paths == ("x.txt",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("domains: {a: {paths: x, txt: body}}\n", r"corpus\.yaml:1: domains\.a\.txt: unknown key"),
        ("domains: {a: {paths: x, filters: a ~ b}}\n", r"domains\.a\.filters: 'a ~ b' is not"),
        ("domains: {a: {paths: x, format: xml}}\n", r"domains\.a\.format: .*'parquet'"),
        ("domains: {a: {paths: x, window: {head: 1, random: 1}}}\n", "either `head: N` or"),
        ("domains: {a: {}}\n", r"domains\.a\.paths: missing"),
        ("domains: {documents: {paths: x}}\n", "'documents' is reserved"),
        ("domains: {a/b: {paths: x}}\n", r"a/b.*match pattern"),
        ("domains: {}\n", "nothing to read: give `preset`"),
        ("preset: redpajama-v1\n", "`preset` and `root` go together"),
        ("preset: redpyjama\nroot: .\n", "unknown value 'redpyjama'.*redpajama-v1"),
        ("preset: redpajama-v1\nroot: .\ndomains: {wiki: {}}\n", "unknown value 'wiki'.*wikipedia"),
        ("domains: {a: {paths: x}}\nduplicates: {priority: [b]}\n", r"priority: unknown value 'b'"),
        (
            "domains: {a: {paths: x}}\nsplit: {validation: 0.1, validation_documents: 3}\n",
            "not both",
        ),
        ("domains: {a: {paths: x}}\nsplit: {validation: 1.5}\n", r"split\.validation: "),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_corpus(write(tmp_path, text + REST))


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sequence_length: missing"):
        read_corpus(write(tmp_path, "domains: {a: {paths: x}}\ntokenizer: gpt2\n"))


def test_partitions_of_redpajama_v2_are_chosen_by_name(tmp_path: Path) -> None:
    preset = "preset: redpajama-v2\nroot: data\n"
    corpus = read_corpus(write(tmp_path, preset + REST))
    assert list(corpus.domains) == ["en_head_middle"]
    chosen = "domains: {de_tail: {}, en_head: {text: title}, own: {paths: x.jsonl}}\n"
    corpus = read_corpus(write(tmp_path, preset + chosen + REST))
    assert corpus.domains["de_tail"].paths[0] == "data/documents/*/*/de_tail.json.gz"
    assert corpus.domains["de_tail"].text == "raw_content"
    assert corpus.domains["en_head"].text == "title"
    assert corpus.domains["own"].text == "text"
    with pytest.raises(UserError, match="domains: unknown value 'ru_head'"):
        read_corpus(write(tmp_path, preset + "domains: {ru_head: {}}\n" + REST))
