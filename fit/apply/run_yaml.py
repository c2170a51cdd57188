"""Stream proportions written into a run's YAML.

Streaming's `proportion` counts samples. It is a share of tokens, which is what a mixing law speaks
of, because every sample of a shard set holds equally many tokens.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import FitRecord, Mixture, Recommendation, read_fit
from mixscale.fit.apply.replace_file import replace_file
from mixscale.fit.apply.stream_proportions import with_proportions
from mixscale.fit.output.advised import said_of
from mixscale.fit.output.verdict import gain_of

Estimate = Literal["recommended", "optimum"]


@dataclass(frozen=True, kw_only=True)
class ApplyResult:
    """What `apply` did, or with `dry_run` would do."""

    path: Path
    """The file that holds the proportions."""
    diff: str
    """Unified diff; empty when nothing changes."""
    proportions: dict[str, float]
    """By domain of the fit."""
    binding: dict[str, str]
    """Domains at a bound, with the rule."""
    advice: str
    """The fit's advice in one line."""
    gain: str
    """What the recommended mixture is predicted to bring, in a sentence or two."""
    meaning: str
    """Which mixture was written, in words."""
    size: str
    """Which model it is for, in words; empty where no size is known."""
    backup: Path | None
    written: bool


def apply(
    fit: Path,
    tokens: int,
    run_yaml: Path,
    *,
    output: Path | None = None,
    dry_run: bool = False,
    backup: bool = True,
    streams: Mapping[str, str] | None = None,
    estimate: Estimate = "recommended",
    parameters: int | None = None,
) -> ApplyResult:
    """Write a fit's mixture at a token budget into the streams of a run.

    The recommended mixture is the one the experiment started from where the advice is to keep it,
    else a step from it towards the optimum, as long as the noise of the runs allows.

    Args:
        fit: `fit.json` or its folder.
        tokens: Token budget, any.
        run_yaml: A Composer or LLM Foundry training YAML.
        output: Where to write; `run_yaml` itself when absent.
        dry_run: Change no file.
        backup: Keep the replaced file beside it, as `<name>.bak`; what is kept already stays, and
            the next is `<name>.bak.1`.
        streams: Stream name of each domain whose stream is called otherwise.
        estimate: `recommended`, or `optimum` for the law's best mixture whatever the noise.
        parameters: Of the run's model; those of the largest proxy runs when absent.

    Raises:
        UserError: The fit or the YAML cannot be read, they do not match, or the constraints allow
            no mixture at this budget.
    """
    from mixscale.fit.scaling.stored_decision import decision_of
    from mixscale.fit.scaling.stored_fit import mixture_at

    record = read_fit(fit)
    mixture = mixture_at(record, tokens, parameters)
    said = decision_of(record, mixture)
    shares = mixture.proportions
    if estimate == "recommended" and mixture.recommended is not None:
        shares = mixture.recommended
    source = Path(run_yaml)
    try:
        before = source.read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(f"{source}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 text (byte {error.start})") from error
    provenance = f"fit {record.fit_id}, law {record.law}, for {format_tokens(tokens)} tokens"
    if parameters is not None:
        provenance += f" and {format_tokens(parameters)} parameters"
    provenance += f", {_meaning(said, estimate)}"
    try:
        after = with_proportions(before, shares, provenance=provenance, streams=streams)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    path = source if output is None else Path(output)
    is_new = after != before or path != source
    kept = replace_file(path, after, backup=backup) if is_new and not dry_run else None
    return ApplyResult(
        path=path,
        diff=_diff(before, after, str(source), str(path)),
        proportions=shares,
        binding=_binding(record, shares, tokens),
        meaning=_meaning(said, estimate),
        advice=f"{said.action}. {said.reason}",
        gain=gain_of(record, said_of(record, mixture, said)),
        size=size_said(mixture),
        backup=kept,
        written=is_new and not dry_run,
    )


def size_said(mixture: Mixture) -> str:
    """Which model a mixture is for, in words; empty where no size is known."""
    if mixture.parameters is None:
        return ""
    size = f"a model of {format_tokens(mixture.parameters)} parameters"
    return size if mixture.size_given else f"{size}, the size of the largest proxy runs"


def _meaning(said: Recommendation, estimate: Estimate) -> str:
    if estimate == "optimum":
        return "the optimum itself"
    if said.action == "change":
        return f"a step of {said.step_size:.0%} towards the optimum"
    if said.action == "take the nearest allowed mixture":
        return "the allowed mixture nearest to the current one"
    return "the current mixture kept"


def _binding(record: FitRecord, shares: Mapping[str, float], tokens: int) -> dict[str, str]:
    import numpy as np

    from mixscale.fit.scaling.stored_fit import allowed, binding

    values = np.array([shares[name] for name in record.domains])
    return binding(record, values, allowed(record, tokens))


def _diff(before: str, after: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), old, new
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
