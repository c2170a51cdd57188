"""The text of a run.yaml for the domains that were found in a folder."""

from __future__ import annotations

from mixscale.propose.decide import Decision, ProxyRuns
from mixscale.propose.experiment_yaml import MODEL, OPTIMIZER
from mixscale.propose.yaml_text import scalar

_SAMPLES_IN_A_BATCH = 16


def run_yaml(decision: Decision, proxies: ProxyRuns, shardset: str) -> str:
    """Write a run to come, with equal proportions, for `mixscale apply` to change.

    Args:
        decision: What was found and chosen.
        proxies: The proxy runs, whose first target is the run's token budget.
        shardset: Folder of the shard set, as seen from where the run is started.
    """
    length = decision.sequence_length
    names = [domain.name for domain in decision.domains]
    samples = max(1, proxies.targets[0] // length)
    batches = max(1, proxies.tokens_per_domain // length // _SAMPLES_IN_A_BATCH)
    model = "".join(f"{line}\n" for line in MODEL.format(length=max(1024, length)).splitlines())
    return "\n".join(
        [
            _HEADING,
            f"variables:\n  shardset: {scalar(shardset)}\n",
            f"max_seq_len: {length}\nseed: 17\n",
            f"model:\n{model}",
            "tokenizer:\n  name: ${variables.shardset}/tokenizer\n",
            _train_loader(names, length, samples),
            _eval_loader(names),
            OPTIMIZER
            + "algorithms:\n  gradient_clipping: {clipping_type: norm, clipping_threshold: 1.0}\n",
            f"max_duration: {samples * length}tok  # {samples:,} samples of {length} tokens\n"
            "eval_interval: 1dur\n"
            f"eval_subset_num_batches: {batches}\n"
            f"global_train_batch_size: {proxies.batch_size}\n"
            f"device_eval_batch_size: {_SAMPLES_IN_A_BATCH}\n",
        ]
    )


_HEADING = """\
# The run to come, in the layout of LLM Foundry's training YAML, with equal proportions. Use your
# own instead, or grow this one. Written by `mixscale init`; start it from this folder.
#   mixscale apply shardset/fits/FIT --tokens TOKENS run.yaml   writes the advised proportions
#   mixscale train run.yaml                                     trains it
"""


def _train_loader(names: list[str], length: int, samples: int) -> str:
    streams = "".join(
        f"      {name}:\n"
        f"        local: ${{variables.shardset}}/{name}\n"
        "        split: train\n"
        f"        proportion: {1 / len(names)!r}\n"
        for name in names
    )
    return (
        "train_loader:\n  name: text\n  dataset:\n    streams:\n"
        f"{streams}"
        "    shuffle: true\n    shuffle_seed: 17\n"
        f"    max_seq_len: {length}\n"
        f"    epoch_size: {samples}  # samples: the whole run is one epoch\n"
        "  drop_last: false\n  num_workers: 0\n"
    )


def _eval_loader(names: list[str]) -> str:
    return "eval_loader:\n" + "".join(
        f"- label: {name}\n  dataset:\n"
        f'    streams: {{{name}: {{local: "${{variables.shardset}}/{name}", split: validation}}}}\n'
        for name in names
    )
