"""Mistral's tekken.json, written as the tokenizer.json that everything here reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.tokenize.proven import byte_letters

_FIRST_SPECIAL = ("<unk>", "<s>", "</s>")


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
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        special = _special_tokens(found)
        count = int(found["config"]["default_vocab_size"]) - len(special)
        entries = found["vocab"][:count]
        words = [base64.b64decode(entry["token_bytes"], validate=True) for entry in entries]
        tokenizer = _tokenizer(found["config"]["pattern"], special, words)
    except Exception as error:  # tokenizers raises plain Exception
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: not a tekken.json that can be read ({reason})") from error
    tokenizer.save(str(target))
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    return {key: token for key, token in names.items() if token in special}


def _tokenizer(pattern: str, special: list[str], words: list[bytes]) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    ranks = {word: rank for rank, word in enumerate(words)}
    letters = byte_letters()
    spelled = ["".join(letters[byte] for byte in word) for word in words]
    vocabulary = {token: number for number, token in enumerate([*special, *spelled])}
    if len(vocabulary) < len(special) + len(words):
        raise ValueError("two of its tokens are the same")
    merges = [(spelled[first], spelled[second]) for first, second in _merges(words, ranks)]
    tokenizer: Any = Tokenizer(models.BPE(vocabulary, merges, fuse_unk=False, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer


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
