"""Sizes that fit the text there is: samples, validation split, vocabulary, proxy runs."""

from __future__ import annotations

import math
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import TrainTokenizer
from mixscale.propose.look import texts
from mixscale.propose.survey import FoundDomain, Survey

BYTES_PER_TOKEN = 4.5
"""Of English with a large vocabulary: more than most tokenizers need, so that no token is promised
that the build will not find."""
_LENGTHS = (2048, 1024, 512, 256, 128, 64, 32, 16)
_LEAST_BYTES = 400
"""Of which every tokenizer makes a sample of 16 tokens."""
_LEAST_TRAIN_SAMPLES = 24
_LEAST_VALIDATION_SAMPLES = 4
_SHARES = (0.01, 0.02, 0.05, 0.1)
_SURE_DOCUMENTS = 30
"""Expected documents with which a share of them is sure to hold some."""
_PROXY_TOKENS = 3_000_000
_PROXY_TOKENS_OF_LARGE = 24_000_000
_LARGE_TOKENS = 1_000_000_000
_MAX_EPOCHS = 4.0
_FACTOR = 3.0
_MARGIN = 0.6
_EVALUATED_TOKENS = 32768
_VOCABULARIES = ((2e5, 512), (2e6, 1024), (2e7, 2048), (5e8, 8192), (1e10, 16384))
"""Tokens to learn from less than so many bytes."""
_LEAST_VOCABULARY = 257
_LEARNT_BYTES = 4_000_000
_LEARNT_FILES = 16
"""Of each domain: a build learns from the beginnings of so many."""
_SURPLUS = 1.3
"""The build learns from other texts, which may give fewer tokens."""
_TINY_TOKENS = 50_000
_TINY_PART = 0.005


@dataclass(frozen=True, kw_only=True)
class ProxyRuns:
    """The design of experiment.yaml."""

    scales: tuple[int, ...]
    """Token budgets of the base runs; one of them when domains are few."""
    base: str
    """`uniform` or `natural`."""
    tokens_per_domain: int
    """Validation tokens."""
    batch_size: int
    """Samples in a step."""
    targets: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The settings for a folder."""

    survey: Survey
    domains: tuple[FoundDomain, ...]
    """Those with enough text."""
    too_small: tuple[FoundDomain, ...]
    sequence_length: int
    share: float | None
    """Of the documents, for validation; nothing when a number of documents is given."""
    validation_documents: int | None
    """Of each domain; 0 holds nothing out."""
    uses_validation_files: bool
    """Whether what is published for validation is used as such; otherwise it is left out."""
    tokenizer: str | None
    """Folder below the one that was looked at; nothing when one is to be trained."""
    vocab_size: int
    """Of the tokenizer that is trained."""
    proxies: ProxyRuns | None
    """Nothing when the text is too little for any."""

    @property
    def tokens(self) -> dict[str, float]:
        """Tokens by domain, estimated."""
        return {domain.name: tokens_of(domain) for domain in self.domains}


def tokens_of(domain: FoundDomain) -> float:
    """Estimate the tokens of a domain, each text once."""
    return domain.amount.distinct_bytes / BYTES_PER_TOKEN


def decide(survey: Survey) -> Decision:
    """Choose settings with which a build and a plan work.

    Raises:
        UserError: No domain has enough text.
    """
    enough = sorted((d for d in survey.domains if d.is_enough), key=tokens_of)
    if not enough:
        # A shard set can be made of little; proxy runs cannot.
        enough = [d for d in survey.domains if d.amount.distinct_bytes >= _LEAST_BYTES]
        enough.sort(key=tokens_of)
    if not enough:
        listed = ", ".join(
            f"{d.name}: about {d.amount.distinct_bytes:.0f} bytes in {d.amount.documents:.0f}"
            for d in survey.domains[:8]
        )
        raise UserError(
            f"{survey.listing.folder}: too little text for a domain ({listed} documents); "
            "some hundred bytes of text make one sample, some kilobytes a proxy run"
        )
    found: tuple[int, float | None, int | None, ProxyRuns] | None = None
    remaining = list(enough)
    while len(remaining) > 1 and _is_tiny(remaining):
        remaining.pop(0)
    while remaining and found is None:
        found = _fitting(survey, remaining)
        if found is None:
            remaining.pop(0)
    if found is None:
        remaining = [enough[-1]]
    length, share, documents, proxies = found or (16, None, 0, None)
    names = {domain.name for domain in remaining}
    domains = tuple(domain for domain in survey.domains if domain.name in names)
    return Decision(
        survey=survey,
        domains=domains,
        too_small=tuple(domain for domain in survey.domains if domain.name not in names),
        sequence_length=length,
        share=share,
        validation_documents=documents,
        uses_validation_files=_has_validation(domains, length),
        tokenizer=_usable_tokenizer(survey),
        vocab_size=_vocabulary(domains),
        proxies=proxies,
    )


def _is_tiny(domains: list[FoundDomain]) -> bool:
    """Whether the smallest domain would make the samples and runs of all others tiny."""
    least = tokens_of(domains[0])
    return least < _TINY_TOKENS and least < _TINY_PART * sum(map(tokens_of, domains))


def _fitting(
    survey: Survey, domains: list[FoundDomain]
) -> tuple[int, float | None, int | None, ProxyRuns] | None:
    """Find the longest samples with which everything fits, with split and proxy runs."""
    tokens = {domain.name: tokens_of(domain) for domain in domains}
    for length in _LENGTHS:
        if length > _longest(sum(tokens.values())):
            continue
        for share, documents in _splits(domains, length):
            held_out = {
                d.name: tokens[d.name] * share
                if share is not None
                else (documents or 0) * _typical_tokens(d)
                for d in domains
            }
            proxies = _proxies(tokens, held_out, length)
            if proxies is not None:
                return length, share, documents, proxies
    return None


def _longest(tokens: float) -> int:
    """Choose the length of samples that so much text is worth."""
    for least, length in ((_LARGE_TOKENS, 2048), (1e8, 1024), (3e7, 512), (5e6, 256)):
        if tokens >= least:
            return length
    return 128


def _splits(domains: list[FoundDomain], length: int) -> list[tuple[float | None, int | None]]:
    """List the splits that leave every domain enough for both purposes, smallest first."""
    found: list[tuple[float | None, int | None]] = []
    for share in _SHARES:
        if all(
            d.amount.distinct_documents * share >= _SURE_DOCUMENTS
            and tokens_of(d) * share >= 4 * _LEAST_VALIDATION_SAMPLES * length
            for d in domains
        ):
            found.append((share, None))
    needed = max(
        math.ceil(_LEAST_VALIDATION_SAMPLES * length / _typical_tokens(d)) for d in domains
    )
    fewest = min(d.amount.distinct_documents for d in domains)
    wanted = max(needed, min(100, int(fewest * 0.1)), 1)
    is_left = all(
        tokens_of(d) - wanted * max(_typical_tokens(d), _mean_tokens(d))
        >= _LEAST_TRAIN_SAMPLES * length
        for d in domains
    )
    if is_left and wanted <= fewest / 3:
        found.append((None, wanted))
    return found


def _mean_tokens(domain: FoundDomain) -> float:
    return domain.amount.text_bytes / BYTES_PER_TOKEN / max(domain.amount.documents, 1)


def _typical_tokens(domain: FoundDomain) -> float:
    """Estimate the tokens of a document such as chance may pick: few documents may be long."""
    lengths = [len(text) for text in texts(domain.looks, domain.text, 4_000_000)]
    median = statistics.median(lengths) / BYTES_PER_TOKEN if lengths else math.inf
    return max(0.25, min(_mean_tokens(domain), median))


def _proxies(tokens: dict[str, float], held_out: dict[str, float], length: int) -> ProxyRuns | None:
    """Choose scales at which every run finds what it asks for; nothing when there are none."""
    train = {name: tokens[name] - held_out[name] for name in tokens}
    total, least = sum(train.values()), min(train.values())
    if least < _LEAST_TRAIN_SAMPLES * length:
        return None
    wanted = _PROXY_TOKENS_OF_LARGE if total >= _LARGE_TOKENS else _PROXY_TOKENS
    stretch = _MAX_EPOCHS * _MARGIN / _FACTOR
    uniform = min(wanted, stretch * least * len(train))
    natural = min(wanted, stretch * total)
    # Of every domain the smallest run needs some samples.
    base, large, share = "uniform", uniform, 1 / len(train)
    if natural > 4 * uniform and natural / _FACTOR**2 * least / total >= 8 * length:
        base, large, share = "natural", natural, least / total
    large = _rounded(large)
    scales = tuple(scale for scale in (_rounded(large / _FACTOR), large) if scale > 0)
    possible = tuple(scale for scale in scales if scale * share / _FACTOR >= 2 * length)
    evaluated = min([_EVALUATED_TOKENS, *(_MARGIN * value for value in held_out.values())])
    samples = int(evaluated // length)
    if not possible or samples < 1:
        return None
    batch = next((n for n in (8, 4, 2) if possible[0] / length / n >= 32), 1)
    return ProxyRuns(
        scales=possible,
        base=base,
        tokens_per_domain=samples * length,
        batch_size=batch,
        targets=tuple(dict.fromkeys((_rounded(total), _rounded(2 * total)))),
    )


def _rounded(tokens: float) -> int:
    """Round down to two digits."""
    if tokens < 10:
        return int(tokens)
    size = 10 ** (int(math.log10(tokens)) - 1)
    return int(tokens // size) * size


def _has_validation(domains: tuple[FoundDomain, ...], length: int) -> bool:
    """Whether what is published for validation gives every domain some samples."""
    if not all(domain.validation for domain in domains):
        return False
    for domain in domains:
        size = sum(file.size for file in domain.validation)
        part = size / max(1, domain.raw_bytes)
        if part * tokens_of(domain) < 2 * _LEAST_VALIDATION_SAMPLES * length:
            return False
    return True


def _usable_tokenizer(survey: Survey) -> str | None:
    """Find a tokenizer in the folder that a build takes."""
    from mixscale.ingest.tokenize.tokenizer_files import install_tokenizer

    for name in survey.listing.tokenizers:
        if not name.isprintable() or not name.isascii():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                install_tokenizer(name, survey.listing.folder, Path(scratch) / "tried", None)
            except UserError:
                continue
            return name
    return None


def _vocabulary(domains: tuple[FoundDomain, ...]) -> int:
    """Choose how many tokens to train; of few or uniform texts fewer can be learned."""
    size = sum(domain.amount.distinct_bytes for domain in domains)
    wanted = next((tokens for most, tokens in _VOCABULARIES if size < most), 32768)
    given = [
        text.encode("utf-8", "replace")
        for domain in domains
        for text in texts(domain.looks, domain.text, _LEARNT_BYTES // len(domains), _LEARNT_FILES)
    ]
    while wanted > _LEAST_VOCABULARY and not _is_learnable(given, int(_SURPLUS * wanted)):
        wanted = max(_LEAST_VOCABULARY, wanted // 2)
    return wanted


def _is_learnable(given: list[bytes], tokens: int) -> bool:
    """Try whether so many tokens can be learned from texts."""
    from mixscale.ingest.tokenize.prepare_tokenizer import END_OF_TEXT
    from mixscale.ingest.tokenize.train_tokenizer import train_tokenizer

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tokenizer"
        try:
            train_tokenizer(TrainTokenizer(vocab_size=tokens), END_OF_TEXT, given, folder)
        except UserError:
            return False
        return True
