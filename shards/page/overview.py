"""The part of the page with the domains: how much of each, and how long its documents are."""

from __future__ import annotations

import math

from mixscale.contracts.shardset import TRAIN, VALIDATION
from mixscale.pages.bars import Bar, bars
from mixscale.pages.elements import Html
from mixscale.pages.frame import details, paragraph, section
from mixscale.pages.glossary import term
from mixscale.pages.histogram import Scale, histogram
from mixscale.pages.panels import panels
from mixscale.pages.tables import cell, small, table
from mixscale.shards.page.contents import Contents
from mixscale.shards.page.queries import BUCKETS_PER_DOUBLING, Lengths, bucket_of, bucket_start
from mixscale.shards.page.wording import count, part, size


def domains(contents: Contents) -> Html | None:
    """Show the domains with their part of the training tokens."""
    shardset = contents.shardset
    if shardset is None:
        return None
    train = {name: contents.tokens(name, TRAIN) for name in shardset.domain_names}
    whole = sum(train.values()) or 1
    most = max(train.values(), default=1)
    rows = []
    for name in shardset.domain_names:
        splits = shardset.domains[name]
        disk = sum(summary.shard_bytes for summary in splits.values())
        density = contents.tokens_per_byte(name)
        rows.append(
            [
                name,
                cell(bars([Bar(value=train[name])], most), class_="bars", style="width:30%"),
                cell(part(train[name] / whole), small(f"{count(train[name])} tokens")),
                count(contents.documents(name, TRAIN)),
                cell(
                    count(contents.documents(name, VALIDATION)),
                    small(f"{count(contents.tokens(name, VALIDATION))} tokens"),
                ),
                "" if density is None else f"{density:.3f}",
                size(disk),
            ]
        )
    heads = [
        term("domain", "Domain"),
        "",
        "Training text",
        "Documents",
        "For validation",
        term("tokens per byte", "Tokens per byte"),
        "On disk",
    ]
    return section(
        "Domains",
        table("Domains with their part of the training tokens", heads, rows, class_="wide"),
    )


def lengths(contents: Contents) -> Html | None:
    """Show how long documents are, a histogram for each domain."""
    found = {name: contents.lengths[name] for name in contents.domains if name in contents.lengths}
    if not found:
        return None
    scale = _scale(list(found.values()))
    drawn = [
        histogram(
            name,
            one.counts,
            scale,
            f"{contents.records(domain=name, status='kept')} documents; half have at most "
            f"{one.median:.0f} {contents.unit}",
            mark=bucket_of(one.median),
        )
        for name, one in found.items()
    ]
    rows = [
        [name, count(one.low), count(one.median), count(one.high), count(one.longest)]
        for name, one in found.items()
    ]
    unit = contents.unit.capitalize()
    heads = ["Domain", "5 % are shorter", "Half are shorter", "95 % are shorter", "Longest"]
    return section(
        "Lengths of documents",
        panels(
            drawn,
            f"{unit} of a document, on a scale that doubles; the line is where half are shorter. "
            "Each histogram is as high as its fullest bar.",
        ),
        details("As a table", table(f"{unit} of the documents of each domain", heads, rows)),
    )


def unfinished(contents: Contents) -> Html | None:
    """Say that the build was not finished, and what there is to see all the same."""
    if contents.shardset is not None:
        return None
    return paragraph(
        "The build refused its input, so there are no shards: this is what it has read. ",
        "Equal texts are known only as far as they were noticed while reading. ",
        "Mend corpus.yaml or the input, and run the same command again.",
        class_="note",
    )


def _scale(found: list[Lengths]) -> Scale:
    first = min(min(one.counts) for one in found)
    last = max(max(one.counts) for one in found)
    ticks = []
    power = math.ceil(math.log10(bucket_start(first)))
    while 10.0**power <= bucket_start(last + 1):
        place = BUCKETS_PER_DOUBLING * math.log2(10.0**power)
        ticks.append((place, _short(10**power)))
        power += 1
    return Scale(first=first, last=last, ticks=ticks)


def _short(number: int) -> str:
    return f"{number // 1000}k" if 1000 <= number < 10**6 else count(number)
