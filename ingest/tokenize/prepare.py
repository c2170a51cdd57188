"""The tokenizer of a build: found or trained, and the encoder that is exact for it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import Corpus, TokenizerConfig, TrainTokenizer
from mixscale.ingest.readers.sources import Unit
from mixscale.ingest.runtime.execute import Runner
from mixscale.ingest.runtime.progress import say
from mixscale.ingest.runtime.scratch import read_mark, write_mark
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.read import Reading, judged_blocks
from mixscale.ingest.tokenize.encoder import FAST, REFERENCE, EncoderSpec, differs
from mixscale.ingest.tokenize.tokenizer_files import (
    FOLDER,
    TokenizerFiles,
    install_tokenizer,
    read_tokenizer,
    save_trained,
)
from mixscale.shards.storage.mds import token_dtype

END_OF_TEXT = "<|endoftext|>"
_TRAINED_UNITS, _CHECKED_UNITS = 16, 4
_CHECKED_BYTES = 1 << 16
_PIECE_CHARACTERS = 1 << 20
_NASTY = (
    "a  b   c\t\td\n\n\n  e\r\nf\r",
    "\ufeffBOM \u2028 line \u2029 paragraph \u0085 next",
    "\x00nul\x00\x00 \x7f\x1b[0m",
    "\U0001d518\U0001d52b \U0001f469\u200d\U0001f469\u200d\U0001f467 e\u0301 \ufb01 \u212b",
    "العربية हिन्दी 中文字符 日本語 ไทย 한국어",
    "I'll we've DON'T 'S 1234567890 3.14e-10 __init__",
    " leading and trailing ",
)


def prepare_tokenizer(
    corpus: Corpus,
    folder: Path,
    work: Workspace,
    units: Sequence[Unit],
    reading: Reading,
    *,
    shown: bool,
) -> TokenizerFiles:
    """Bring the tokenizer into the shard set.

    Args:
        corpus: The settings.
        folder: Local names are relative to it.
        work: The output folder.
        units: The input, to train from.
        reading: How to read it.
        shown: Whether to say what is being done.

    Raises:
        UserError: There is no such tokenizer, or the corpus has too little text to train one.
    """
    target = work.out / FOLDER
    marker = work.build / "tokenizer.json"
    wanted = {
        "config": corpus.tokenizer.model_dump(mode="json"),
        "sample": [_input_name(unit) for unit in units] if corpus.tokenizer.train else None,
    }
    # A shard set that grows keeps its tokenizer, also one that was trained on less text.
    if not work.is_whole() and not _is_made(target, marker, wanted):
        temporary = work.build / "new-tokenizer"
        _make(corpus.tokenizer, folder, temporary, units, reading, shown=shown)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    tokenizer = read_tokenizer(target)
    write_mark(marker, {"wanted": wanted, "sha256": tokenizer.sha256})
    return tokenizer


def _is_made(target: Path, marker: Path, wanted: dict[str, Any]) -> bool:
    """Tell whether the tokenizer in the folder is the one that is wanted, and undamaged."""
    found = read_mark(marker)
    if found is None or found["wanted"] != wanted or not target.is_dir():
        return False
    return read_tokenizer(target).sha256 == found["sha256"]


def choose_encoder(
    tokenizer: TokenizerFiles,
    units: Sequence[Unit],
    reading: Reading,
    run: Runner,
    *,
    shown: bool,
) -> EncoderSpec:
    """Choose the fast encoder if its ids are those of the reference on text of every domain."""
    spec = EncoderSpec(
        name=FAST,
        model_path=tokenizer.model_path.resolve(),
        eos_token_id=tokenizer.eos_token_id,
        dtype=token_dtype(tokenizer.vocab_size).str,
    )
    eos = tokenizer.eos_token
    nasty = tuple(text.encode() for text in (*_NASTY, f"x{eos}y {eos}"))
    tasks = [_CheckTask(spec=spec, texts=nasty, units=(), reading=reading)]
    tasks += [
        _CheckTask(spec=spec, texts=(), units=_spread(group, _CHECKED_UNITS), reading=reading)
        for group in _groups(units)
    ]
    reason = next(filter(None, run(_reason_against, tasks, lambda *_: None)), None)
    if reason is None:
        return spec
    warnings.warn(f"gigatoken is not used: {reason}; tokenizers is slower", stacklevel=2)
    say(f"tokenizer: {reason}; using the slower reference encoder (tokenizers)", shown=shown)
    return replace(spec, name=REFERENCE)


@dataclass(frozen=True, kw_only=True)
class _CheckTask:
    """Some of the texts that both encoders must agree on: given, and from the heads of units."""

    spec: EncoderSpec
    texts: tuple[bytes, ...]
    units: tuple[Unit, ...]
    reading: Reading


def _reason_against(task: _CheckTask) -> str | None:
    texts = [*task.texts, *sample_texts(task.units, task.reading, _CHECKED_BYTES)]
    try:
        number = differs(task.spec, texts)
    except Exception as error:  # whatever a tokenizer that it does not know makes it raise
        return f"gigatoken cannot use this tokenizer ({error})"
    if number is None:
        return None
    shown = texts[number][:60].decode("utf-8", "replace")
    return f"gigatoken gives other ids than tokenizers, for example in {shown!r}"


def _spread(units: Sequence[Unit], most: int) -> tuple[Unit, ...]:
    """Take at most so many units, evenly spaced."""
    return tuple(units[:: -(-len(units) // most)])


def sample_texts(units: Sequence[Unit], reading: Reading, size: int) -> list[bytes]:
    """Take about `size` bytes of text, the same from the head of every unit."""
    texts: list[bytes] = []
    for unit in units:
        texts += _head(unit, reading, size // len(units))
    return texts


def _head(unit: Unit, reading: Reading, size: int) -> Iterator[bytes]:
    for block in judged_blocks(unit, reading, size):
        for text in block.texts:
            yield _cut(text, size)
            size -= len(text)
            if size <= 0:
                return


def _cut(text: bytes, size: int) -> bytes:
    """Shorten UTF-8 text to at most `size` bytes, at a whole character."""
    return text if len(text) <= size else text[:size].decode("utf-8", "ignore").encode("utf-8")


def _groups(units: Sequence[Unit]) -> list[list[Unit]]:
    """Group the units by the domain of their file."""
    groups: dict[str | None, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.file.domain, []).append(unit)
    return list(groups.values())


def _make(
    config: TokenizerConfig,
    folder: Path,
    target: Path,
    units: Sequence[Unit],
    reading: Reading,
    *,
    shown: bool,
) -> None:
    if config.train is None:
        install_tokenizer(str(config.name), folder, target, config.eos_token)
        return
    say(f"tokenizer: training {config.train.vocab_size} tokens", shown=shown)
    groups = _groups(units)
    size = config.train.sample_bytes // len(groups)
    texts = (
        text
        for group in groups
        for text in sample_texts(_spread(group, _TRAINED_UNITS), reading, size)
    )
    _train(config.train, config.eos_token or END_OF_TEXT, texts, target)


def _train(config: TrainTokenizer, eos_token: str, texts: Iterator[bytes], target: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=[eos_token],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    found = tokenizer.get_vocab_size()
    if found < config.vocab_size:
        raise UserError(
            f"tokenizer.train.vocab_size: the sample gives only {found} of {config.vocab_size} "
            f"tokens; use a vocab_size of at most {found}, or more text"
        )
    save_trained(tokenizer, target, eos_token)


def _pieces(texts: Iterator[bytes]) -> Iterator[str]:
    """Cut long texts: the trainer takes some seventy times the size of the longest one."""
    for data in texts:
        text = data.decode("utf-8")
        for start in range(0, len(text), _PIECE_CHARACTERS):
            yield text[start : start + _PIECE_CHARACTERS]


def _input_name(unit: Unit) -> list[str | int]:
    return [unit.file.name, unit.file.size, unit.file.version, unit.start]
