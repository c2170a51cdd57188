"""The `run.yaml` of a proxy run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment
from mixscale.contracts.run_record import run_folder
from mixscale.contracts.shardset import TRAIN, VALIDATION, ShardSet
from mixscale.train.config import PAIRED, RunConfig
from mixscale.train.sweep.model_sizes import run_of_size

SET_BY_DESIGN = {
    "run_name", "metadata", "max_seq_len", "seed", "tokenizer", "train_loader", "eval_loader",
    "max_duration", "eval_interval", "eval_subset_num_batches",
}  # fmt: skip
"""Keys of run.yaml that the design sets."""


def proxy_run_config(
    label: str,
    seed: int,
    samples: Mapping[str, int],
    experiment: Experiment,
    shardset: ShardSet,
    pools: Mapping[str, int] | None = None,
    size: str | None = None,
) -> RunConfig:
    """Write the config of a proxy run.

    Args:
        label: Of its mixture and scale, for the metadata.
        seed: Of the initialisation, and of the order of samples unless the experiment sets that.
        samples: Whole samples of each domain.
        experiment: Gives what all runs share.
        shardset: The data.
        pools: Samples of each domain that the run may see; all when absent.
        size: A name in the experiment's `models`.

    Raises:
        UserError: `run` in the experiment is wrong.
    """
    total = sum(samples.values())
    length = shardset.sequence_length
    root = Path(experiment.shardset)
    eval_batch = evaluation_batch_size(experiment)
    points = experiment.evaluation.points
    values = {
        **run_of_size(experiment, size),
        **_saving(experiment),
        "run_name": label,
        "metadata": {"sweep": experiment.name, "run": label, "seed": seed},
        "max_seq_len": length,
        "seed": seed,
        "tokenizer": {"name": str(root / shardset.tokenizer.path)},
        "train_loader": {
            "name": "text",
            "dataset": {
                "streams": {
                    domain: {
                        "local": str(root / domain),
                        "split": TRAIN,
                        "proportion": count / total,
                        **_pool(domain, pools, shardset),
                    }
                    for domain, count in samples.items()
                },
                "shuffle": True,
                "shuffle_algo": PAIRED,
                "shuffle_seed": seed if experiment.order_seed is None else experiment.order_seed,
                "epoch_size": total,
                "max_seq_len": length,
            },
            "drop_last": False,
        },
        "eval_loader": [_eval_loader(root, domain, length) for domain in shardset.domain_names],
        "max_duration": f"{total * length}tok",
        "eval_interval": "1dur" if points == 1 else f"{-(-total * length // points)}tok",
        "eval_subset_num_batches": evaluation_batches(experiment, length, eval_batch),
        "device_eval_batch_size": eval_batch,
    }
    return validate(values, RunConfig, f"experiment {experiment.name!r}: run")


def _pool(domain: str, pools: Mapping[str, int] | None, shardset: ShardSet) -> dict[str, int]:
    """Limit a stream to a part of its samples; one that has all of them is as without a pool."""
    whole = shardset.domains[domain][TRAIN].samples
    return {} if pools is None or pools[domain] >= whole else {"pool": pools[domain]}


def _eval_loader(root: Path, domain: str, length: int) -> dict[str, Any]:
    stream = {"local": str(root / domain), "split": VALIDATION}
    return {
        "name": "text",
        "label": domain,
        "dataset": {"streams": {domain: stream}, "shuffle": False, "max_seq_len": length},
    }


def evaluation_batches(experiment: Experiment, length: int, batch: int) -> int:
    """Count the batches of `batch` samples of `length` tokens that evaluate one domain."""
    return max(1, round(experiment.evaluation.tokens_per_domain / (length * batch)))


def evaluation_batch_size(experiment: Experiment) -> int:
    """Return the samples in an evaluation batch of an experiment's runs.

    Raises:
        UserError: The experiment gives no such number.
    """
    size = experiment.run.get("device_eval_batch_size", 16)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise UserError(
            f"experiment {experiment.name!r}: run: device_eval_batch_size: expected a whole number "
            f"of samples, 1 or more (found {size!r})"
        )
    return size


def _saving(experiment: Experiment) -> dict[str, Any]:
    """Give every run that saves checkpoints a folder of its own for them."""
    run = experiment.run
    callbacks = dict(run.get("callbacks") or {})
    writer = callbacks.get("hf_checkpointer")
    if isinstance(writer, Mapping) and "save_folder" in writer:
        own = {"save_folder": _own_folder(writer["save_folder"])}
        callbacks["hf_checkpointer"] = {**writer, **own}
    resumes, folder = bool(run.get("autoresume")), run.get("save_folder")
    if experiment.evaluation.tasks and "hf_checkpointer" not in callbacks:
        # The tasks are asked of this model, whenever they are.
        callbacks["hf_checkpointer"] = {"save_folder": _of_each_run(experiment)}
    saving: dict[str, Any] = {"callbacks": callbacks} if callbacks else {}
    if folder is None and not resumes:
        return saving
    if folder is None:
        folder = f"{_of_each_run(experiment)}/checkpoints"
    saving["save_folder"] = _own_folder(folder)
    if resumes:
        # A proxy run is one epoch, after which nothing is left to go on with.
        saving["save_interval"] = run.get("save_interval", "0.1dur")
        saving["save_num_checkpoints_to_keep"] = run.get("save_num_checkpoints_to_keep", 1)
    else:
        # What a killed try has left is this run's own.
        saving["save_overwrite"] = run.get("save_overwrite", True)
    return saving


def _of_each_run(experiment: Experiment) -> str:
    out = Path(experiment.out or experiment.shardset)
    return str(run_folder(out, "{run_name}"))


def _own_folder(folder: object) -> str:
    """Give each run its own place below a folder, unless the folder says how."""
    own = str(folder) if "{run_name}" in str(folder) else f"{folder}/{{run_name}}"
    return own if "://" in own else str(Path(own).absolute())
