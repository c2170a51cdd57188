"""Checkpoints belong to a run: what may differ when a run goes on from one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.run_id import content_of, what_counts

MAY_CHANGE = {
    "": {"compile_config", "device_train_microbatch_size", "fsdp_config", "metadata"},
    "model": {"attn_implementation", "init_device", "trust_remote_code", "use_auth_token"},
    "loader": {"num_workers", "persistent_workers", "pin_memory", "prefetch_factor", "timeout"},
    "dataset": {
        "cache_limit", "download_retry", "download_timeout", "keep_zip", "predownload",
        "validate_hash",
    },
    "stream": {"download_retry", "download_timeout", "keep_zip", "validate_hash"},
}  # fmt: skip
"""Keys that split or feed the same computation otherwise. They may differ between a checkpoint and
the run that goes on from it, as may everything that is not in the run id at all: the devices, the
loggers, callbacks that only look on, and where and how often the run saves."""
_MOST_DIFFERENCES = 8

Identity = dict[str, Any]


def identity_of(config: RunConfig) -> Identity:
    """Describe the run that a checkpoint belongs to, as plain values: key by key what counts."""
    counts = what_counts(config)
    _drop(counts, "")
    _drop(counts["model"], "model")
    for loader in (counts["train_loader"], *counts.get("eval_loader", ())):
        _drop(loader, "loader")
        _drop(loader["dataset"], "dataset")
        for stream in loader["dataset"]["streams"].values():
            _drop(stream, "stream")
    if config.eval_subset_num_batches == -1:
        # Every sample is evaluated, however they are grouped.
        counts.pop("device_eval_batch_size", None)
    identity = _flat("", counts) | {
        "content of the training data": content_of(config),
        # A checkpoint counts samples by the number of the stream.
        "order of the training streams": list(config.train_loader.dataset.streams),
    }
    return json.loads(json.dumps(identity))


def check_same_run(theirs: Identity | None, ours: Identity, place: str) -> None:
    """Refuse a checkpoint of another run.

    Args:
        theirs: Of the run that wrote the checkpoint; None when the checkpoint does not tell.
        ours: Of the run that wants to go on from it.
        place: The checkpoint.

    Raises:
        UserError: Names every key that differs, with both values and the way out.
    """
    if theirs is None:
        raise UserError(
            f"autoresume: {place} does not tell which config it belongs to (another program, or "
            f"mixscale before 1.0, wrote it); {_WAYS_OUT.format(place=place)}"
        )
    differing = [
        f"{key} is {_shown(theirs, key)} in the checkpoint, {_shown(ours, key)} in the config"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if not differing:
        return
    rest = len(differing) - _MOST_DIFFERENCES
    if rest > 0:
        differing[_MOST_DIFFERENCES:] = [f"and {rest} more"]
    raise UserError(
        f"autoresume: {place} belongs to a run of another config: {'; '.join(differing)}. Give "
        f"the config its old values to go on with that run; {_WAYS_OUT.format(place=place)}"
    )


_WAYS_OUT = (
    "to train anew, choose another `save_folder` or `run_name`; to train on from that model with "
    "this config, do so and add `load_path: {place}` (with `load_weights_only: true` it starts at "
    "the beginning of the data)"
)


def _drop(section: Identity, kind: str) -> None:
    for key in MAY_CHANGE[kind]:
        section.pop(key, None)


def _flat(prefix: str, values: Mapping[str, Any]) -> Identity:
    """Name every value by its keys joined with dots; a list's items by their label or number."""
    flat: Identity = {}
    for key, value in values.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            names = [item.get("label") or str(number) for number, item in enumerate(value)]
            value = dict(zip(names, value, strict=True))
        if isinstance(value, dict) and value:
            flat |= _flat(f"{prefix}{key}.", value)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(values: Identity, key: str) -> str:
    return repr(values[key]) if key in values else "absent"
