"""The tokenizer of a build, found or trained, brought into the shard set."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import Corpus, TokenizerConfig
from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.runtime.intermediate import read_completion, write_completion
from mixscale.ingest.runtime.progress import print_status
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.select.classify import ReadSettings
from mixscale.ingest.tokenize.sample import enough_texts, units_by_domain
from mixscale.ingest.tokenize.tokenizer_files import (
    FOLDER,
    TokenizerFiles,
    install_tokenizer,
    read_tokenizer,
    source_sha256,
)
from mixscale.ingest.tokenize.train_tokenizer import train_tokenizer

END_OF_TEXT = "<|endoftext|>"
_TRAINED_UNITS = 16


def prepare_tokenizer(
    corpus: Corpus,
    folder: Path,
    work: Workspace,
    units: Sequence[Unit],
    settings: ReadSettings,
    *,
    progress: bool,
) -> TokenizerFiles:
    """Bring the tokenizer into the shard set.

    Args:
        corpus: The settings.
        folder: Local names are relative to it.
        work: The output folder.
        units: The input, to train from.
        settings: How to read it.
        progress: Whether to print what is being done.

    Raises:
        UserError: There is no such tokenizer, or the corpus has too little text to train one.
    """
    units = [unit for unit in units if not unit.file.is_validation]
    target = work.out / FOLDER
    record = work.build / "tokenizer.json"
    config = corpus.tokenizer.model_dump(mode="json")
    source = None if config["name"] is None else source_sha256(config["name"], folder)
    _refuse_another_source(record, config, source, work)
    wanted = {
        "config": config,
        "source": source,
        "sample": [_input_name(unit) for unit in units] if corpus.tokenizer.train else None,
    }
    # A shard set that grows keeps its tokenizer, also one that was trained on less text.
    if not work.is_whole() and not _is_made(target, record, wanted):
        temporary = work.build / "new-tokenizer"
        _make(corpus.tokenizer, folder, temporary, units, settings, progress=progress)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    tokenizer = read_tokenizer(target, bos_token=corpus.tokenizer.bos_token)
    write_completion(record, {"wanted": wanted, "sha256": tokenizer.sha256})
    return tokenizer


def _refuse_another_source(
    record: Path, config: dict[str, Any], source: str | None, work: Workspace
) -> None:
    """Stop when an unfinished build began with other files under the same name.

    Raises:
        UserError: It did.
    """
    found = read_completion(record)
    wanted = {} if found is None else found["wanted"]
    began = wanted.get("source")
    if wanted.get("config") == config and None not in (began, source) and began != source:
        raise UserError(
            f"tokenizer {config['name']}: its files are not those that the unfinished build in "
            f"{work.out} began with; put them back to go on, or delete that folder to begin anew"
        )


def _is_made(target: Path, record: Path, wanted: dict[str, Any]) -> bool:
    """Return whether the tokenizer in the folder is the one that is wanted, and undamaged."""
    found = read_completion(record)
    if found is None or found["wanted"] != wanted or not target.is_dir():
        return False
    return read_tokenizer(target).sha256 == found["sha256"]


def _make(
    config: TokenizerConfig,
    folder: Path,
    target: Path,
    units: Sequence[Unit],
    settings: ReadSettings,
    *,
    progress: bool,
) -> None:
    if config.train is None:
        install_tokenizer(str(config.name), folder, target, config.eos_token, config.bos_token)
        return
    print_status(f"tokenizer: training {config.train.vocab_size} tokens", progress=progress)
    groups = units_by_domain(units)
    size = config.train.sample_bytes // len(groups)
    texts = (
        text
        for group in groups
        for text in enough_texts(group, settings, size, fewest=_TRAINED_UNITS)
    )
    bos_token = config.bos_token if isinstance(config.bos_token, str) else None
    train_tokenizer(config.train, config.eos_token or END_OF_TEXT, texts, target, bos_token)


def _input_name(unit: Unit) -> list[str | int]:
    return [unit.file.name, unit.file.size, unit.file.version, unit.start]
