"""The tokenizer's files, brought into the shard set so that a run needs nothing else."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixscale.contracts.atomic import write_json
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import TokenizerSummary, folder_sha256
from mixscale.ingest.corpus import BosToken
from mixscale.ingest.readers.local_files import expand_path
from mixscale.ingest.tokenize.encoder import reference_tokenizer
from mixscale.ingest.tokenize.sentencepiece_model import convert_sentencepiece
from mixscale.ingest.tokenize.tekken import convert_tekken, is_tekken

MODEL_FILE, SETTINGS_FILE = "tokenizer.json", "tokenizer_config.json"
SENTENCEPIECE_FILE, TEKKEN_FILE = "tokenizer.model", "tekken.json"
FOLDER = "tokenizer"
_COPIED = (MODEL_FILE, SETTINGS_FILE, "special_tokens_map.json", "chat_template.jinja")
_MODELS = (
    MODEL_FILE,
    SENTENCEPIECE_FILE,
    TEKKEN_FILE,
    "vocab.json",
    "vocab.txt",
    "spiece.model",
)
_SOURCES = tuple(dict.fromkeys([*_COPIED, *_MODELS, "merges.txt", "added_tokens.json"]))
_USUAL_EOS = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<|end|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
)
_USUAL_BOS = ("<|begin_of_text|>", "<s>", "<bos>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>")


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """A tokenizer ready for use: a folder that transformers' AutoTokenizer reads."""

    folder: Path
    vocab_size: int
    eos_token: str
    eos_token_id: int
    bos_token: str | None
    """What every text begins with, if the settings ask for it."""
    bos_token_id: int | None
    sha256: str

    @property
    def model_path(self) -> Path:
        """The tokenizer.json."""
        return self.folder / MODEL_FILE

    def summary(self) -> TokenizerSummary:
        """Describe it for `shardset.json`."""
        return TokenizerSummary(
            path=FOLDER,
            vocab_size=self.vocab_size,
            eos_token=self.eos_token,
            eos_token_id=self.eos_token_id,
            bos_token=self.bos_token,
            bos_token_id=self.bos_token_id,
            sha256=self.sha256,
        )


def source_sha256(name: str, base: Path) -> str | None:
    """Hash the files that a tokenizer is made from; nothing when they are not on this machine.

    Args:
        name: As in the corpus config.
        base: The folder that local names are relative to.
    """
    local = base / expand_path(name)
    if local.is_file():
        files = {MODEL_FILE: local}
    elif local.is_dir():
        files = {file: local / file for file in _SOURCES}
    else:
        files = {file: path for file in _SOURCES if (path := _cached(name, file)) is not None}
    digest = hashlib.sha256()
    found = [(file, path) for file, path in files.items() if path.is_file()]
    for file, path in found:
        digest.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {file}\n".encode())
    return digest.hexdigest() if found else None


def _cached(name: str, file: str) -> Path | None:
    """Find a file of the model hub that is on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, file)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def read_tokenizer(
    folder: Path, eos_token: str | None = None, bos_token: BosToken = None
) -> TokenizerFiles:
    """Read a prepared tokenizer folder.

    Args:
        folder: The files.
        eos_token: The end-of-text token; when it is not given, the one that they name.
        bos_token: The beginning-of-text token, if there is to be one.

    Raises:
        UserError: The files are damaged, or have or name no such tokens.
    """
    path = folder / MODEL_FILE
    try:
        vocabulary = _vocabulary(path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises plain Exception
        raise UserError(f"{path}: not a tokenizer.json ({error})") from error
    eos_token = eos_token or _named_eos(folder, vocabulary)
    if bos_token is True:
        bos_token = _named_bos(folder, vocabulary)
    for kind, token in (("end", eos_token), ("beginning", bos_token)):
        if token is not None and token not in vocabulary:
            raise UserError(f"{path}: the {kind}-of-text token {token!r} is not in the vocabulary")
    return TokenizerFiles(
        folder=folder,
        vocab_size=max(vocabulary.values()) + 1,
        eos_token=eos_token,
        eos_token_id=vocabulary[eos_token],
        bos_token=bos_token,
        bos_token_id=None if bos_token is None else vocabulary[bos_token],
        sha256=folder_sha256(folder),
    )


@functools.lru_cache(maxsize=1)
def _vocabulary(model: str) -> dict[str, int]:
    """Read the ids of all tokens, which is slow, so that it is done once in a build."""
    return reference_tokenizer(model).get_vocab(with_added_tokens=True)


def install_tokenizer(
    name: str,
    base: Path,
    folder: Path,
    eos_token: str | None,
    bos_token: BosToken = None,
) -> TokenizerFiles:
    """Copy a tokenizer from a hub name, a folder or a tokenizer.json into `folder`.

    Args:
        name: As in the corpus config.
        base: The folder that local names are relative to.
        folder: Where the files go; what is there is replaced.
        eos_token: The end-of-text token, when the files do not name it.
        bos_token: The beginning-of-text token, if there is to be one.

    Raises:
        UserError: There is no such tokenizer, or it has no such tokens.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    local = base / expand_path(name)
    if local.is_file():
        _install_file(local, folder)
    elif (local / MODEL_FILE).is_file():
        for file in _COPIED:
            if (local / file).is_file():
                shutil.copyfile(local / file, folder / file)
    elif source := _other_kind(local):
        _install_file(source, folder)
        own = {key: value for key, value in _read_settings(local).items() if value is not None}
        write_json(folder / SETTINGS_FILE, _read_settings(folder) | own)
    else:
        if local.is_dir() and not any((local / file).is_file() for file in _MODELS):
            raise UserError(f"tokenizer: {local} has none of {', '.join(_MODELS)}")
        if not local.exists() and not _may_be_on_hub(name):
            raise UserError(f"tokenizer: there is no file or folder {local}")
        _from_transformers(str(local) if local.is_dir() else name, folder)
    tokenizer = read_tokenizer(folder, eos_token, bos_token)
    _name_special_tokens(folder, tokenizer.eos_token, tokenizer.bos_token)
    return read_tokenizer(folder, bos_token=tokenizer.bos_token)


def _other_kind(folder: Path) -> Path | None:
    """Find the model of a folder without a tokenizer.json."""
    names = (TEKKEN_FILE, SENTENCEPIECE_FILE)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _install_file(path: Path, folder: Path) -> None:
    """Bring one model file into `folder`, as a tokenizer.json."""
    target = folder / MODEL_FILE
    if path.suffix == ".json":
        if is_tekken(path):
            write_json(folder / SETTINGS_FILE, convert_tekken(path, target))
        else:
            shutil.copyfile(path, target)
    elif ".model" in path.suffixes:
        write_json(folder / SETTINGS_FILE, convert_sentencepiece(path, target))
    else:
        shutil.copyfile(path, target)


def save_trained(
    model: Any, folder: Path, eos_token: str, bos_token: str | None = None
) -> TokenizerFiles:
    """Write a `tokenizers.Tokenizer` that was trained here as a folder for transformers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save(str(folder / MODEL_FILE))
    _name_special_tokens(folder, eos_token, bos_token)
    return read_tokenizer(folder, bos_token=bos_token)


def _may_be_on_hub(name: str) -> bool:
    """Tell a name that the hub could have from the path of a file."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        try_to_load_from_cache(name, MODEL_FILE)
    except HFValidationError:
        return False
    return True


def _from_transformers(name: str, folder: Path) -> None:
    """Load by hub name, or convert a folder that has only slow files."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        tokenizer.save_pretrained(str(folder))
    except Exception as error:  # anything from a network error to a missing package
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"tokenizer: {name!r} is no local tokenizer.json or folder with one, and loading it "
            f"from the model hub failed: {reason}"
        ) from error
    if not (folder / MODEL_FILE).is_file():
        raise UserError(f"tokenizer: {name!r} has no fast tokenizer (tokenizer.json)")


def _named_eos(folder: Path, vocabulary: Mapping[str, int]) -> str:
    named = _named(folder, "eos_token")
    if named is not None:
        return named
    for token in _USUAL_EOS:
        if token in vocabulary:
            return token
    raise UserError(
        f"{folder}: the tokenizer names no end-of-text token and has none of {list(_USUAL_EOS)}; "
        "give it as `tokenizer: {name: …, eos_token: …}`"
    )


def _named_bos(folder: Path, vocabulary: Mapping[str, int]) -> str:
    named = _named(folder, "bos_token")
    if named is not None:
        return named
    for token in _USUAL_BOS:
        if token in vocabulary:
            return token
    raise UserError(
        f"{folder}: the tokenizer names no beginning-of-text token and has none of "
        f"{list(_USUAL_BOS)}; give it as `tokenizer: {{name: …, bos_token: …}}`"
    )


def _named(folder: Path, key: str) -> str | None:
    """Read a special token's name out of the settings of a tokenizer."""
    named = _read_settings(folder).get(key)
    if isinstance(named, dict):
        named = named.get("content")
    return named if isinstance(named, str) else None


def _name_special_tokens(folder: Path, eos_token: str, bos_token: str | None) -> None:
    settings = _read_settings(folder)
    # A shard set must load without code or a class from elsewhere: a plain fast tokenizer.
    settings.pop("auto_map", None)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["eos_token"] = eos_token
    if bos_token is not None:
        settings["bos_token"] = bos_token
    settings.setdefault("model_max_length", int(1e30))
    settings.setdefault("clean_up_tokenization_spaces", False)
    write_json(folder / SETTINGS_FILE, settings)


def _read_settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", SETTINGS_FILE):
        path = folder / name
        if path.is_file():
            try:
                settings |= json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{path}: not JSON ({error})") from error
    return settings
