from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.installing import build_sdist, build_wheel, copy_of_checkout


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    return build_sdist(copy_of_checkout(folder / "checkout"), folder / "out")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(copy_of_checkout(folder / "checkout"), folder / "out")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus.yaml of two small domains."""
    folder = tmp_path_factory.mktemp("corpus")
    for domain in ("prose", "code"):
        lines = (
            f'{{"text": "{f"{domain} {number} tells of the number {number * 7919}. " * 12}"}}\n'
            for number in range(120)
        )
        (folder / f"{domain}.jsonl").write_text("".join(lines))
    path = folder / "corpus.yaml"
    path.write_text(
        "domains:\n  prose: {paths: [prose.jsonl]}\n  code: {paths: [code.jsonl]}\n"
        "tokenizer: {train: {vocab_size: 300}}\nsequence_length: 32\nsplit: {validation: 0.2}\n"
    )
    return path
