"""Run ids, which change whenever the result of a run could."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import FILE_NAME, ShardSet, read_shardset
from mixscale.train.config import (
    PAIRED,
    DatasetConfig,
    RunConfig,
    StreamConfig,
    to_plain,
)
from mixscale.train.run.remote_index import remote_index

_NOT_THE_EXPERIMENT = {
    "run_name", "variables", "loggers", "callbacks", "progress_bar", "log_to_console",
    "console_log_interval", "python_log_level", "dist_timeout", "save_folder", "save_interval",
    "save_num_checkpoints_to_keep", "save_overwrite", "autoresume", "expandable_segments",
    "max_split_size_mb", "cuda_load_lazy",
}  # fmt: skip
"""Keys that change where a run reports to, not what it computes."""
_OBSERVING_CALLBACKS = {
    "activation_monitor", "free_outputs", "hf_checkpointer", "lr_monitor", "memory_monitor",
    "memory_snapshot", "oom_observer", "optimizer_monitor", "runtime_estimator", "scheduled_gc",
    "speed_monitor", "system_metrics_monitor",
}  # fmt: skip
"""Callbacks that look on or save; all others may change or stop a run, and count."""

_BEGINNING_BYTES = 2**16
_MODEL_PLACE = "pretrained_model_name_or_path"


def run_id(config: RunConfig, content: str, name: str = "run") -> str:
    """Name a run: readable, and different when anything differs that changes its result.

    Args:
        config: The run.
        content: Hash of the data the run reads, which stands for the paths in the config.
        name: The readable part.
    """
    text = json.dumps([what_counts(config), content], sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def what_counts(config: RunConfig) -> dict[str, Any]:
    """Return the keys of a config that can change the result, with content in place of paths."""
    values = to_plain(config)
    counts = {key: value for key, value in values.items() if key not in _NOT_THE_EXPERIMENT}
    callbacks = {
        name: arguments
        for name, arguments in config.callbacks.items()
        if name not in _OBSERVING_CALLBACKS
    }
    if callbacks:
        counts["callbacks"] = callbacks
    root = _common_root(config)
    loaders = (config.train_loader, *config.eval_loader)
    for number, loader in enumerate((counts["train_loader"], *counts.get("eval_loader", ()))):
        names = list(loaders[number].dataset.streams)
        if names != sorted(names) and not _is_order_by_name(loaders[number].dataset):
            loader["order_of_streams"] = names
        for name, stream in loader["dataset"]["streams"].items():
            for place in ("local", "remote"):
                stream.pop(place, None)
            asked = loaders[number].dataset.streams[name]
            # `content` stands for the places of training streams outside of a shard set.
            timeout = loaders[number].dataset.download_timeout
            folder = _folder(name, asked, root, timeout) if number or root is not None else None
            if folder is not None:
                stream["folder"] = folder
    # The files of a shard set's own are in `content`; tokens added to them make the model larger.
    counts["tokenizer"] = counts["tokenizer"]["kwargs"]
    tokenizer = _content(config.tokenizer.name)
    if root is None or tokenizer != _content(str(root / read_shardset(root).tokenizer.path)):
        counts["tokenizer"] = counts["tokenizer"] | {"name": tokenizer}
    counts["model"][_MODEL_PLACE] = _content(counts["model"][_MODEL_PLACE])
    if config.first_checkpoint:
        counts["load_path"] = _content(config.first_checkpoint)
    return counts


def _is_order_by_name(dataset: DatasetConfig) -> bool:
    """Whether the order of samples is the same however the streams are listed."""
    paired = dataset.shuffle and dataset.shuffle_algo == PAIRED
    return paired and dataset.batching_method == "random"


def _content(name: str) -> str:
    """Hash the files that a name stands for; a name on the hub stands for itself."""
    return _content_of_files(Path(name)) if Path(name).exists() else name


def find_shardset(config: RunConfig) -> ShardSet | None:
    """Read the shard set that all training streams lie in, when it is a folder and one."""
    root = _common_root(config)
    return None if root is None else read_shardset(root)


def content_of(config: RunConfig) -> str:
    """Hash what a run reads: the shard set's own hash; outside of one, places and indexes."""
    shardset = find_shardset(config)
    if shardset is not None:
        return shardset.content_sha256
    streams = config.train_loader.dataset.streams
    places = {
        name: [
            # A pool counts with the rest of the config.
            stream.model_dump(mode="json", exclude={"pool"}),
            _content_of_split(stream, config.train_loader.dataset.download_timeout),
        ]
        for name, stream in streams.items()
    }
    return hashlib.sha256(json.dumps(places, sort_keys=True).encode()).hexdigest()


def _common_root(config: RunConfig) -> Path | None:
    """Find the folder of the shard set that all training streams lie in."""
    places = [_place(stream) for stream in config.train_loader.dataset.streams.values()]
    roots = {None if place is None else place.parent for place in places}
    root = roots.pop() if len(roots) == 1 else None
    return root if root is not None and (root / FILE_NAME).is_file() else None


def _place(stream: StreamConfig) -> Path | None:
    """Return the folder that a stream is read from; None when that is in an object store."""
    place = (stream.remote or stream.local or "").removeprefix("file://")
    return None if "://" in place else Path(place).resolve()


def _folder(
    name: str, stream: StreamConfig, root: Path | None, timeout_seconds: float
) -> str | None:
    """Describe which data a stream reads; None for the domain of its name in the shard set."""
    place = _place(stream)
    if place is None:
        return f"{stream.remote} {_content_of_split(stream, timeout_seconds)}"
    if root is not None and place.parent == root:
        return None if place.name == name else place.name
    if (place.parent / FILE_NAME).is_file():
        return f"{read_shardset(place.parent).content_sha256}/{place.name}"
    content = _content_of_split(stream, timeout_seconds)
    return f"{stream.remote or stream.local} {content}".rstrip()


def _content_of_split(stream: StreamConfig, timeout_seconds: float) -> str:
    """Hash the index of some shards, and how the first and the last begin.

    All of them may be terabytes. Shards of samples of one size have the same index whatever is in
    them; packed ones differ in size, and lie here unpacked after the first run. Of shards in an
    object store the index alone is read.

    Raises:
        UserError: The index cannot be had from the object store, or what is kept here of a stream
            is of other data than its `remote` has now.
    """
    place = _place(stream)
    if place is None:
        parts = [str(stream.remote).rstrip("/"), stream.split, "index.json"]
        whole = remote_index("/".join(part for part in parts if part), timeout_seconds)
        _check_cache(stream, whole)
        return hashlib.sha256(whole).hexdigest()
    index = place / (stream.split or "") / "index.json"
    if not index.is_file():
        return ""
    _check_cache(stream, index.read_bytes())
    digest = hashlib.sha256(index.read_bytes())
    try:
        shards = json.loads(index.read_bytes())["shards"]
        names = [shard["raw_data"]["basename"] for shard in shards if not shard.get("compression")]
    except (ValueError, KeyError, TypeError):  # Streaming says what is wrong with it
        names = []
    for name in names[:1] + names[1:][-1:]:
        if (index.parent / name).is_file():
            with (index.parent / name).open("rb") as shard:
                digest.update(shard.read(_BEGINNING_BYTES))
    return digest.hexdigest()


def _check_cache(stream: StreamConfig, index: bytes) -> None:
    """Refuse a cache of other data: Streaming would read on from it."""
    if stream.remote is None or stream.local is None:
        return
    cached = Path(stream.local, stream.split or "", "index.json")
    if cached.is_file() and cached.read_bytes() != index:
        raise UserError(
            f"streams: {cached.parent} keeps shards of {stream.remote} that are not those that it "
            "has now (their index.json differ), and Streaming would read the kept ones; remove the "
            "folder, or choose another `local`"
        )


def _content_of_files(place: Path) -> str:
    """Hash a checkpoint, or the files of a model's folder."""
    if place.is_file():
        return _sha256(place.resolve(), place.stat().st_mtime_ns)
    files = sorted(path for path in place.iterdir() if path.is_file())
    return " ".join(f"{path.name}:{_sha256(path, path.stat().st_mtime_ns)}" for path in files)


@functools.cache
def _sha256(path: Path, changed: int) -> str:
    """Hash a file once for all runs of a sweep; `changed` is when it was written."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**24):
            digest.update(block)
    return digest.hexdigest()
