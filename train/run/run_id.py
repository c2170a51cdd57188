"""Run ids, which change whenever the result of a run could."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

from mixscale.contracts.shardset import FILE_NAME, ShardSet, read_shardset
from mixscale.train.config import RunConfig, StreamConfig, to_plain

_NOT_THE_EXPERIMENT = {
    "run_name", "variables", "loggers", "callbacks", "progress_bar", "log_to_console",
    "console_log_interval", "python_log_level", "dist_timeout", "save_folder", "save_interval",
    "save_num_checkpoints_to_keep", "save_overwrite", "autoresume", "expandable_segments",
    "max_split_size_mb", "cuda_load_lazy",
}  # fmt: skip
"""Keys that change where a run reports to, not what it computes."""


_MODEL_PLACE = "pretrained_model_name_or_path"


def run_id(config: RunConfig, content: str, name: str = "run") -> str:
    """Name a run: readable, and different when anything differs that changes its result.

    Args:
        config: The run.
        content: Hash of the data the run reads, which stands for the paths in the config.
        name: The readable part.
    """
    values = to_plain(config)
    relevant = {key: value for key, value in values.items() if key not in _NOT_THE_EXPERIMENT}
    for loader in (relevant["train_loader"], *relevant.get("eval_loader", ())):
        for stream in loader["dataset"]["streams"].values():
            for place in ("local", "remote"):
                stream.pop(place, None)
    # Its files are in `content`; tokens added to them make the model larger.
    relevant["tokenizer"] = relevant["tokenizer"]["kwargs"]
    for section, key in ((relevant, "load_path"), (relevant["model"], _MODEL_PLACE)):
        if section.get(key) and Path(section[key]).exists():
            section[key] = _content_of_files(Path(section[key]))
    text = json.dumps([relevant, content], sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def find_shardset(config: RunConfig) -> ShardSet | None:
    """Read the shard set that all training streams lie in, when it is a folder and one."""
    roots = {_root(stream) for stream in config.train_loader.dataset.streams.values()}
    root = roots.pop() if len(roots) == 1 else None
    return read_shardset(root) if root is not None and (root / FILE_NAME).is_file() else None


def _root(stream: StreamConfig) -> Path | None:
    """Return the folder that a stream's folder lies in; None when that is in an object store."""
    place = (stream.remote or stream.local or "").removeprefix("file://")
    return None if "://" in place else Path(place).resolve().parent


def content_of(config: RunConfig) -> str:
    """Hash what a run reads: the shard set's own hash, or the places when it is in no shard set."""
    shardset = find_shardset(config)
    if shardset is not None:
        return shardset.content_sha256
    streams = config.train_loader.dataset.streams
    places = {name: stream.model_dump(mode="json") for name, stream in streams.items()}
    return hashlib.sha256(json.dumps(places, sort_keys=True).encode()).hexdigest()


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
