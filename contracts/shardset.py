"""`shardset.json`: what a shard set holds, written last by the build."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from mixscale.contracts.atomic import write_json
from mixscale.contracts.config import Config, Count, read_json, validate
from mixscale.contracts.errors import UserError

FILE_NAME = "shardset.json"
FORMAT = 1
UNFINISHED = "unfinished"
"""The `format` of the file at an address to which a copy is not finished."""
TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)


class TokenizerSummary(Config):
    """The tokenizer that made the tokens; its files lie in the shard set."""

    path: str
    """Folder, relative to the shard set, that transformers' AutoTokenizer reads."""
    vocab_size: int = Field(gt=0)
    """One more than the largest token id, added tokens included."""
    eos_token: str
    eos_token_id: int = Field(ge=0)
    bos_token: str | None = None
    """What every text begins with; nothing when texts just begin."""
    bos_token_id: int | None = Field(default=None, ge=0)
    sha256: str

    @model_serializer(mode="wrap")
    def _without_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is absent, so that sets of older versions keep their hash."""
        return {key: value for key, value in serialize(self).items() if value is not None}


class SplitSummary(Config):
    """One stream: the documents and samples of one domain and split."""

    documents: Count
    """Documents kept."""
    text_bytes: Count
    """UTF-8 bytes of the text of the kept documents."""
    tokens: Count
    """Tokens of the kept documents, the tokens that each begins and ends with included."""
    samples: Count
    """Whole samples in the shards; `samples * sequence_length + remainder_tokens == tokens`."""
    remainder_tokens: Count
    """Tokens after the last whole sample, which are in no shard."""
    shards: Count
    shard_bytes: Count
    """Bytes of the shard files on disk."""
    sha256: str
    """Hash over the names and the bytes of the shards."""


class ShardSet(Config):
    """The summary of a shard set."""

    format: Literal[1] = FORMAT
    mixscale_version: str
    sequence_length: int = Field(gt=0)
    """Tokens in a sample."""
    tokenizer: TokenizerSummary
    domains: dict[str, dict[Literal["train", "validation"], SplitSummary]]
    config: dict[str, Any]
    """The corpus config with every default filled in."""
    versions: dict[str, str]
    """Versions of the libraries whose output the bytes depend on."""
    content_sha256: str
    """Hash over the streams and the tokenizer: equal for equal content, wherever it lies."""
    files_sha256: str = ""
    """Hash of `files.sha256`, which lists the hashes of all files but shards and index."""
    sha256: str = ""
    """Hash over everything else in this file; `sealed` fills it in."""

    def sealed(self) -> ShardSet:
        """Give the summary with its own hash, by which a damaged file is recognised."""
        values = self.model_dump(mode="json", exclude={"sha256"})
        text = json.dumps(values, sort_keys=True)
        return self.model_copy(update={"sha256": hashlib.sha256(text.encode()).hexdigest()})

    @property
    def streams(self) -> tuple[str, ...]:
        """The folders of the streams, relative to the shard set."""
        return tuple(f"{name}/{split}" for name, splits in self.domains.items() for split in splits)

    @property
    def domain_names(self) -> tuple[str, ...]:
        """The domains in the order of the corpus config."""
        return tuple(self.domains)

    def train_tokens(self, domain: str) -> int:
        """Tokens of a domain that training can see in one epoch (whole samples only)."""
        return self.domains[domain][TRAIN].samples * self.sequence_length


def read_shardset(folder: str | Path) -> ShardSet:
    """Read the summary of the shard set in `folder`.

    Raises:
        UserError: There is no finished shard set in the folder.
    """
    root = Path(folder)
    path = root / FILE_NAME
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; `mixscale build` makes a shard set")
    if not path.is_file():
        raise UserError(
            f"{root}: not a finished shard set (no {FILE_NAME}); "
            "make or finish it with `mixscale build corpus.yaml --out " + str(root) + "`"
        )
    values = read_json(path, "build the shard set again")
    if values.get("format") == UNFINISHED:
        raise UserError(
            f"{root}: not a finished shard set, but a copy that was not finished; "
            "run the same command again: it continues where it stopped"
        )
    if values.get("format") != FORMAT:
        raise UserError(
            f"{path}: shard set format {values.get('format')!r}; this version reads {FORMAT}"
        )
    return validate(values, ShardSet, str(path))


def content_sha256(tokenizer_sha256: str, domains: Mapping[str, Mapping[Any, SplitSummary]]) -> str:
    """Hash the streams and the tokenizer, by their own hashes."""
    digest = hashlib.sha256(f"{tokenizer_sha256}  tokenizer\n".encode())
    for name, splits in domains.items():
        for split, summary in splits.items():
            digest.update(f"{summary.sha256}  {name}/{split}\n".encode())
    return digest.hexdigest()


def folder_sha256(folder: Path) -> str:
    """Hash the files of a tokenizer: SHA-256 over one line of file SHA-256 and name for each."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n".encode())
    return digest.hexdigest()


def write_shardset(folder: str | Path, shardset: ShardSet) -> Path:
    """Write `shardset.json` atomically, sealed; its presence marks the build as complete."""
    path = Path(folder) / FILE_NAME
    write_json(path, shardset.sealed().model_dump(mode="json"))
    return path
