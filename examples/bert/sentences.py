"""Sentences of real texts, labelled with the domain that they come from."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DOMAINS = ("book", "c4", "stackexchange", "wikipedia")
_FROM_EACH = 400
_SENTENCE = re.compile(r"[A-Z][^.!?\n]{40,200}[.!?]")


def sentences_of(folder: Path) -> Iterator[str]:
    """Yield a sentence from the middle of each document."""
    for path in sorted(folder.rglob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                found = _SENTENCE.findall(json.loads(line)["text"])
                if found:
                    yield found[len(found) // 2]


def main(corpus: str, out: str) -> None:
    """Write train.jsonl and, of every fifth sentence, validation.jsonl."""
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": []}
    for domain in DOMAINS:
        chosen = list(itertools.islice(sentences_of(Path(corpus, domain)), _FROM_EACH))
        for number, text in enumerate(chosen):
            split = "train" if number % 5 else "validation"
            splits[split].append({"text": text, "label": domain})
    for split, rows in splits.items():
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        Path(out, f"{split}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
