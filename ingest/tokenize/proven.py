"""Which texts the fast encoder is known to give the ids of the reference for.

The two may differ in the version of Unicode that they know, in how they match added tokens, and in
how they normalize. So a code point counts only after both gave the same ids for it between all
kinds of neighbours, by the tokenizer itself and by one that shows every boundary between words.
Whatever else is in a text sends the whole text to the reference.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

Ids = NDArray[np.uint32]
EncodeTexts = Callable[[Sequence[bytes]], list[Ids]]
MakeEncoders = Callable[[str], tuple[EncodeTexts, EncodeTexts]]
"""Makes the fast and the reference encoder of a tokenizer.json."""

_ASCII = bytes(range(128))
UnicodeForm = Literal["NFC", "NFD", "NFKC", "NFKD"]
_UNICODE_FORMS: tuple[UnicodeForm, ...] = ("NFC", "NFD", "NFKC", "NFKD")
_CODE_POINTS = 0x110000
_KINDS = "aZ1.' \n\r\t_é中"
_AROUND = "aZ1. \n\t'"
"""Characters that stand for the kinds that pre-tokenizers tell apart."""
_SHOWN = "aZ1. \n\t's"
_MOST_PAIRED_TOKENS = 64
_TRIED_TOGETHER = 32


@functools.lru_cache(maxsize=2)
def model_settings(model: str) -> Mapping[str, Any]:
    """Read a tokenizer.json, which is slow, so that it is done once in a process."""
    return orjson.loads(model)


class ProvenTexts:
    """Tells texts apart that only the reference encoder may encode; learns while it is used."""

    def __init__(self, model: str, make_encoders: MakeEncoders) -> None:
        """Look at a tokenizer.json; nothing is encoded before the first text that needs it."""
        self._settings = model_settings(model)
        self._model = model
        self._make_encoders = functools.cache(make_encoders)
        forms = normal_forms(self._settings.get("normalizer"))
        self._forms = forms or ()
        self._proven = np.zeros(_CODE_POINTS, np.bool_)
        self._tried = np.zeros(_CODE_POINTS, np.bool_)
        self._suspects = _any_of(self._suspect_contents(forms))

    @functools.cached_property
    def _boundaries(self) -> str | None:
        return boundary_model(self._settings)

    def unproven(self, texts: Sequence[bytes]) -> list[int]:
        """Number the texts that must go to the reference encoder."""
        wide = {n: text.translate(None, _ASCII) for n, text in enumerate(texts)}
        wide = {n: rest for n, rest in wide.items() if rest}
        self._try_code_points(wide.values())
        found = [n for n, rest in wide.items() if not self._knows(texts[n], rest)]
        if self._suspects is not None:
            search = self._suspects.search
            found += [n for n, text in enumerate(texts) if search(text)]
        return sorted(set(found))

    def _knows(self, text: bytes, rest: bytes) -> bool:
        if not self._proven[_code_points(rest)].all():
            return False
        decoded = text.decode("utf-8") if self._forms else ""
        return all(unicodedata.is_normalized(form, decoded) for form in self._forms)

    def _try_code_points(self, rests: Any) -> None:
        found = np.unique(_code_points(b"".join(rests)))
        new = found[~self._tried[found]]
        if not len(new):
            return
        self._tried[new] = True
        characters = [chr(point) for point in new]
        if self._forms:
            # How a mark that this Python does not know would be reordered cannot be told.
            characters = [c for c in characters if unicodedata.category(c) != "Cn"]
        for start in range(0, len(characters), _TRIED_TOGETHER):
            some = characters[start : start + _TRIED_TOGETHER]
            same = some if self._agree_on(some) else [c for c in some if self._agree_on([c])]
            self._proven[list(map(ord, same))] = True

    def _agree_on(self, characters: Sequence[str]) -> bool:
        """Return whether both give the same ids for these characters between neighbours."""
        boundaries = self._boundaries
        if boundaries is None:
            return self._same_ids(self._model, characters, _between_neighbours)
        return self._same_ids(self._model, characters, _in_words) and self._same_ids(
            boundaries, characters, _between_neighbours
        )

    def _same_ids(self, model: str, characters: Sequence[str], write: Callable[[str], str]) -> bool:
        text = "".join(map(write, characters))
        if self._forms:
            text += "".join(f"a\u0323{c}\u0301 a{c}\u0323 a\u0301{c} " for c in characters)
        for form in self._forms:
            text = unicodedata.normalize(form, text)
        data = [text.encode("utf-8")]
        fast, reference = self._make_encoders(model)
        return np.array_equal(fast(data)[0], reference(data)[0])

    def _suspect_contents(self, forms: Sequence[UnicodeForm] | None) -> list[bytes]:
        """List what a text must not contain: added tokens that are not proven."""
        tokens = [t for t in self._settings.get("added_tokens", []) if not t["special"]]
        if not tokens:
            return []
        normalizer = self._settings.get("normalizer")
        suspects = [t["content"] for t in tokens if not _is_plain(t, normalizer, forms)]
        plain = [t["content"] for t in tokens if t["content"] not in suspects]
        return [_searched(content).encode() for content in [*suspects, *self._differing(plain)]]

    def _differing(self, contents: Sequence[str]) -> list[str]:
        """List the added tokens that the two encoders treat differently."""
        if not contents:
            return []
        fast, reference = self._make_encoders(self._model)

        def differs(text: str) -> bool:
            data = [text.encode()]
            return not np.array_equal(fast(data)[0], reference(data)[0])

        found = [content for content in contents if differs(_between_neighbours(content))]
        some = contents[:_MOST_PAIRED_TOKENS]
        for first, second in itertools.product(some, repeat=2):
            if first not in found and second not in found and differs(f"a{first}{second}a"):
                found += [first, second]
        if any(not content.strip() for content in contents):
            runs = (kind * length for kind in (" ", "\n", "\t") for length in range(1, 80))
            found += [c for c in contents if not c.strip()] if any(map(differs, runs)) else []
        return found


def normal_forms(normalizer: Mapping[str, Any] | None) -> tuple[UnicodeForm, ...] | None:
    """List the Unicode forms that a normalizer brings a text to; nothing if it does other things.

    What puts one text in the place of another, such as a space, is none of them.
    """
    if normalizer is None:
        return ()
    kind = normalizer["type"]
    if kind == "Sequence":
        parts = [normal_forms(part) for part in normalizer["normalizers"]]
        if any(part is None for part in parts):
            return None
        forms: list[UnicodeForm] = [form for part in parts for form in part or ()]
        return tuple(forms)
    found: tuple[UnicodeForm, ...] = tuple(form for form in _UNICODE_FORMS if form == kind)
    if found:
        return found
    is_plain = kind == "Prepend" or (kind == "Replace" and "String" in normalizer["pattern"])
    return () if is_plain else None


def boundary_model(settings: Mapping[str, Any]) -> str | None:
    """Write a tokenizer.json of the same words whose ids show where words begin and end.

    Of two tokenizers with the same merges, one may see a boundary where the other sees none, and
    still give the same ids, because there is nothing to merge across it. Here every byte of a
    character beyond ASCII merges with its neighbours. Nothing for other than byte-level BPE.
    """
    model = settings["model"]
    others = {key: value for key, value in settings.items() if key != "model"}
    if model.get("type") != "BPE" or b'"ByteLevel"' not in orjson.dumps(others):
        return None
    letters = byte_letters()
    shown = [letters[byte] for byte in _SHOWN.encode()]
    wide = [letters[byte] for byte in range(128, 256)]
    merges = [*itertools.product(shown, wide), *itertools.product(wide, shown)]
    vocabulary = dict.fromkeys([*letters.values(), *(a + b for a, b in merges)])
    simple = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: number for number, token in enumerate(vocabulary)},
        "merges": [f"{a} {b}" for a, b in merges],
    }
    kept = {**others, "model": simple, "added_tokens": [], "post_processor": None}
    return orjson.dumps(kept).decode()


def revealing_texts(settings: Mapping[str, Any], eos_token: str) -> list[str]:
    """Write texts that bring out what an encoder does not do as the tokenizer asks."""
    kinds = list(map("".join, itertools.product(_KINDS, repeat=3)))
    texts = ["".join(kinds[start : start + 48]) for start in range(0, len(kinds), 48)]
    printable = [chr(code) for code in range(1, 127)]
    texts += ["".join(first + second for second in printable) for first in printable]
    texts += [run * 3000 for run in ("a", "ab", " ", "\n", "1", "=", "中", "é")]
    named = [t["content"] for t in settings.get("added_tokens", [])]
    texts += [_between_neighbours(content) for content in {*named, eos_token}]
    return texts + [_between_neighbours(text) for text in _replaced(settings.get("normalizer"))]


def _replaced(normalizer: Mapping[str, Any] | None) -> list[str]:
    """List the texts that a normalizer puts others in the place of."""
    if normalizer is None:
        return []
    found = [text for part in normalizer.get("normalizers", []) for text in _replaced(part)]
    pattern = normalizer.get("pattern", {}).get("String")
    return found if pattern is None else [*found, pattern]


def _between_neighbours(text: str) -> str:
    around = "".join(f"{a}{text}" for a in _AROUND)
    return f"{around}{text}a'{text}a {text}'s {text}1{text}.{text}\n\n{text}  {text} "


def _in_words(text: str) -> str:
    return f" {text}a{text}{text} {text}1 "


def _is_plain(
    token: Mapping[str, Any],
    normalizer: Mapping[str, Any] | None,
    forms: Sequence[UnicodeForm] | None,
) -> bool:
    """Return whether an added token is found by its letters alone."""
    if token["single_word"] or token["lstrip"] or token["rstrip"]:
        return False
    if not token["normalized"] or normalizer is None:
        return True
    if not forms or _replaced(normalizer) or normalizer["type"] == "Prepend":
        return False
    # A text that is not in these forms goes to the reference anyway.
    return all(unicodedata.is_normalized(form, token["content"]) for form in forms)


def _searched(content: str) -> str:
    """Choose what of a token every text has in which it is found, whatever is stripped."""
    return max(content.split() or [content], key=len)


def _any_of(contents: Sequence[bytes]) -> re.Pattern[bytes] | None:
    return re.compile(b"|".join(map(re.escape, contents))) if contents else None


def _code_points(data: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(data.decode("utf-8").encode("utf-32-le"), "<u4")


def byte_letters() -> dict[int, str]:
    """Name the bytes as GPT-2's byte-level alphabet does."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain}
    return letters | {byte: chr(0x100 + number) for number, byte in enumerate(others)}
