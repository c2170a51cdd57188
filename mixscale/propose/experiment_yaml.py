"""The text of an experiment.yaml for the domains that were found in a folder."""

from __future__ import annotations

from mixscale.contracts.config import format_tokens
from mixscale.propose.decide import Decision, ProxyRuns
from mixscale.propose.wording import about_count
from mixscale.propose.yaml_text import scalar

MODEL = """\
  name: hf_causal_lm
  pretrained_model_name_or_path: gpt2
  pretrained: false
  config_overrides:
    n_embd: 64
    n_layer: 2
    n_head: 2
    n_positions: {length}
    activation_function: gelu_pytorch_tanh
    initializer_range: 0.08  # about 0.6 / sqrt(n_embd); GPT-2's 0.02 makes small models start late
"""
OPTIMIZER = (
    "optimizer: {name: decoupled_adamw, lr: 5.0e-3, betas: [0.9, 0.95], weight_decay: 1.0e-5}\n"
    "scheduler: {name: cosine_with_warmup, t_warmup: 0.05dur, alpha_f: 0.1}\n"
)


def experiment_yaml(decision: Decision, proxies: ProxyRuns, name: str, shardset: str) -> str:
    """Write which proxy runs to try, with the reasons as comments.

    Args:
        decision: What was found and chosen.
        proxies: The proxy runs.
        name: Of the experiment.
        shardset: Folder of the shard set, as seen from the file.
    """
    parts = [
        _heading(decision, proxies),
        f"name: {name}\nshardset: {scalar(shardset)}\n",
        _design(decision, proxies),
        f"evaluation:\n  tokens_per_domain: {proxies.tokens_per_domain}"
        "  # validation tokens of each domain, the same for every run\n",
        "constraints:\n  max_epochs: 4   # repeats of a domain within a target's tokens\n"
        "  # floor: 0.02  # least share of every domain\n",
        _targets(proxies),
        _run(decision, proxies),
    ]
    return "\n".join(parts)


def _heading(decision: Decision, proxies: ProxyRuns) -> str:
    lines = [
        "# Which proxy runs to try, and for which runs to come. Written by `mixscale init`;",
        "# all keys: docs/training.md.",
        "#   mixscale plan experiment.yaml    what the runs need and how long they take",
        "#   mixscale sweep experiment.yaml   runs them",
        "#   mixscale fit experiment.yaml     fits a law and recommends a mixture",
    ]
    if len(decision.domains) == 1:
        lines += [
            "#",
            "# There is one domain, so there is nothing to mix yet: these runs only measure how",
            "# its loss falls with tokens. Add a domain to corpus.yaml, then give the design",
            "# `type: ddo`.",
        ]
    return "\n".join(lines) + "\n"


def _design(decision: Decision, proxies: ProxyRuns) -> str:
    scales = f"[{', '.join(_exactly(scale) for scale in proxies.scales)}]"
    if len(decision.domains) == 1:
        only = decision.domains[0].name
        return (
            f"design:\n  type: explicit\n  mixtures:\n    all: {{{only}: 1.0}}\n"
            f"  scales: {scales}  # token budgets\n"
        )
    runs = (1 + 2 * len(decision.domains)) * len(proxies.scales)
    base = "each domain the same" if proxies.base == "uniform" else "by the size of the domains"
    return (
        f"# {runs} runs: the base, and each domain with three times and a third of its tokens.\n"
        "design:\n  type: ddo\n"
        f"  scales: {scales}  # token budgets of the base; larger ones tell more\n"
        "  factor: 3\n"
        f"  base: {proxies.base}  # {base}\n"
        "  # noise_seeds: [18]  # the smaller scale again: how much of a difference is chance\n"
    )


def _targets(proxies: ProxyRuns) -> str:
    listed = ", ".join(_exactly(target) for target in proxies.targets)
    return (
        "# Token budgets of the runs to come: write yours, such as 300B, or 300B@7B with the size\n"
        "# of the model.\n"
        f"# The text was estimated at {about_count(proxies.targets[0])} tokens.\n"
        f"targets: [{listed}]\n"
    )


def _run(decision: Decision, proxies: ProxyRuns) -> str:
    model = MODEL.format(length=max(1024, decision.sequence_length))
    settings = f"model:\n{model}{OPTIMIZER}global_train_batch_size: {proxies.batch_size}\n"
    indented = "".join(f"  {line}\n" for line in settings.splitlines())
    return (
        "# What all proxy runs share, in the words of run.yaml: a model that a processor trains\n"
        "# in minutes. Take the architecture and the optimizer of your own run, made smaller.\n"
        f"run:\n{indented}"
    )


def _exactly(tokens: int) -> str:
    """Write tokens as YAML reads them: 1.2M where that is exact."""
    short = format_tokens(tokens)
    sizes = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    is_exact = short[-1] in sizes and round(float(short[:-1]) * sizes[short[-1]]) == tokens
    return short if is_exact else str(tokens)
