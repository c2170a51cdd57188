"""Presets of corpus.yaml: how published corpora lie on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_JSONL = ("jsonl", "jsonl.zst", "jsonl.gz")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of a corpus: either a folder for each domain, or one stream with a field."""

    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Globs below the root by domain."""
    default: tuple[str, ...] = ()
    """The domains that are read when none are named; all when there are none here."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of every domain that differ from the defaults."""
    route_paths: tuple[str, ...] = ()
    """Globs below the root of the files that hold all domains."""
    exclude: tuple[str, ...] = ()
    """Globs below the root of files that are published for validation and tests."""
    route_field: str = ""
    routes: Mapping[str, str] = field(default_factory=dict)
    """From the value of the field to the domain."""


def _by_partition() -> dict[str, tuple[str, ...]]:
    """Name the partitions of RedPajama-V2, one by one and `head` with `middle` as published."""
    found: dict[str, tuple[str, ...]] = {}
    for language in ("en", "de", "fr", "es", "it"):
        for name in ("head", "middle", "tail", "head_middle"):
            buckets = ("head", "middle") if name == "head_middle" else (name,)
            found[f"{language}_{name}"] = tuple(
                f"documents/*/*/{language}_{bucket}.{ending}"
                for bucket in buckets
                for ending in ("json.gz", "json.zst", "json")
            )
    return found


def _folder(name: str, depth: str = "*") -> tuple[str, ...]:
    return tuple(f"{name}/{depth}.{ending}" for ending in _JSONL)


def _sample(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_sample.{ending}" for ending in _JSONL)


def _dolma(prefix: str) -> tuple[str, ...]:
    """Find the files of a part, in folders as they are published or all in one."""
    return tuple(f"**/{prefix}-*.{ending}" for ending in ("json.gz", "json.zst", "json"))


# Soldaini et al. 2024, Dolma: <part>/<name>-NNNN.json.gz; its download puts all in one folder.
_DOLMA_PARTS = {
    "algebraic_stack": _dolma("algebraic-stack"),
    "arxiv": _dolma("arxiv"),
    "books": _dolma("books"),
    "c4": _dolma("c4"),
    "cc_en_head": _dolma("cc_en_head"),
    "cc_en_middle": _dolma("cc_en_middle"),
    "cc_en_tail": _dolma("cc_en_tail"),
    "cc_news": _dolma("cc_news{,_head,_middle,_tail}"),
    "megawika": _dolma("megawika"),
    "open_web_math": _dolma("open-web-math"),
    "pes2o": _dolma("pes2o"),
    "reddit": _dolma("reddit"),
    "refinedweb": _dolma("falcon"),
    "stack": _dolma("stack"),
    "stackexchange": _dolma("stackexchange"),
    "starcoder": _dolma("starcoder"),
    "tulu_flan": _dolma("tulu_flan"),
    "wiki": _dolma("wiki"),
}

LAYOUTS: dict[str, Layout] = {
    # Together Computer 2023, RedPajama-Data-1T: one folder a domain, Common Crawl by snapshot.
    "redpajama-v1": Layout(
        paths={
            "arxiv": _folder("arxiv"),
            "book": _folder("book"),
            "c4": _folder("c4"),
            "common_crawl": _folder("common_crawl", "*/*"),
            "github": _folder("github"),
            "stackexchange": _folder("stackexchange"),
            "wikipedia": _folder("wikipedia"),
        }
    ),
    # Together Computer 2023, RedPajama-Data-V2: documents/<snapshot>/<shard>/<language>_<bucket>.
    # JSON Lines in spite of the ending.
    "redpajama-v2": Layout(
        paths=_by_partition(),
        default=("en_head_middle",),
        settings={"text": "raw_content", "format": "jsonl"},
    ),
    # Soboleva et al. 2023, SlimPajama-627B: train/chunk*/*.jsonl.zst, the domain in each record;
    # beside it validation/ and test/, which no training may see.
    "slimpajama": Layout(
        route_paths=tuple(f"**/*.{ending}" for ending in (*_JSONL, "parquet")),
        exclude=("validation", "test", "**/validation-*.parquet", "**/test-*.parquet"),
        route_field="meta.redpajama_set_name",
        routes={
            "RedPajamaArXiv": "arxiv",
            "RedPajamaBook": "book",
            "RedPajamaC4": "c4",
            "RedPajamaCommonCrawl": "common_crawl",
            "RedPajamaGithub": "github",
            "RedPajamaStackExchange": "stackexchange",
            "RedPajamaWikipedia": "wikipedia",
        },
    ),
    # Gao et al. 2020, The Pile: train/NN.jsonl.zst, beside it val.jsonl.zst and test.jsonl.zst.
    "pile": Layout(
        route_paths=tuple(f"**/*.{ending}" for ending in (*_JSONL, "parquet")),
        exclude=("{val,validation,test}", "**/{val,validation,test}{.,-,_}*"),
        route_field="meta.pile_set_name",
        routes={
            "ArXiv": "arxiv",
            "BookCorpus2": "bookcorpus2",
            "Books3": "books3",
            "DM Mathematics": "dm_mathematics",
            "Enron Emails": "enron_emails",
            "EuroParl": "europarl",
            "FreeLaw": "freelaw",
            "Github": "github",
            "Gutenberg (PG-19)": "gutenberg",
            "HackerNews": "hackernews",
            "NIH ExPorter": "nih_exporter",
            "OpenSubtitles": "opensubtitles",
            "OpenWebText2": "openwebtext2",
            "PhilPapers": "philpapers",
            "Pile-CC": "pile_cc",
            "PubMed Abstracts": "pubmed_abstracts",
            "PubMed Central": "pubmed_central",
            "StackExchange": "stackexchange",
            "USPTO Backgrounds": "uspto_backgrounds",
            "Ubuntu IRC": "ubuntu_irc",
            "Wikipedia (en)": "wikipedia",
            "YoutubeSubtitles": "youtube_subtitles",
        },
    ),
    # Together Computer 2023, RedPajama-Data-1T-Sample: a file for each domain, `meta` as JSON text.
    "redpajama-v1-sample": Layout(
        paths={
            "arxiv": _sample("arxiv"),
            "book": _sample("book"),
            "c4": _sample("c4"),
            "common_crawl": _sample("cc_*"),
            "github": _sample("github"),
            "stackexchange": _sample("stackexchange"),
            "wikipedia": _sample("wikipedia"),
        }
    ),
    # Of the older 1.6 come `stack` and the domains that 1.7 has too; JSON Lines in spite of the
    # ending.
    "dolma": Layout(
        paths=_DOLMA_PARTS,
        default=tuple(name for name in _DOLMA_PARTS if name != "stack"),
        settings={"format": "jsonl"},
    ),
    # Li et al. 2024, DCLM-baseline: global-shard_*/local-shard_*/*.jsonl.zst.
    "dclm": Layout(
        paths={"dclm": tuple(f"**/*.{ending}" for ending in (*_JSONL, "parquet"))},
    ),
    # Penedo et al. 2024, FineWeb and FineWeb-Edu: data/<snapshot>/ and sample/<size>/.
    "fineweb": Layout(
        paths={"fineweb": ("data/**/*.parquet", "sample/**/*.parquet")},
    ),
}
