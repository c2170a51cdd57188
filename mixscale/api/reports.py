"""Pages from Python: of a shard set or of a fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import FIT
from mixscale.contracts.shardset import FILE_NAME


def report(folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Draw the page about a shard set, a build that refused its input, or a fit.

    Args:
        folder: Of the shard set or the fit, or what `build` returned.
        out: The file to write; `report.html` in the folder when absent. A fit takes none.

    Returns:
        The file.

    Raises:
        UserError: The folder is neither, or the file cannot be written there.
    """
    root = Path(folder)
    if kind_of(root) == "fit":
        if out is not None:
            raise UserError(f"{root}: the page of a fit lies in its folder; leave `out` away")
        from mixscale.fit.output.page import report as fit_page

        return fit_page(root)
    from mixscale.shards.page.page import report as shardset_page

    return shardset_page(root, None if out is None else Path(out))


def kind_of(folder: Path) -> Literal["fit", "shard set"]:
    """Tell a fit from a shard set, finished or not.

    Raises:
        UserError: The folder is neither; the message says what there is in it to draw.
    """
    if folder.name == FIT or (folder / FIT).is_file():
        return "fit"
    if not folder.exists():
        raise UserError(f"{folder}: no such folder")
    unfinished = folder / ".build"
    if folder.is_dir() and ((folder / FILE_NAME).is_file() or unfinished.is_dir()):
        return "shard set"
    fits = sorted(path.parent for path in folder.glob(f"*/{FIT}")) if folder.is_dir() else []
    if fits:
        raise UserError(f"{folder}: holds several things; choose one, such as {fits[-1]}")
    raise UserError(
        f"{folder}: neither a shard set ({FILE_NAME}) nor a fit ({FIT}); give the folder that "
        "`mixscale build` or `mixscale fit` wrote"
    )
