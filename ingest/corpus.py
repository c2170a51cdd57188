"""`corpus.yaml`: which text to read, how to choose from it and how to cut it into samples."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from mixscale.contracts.config import Config, TokenCount, load_config
from mixscale.contracts.errors import UserError, unknown_name
from mixscale.ingest.presets import LAYOUTS, Layout
from mixscale.ingest.readers.registry import AUTO, all_readers
from mixscale.ingest.select.filters import parse_filter

DOMAIN_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
UNROUTED = "unrouted"
"""Where the rows of records go that belong to no domain."""
RESERVED = (
    UNROUTED,
    "documents",
    "remainders",
    "signatures",
    "tokenizer",
    "runs",
    "sweeps",
    "fits",
    "shardset.json",
    "inputs.json",
    "files.sha256",
    "index.duckdb",
    "index.duckdb.wal",
)
"""Other things in a shard set have these names."""
_LONGEST_NAME = 128


DomainName = Annotated[str, Field(pattern=DOMAIN_NAME, max_length=_LONGEST_NAME)]
"""The name of a domain, which is also that of a folder."""


def _known_format(name: str) -> str:
    known = (AUTO, *all_readers())
    if name not in known:
        raise ValueError(f"unknown format {name!r}; expected one of {list(known)}")
    return name


FormatName = Annotated[str, AfterValidator(_known_format)]
"""A format of `readers/registry.py`, or `auto`."""


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _known_encoding(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        found = codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"unknown encoding {name!r}; known are those of Python") from None
    return None if found in ("utf-8", "utf-8-sig") else found


Encoding = Annotated[str | None, AfterValidator(_known_encoding)]
"""A text encoding that Python knows; nothing for UTF-8."""
NO_META = "none"
"""The value of `meta:` that keeps nothing."""
Strings = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""One text or a list of them."""


class Window(Config):
    """Keep only so many characters of every document."""

    head: int | None = Field(default=None, gt=0)
    """The first characters."""
    random: int | None = Field(default=None, gt=0)
    """One block from a random place, which depends on the text and `seed` alone."""
    seed: int = 17

    @model_validator(mode="after")
    def _one_kind(self) -> Window:
        if (self.head is None) == (self.random is None):
            raise ValueError("give either `head: N` or `random: N`")
        return self


class Domain(Config):
    """What a mixture weighs: some files, and which of their records count."""

    paths: Strings = ()
    """Globs, relative to the YAML file, or addresses that fsspec knows."""
    exclude: Strings = ()
    """Globs of files and folders that `paths` leaves out."""
    validation_paths: Strings = ()
    """Globs of the files whose texts are its validation split; `paths` leaves them out."""
    format: FormatName = AUTO
    """`auto` goes by the ending."""
    encoding: Encoding = None
    """Of the characters; UTF-8 when not given."""
    separator: str | None = Field(default=None, min_length=1)
    """What stands between the documents of a text file; without it the file is one document."""
    text: str = Field(default="text", min_length=1)
    """Dotted path of the text in a record."""
    meta: str | tuple[str, ...] | None = None
    """Dotted path of what to keep beside the text, a list of fields, or `none`; when it is not
    given, the field `meta`, or all other fields."""
    filters: Strings = ()
    """Conditions that a record must meet, all of them."""
    min_characters: int = Field(default=0, ge=0)
    """Shorter documents are left out; counted before `window`."""
    window: Window | None = None

    @field_validator("filters")
    @classmethod
    def _readable(cls, filters: tuple[str, ...]) -> tuple[str, ...]:
        for text in filters:
            parse_filter(text)
        return filters

    @field_validator("window", mode="before")
    @classmethod
    def _none_by_name(cls, value: Any) -> Any:
        return None if value == "none" else value


class Route(Config):
    """Files whose records name the domain they belong to."""

    paths: Strings
    field: str = Field(min_length=1)
    """Dotted path of the field that names the domain."""
    exclude: Strings = ()
    """Globs of files and folders that `paths` leaves out."""
    domains: dict[str, DomainName] = Field(min_length=1)
    """From the value of the field to the name of the domain."""
    format: FormatName = AUTO
    encoding: Encoding = None


class Near(Config):
    """When two texts count as nearly the same."""

    threshold: float = Field(default=0.8, gt=0, le=1)
    """Share of the runs of words that two texts must have in common (Jaccard similarity)."""
    words: int = Field(default=5, ge=1, le=64)
    """Words in a run."""
    permutations: int = Field(default=128, ge=16, le=1024)
    """Numbers in a signature: more of them estimate the similarity better, and take more space."""

    def bands(self) -> tuple[int, int]:
        """Choose how many bands of how many numbers find pairs at the threshold almost surely.

        Two texts of similarity s share a band with probability `1 - (1 - s**rows)**bands`
        (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.2). The longest
        bands are taken with which that is at least 0.95 at the threshold.
        """
        for rows in range(self.permutations, 1, -1):
            bands = self.permutations // rows
            if 1 - (1 - self.threshold**rows) ** bands >= 0.95:
                return bands, rows
        return self.permutations, 1


def _near_by_switch(value: Any) -> Any:
    return ({} if value else None) if isinstance(value, bool) else value


class Duplicates(Config):
    """What happens to documents of the same text, or nearly the same."""

    scope: Literal["corpus", "domain", "none"] = "corpus"
    """Where only one copy stays: in all domains together, in each domain, or nowhere."""
    priority: tuple[str, ...] = ()
    """Domains that win a text also found elsewhere, best first; the others follow in order."""
    near: Annotated[Near | None, BeforeValidator(_near_by_switch)] = None
    """Leave out texts that are nearly the same too."""

    @model_validator(mode="after")
    def _near_has_a_scope(self) -> Duplicates:
        if self.near is not None and self.scope == "none":
            raise ValueError("`near` needs `scope: corpus` or `scope: domain`")
        return self


class Split(Config):
    """How much is held out for validation of every domain that has no files for it."""

    validation: float | None = Field(default=None, ge=0, lt=1)
    """Share of the documents."""
    validation_documents: int | None = Field(default=None, ge=0)
    """Number of documents of each domain."""

    @model_validator(mode="after")
    def _one_kind(self) -> Split:
        if self.validation is not None and self.validation_documents is not None:
            raise ValueError("give `validation` or `validation_documents`, not both")
        return self

    @property
    def share(self) -> float | None:
        """The share to hold out, or nothing when a number of documents is given."""
        if self.validation_documents is not None:
            return None
        return 0.01 if self.validation is None else self.validation

    @property
    def holds_out(self) -> bool:
        """Whether there is to be any validation text."""
        return bool(self.share or self.validation_documents)


class TrainTokenizer(Config):
    """A byte-level BPE tokenizer learned from a sample of this corpus."""

    vocab_size: int = Field(ge=257, le=1 << 20)
    """All of it: 256 bytes, merges and the end-of-text token."""
    sample_bytes: int = Field(default=16_000_000, gt=0)
    """UTF-8 bytes of text to learn from, in equal parts from every domain."""


BosToken = Literal[True] | str | None
"""A token that every text begins with; true for the one that the tokenizer's files name."""


def _none_by_switch(value: Any) -> Any:
    return None if value is False else value


class TokenizerConfig(Config):
    """Where the tokenizer comes from."""

    name: str | None = None
    """A model hub name, a local folder or a tokenizer.json, local ones relative to this file."""
    train: TrainTokenizer | None = None
    eos_token: str | None = None
    """The end-of-text token; needed only when the tokenizer's files do not name it."""
    bos_token: Annotated[BosToken, BeforeValidator(_none_by_switch)] = None
    """A token that every text begins with; true for the one that the tokenizer's files name."""

    @model_validator(mode="after")
    def _one_kind(self) -> TokenizerConfig:
        if (self.name is None) == (self.train is None):
            raise ValueError("give a name or `train: {vocab_size: N}`")
        if self.train is not None and self.bos_token is True:
            raise ValueError("`bos_token: true` needs a tokenizer that names one; write the token")
        return self


def _tokenizer_by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Shards(Config):
    """How the shards are stored; the keys are those of Streaming's `MDSWriter`."""

    size_limit: int = Field(default=1 << 26, gt=0, lt=1 << 32)
    compression: str | None = None
    hashes: tuple[str, ...] = ("xxh64",)


class Corpus(Config):
    """The settings of one build."""

    preset: str | None = None
    """A published layout under `root`; `domains` may then choose and adjust its domains."""
    root: str | None = None
    domains: dict[DomainName, Domain] = Field(default={})
    route: Route | None = None
    validation_paths: Strings = ()
    """Globs of files for validation whose records name their domain as those of `route` do."""
    tokenizer: Annotated[TokenizerConfig, BeforeValidator(_tokenizer_by_name)]
    sequence_length: TokenCount = Field(gt=0)
    """Tokens in a sample."""
    split: Split = Split()
    duplicates: Duplicates = Duplicates()
    shards: Shards = Shards()

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str | None) -> str | None:
        if preset is not None and preset not in LAYOUTS:
            raise ValueError(str(unknown_name("preset", preset, LAYOUTS)))
        return preset

    @model_validator(mode="after")
    def _has_text(self) -> Corpus:
        if (self.preset is None) != (self.root is None):
            raise ValueError("`preset` and `root` go together")
        if self.preset is None and self.route is None and not self.domains:
            raise ValueError("nothing to read: give `preset` with `root`, `domains` or `route`")
        has_routes = self.preset is not None and bool(LAYOUTS[self.preset].routes)
        if has_routes and self.route is not None:
            raise ValueError(f"`route`: the preset {self.preset} has one of its own; remove one")
        if self.validation_paths and self.route is None and not has_routes:
            raise ValueError(
                "`validation_paths`: here they need records that name their domain (`route`); "
                "give them for each domain, below `domains`"
            )
        for name in domain_names(self):
            if name.lower() in RESERVED:
                raise ValueError(f"domains: {name!r} is reserved; choose another name")
        return self


def read_corpus(path: str | Path) -> Corpus:
    """Read `corpus.yaml` with its preset written out, so that every domain has its paths.

    Raises:
        UserError: The file is missing or wrong; the message names file, line and key.
    """
    corpus = load_config(path, Corpus)
    if corpus.preset is not None:
        corpus = _with_preset(corpus, str(path))
    _check_domains(corpus, str(path))
    return corpus


def domain_names(corpus: Corpus) -> tuple[str, ...]:
    """Name all domains in the order of the corpus config."""
    routed = corpus.route.domains.values() if corpus.route else ()
    return tuple(dict.fromkeys([*corpus.domains, *routed]))


def domains_with_validation_files(corpus: Corpus) -> frozenset[int]:
    """Number the domains that have files of their own for validation."""
    routed = corpus.route.domains.values() if corpus.route and corpus.validation_paths else ()
    return frozenset(
        rank
        for rank, name in enumerate(domain_names(corpus))
        if name in routed or corpus.domains.get(name, Domain()).validation_paths
    )


def preset_patterns(corpus: Corpus) -> list[str]:
    """List the patterns that come from the preset: of a published layout some may be absent."""
    if corpus.preset is None:
        return []
    layout, root = LAYOUTS[corpus.preset], str(corpus.root).rstrip("/")
    patterns = [pattern for paths in layout.paths.values() for pattern in paths]
    return [f"{root}/{p}" for p in (*patterns, *layout.route_paths, *layout.exclude)]


def _with_preset(corpus: Corpus, where: str) -> Corpus:
    layout = LAYOUTS[str(corpus.preset)]
    known = layout.paths or dict.fromkeys(layout.routes.values(), ())
    chosen = corpus.domains or dict.fromkeys(layout.default or known, Domain())
    for name, domain in chosen.items():
        if name not in known and not domain.paths:
            raise unknown_name(f"{where}: domains", name, known)
    root = str(corpus.root).rstrip("/")
    domains = {
        name: _with_layout(domain, layout, tuple(f"{root}/{p}" for p in known[name]))
        if name in known
        else domain
        for name, domain in chosen.items()
    }
    route = corpus.route
    if layout.routes:
        routes = {value: name for value, name in layout.routes.items() if name in chosen}
        paths = tuple(f"{root}/{pattern}" for pattern in layout.route_paths)
        exclude = tuple(f"{root}/{pattern}" for pattern in layout.exclude)
        route = Route(paths=paths, exclude=exclude, field=layout.route_field, domains=routes)
    return corpus.model_copy(update={"domains": domains, "route": route})


def _with_layout(domain: Domain, layout: Layout, paths: tuple[str, ...]) -> Domain:
    """Fill in what the settings of a published domain leave open."""
    own = domain.model_fields_set
    update = {key: value for key, value in layout.settings.items() if key not in own}
    return domain.model_copy(update=update | ({} if domain.paths else {"paths": paths}))


def _check_domains(corpus: Corpus, where: str) -> None:
    routed = set(corpus.route.domains.values()) if corpus.route else set()
    for name, domain in corpus.domains.items():
        if not domain.paths and name not in routed:
            raise UserError(f"{where}: domains.{name}.paths: missing")
    names = domain_names(corpus)
    for name in corpus.duplicates.priority:
        if name not in names:
            raise unknown_name(f"{where}: duplicates.priority", name, names)
