"""The command that looks at a folder of text and writes the first settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixscale.cli.options import FILE, json_option
from mixscale.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mixscale.propose.propose import Proposal


@click.command()
@click.argument("folder", type=FILE, default=Path())
@click.option("--out", type=FILE, default=Path(), help="Folder for the files; by default this one.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@json_option
def init(folder: Path, out: Path, force: bool, as_json: bool) -> None:
    """Write corpus.yaml, experiment.yaml and run.yaml for the text in FOLDER.

    Looks at formats, fields, sizes and names, takes sub-folders, files or a field of the records
    for domains, and recognises published layouts. A bounded number of files and bytes is read, so
    that a large folder takes seconds, too. The files are a start that works: read and change them.

    \b
    Examples:
      mixscale init raw
      mixscale init /data/redpajama --out experiments/first
    """
    from mixscale.propose.propose import propose

    found = propose(folder, out, force=force)
    if as_json:
        print_json(found.as_json())
        return
    _show(found)


def _show(found: Proposal) -> None:
    from rich.markup import escape
    from rich.table import Table

    from mixscale.propose.decide import tokens_of
    from mixscale.propose.wording import about_bytes, about_count
    from mixscale.propose.yaml_text import one_line

    decision = found.decision
    survey = decision.survey
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("domain", "format", "text in"):
        table.add_column(name, overflow="fold")
    for name in ("files", "size", "documents", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for domain in survey.domains:
        is_used = domain in decision.domains
        table.add_row(
            escape(domain.name),
            escape(", ".join(sorted({look.ending or look.format for look in domain.looks}))),
            escape(one_line(domain.text)),
            f"{len(domain.files):,}" if not domain.values else "",
            about_bytes(domain.raw_bytes) if not domain.values else "",
            f"~{about_count(domain.amount.documents)}",
            f"~{about_count(tokens_of(domain))}" if is_used else "too little",
        )
    print_table(table)
    for line in _remarks(found):
        click.echo(one_line(line))
    click.echo(f"\nwrote {', '.join(map(str, found.written))}. Read them, then:")
    for line in _next_steps(found):
        click.echo(f"  {line}")


def _remarks(found: Proposal) -> list[str]:
    decision = found.decision
    survey = decision.survey
    lines = []
    if survey.layout is not None:
        lines.append(f"the layout is that of {survey.layout.preset}")
    if survey.route_field is not None and survey.layout is None:
        lines.append(f"the records name their domain in {survey.route_field!r}")
    if decision.tokenizer is not None:
        lines.append(f"tokenizer: {decision.tokenizer}")
    for reason, files in survey.left_out.items():
        example = files[0].path
        lines.append(f"not read: {reason}: {example}{_more(len(files))}")
    listing = survey.listing
    lines += [f"not read: {count:,} {kind}" for kind, count in listing.left_out.items()]
    lines += [f"cannot be read: {reason}" for reason in listing.unreadable[:5]]
    for domain in survey.domains:
        for look in domain.looks if domain is survey.domains[0] or not domain.values else ():
            lines += [f"cannot be read: {reason}" for reason in look.unreadable[:3]]
            if look.malformed:
                reason, count = look.malformed.most_common(1)[0]
                lines.append(
                    f"{domain.name}: {look.malformed.total():,} of the sampled records cannot be "
                    f"read ({reason}: {count:,})"
                )
    if listing.is_cut:
        lines.append("the folder has more files than were listed: the amounts are too low")
    return lines


def _more(count: int) -> str:
    return f" and {count - 1:,} more" if count > 1 else ""


def _next_steps(found: Proposal) -> list[str]:
    corpus = found.written[0]
    folder = corpus.parent
    shardset = folder / "shardset"
    steps = [f"mixscale build {corpus} --out {shardset}"]
    if found.decision.proxies is None:
        return [*steps, "(no experiment.yaml: the text is too little for proxy runs)"]
    steps.append(f"mixscale plan {folder / 'experiment.yaml'}")
    if len(found.decision.domains) == 1:
        steps.append("(one domain: a mixture needs two or more; see experiment.yaml)")
    return steps
