"""Measures what near-duplicate removal finds among real texts and copies of them with other words.

python -m benchmarks.near CORPUS_ROOT [--documents 3000]

CORPUS_ROOT has the layout of RedPajama-Data-1T. Each text gets one copy in which a random share of
the words is exchanged; the Jaccard similarity of the pair is computed exactly, from the sets of
runs of words themselves.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_128_digest

from mixscale.ingest.corpus import Near, read_corpus
from mixscale.ingest.dedup.decide import Policy, decide
from mixscale.ingest.dedup.groups import Source
from mixscale.ingest.dedup.minhash import sign
from mixscale.ingest.dedup.shingles import shingle_hashes
from mixscale.ingest.readers.cut_units import cut_units
from mixscale.ingest.readers.find_files import find_files
from mixscale.ingest.runtime.local import local_runner
from mixscale.ingest.select.classify import ReadSettings, classified_blocks
from mixscale.ingest.select.rules import make_rules
from mixscale.ingest.unit_rows import KEPT

BINS = [0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.01]


def main() -> None:
    """Sign, compare and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--documents", type=int, default=3000)
    arguments = parser.parse_args()
    texts = read_texts(arguments.root, arguments.documents)
    near = Near()
    lost = compare([text.encode() for text in texts], near)
    true = [jaccard(texts[row], texts[other], near) for row, other in lost.items()]
    print(f"{len(texts)} texts as they are: {len(lost)} near duplicates, ", end="")
    print(f"true similarity {describe(true)}")
    rng = random.Random(17)
    copies = [exchanged(text, rng) for text in texts]
    similarity = [jaccard(text, copy, near) for text, copy in zip(texts, copies, strict=True)]
    started = time.process_time()
    both = [text.encode() for text in [*texts, *copies]]
    lost = compare(both, near)
    seconds = time.process_time() - started
    gone = np.array([len(texts) + n in lost for n in range(len(copies))])
    report(np.array(similarity), gone)
    size = sum(map(len, both)) / 1e6
    rate = f"{size / seconds:.0f} MB/s"
    print(f"{size:.0f} MB signed and compared in {seconds:.1f} s of one core: {rate}")
    started = time.process_time()
    sign(both, near)
    signing = time.process_time() - started
    slope = f"{signing / size * 1e3:.0f} s/GB"
    print(f"{size:.0f} MB signed alone in {signing:.1f} s of one core: {slope}")


def read_texts(root: Path, count: int) -> list[str]:
    """Take distinct texts of all domains, evenly."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.yaml"
        lines = ["preset: redpajama-v1", f"root: {root.resolve()}", "tokenizer: t"]
        path.write_text("\n".join([*lines, "sequence_length: 8"]))
        corpus = read_corpus(path)
        units = cut_units(find_files(corpus, Path(folder)))
    settings = ReadSettings(rules=make_rules(corpus), routing=None, skip_repeats=False)
    blocks = (block for unit in units for block in classified_blocks(unit, settings))
    texts = list(dict.fromkeys(text.decode() for block in blocks for text in block.texts))
    return texts[:: max(1, len(texts) // count)]


def exchanged(text: str, rng: random.Random) -> str:
    """Exchange a random share of the words, at most a seventh."""
    words = text.split(" ")
    for place in rng.sample(range(len(words)), int(len(words) * rng.random() / 7)):
        words[place] = f"other{rng.randrange(10**6)}"
    return " ".join(words)


def compare(texts: list[bytes], near: Near) -> dict[int, int]:
    """Find the texts that go, with the text that stays in the place of each."""
    digests = np.frombuffer(b"".join(map(xxh3_128_digest, texts)), ">u8").reshape(-1, 2)
    columns = {
        "domain": np.zeros(len(texts), np.int16),
        "high": digests[:, 0].astype(np.uint64),
        "low": digests[:, 1].astype(np.uint64),
        "status": np.full(len(texts), KEPT, np.uint8),
    }
    table = pa.table(columns)
    policy = Policy(scope="corpus", priority=(0,), share=0.0, documents=0, near=near)
    with tempfile.TemporaryDirectory() as name, local_runner(1, Path(name)) as run:
        folder = Path(name)
        rows, signatures = folder / "texts.arrow", folder / "texts.signatures"
        with pa.ipc.new_file(str(rows), table.schema) as writer:
            writer.write_table(table)
        sign(texts, near).tofile(signatures)
        source = Source(rows_path=rows, rows=len(texts), signatures_path=signatures)
        decisions = decide([source], policy, folder / "decisions", run)
        copy_of = decisions.copy_of(0, len(texts))
    return {row: other for row, other in enumerate(copy_of.tolist()) if other >= 0}


def jaccard(one: str, other: str, near: Near) -> float:
    """Compute the similarity of two texts exactly."""
    hashes, offsets = shingle_hashes([one, other], near.words)
    first, second = set(hashes[: offsets[1]].tolist()), set(hashes[offsets[1] :].tolist())
    return len(first & second) / max(1, len(first | second))


def describe(values: list[float]) -> str:
    """Give the range of some numbers."""
    if not values:
        return "none"
    low, middle = np.quantile(values, [0.05, 0.5])
    return f"median {middle:.2f}, 5% below {low:.2f}, least {min(values):.2f}"


def report(similarity: Any, gone: Any) -> None:
    """Print the share of copies that went, by their similarity."""
    print("true similarity   copies   went")
    for low, high in itertools.pairwise(BINS):
        chosen = (similarity >= low) & (similarity < high)
        if chosen.any():
            share = gone[chosen].mean()
            print(f"{low:.2f} to {min(high, 1):.2f} {chosen.sum():12} {share:9.1%}")


if __name__ == "__main__":
    main()
