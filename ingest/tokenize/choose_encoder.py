"""The encoder of a build: the fast one, if it is exact for the tokenizer and the texts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.runtime.progress import print_status
from mixscale.ingest.runtime.runner import Runner
from mixscale.ingest.select.classify import ReadSettings
from mixscale.ingest.tokenize.encoder import (
    FAST,
    REFERENCE,
    EncoderSpec,
    first_difference,
    load_encoders,
)
from mixscale.ingest.tokenize.proven import model_settings, normal_forms, revealing_texts
from mixscale.ingest.tokenize.sample import sample_texts, spread_units, units_by_domain
from mixscale.ingest.tokenize.tokenizer_files import TokenizerFiles
from mixscale.shards.storage.mds import token_dtype

_CHECKED_UNITS = 4
_CHECKED_BYTES = 1 << 16
_AWKWARD_TEXTS = (
    "a  b   c\t\td\n\n\n  e\r\nf\r",
    "\ufeffBOM \u2028 line \u2029 paragraph \u0085 next",
    "\x00nul\x00\x00 \x7f\x1b[0m",
    "\U0001d518\U0001d52b \U0001f469\u200d\U0001f469\u200d\U0001f467 e\u0301 \ufb01 \u212b",
    "العربية हिन्दी 中文字符 日本語 ไทย 한국어",
    "I'll we've DON'T 'S 1234567890 3.14e-10 __init__",
    " leading and trailing ",
)


def choose_encoder(
    tokenizer: TokenizerFiles,
    units: Sequence[Unit],
    settings: ReadSettings,
    run: Runner,
    *,
    progress: bool,
) -> EncoderSpec:
    """Choose the fast encoder if its ids are those of the reference on text of every domain."""
    spec = EncoderSpec(
        name=FAST,
        model_path=tokenizer.model_path.resolve(),
        eos_token_id=tokenizer.eos_token_id,
        dtype=token_dtype(tokenizer.vocab_size).str,
        bos_token_id=tokenizer.bos_token_id,
    )
    load_encoders(spec)
    model = model_settings(spec.model_path.read_text(encoding="utf-8"))
    texts = [*_AWKWARD_TEXTS, *revealing_texts(model, tokenizer.eos_token)]
    awkward = tuple(text.encode() for text in texts)
    tasks = [_CheckTask(spec=spec, texts=awkward, units=(), settings=settings)]
    tasks += [
        _CheckTask(
            spec=spec, texts=(), units=spread_units(group, _CHECKED_UNITS), settings=settings
        )
        for group in units_by_domain(units)
    ]
    if normal_forms(model.get("normalizer")) is None:
        reason = f"its normalizer ({model['normalizer']['type']}) is not one of Unicode's forms"
    else:
        reason = next(filter(None, run(_reason_against, tasks, lambda *_: None)), None)
    if reason is None:
        return spec
    warnings.warn(f"gigatoken is not used: {reason}; tokenizers is slower", stacklevel=2)
    print_status(
        f"tokenizer: {reason}; using the slower reference encoder (tokenizers)", progress=progress
    )
    return replace(spec, name=REFERENCE)


@dataclass(frozen=True, kw_only=True)
class _CheckTask:
    """Some of the texts that both encoders must agree on: given, and from the heads of units."""

    spec: EncoderSpec
    texts: tuple[bytes, ...]
    units: tuple[Unit, ...]
    settings: ReadSettings


def _reason_against(task: _CheckTask) -> str | None:
    texts = [*task.texts, *sample_texts(task.units, task.settings, _CHECKED_BYTES)]
    try:
        number = first_difference(task.spec, texts)
    except Exception as error:  # whatever a tokenizer that it does not know makes it raise
        return f"gigatoken cannot use this tokenizer ({error})"
    if number is None:
        return None
    start = texts[number][:60].decode("utf-8", "replace")
    return f"gigatoken gives other ids than tokenizers, for example in {start!r}"
