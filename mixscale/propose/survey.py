"""The domains of a folder: where their files are, what is in them, how much of it there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.find_files import format_by_name
from mixscale.ingest.readers.registry import all_readers
from mixscale.propose.fields import Fields, domain_field
from mixscale.propose.grouping import domain_name, group_files
from mixscale.propose.layouts import KnownLayout, known_layout, routed_layout
from mixscale.propose.listing import ListedFile, Listing, list_folder
from mixscale.propose.look import PLAIN_BYTES, Amount, Look, Reader, amount, divide, spread
from mixscale.propose.splits import split_of

_SMALL_PART = 0.05
_TEXT_FORMAT = "text"
_LEAST_BYTES = 1_500
"""A domain with less text gives no sample worth training on."""
_SNIFFED_BYTES = 1 << 16
_ROUNDS = 4


@dataclass(kw_only=True)
class FoundDomain:
    """A domain with its files."""

    name: str
    looks: list[Look]
    """Of the files to train on, an ending each."""
    text: str
    """Field with the text."""
    amount: Amount
    validation: list[ListedFile] = field(default_factory=list)
    """Files that are published for validation."""
    tests: list[ListedFile] = field(default_factory=list)
    """Files that are published for tests, which nothing reads."""
    values: list[str] = field(default_factory=list)
    """What records name the domain by, when they do."""

    @property
    def files(self) -> list[ListedFile]:
        """The files to train on."""
        return [file for look in self.looks for file in look.files]

    @property
    def raw_bytes(self) -> int:
        """Bytes of the files on disk."""
        return sum(file.size for file in self.files)

    @property
    def is_enough(self) -> bool:
        """Whether there is enough text for a domain."""
        return self.amount.distinct_bytes >= _LEAST_BYTES and self.amount.distinct_documents >= 1.5


@dataclass(kw_only=True)
class Survey:
    """What a folder holds."""

    listing: Listing
    domains: list[FoundDomain]
    layout: KnownLayout | None = None
    route_field: str | None = None
    """The field that names the domain of each record, when folders do not."""
    left_out: dict[str, list[ListedFile]] = field(default_factory=dict)
    """Files that no domain has, by the reason."""


def survey_folder(folder: Path) -> Survey:
    """Look at a folder of text.

    Raises:
        UserError: It is none, cannot be read, or holds no text; the message says what it holds.
    """
    if not folder.is_dir():
        what = "is a file; give the folder that it lies in" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}")
    listing = list_folder(folder)
    left_out: dict[str, list[ListedFile]] = {}
    reader = Reader(folder)
    files = _readable(listing, reader, left_out)
    survey, without_text = _divide(listing, files, reader)
    for _ in range(_ROUNDS):
        if not without_text:
            break
        for reason, found in without_text.items():
            left_out.setdefault(reason, []).extend(found)
            files = [file for file in files if file not in found]
        survey, without_text = _divide(listing, files, reader)
    survey.left_out = left_out | survey.left_out
    if not survey.domains:
        raise UserError(_nothing(survey))
    return survey


def _readable(
    listing: Listing, reader: Reader, left_out: dict[str, list[ListedFile]]
) -> list[ListedFile]:
    """Choose the files that may hold text: by their endings, else by their beginnings."""
    whole = sum(file.size for file in listing.files)
    known = [file for file in listing.files if file.format is not None and file.size]
    empty = [file for file in listing.files if not file.size]
    if empty:
        left_out["empty files"] = empty
    for ending in sorted({file.ending for file in listing.files if file.format is None}):
        alike = [f for f in listing.files if f.ending == ending and f.format is None and f.size]
        if not alike:
            continue
        is_much = sum(file.size for file in alike) >= _SMALL_PART * whole
        format_name = _format_by_content(alike, reader) if is_much else None
        if format_name is None:
            label = f"files with the ending .{ending}" if ending else "files without an ending"
            left_out[label] = alike
        known += [replace(file, format=format_name) for file in alike if format_name is not None]
    notes = [file for file in known if file.format == _TEXT_FORMAT]
    if 0 < sum(f.size for f in notes) < _SMALL_PART * sum(f.size for f in known):
        left_out["text files beside the data"] = notes
        known = [file for file in known if file.format != _TEXT_FORMAT]
    return sorted(known, key=lambda file: file.parts)


def _format_by_content(files: Sequence[ListedFile], reader: Reader) -> str | None:
    """Find out what files are whose ending tells nothing: JSON Lines, text, or neither."""
    tried = spread(files, 3)
    for name in ("jsonl", _TEXT_FORMAT):
        (look,) = reader.look(
            [replace(file, format=name) for file in tried], _SNIFFED_BYTES * len(tried)
        )
        texts = [r.get("text", "") for records, _, _ in look.samples for r in records]
        has_nul = any("\0" in text for text in texts if isinstance(text, str))
        if look.fields.records > look.malformed.total() and not has_nul:
            return name
    return None


def _divide(
    listing: Listing, files: list[ListedFile], reader: Reader
) -> tuple[Survey, dict[str, list[ListedFile]]]:
    """Divide files into domains; returns also those that turn out to hold no text, by reason."""
    layout = known_layout(files)
    if layout is not None:
        groups = layout.files
        inside = {file.parts for group in groups.values() for file in group}
        others = [file for file in files if file.parts not in inside]
        survey, without = _by_files(listing, groups, reader)
        survey.layout = layout
        if others:
            survey.left_out[f"files outside the layout {layout.preset}"] = others
        return survey, without
    groups = group_files(files, listing.folder.resolve().name)
    survey, without = _by_files(listing, groups, reader)
    if without:
        return survey, without
    routed = _by_field(survey)
    return (survey if routed is None else routed), {}


def _by_files(
    listing: Listing, groups: dict[str, list[ListedFile]], reader: Reader
) -> tuple[Survey, dict[str, list[ListedFile]]]:
    domains: list[FoundDomain] = []
    without: dict[str, list[ListedFile]] = {}
    seen: set[bytes] = set()
    for name, files in groups.items():
        read, validation, tests = _by_split(files)
        looks = []
        for look in reader.look(read, PLAIN_BYTES / len(groups)):
            if look.text is None:
                without.setdefault(_why_without(look), []).extend(look.files)
            else:
                looks.append(look)
        if not looks:
            continue
        domain, others = _domain(name, looks, seen)
        for other in others:
            reason = f"files of {name} with the text in {other.text!r}, not in {domain.text!r}"
            without.setdefault(reason, []).extend(other.files)
        domain.validation = validation
        domain.tests = tests
        domains.append(domain)
    return Survey(listing=listing, domains=domains), without


def _domain(name: str, looks: list[Look], seen: set[bytes]) -> tuple[FoundDomain, list[Look]]:
    """Make a domain of what has its text in the field in which most is; returns also the rest."""
    sizes: Counter[tuple[str, str]] = Counter()
    for look in looks:
        kind = "" if _is_by_ending(look) else look.format
        sizes[look.text or "", kind] += sum(file.size for file in look.files)
    (text, kind), _ = sizes.most_common(1)[0]
    used = [
        look
        for look in looks
        if look.text == text and ("" if _is_by_ending(look) else look.format) == kind
    ]
    divide(used)
    parts = [amount(look, text, seen) for look in used]
    whole = sum(part.text_bytes for part in parts)
    total = Amount(
        documents=sum(part.documents for part in parts),
        text_bytes=whole,
        distinct=sum(part.distinct_bytes for part in parts) / whole if whole else 1.0,
    )
    domain = FoundDomain(name=name, looks=used, text=text, amount=total)
    return domain, [look for look in looks if look not in used]


def _is_by_ending(look: Look) -> bool:
    """Whether `format: auto` reads these files."""
    return format_by_name(look.files[0].parts[-1])[0] == look.format


def _by_split(
    files: Sequence[ListedFile],
) -> tuple[list[ListedFile], list[ListedFile], list[ListedFile]]:
    """Divide the files of a domain into those to train on, for validation, and for tests."""
    by_split: dict[str, list[ListedFile]] = {"train": [], "validation": [], "test": []}
    for file in files:
        by_split[split_of(file.parts) or "train"].append(file)
    if not by_split["train"]:
        # The name says what the text is about, not what it is for.
        return list(files), [], []
    return by_split["train"], by_split["validation"], by_split["test"]


def _by_field(survey: Survey) -> Survey | None:
    """Divide by a field of the records, where a published layout does, or files do not."""
    fields = Fields()
    for domain in survey.domains:
        for look in domain.looks:
            for records, _, _ in look.samples:
                for record in records:
                    fields.add(record)
    files = [f for d in survey.domains for f in (*d.files, *d.validation, *d.tests)]
    for path, counts in fields.counts.items():
        if counts.values:
            layout = routed_layout(files, path, counts.values)
            if layout is not None:
                known = Counter(
                    {v: n for v, n in counts.values.items() if v in layout.layout.routes}
                )
                names = {value: layout.layout.routes[value] for value in known}
                routed = _routed(survey, path, known, names)
                routed.layout = layout
                return routed
    found = domain_field(fields) if len(survey.domains) == 1 else None
    if found is None:
        return None
    return _routed(survey, *found, {value: domain_name(value) for value in found[1]})


def _routed(survey: Survey, path: str, values: Counter[str], names: dict[str, str]) -> Survey:
    """Divide what was found by the value of a field."""
    texts = Counter(domain.text for domain in survey.domains)
    text = texts.most_common(1)[0][0]
    whole = sum(domain.amount.text_bytes for domain in survey.domains)
    documents = sum(domain.amount.documents for domain in survey.domains)
    distinct = sum(domain.amount.distinct_bytes for domain in survey.domains) / max(whole, 1)
    looks = [look for domain in survey.domains for look in domain.looks]
    found: dict[str, FoundDomain] = {}
    for value, count in sorted(values.items()):
        name = names[value]
        share = count / values.total()
        if name not in found:
            found[name] = FoundDomain(
                name=name,
                looks=looks,
                text=text,
                amount=Amount(documents=0, text_bytes=0, distinct=distinct),
            )
        earlier = found[name].amount
        found[name].amount = Amount(
            documents=earlier.documents + share * documents,
            text_bytes=earlier.text_bytes + share * whole,
            distinct=distinct,
        )
        found[name].values.append(value)
    validation = [file for domain in survey.domains for file in domain.validation]
    tests = [file for domain in survey.domains for file in domain.tests]
    for domain in found.values():
        domain.validation, domain.tests = validation, tests
    return Survey(
        listing=survey.listing,
        domains=list(found.values()),
        route_field=path,
        left_out=survey.left_out,
    )


def _why_without(look: Look) -> str:
    """Say why no text was found in files of one ending."""
    if look.unreadable and not look.samples:
        return f"files that cannot be read ({look.unreadable[0]})"
    names = ", ".join(repr(name) for name, _ in look.fields.names.most_common(8))
    if names:
        return f"files whose records have no text (they have {names})"
    if look.malformed:
        return f"files without readable records ({look.malformed.most_common(1)[0][0]})"
    return "files without records"


def _nothing(survey: Survey) -> str:
    """Say what a folder holds in which no text was found."""
    listing = survey.listing
    lines = [f"{listing.folder}: no text found"]
    lines += [
        f"  {len(files)} {reason}, the first: {files[0].path}"
        for reason, files in survey.left_out.items()
    ]
    lines += [f"  {count} {kind}" for kind, count in listing.left_out.items()]
    lines += [f"  cannot be read: {reason}" for reason in listing.unreadable]
    if len(lines) == 1:
        lines = [f"{listing.folder}: the folder is empty"]
    endings = [f".{e}" for registered in all_readers().values() for e in registered.reader.endings]
    lines.append(f"files with these endings are read, compressed or not: {', '.join(endings)}")
    return "\n".join(lines)
