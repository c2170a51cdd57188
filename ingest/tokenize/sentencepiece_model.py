"""SentencePiece models, written as a tokenizer.json that gives the same ids."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.runtime.extras import require

_SPACE = "\u2581"
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
_UNIGRAM = 1
"""Types of pieces, and of a model (sentencepiece_model.proto)."""
_MOST_PIECES = 300
_AWKWARD_TEXTS = (
    "",
    " ",
    "   ",
    "\n\n",
    " leading, trailing ",
    "a  b   c\t\td\n\n\n  e\r\nf\r",
    "I'll we've DON'T 1234567890 3.14e-10 __init__",
    "\x00nul\x00 \u2028 \u00a0 \u200b \ufeff \u3000 \u2581 a\u2581\u2581b",
    "na\u00efve cafe\u0301 \u00e9 \ufb01ne \u2460 \u2167 \u212b \uff21",
    "\u4e2d\u6587\u5b57\u7b26 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 \U0001f469\u200d\U0001f467",
)


def convert_sentencepiece(path: Path, target: Path) -> dict[str, str]:
    """Write a SentencePiece model as a tokenizer.json.

    Returns:
        The tokens that it names for the beginning and the end of texts, by their key in
        tokenizer_config.json.

    Raises:
        UserError: The package for it is not installed, the file is no such model, or no
            tokenizer.json gives the ids of SentencePiece.
    """
    require("sentencepiece", f"{path}: a SentencePiece model, which")
    try:
        model = _read(path)
        names = _special_names(model)
        tokenizer = _converted(path, model, names)
    except Exception as error:  # protobuf and transformers each have their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a SentencePiece model that can be read ({reason})") from error
    _refuse_other_ids(path, model, tokenizer)
    if model.normalizer_spec.precompiled_charsmap:
        warnings.warn(
            f"{path}: it normalizes texts ({model.normalizer_spec.name}), which tokenizers does "
            "otherwise than SentencePiece where a mark stands after a character that changes",
            stacklevel=2,
        )
    tokenizer.save(str(target))
    return {key: name for key, name in names.items() if key != "unk_token" and name is not None}


def _read(path: Path) -> Any:
    from transformers.convert_slow_tokenizer import import_protobuf

    protobuf: Any = import_protobuf()
    model = protobuf.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def _special_names(model: Any) -> dict[str, str | None]:
    spec = model.trainer_spec
    places = {"unk_token": spec.unk_id, "bos_token": spec.bos_id, "eos_token": spec.eos_id}
    return {key: model.pieces[place].piece if place >= 0 else None for key, place in places.items()}


def _converted(path: Path, model: Any, names: dict[str, str | None]) -> Any:
    from transformers import LlamaTokenizerFast

    # The so-called legacy conversion gives the ids of SentencePiece itself.
    options = {"add_bos_token": False, "add_eos_token": False, **names}
    tokenizer = LlamaTokenizerFast(vocab_file=str(path), legacy=True, **options).backend_tokenizer
    tokenizer.normalizer = _normalizer(model.normalizer_spec)
    if model.trainer_spec.model_type == _UNIGRAM:
        tokenizer.pre_tokenizer = _cuts_through(_pieces(model, _CONTROL, _UNKNOWN))
    return tokenizer


def _cuts_through(pieces: Sequence[str]) -> Any:
    """Cut texts inside what spells a control piece, which `tokenizers` would take for one."""
    from tokenizers import Regex, pre_tokenizers

    spelled = (f"{re.escape(p[0])}(?={re.escape(p[1:])})" for p in pieces if len(p) > 1)
    pattern = "|".join(spelled)
    return pre_tokenizers.Split(Regex(pattern), "merged_with_previous") if pattern else None


def _normalizer(spec: Any) -> Any:
    """Do what SentencePiece does to a text first; transformers leaves out most of it."""
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(rf"\A +|[ {_SPACE}]+\z"), ""))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    steps.append(normalizers.Replace(" ", _SPACE))
    return normalizers.Sequence(steps)


def _refuse_other_ids(path: Path, model: Any, tokenizer: Any) -> None:
    """Make sure that the conversion gives the ids of SentencePiece on texts that are hard on it."""
    library: Any = import_module("sentencepiece")
    reference = library.SentencePieceProcessor(model_proto=path.read_bytes())
    # A text that spells a special token is data.
    tokenizer.encode_special_tokens = True
    for text in [*_AWKWARD_TEXTS, *_texts_with_pieces(model)]:
        if tokenizer.encode(text, add_special_tokens=False).ids != reference.encode(text):
            raise UserError(
                f"{path}: this SentencePiece model cannot be written as a tokenizer.json that "
                f"gives the same ids (for example for {text!r}); use a tokenizer.json of it"
            )
    tokenizer.encode_special_tokens = False


def _texts_with_pieces(model: Any) -> list[str]:
    """Write each piece that is not learnt from text between letters and at the ends."""
    pieces = _pieces(model, _CONTROL, _USER_DEFINED, _UNKNOWN)[:_MOST_PIECES]
    found = [piece.replace(_SPACE, " ") for piece in pieces]
    return [text for piece in found for text in (piece, f"a{piece}b {piece} c{piece}{piece}")]


def _pieces(model: Any, *types: int) -> list[str]:
    return [piece.piece for piece in model.pieces if piece.type in types]
