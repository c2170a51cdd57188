"""The losses of single validation samples, by which two runs are compared sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixscale.contracts.evaluation import FOLDER, ItemValue
from mixscale.contracts.evaluation_items import VALIDATION, write_items
from mixscale.contracts.run_record import RunRecord
from mixscale.train.evaluate.loss import SampleLoss


def write_validation_items(
    folder: str | Path, samples: Mapping[str, Sequence[SampleLoss]], record: RunRecord
) -> None:
    """Write the loss, and the bits per byte where there are any, of each validation sample.

    Args:
        folder: Of the run.
        samples: By validation domain.
        record: Of the run; gives the bits per byte of a domain's loss.
    """
    rows = []
    for domain, losses in samples.items():
        measured = record.evaluation[domain]
        factors = {"loss": 1.0}
        if measured.bits_per_byte is not None and measured.loss_nats:
            factors["bpb"] = measured.bits_per_byte / measured.loss_nats
        rows += [
            ItemValue(task=domain, metric=metric, item=number, item_sha256=loss.sha256,
                      value=factor * loss.nats, weight=loss.tokens)
            for metric, factor in factors.items()
            for number, loss in enumerate(losses)
        ]  # fmt: skip
        rows += [
            ItemValue(task=domain, metric="masked_acc", item=number, item_sha256=loss.sha256,
                      value=loss.right / loss.tokens, weight=loss.tokens)
            for number, loss in enumerate(losses)
            if loss.right is not None
        ]  # fmt: skip
    if rows:
        write_items(Path(folder) / FOLDER / VALIDATION, rows)
