"""The command that draws pages: of a shard set, of a fit, of two fits."""

from __future__ import annotations

from pathlib import Path

import click

from mixscale.cli.options import FILE, json_option
from mixscale.cli.output import print_json


@click.command()
@click.argument("folder", metavar="SHARDSET|FIT", type=FILE)
@click.option("--out", type=FILE, help="File to write instead of report.html; for a shard set.")
@click.option(
    "--compare", type=FILE, metavar="OTHER", help="Another fit: one page about both instead."
)
@json_option
def report(folder: Path, out: Path | None, compare: Path | None, as_json: bool) -> None:
    """Draw a page about SHARDSET or about FIT: report.html in its folder.

    The page of a shard set shows domains, lengths, duplicates, what was left out and why, and texts
    of every domain, so that a person looks at the data before paying for training on it. A build
    that refused its input has a page, too. A fit writes its page by itself; this draws it again,
    with its figures as PNG files. With --compare OTHER it is a page about two fits,
    compare-OTHER.html in the folder of FIT.

    \b
    Examples:
      mixscale report shardset
      mixscale report shardset --out pages/shardset.html
      mixscale report shardset/fits/demo-1a2b3c
      mixscale report shardset/fits/demo-1a2b3c --compare shardset/fits/demo-4d5e6f
    """
    from mixscale.api.reports import kind_of

    if kind_of(folder) == "fit":
        if out is not None:
            raise click.UsageError("--out: only with a shard set; the page of a fit lies in it")
        page = _page_of_fits(folder, compare)
    elif compare is not None:
        raise click.UsageError("--compare: only with fits")
    else:
        from mixscale.shards.page.page import report as write_page

        page = write_page(folder, out)
    if as_json:
        print_json({"report": str(page)})
    else:
        click.echo(f"wrote {page}")


def _page_of_fits(folder: Path, other: Path | None) -> Path:
    """Draw the page of a fit, or the one about two."""
    if other is None:
        from mixscale.fit.output.page import report as write_page

        return write_page(folder)
    from mixscale.fit.output.comparison import compare as write_comparison

    return write_comparison(folder, other)
