"""Tokenizers of other kinds, written as the tokenizer.json that everything here reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.tokenize.proven import byte_letters
from mixscale.runtime.extras import require

SENTENCEPIECE_FILE, TEKKEN_FILE = "tokenizer.model", "tekken.json"
_FIRST_SPECIAL = ("<unk>", "<s>", "</s>")


def convert_sentencepiece(path: Path, target: Path) -> dict[str, str]:
    """Write a SentencePiece model as a tokenizer.json, as transformers does for Llama's.

    Returns:
        The tokens that it names for the beginning and the end of texts, by their key in
        tokenizer_config.json.

    Raises:
        UserError: The package for it is not installed, or the file is no such model.
    """
    require("sentencepiece", f"{path}: a SentencePiece model, which")
    from transformers import LlamaTokenizerFast
    from transformers.convert_slow_tokenizer import import_protobuf

    try:
        protobuf: Any = import_protobuf()
        model = protobuf.ModelProto()
        model.ParseFromString(path.read_bytes())
        # The so-called legacy conversion gives the ids of SentencePiece itself.
        tokenizer = LlamaTokenizerFast(
            vocab_file=str(path),
            legacy=True,
            add_prefix_space=model.normalizer_spec.add_dummy_prefix,
        )
        tokenizer.backend_tokenizer.save(str(target))
        names = {"bos_token": model.trainer_spec.bos_id, "eos_token": model.trainer_spec.eos_id}
        return {key: model.pieces[place].piece for key, place in names.items() if place >= 0}
    except Exception as error:  # protobuf and transformers each have their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a SentencePiece model ({reason})") from error


def is_tekken(path: Path) -> bool:
    """Return whether a JSON file has the layout of Mistral's tekken.json."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "pattern" in (found.get("config") or {})


def convert_tekken(path: Path, target: Path) -> dict[str, str]:
    """Write a tekken.json as a tokenizer.json; text that spells a special token stays text.

    Returns:
        The tokens that texts begin and end with, by their key in tokenizer_config.json.

    Raises:
        UserError: The file is damaged.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        config = found["config"]
        special = _special_tokens(found)
        count = int(config["default_vocab_size"]) - len(special)
        words = [base64.b64decode(entry["token_bytes"]) for entry in found["vocab"][:count]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a tekken.json ({error})") from error
    ranks = {word: rank for rank, word in enumerate(words)}
    letters = byte_letters()
    spelled = ["".join(letters[byte] for byte in word) for word in words]
    vocabulary = dict.fromkeys(special, 0) | dict.fromkeys(spelled, 0)
    vocabulary = {token: number for number, token in enumerate(vocabulary)}
    merges = [(spelled[first], spelled[second]) for first, second in _merges(words, ranks)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, fuse_unk=False, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(config["pattern"]), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.save(str(target))
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    return {key: token for key, token in names.items() if token in special}


def _special_tokens(found: Mapping[str, Any]) -> list[str]:
    """Name the special tokens, which have the first ids."""
    count = int(found["config"]["default_num_special_tokens"])
    named = {
        int(entry["rank"]): str(entry["token_str"]) for entry in found.get("special_tokens") or []
    }
    named = named or dict(enumerate(_FIRST_SPECIAL))
    return [named.get(number, f"<SPECIAL_{number}>") for number in range(count)]


def _merges(words: list[bytes], ranks: Mapping[bytes, int]) -> list[tuple[int, int]]:
    """List the pairs that merge into each word, by rank, as TikTokenConverter does."""
    merges: list[tuple[int, int]] = []
    for word in words:
        cuts = ((word[:place], word[place:]) for place in range(1, len(word)))
        merges += sorted(
            (ranks[first], ranks[second])
            for first, second in cuts
            if first in ranks and second in ranks
        )
    return merges
