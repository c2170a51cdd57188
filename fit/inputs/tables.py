"""Two tables, or one with both: mixtures with results, read as runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.config import format_tokens, parse_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import TableReading
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.cells import is_positional
from mixscale.fit.inputs.columns import (
    Choice,
    Result,
    Table,
    keys_of,
    roles_of,
    unfinished_rows,
)
from mixscale.fit.inputs.facts import Facts, facts_of, merged
from mixscale.fit.inputs.idle_checkpoints import idle_checkpoints
from mixscale.fit.inputs.mixture_table import Mixtures
from mixscale.fit.inputs.points import PLENTY
from mixscale.fit.inputs.result_table import Results, fitted_values, read_results, results_of
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs
from mixscale.fit.inputs.scales import (
    cluster_scales,
    kinds_of,
    mixture_names,
    run_labels,
    training_runs,
)
from mixscale.fit.inputs.table_files import read_table as read_table

_SAME_TOKENS = 0.02
_MOST_CHANGES = 2000
"""Runs of a design around a base, of which there are a few for each domain; more are not compared
with each other one by one."""


def join(
    mixtures: Mixtures,
    losses: Table,
    where: str,
    choice: Choice | None = None,
    available: Mapping[str, float] | None = None,
    one_table: bool = False,
) -> tuple[Runs, TableReading]:
    """Put mixtures and results together, by a column that names the run in both, else by row.

    Results are the columns that `choice` or their names mark (`loss_web`, `web_ppl`, `bpb_web`,
    `eval/web/LanguageCrossEntropy`); without either, every numeric column whose name has no other
    meaning. Perplexities are read as their logarithm. What either table says of a run (tokens,
    unique tokens, parameters, seed, step) counts.

    Args:
        mixtures: Understood by `mixtures_of`.
        losses: By column; the same table again where one holds both.
        where: For messages.
        choice: Which column is what.
        available: Unique tokens by domain, where the tables do not tell them.
        one_table: Whether `losses` is the table of the mixtures again.

    Returns:
        The runs, with what was read and what was left out.

    Raises:
        UserError: The tables do not match, or what a column holds cannot be told.
    """
    choice = choice or Choice()
    found = results_of(losses, where, choice, mixtures.domains)
    results, ignored = found.columns, found.ignored
    columns = read_results(losses, results, where)
    values = np.column_stack([fitted_values(losses, read.column, read) for read in columns])
    bad = unfinished_rows(losses, roles_of(losses))
    theirs = facts_of(losses, where, choice, mixtures.domains, bad=bad)
    bad |= theirs.bad
    pairs = _pairs(mixtures, losses, theirs, len(values), where, choice)
    reasons = _reasons_against(pairs, mixtures, values, bad, results, losses)
    unmatched = len(mixtures.amounts) + len(values)
    unmatched -= len(set(pairs.left.tolist())) + len(set(pairs.right.tolist()))
    pairs = pairs.where([name not in reasons for name in pairs.names])
    if len(pairs.left) < 3:
        left_out = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:4])
        raise UserError(
            f"{where}: {len(pairs.left)} runs have a mixture with losses; 3 are the least"
            + (f" (left out: {left_out})" if left_out else "")
        )
    facts = merged(mixtures.facts.at(pairs.left), theirs.at(pairs.right), pairs.names, where)
    runs = _runs(
        mixtures.at(pairs.left, facts),
        tuple(r.name for r in results),
        values[pairs.right],
        pairs.run_names,
        available,
    )
    runs = replace(
        runs,
        results=columns,
        behind=_behind(losses, found, where)[pairs.right] if found.behind else None,
        behind_columns=tuple(
            found.behind[r.name].column if r.name in found.behind else "" for r in results
        ),
    )
    _check_steps(runs, facts, pairs, where)
    idle, remarks = {}, ()
    # Without names or steps rows of one mixture may as well be runs of their own.
    if pairs.run_names is not None or facts.steps is not None:
        idle, remarks = idle_checkpoints(runs, pairs.names, keep_early=choice.keep_early)
    runs = runs.where([row for row in range(len(runs)) if row not in idle])
    reading = TableReading(
        domains=mixtures.domains,
        unit=mixtures.unit,
        results={result.name: read for result, read in zip(results, columns, strict=True)},
        roles=dict(facts.columns),
        ignored=_unused(
            mixtures.ignored | ignored,
            {
                *facts.columns.values(),
                *mixtures.columns,
                *(b.column for b in found.behind.values()),
            },
            results,
        ),
        key=pairs.key,
        one_table=one_table,
        left_out=reasons | {pairs.names[row]: reason for row, reason in idle.items()},
        unmatched_rows=unmatched,
        remarks=remarks,
    )
    return runs, reading


def _behind(losses: Table, found: Results, where: str) -> Floats:
    """(rows, results) losses of the same tasks; nan where a table has none."""
    count = len(next(iter(losses.values())))
    columns = np.full((count, len(found.columns)), np.nan)
    for k, result in enumerate(found.columns):
        if result.name in found.behind:
            (read,) = read_results(losses, [found.behind[result.name]], where)
            columns[:, k] = fitted_values(losses, read.column, read)
    return columns


def _reasons_against(
    pairs: _Pairs,
    mixtures: Mixtures,
    values: Floats,
    bad: Mapping[int, str],
    results: Sequence[Result],
    losses: Table,
) -> dict[str, str]:
    """Why runs cannot be fitted to, by name."""
    reasons = {}
    for name, i, k in zip(pairs.names, pairs.left, pairs.right, strict=True):
        reason = mixtures.bad.get(int(i)) or bad.get(int(k))
        if reason is None and not np.isfinite(values[k]).all():
            lost = results[int(np.argmin(np.isfinite(values[k])))]
            reason = f"no {lost.column}" if lost.column in losses else "a result is missing"
        if reason is not None:
            reasons[name] = reason
    return reasons


def _check_steps(runs: Runs, facts: Facts, pairs: _Pairs, where: str) -> None:
    """Refuse checkpoints whose tokens cannot be told."""
    if runs.scale.max() > 1 or facts.steps is None:
        return
    rows: dict[str, set[float]] = {}
    for run, step in zip(runs.training_runs, facts.steps.tolist(), strict=True):
        rows.setdefault(run, set()).add(step)
    if pairs.run_names is not None and max(map(len, rows.values())) > 1:
        raise UserError(
            f"{where}: runs have results at several steps, but nothing tells their tokens; give "
            "--tokens-per-step N (batch size times sequence length), or a column `tokens`"
        )


def _unused(
    ignored: dict[str, str], described: set[str], results: Sequence[Result]
) -> dict[str, str]:
    """Columns left aside by both tables: one table for both reads each column once."""
    used = {result.column for result in results} | described
    return {column: why for column, why in ignored.items() if column not in used}


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Rows of the two tables that belong together."""

    key: str | None
    """The joining column."""
    left: np.ndarray
    right: np.ndarray
    names: list[str]
    """For messages, each once."""
    run_names: list[str] | None
    """What the tables call the runs, once for each checkpoint; None where they do not."""

    def where(self, keep: Sequence[bool]) -> _Pairs:
        """Some of them."""
        rows = np.flatnonzero(keep)
        return replace(
            self,
            left=self.left[rows],
            right=self.right[rows],
            names=[self.names[i] for i in rows],
            run_names=None if self.run_names is None else [self.run_names[i] for i in rows],
        )


def _runs(
    mixtures: Mixtures,
    validation: tuple[str, ...],
    losses: Floats,
    names: list[str] | None,
    available: Mapping[str, float] | None,
) -> Runs:
    """The runs of a table with a mixture for each row of losses."""
    tokens, scale, facts = mixtures.tokens, mixtures.scale, mixtures.facts
    changed = mixtures.changed
    if changed is None and _has_checkpoints(names, facts):
        # Checkpoints that lie close together look like repeats of a base run.
        changed = (MIXTURE,) * len(tokens)
    elif changed is None:
        changed, scale = _changes(tokens, scale, mixtures.domains)
    scale = cluster_scales(scale)
    named, sizes = tuple(names or ()), facts.size
    shares = tokens / tokens.sum(-1, keepdims=True)
    same = mixture_names(shares, named, kinds_of(scale, sizes))
    unique = facts.unique_tokens(mixtures.domains)
    if unique is None and available and scale.max() > 1:
        one = [float(available.get(domain, PLENTY)) for domain in mixtures.domains]
        unique = np.tile(one, (len(tokens), 1))
    return Runs(
        domains=mixtures.domains,
        validation=validation,
        tokens=tokens,
        losses=losses,
        errors=None,
        scale=scale,
        changed=changed,
        labels=run_labels(same, scale, sizes, unique),
        named=named,
        seeds=mixtures.seeds,
        unique_tokens=unique,
        parameters=sizes,
        parameters_are=_parameters_are(facts),
        training_runs=_training_runs(mixtures, names, same, scale, sizes, unique),
    )


def _has_checkpoints(names: list[str] | None, facts: Facts) -> bool:
    """Whether a run stands in several rows; without names that cannot be told."""
    if names is None:
        return False
    marks = _marks(facts, ("size", "seeds"), len(names))
    return len(set(zip(names, marks, strict=True))) < len(names)


def _training_runs(
    mixtures: Mixtures,
    names: list[str] | None,
    same: Sequence[str],
    scale: Floats,
    sizes: Floats | None,
    unique: Floats | None,
) -> tuple[str, ...]:
    """Equal for checkpoints of one run; see `training_runs`."""
    if names is None and len(mixtures.domains) == 1 and mixtures.facts.steps is None:
        # Nothing but tokens tells such rows apart, as with runs of different lengths.
        return ()
    if unique is not None:
        # Runs with other text to read are other runs.
        same = [f"{name}|{row}" for name, row in zip(same, unique.tolist(), strict=True)]
    return training_runs(names, same, scale, mixtures.seeds, sizes)


def _parameters_are(facts: Facts) -> str | None:
    if facts.size is None:
        return None
    return "total" if facts.non_embedding is None else "non-embedding"


def _pairs(
    mixtures: Mixtures, losses: Table, theirs: Facts, rows: int, where: str, choice: Choice
) -> _Pairs:
    """Join by a column that names the run in both tables, else by row."""
    others = {column.strip().lower(): column for column in keys_of(losses, choice)}
    for key, names in mixtures.keys.items():
        partner = others.get(key.strip().lower())
        if partner is None:
            continue
        called = [str(item) for item in losses[partner]]
        if len(set(called)) < rows or len(set(names)) < len(names):
            return _pairs_of_checkpoints(mixtures, theirs, key, names, called, where)
        place = {name: i for i, name in enumerate(called)}
        left = [i for i, name in enumerate(names) if name in place]
        if not left:
            raise UserError(f"{where}: no value of column {key} is in both tables")
        matched = [names[i] for i in left]
        return _Pairs(
            key=key,
            left=np.array(left),
            right=np.array([place[name] for name in matched]),
            names=matched,
            run_names=None if is_positional(names) else matched,
        )
    if rows != len(mixtures.amounts):
        raise UserError(
            f"{where}: {rows} rows, but {len(mixtures.amounts)} mixtures; give both tables a "
            "column that names the run (such as run_id), or say which it is with --key COLUMN"
        )
    order = np.arange(rows)
    names = [f"row {i + 1}" for i in order]
    return _Pairs(key=None, left=order, right=order, names=names, run_names=None)


def _pairs_of_checkpoints(
    mixtures: Mixtures,
    theirs: Facts,
    key: str,
    names: Sequence[str],
    called: Sequence[str],
    where: str,
) -> _Pairs:
    """Join rows of which several belong to one run.

    A table of mixtures with one row for each run gives it to all its checkpoints. Where both have
    several, they are joined by the run's name with what both say of its checkpoints.
    """
    ours = mixtures.facts
    if len(set(names)) == len(names):
        place = {name: i for i, name in enumerate(names)}
        right = np.array([k for k, name in enumerate(called) if name in place], dtype=int)
        left = np.array([place[called[int(k)]] for k in right], dtype=int)
    elif list(names) == list(called):
        left = right = np.arange(len(names))
    else:
        left, right = _matched_checkpoints(ours, theirs, names, called, key, where)
    if not len(left):
        raise UserError(f"{where}: no value of column {key} is in both tables")
    joined = [called[int(k)] for k in right]
    known = merged(ours.at(left), theirs.at(right), joined, where)
    marks = _marks(known, ("size", "tokens", "steps", "seeds"), len(left))
    ids = list(zip(joined, marks, strict=True))
    if len(set(ids)) < len(ids):
        again = next(i for i, name in enumerate(ids) if name in ids[:i])
        raise UserError(
            f"{where}: column {key!r} names a run twice ({ids[again][0]}); give another with --key "
            "COLUMN, or a column `tokens` or `step` if these rows are checkpoints of one run"
        )
    return _Pairs(
        key=key,
        left=left,
        right=right,
        names=[_checkpoint_name(name, known, i) for i, (name, _) in enumerate(ids)],
        run_names=[name for name, _ in ids],
    )


def _matched_checkpoints(
    ours: Facts, theirs: Facts, names: Sequence[str], called: Sequence[str], key: str, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both tables with the same run, model, tokens or step, and seed."""
    common = [
        name
        for name in ("size", "tokens", "steps", "seeds")
        if getattr(ours, name) is not None and getattr(theirs, name) is not None
    ]
    left_ids = list(zip(names, _marks(ours, common, len(names)), strict=True))
    right_ids = list(zip(called, _marks(theirs, common, len(called)), strict=True))
    place = {name: i for i, name in enumerate(right_ids)}
    if len(place) < len(right_ids) or len(set(left_ids)) < len(left_ids):
        raise UserError(
            f"{where}: column {key!r} names a run twice; give another with --key COLUMN, or a "
            "column `tokens` in both tables if these rows are checkpoints of one run"
        )
    left = [i for i, name in enumerate(left_ids) if name in place]
    return np.array(left, dtype=int), np.array([place[left_ids[i]] for i in left], dtype=int)


def _marks(facts: Facts, names: Sequence[str], rows: int) -> list[tuple[float, ...]]:
    """By row, what tells checkpoints of one name apart."""
    columns = [values for name in names if (values := getattr(facts, name)) is not None]
    return [tuple(float(values[i]) for values in columns) for i in range(rows)]


def _checkpoint_name(name: str, known: Facts, row: int) -> str:
    parts = []
    if known.size is not None:
        parts.append(f"{_exact_tokens(float(known.size[row]))} parameters")
    if known.tokens is not None:
        parts.append(f"at {_exact_tokens(float(known.tokens[row]))} tokens")
    elif known.steps is not None:
        parts.append(f"at step {known.steps[row]:.0f}")
    if known.seeds is not None:
        parts.append(f"seed {known.seeds[row]:.0f}")
    return " ".join([name, *parts])


def _exact_tokens(tokens: float) -> str:
    """Short where nothing is lost by it: checkpoints may lie close together."""
    if not np.isfinite(tokens):
        return "unknown"
    short = format_tokens(tokens)
    return short if parse_tokens(short) == tokens else f"{tokens:.0f}"


def _changes(
    tokens: Floats, scale: Floats, domains: Sequence[str]
) -> tuple[tuple[str, ...], Floats]:
    """See whether the runs are changes of one domain around a base; name what each changed.

    Only tables of tokens can tell: shares of such runs differ in every domain.
    """
    names = [MIXTURE] * len(tokens)
    scale = scale.copy()
    if scale.max() <= 1 or len(domains) < 2 or len(tokens) > _MOST_CHANGES:
        return tuple(names), scale
    differs = np.abs(tokens[:, None] - tokens[None]) > _SAME_TOKENS * tokens[None]
    single = differs.sum(-1) <= 1
    left = np.ones(len(tokens), dtype=bool)
    while left.any():
        around = (single & left[:, None] & left[None]).sum(0)
        base = int(around.argmax())
        if around[base] <= len(domains):
            break
        members: Bools = single[:, base] & left
        for row in np.flatnonzero(members):
            changed = np.flatnonzero(differs[row, base])
            names[row] = domains[changed[0]] if len(changed) else BASE
            scale[row] = tokens[base].sum()
        left &= ~members
    if not set(names) - {BASE, MIXTURE}:
        return (MIXTURE,) * len(tokens), scale
    return tuple(names), scale
