"""The text of a corpus.yaml for what was found in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from mixscale.ingest.presets import LAYOUTS
from mixscale.ingest.readers.find_files import format_by_name
from mixscale.propose.decide import Decision, tokens_of
from mixscale.propose.listing import ListedFile
from mixscale.propose.patterns import joined, literal, patterns_for
from mixscale.propose.survey import FoundDomain
from mixscale.propose.wording import about_bytes, about_count, plural
from mixscale.propose.yaml_text import flow_list, one_line, scalar

_MOST_LISTED = 12


def corpus_yaml(decision: Decision, out: Path) -> str:
    """Write the settings of a build, with what was found as comments.

    Args:
        decision: What was found and chosen.
        out: The folder that the file will lie in, which its paths are relative to.
    """
    writer = _Writer(decision, out)
    parts = [
        writer.heading(),
        writer.what_to_read(),
        writer.tokenizer(),
        writer.samples(),
        writer.duplicates(),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


class _Writer:
    """Writes the parts of the file."""

    def __init__(self, decision: Decision, out: Path) -> None:
        self._decision = decision
        self._survey = decision.survey
        self._base = _base(self._survey.listing.folder, out)

    def heading(self) -> str:
        """Say what was looked at, and what was left out."""
        listing = self._survey.listing
        cut = ", its first files" if listing.is_cut else ""
        lines = [
            f"# What to read. Written by `mixscale init` after a look at "
            f"{one_line(str(listing.folder))}{cut}.",
            "# Amounts are estimates from samples. All keys: docs/corpus.md.",
            "#   mixscale build corpus.yaml --out shardset",
        ]
        for reason, files in self._survey.left_out.items():
            names = ", ".join(one_line(file.path) for file in files[:3])
            more = ", …" if len(files) > 3 else ""
            lines.append(f"# Not read: {one_line(reason)}: {names}{more}")
        return "\n".join(lines)

    def what_to_read(self) -> str:
        """Write `preset`, `route` or `domains`."""
        survey = self._survey
        if survey.layout is not None and survey.layout.layout.paths:
            return self._preset(survey.layout.preset, survey.layout.root)
        if survey.layout is not None:
            return self._routed_preset(survey.layout.preset, survey.layout.root)
        if survey.route_field is not None:
            return self._route(survey.route_field)
        lines = ["domains:"]
        for domain in self._decision.domains:
            lines += self._domain(domain)
        return "\n".join([*lines, *self._too_small()])

    def _preset(self, preset: str, root: tuple[str, ...]) -> str:
        lines = [
            f"preset: {preset}",
            f"root: {scalar(self._path(root))}",
            "domains:                # those that were found; without this key all are read",
        ]
        settings = LAYOUTS[preset].settings
        for domain in self._decision.domains:
            own = {"text": domain.text} if domain.text != settings.get("text", "text") else {}
            values = ", ".join(f"{key}: {scalar(value)}" for key, value in own.items())
            lines.append(f"  {domain.name}: {{{values}}}  # {_amount(domain)}")
        return "\n".join([*lines, *self._too_small()])

    def _routed_preset(self, preset: str, root: tuple[str, ...]) -> str:
        lines = [
            f"preset: {preset}",
            f"root: {scalar(self._path(root))}",
            f"domains:                # those that samples name in {LAYOUTS[preset].route_field}",
        ]
        for domain in self._decision.domains:
            values = f"text: {scalar(domain.text)}" if domain.text != "text" else ""
            lines.append(f"  {domain.name}: {{{values}}}  # {_amount(domain)}")
        first = self._decision.domains[0]
        if self._decision.uses_validation_files:
            lines.append(f"validation_paths: {self._found(first.validation, [])}")
        return "\n".join([*lines, *self._too_small()])

    def _route(self, field: str) -> str:
        """Write what divides records by a field."""
        first = self._decision.domains[0]
        others = [*first.validation, *first.tests, *self._not_read()]
        lines = [
            "# The records name their domain. Samples had these names; records with any other name",
            '# are counted and left out: `mixscale sql shardset "FROM rejects"` shows them.',
            "route:",
            f"  paths: {self._found(first.files, others)}",
            f"  field: {scalar(field)}",
        ]
        chosen = first.looks[0]
        if format_by_name(chosen.files[0].parts[-1])[0] != chosen.format:
            lines.append(f"  format: {chosen.format}")
        lines.append("  domains:")
        for domain in self._decision.domains:
            lines += [
                f"    {scalar(value)}: {domain.name}  # {_amount(domain)}"
                for value in domain.values
            ]
        if first.text != "text":
            lines.append("domains:")
            lines += [
                f"  {domain.name}: {{text: {scalar(domain.text)}}}"
                for domain in self._decision.domains
            ]
        if self._decision.uses_validation_files:
            lines.append(f"validation_paths: {self._found(first.validation, [])}")
        return "\n".join([*lines, *self._too_small()])

    def _domain(self, domain: FoundDomain) -> list[str]:
        others = [*domain.validation, *domain.tests, *self._not_read()]
        others += [file for d in self._survey.domains if d is not domain for file in d.files]
        lines = [
            f"  {domain.name}:  # {_amount(domain)}",
            f"    paths: {self._found(domain.files, others)}",
        ]
        if self._decision.uses_validation_files:
            lines.append(f"    validation_paths: {self._found(domain.validation, domain.files)}")
        chosen = domain.looks[0]
        if format_by_name(chosen.files[0].parts[-1])[0] != chosen.format:
            lines.append(f"    format: {chosen.format}")
        if chosen.format == "lines":
            lines.append("    # Every line is a document, so that some can be held out.")
        elif chosen.separator is not None:
            lines.append(f"    separator: {scalar(chosen.separator)}  # between documents")
        if domain.text != "text":
            lines.append(f"    text: {scalar(domain.text)}{self._other_fields(domain)}")
        return lines

    def _other_fields(self, domain: FoundDomain) -> str:
        """Name the fields that could have been meant."""
        fields = domain.looks[0].fields
        long = sorted(fields.counts.items(), key=lambda item: -item[1].mean)[:4]
        names = [one_line(p) for p, counts in long if p != domain.text and counts.mean > 20]
        return f"  # other long fields: {', '.join(names)}" if names else ""

    def _too_small(self) -> list[str]:
        found = self._decision.too_small
        if not found:
            return []
        lines = ["# Too little text for a domain of its own:"]
        lines += [f"#   {domain.name}: {_amount(domain)}" for domain in found[:_MOST_LISTED]]
        more = len(found) - _MOST_LISTED
        return [*lines, f"#   and {more} more"] if more > 0 else lines

    def _not_read(self) -> list[ListedFile]:
        return [file for files in self._survey.left_out.values() for file in files if file.size]

    def _found(self, files: list[ListedFile], others: list[ListedFile]) -> str:
        found = patterns_for(files, others)
        return flow_list([self._path(tuple(pattern.split("/"))) for pattern in found])

    def _path(self, parts: tuple[str, ...]) -> str:
        """Write a path from the folder of the file."""
        if not parts:
            return self._base or "."
        if "?" in self._base:
            # Nothing is taken as it is behind the first part that is a pattern.
            parts = (*(part if part == "**" else literal(part) for part in parts[:-1]), parts[-1])
        inside = joined(parts[:-1], parts[-1], is_pattern=True)
        return f"{self._base}/{inside}" if self._base else inside

    def tokenizer(self) -> str:
        """Write which tokenizer cuts the text."""
        decision = self._decision
        if decision.tokenizer is not None:
            parts = () if decision.tokenizer == "." else tuple(decision.tokenizer.split("/"))
            # Without a sign of a folder it could be a name on the model hub.
            path = self._path(parts)
            path = path if path.startswith((".", "/")) else f"./{path}"
            why = "# Found here. A name on the model hub works, too: gpt2."
            return f"{why}\ntokenizer: {scalar(path)}"
        return "\n".join(
            [
                "# Trained on a sample of this text. For the tokenizer of your model write its",
                "# name on the model hub or its folder instead: `tokenizer: gpt2`.",
                "tokenizer:",
                f"  train: {{vocab_size: {decision.vocab_size}}}",
            ]
        )

    def samples(self) -> str:
        """Write how text is cut and what is held out."""
        decision = self._decision
        lines = [f"sequence_length: {decision.sequence_length}  # tokens in a sample", "split:"]
        if decision.share is not None:
            lines.append(
                f"  validation: {decision.share:g}  # part of the documents of each domain"
            )
        elif decision.validation_documents:
            lines.append(
                f"  validation_documents: {decision.validation_documents}  # of each domain"
            )
        else:
            lines.append(
                "  validation: 0  # too few documents to hold any out; proxy runs need some"
            )
        return "\n".join(lines)

    def duplicates(self) -> str:
        """Write what happens to equal texts."""
        return "\n".join(
            [
                "duplicates:",
                "  scope: corpus  # of equal texts one stays, in all domains together",
                "  # near: true   # of nearly equal texts, too",
            ]
        )


def _amount(domain: FoundDomain) -> str:
    tokens = about_count(tokens_of(domain))
    size = about_bytes(domain.raw_bytes)
    in_files = f", {plural(len(domain.files), 'file')} of {size}" if not domain.values else ""
    return f"about {about_count(domain.amount.documents)} documents, {tokens} tokens{in_files}"


def _base(folder: Path, out: Path) -> str:
    """Write the folder with the text as seen from the settings; nothing when it is the same."""
    here, there = os.path.abspath(out), os.path.abspath(folder)
    relative = os.path.relpath(there, here)
    far = relative.split(os.sep).count("..") > 2
    path = there if far else relative
    if path == ".":
        return ""
    parts = path.split(os.sep)
    return joined(parts[:-1], parts[-1])
