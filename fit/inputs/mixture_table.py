"""A table of mixtures: which columns are domains, and what their numbers count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.cells import counts, is_missing, is_numeric, numbers
from mixscale.fit.inputs.changes_table import changes_columns
from mixscale.fit.inputs.columns import (
    DOMAIN_PREFIXES,
    POOL,
    Choice,
    Table,
    bare_result_of,
    keys_of,
    matching,
    result_of,
    role_of,
    roles_of,
    unfinished_rows,
)
from mixscale.fit.inputs.facts import Facts, check_supply, facts_of, unique_columns

_SUM_TOLERANCE = 0.02
_EXACT_SUM = 1e-3
"""Columns that no prefix marks count as shares only if they sum to 1 this closely."""
_LEAST_TOKENS = 1000.0
ONE_DOMAIN = "text"
"""Name of the domain of a table without mixtures."""

Unit = Literal["shares", "percent", "relative", "tokens", "changes", "one domain"]


@dataclass(frozen=True, kw_only=True)
class Mixtures:
    """A table of mixtures, a row for each run."""

    domains: tuple[str, ...]
    amounts: Floats
    """(rows, domains) tokens where `unit` says so, else shares of the run's tokens; with `changes`
    parts of the base run's tokens."""
    unit: Unit
    """Of the domains' columns: `shares`, `percent`, `relative` (to an equal share) or `tokens`;
    `changes` of a base run's domains one at a time; `one domain` where nothing is mixed."""
    facts: Facts
    """What else the table says of the runs."""
    keys: dict[str, tuple[str, ...]]
    """Columns that name the rows."""
    run_tokens: float | None = None
    """Tokens of every run, where no table tells them."""
    changed: tuple[str, ...] | None = None
    """With `changes`, the domain that each run changed."""
    columns: tuple[str, ...] = ()
    """Of the domains and of their unique tokens."""
    ignored: dict[str, str] = field(default_factory=dict)
    """Why, by column."""
    bad: dict[int, str] = field(default_factory=dict)
    """Rows that hold no mixture or no finished run, with the reason."""

    @property
    def tokens(self) -> Floats:
        """(rows, domains) tokens, or shares where the table does not tell the tokens."""
        if self.unit == "tokens":
            if self.facts.tokens is None:
                return self.amounts
            # A checkpoint has as much of its run's tokens as of its mixture.
            return self.amounts * (self.facts.tokens / self.amounts.sum(1))[:, None]
        return self.amounts * self._sizes[:, None]

    @property
    def scale(self) -> Floats:
        """(rows,) token budget of the run's scale; 1 where it is not known."""
        if self.facts.scale is not None:
            return self.facts.scale
        return self.tokens.sum(1) if self.unit == "tokens" else self._sizes

    @property
    def _sizes(self) -> Floats:
        if self.facts.tokens is not None:
            # Of changes the amounts are parts of the base run's tokens.
            parts = self.amounts.sum(1) if self.unit == "changes" else 1.0
            return self.facts.tokens / parts
        return np.full(len(self.amounts), 1.0 if self.run_tokens is None else self.run_tokens)

    @property
    def seeds(self) -> tuple[int, ...]:
        """By row; empty where they are not known."""
        seeds = self.facts.seeds
        return () if seeds is None else tuple(seeds.astype(int).tolist())

    def at(self, rows: Sequence[int] | np.ndarray, facts: Facts) -> Mixtures:
        """Some rows, each as often as it is asked for, with what is known of them."""
        return replace(
            self,
            amounts=self.amounts[rows],
            facts=facts,
            keys={},
            changed=None if self.changed is None else tuple(self.changed[i] for i in rows),
            bad={},
        )


def mixtures_of(
    table: Table, where: str, run_tokens: int | None = None, choice: Choice | None = None
) -> Mixtures:
    """Understand a table of mixtures.

    Domains are the columns that `choice` or a prefix (`w_`, `weight_`, `ratio_`, `proportion_`,
    `share_`, `tokens_`) marks; without either, every numeric column whose name has no other
    meaning, if they sum to 1 (or 100) in every row. A table without any is one of a single domain
    if it tells tokens, or of a base run's domains changed one at a time if it has the columns
    `domain` and `factor`.

    Args:
        table: By column.
        where: For messages.
        run_tokens: Tokens of every run, where the table does not tell.
        choice: Which column is what.

    Raises:
        UserError: Which columns are domains cannot be told, a row is no mixture, or what the table
            says of a run cannot be.
    """
    choice = choice or Choice()
    _check_rows_are_runs(table, where)
    columns, marked, ignored = _domain_columns(table, where, choice)
    found = _Found(columns=columns, marked=marked)
    bad = unfinished_rows(table, roles_of(table, columns.values()))
    if columns:
        unit, domains, amounts, changed = _shares(table, found, bad, where)
    else:
        unit, domains, amounts, changed = _without_shares(table, where)
    facts = facts_of(table, where, choice, domains, columns.values(), bad)
    bad |= facts.bad
    check_supply(facts, amounts, domains, where)
    if unit == "tokens":
        _check_total(facts, amounts, bad, where)
    unique = unique_columns(table, domains).values()
    return Mixtures(
        domains=domains,
        amounts=amounts,
        unit=unit,
        facts=facts,
        keys=keys_of(table, choice),
        run_tokens=None if run_tokens is None else float(run_tokens),
        changed=changed,
        columns=(*columns.values(), *unique),
        ignored=ignored,
        bad=bad,
    )


def _check_rows_are_runs(table: Table, where: str) -> None:
    """Refuse tables that list domains."""
    named = {column.strip().lower(): column for column in table}
    if "domain" not in named or "factor" in named or is_numeric(table[named["domain"]]):
        return
    domains = [str(cell) for cell in table[named["domain"]]]
    told = any(role_of(c) == "key" or result_of(c) or bare_result_of(c) for c in table)
    if len(set(domains)) == len(domains) and not told:
        raise UserError(
            f"{where}: one row is a domain, not a run ({', '.join(domains[:4])}, …); give a table "
            "with a row for each run and a column w_DOMAIN for each domain"
        )


@dataclass(frozen=True, kw_only=True)
class _Found:
    columns: dict[str, str]
    """By domain."""
    marked: bool
    """Whether names or options mark them."""


def _shares(
    table: Table, found: _Found, bad: dict[int, str], where: str
) -> tuple[Unit, tuple[str, ...], Floats, None]:
    """Unit, domains and (rows, domains) amounts; rows that hold text are marked as bad."""
    domains = tuple(found.columns)
    values = np.column_stack([numbers(table[column]) for column in found.columns.values()])
    if found.marked and np.nanmedian(np.nansum(values, 1)) >= _LEAST_TOKENS:
        values = np.column_stack([counts(table[column]) for column in found.columns.values()])
    values = _without_missing(values, domains, bad, table, found.columns, where)
    unit, amounts = _amounts(values, domains, bad, found.marked, where)
    return unit, domains, amounts, None


def _without_shares(
    table: Table, where: str
) -> tuple[Unit, tuple[str, ...], Floats, tuple[str, ...] | None]:
    """The same for a table without columns of domains."""
    changes = changes_columns(table, where)
    if changes is not None:
        return "changes", changes.domains, changes.amounts, changes.changed
    rows = len(next(iter(table.values())))
    return "one domain", (ONE_DOMAIN,), np.ones((rows, 1)), None


def _check_total(facts: Facts, amounts: Floats, bad: dict[int, str], where: str) -> None:
    """Refuse tokens by domain that do not sum to the run's tokens."""
    if facts.tokens is None:
        return
    apart = np.abs(amounts.sum(1) - facts.tokens) > 0.05 * facts.tokens
    apart[list(bad)] = False
    if apart.any():
        row = int(np.argmax(apart))
        raise UserError(
            f"{where}: row {row + 1}: the tokens of its domains sum to {amounts[row].sum():.6g}, "
            f"but {facts.columns['tokens']} is {facts.tokens[row]:.6g}; they contradict each other"
        )


def _domain_columns(
    table: Table, where: str, choice: Choice
) -> tuple[dict[str, str], bool, dict[str, str]]:
    """Column by domain, whether names or options mark them, and why others are left aside."""
    if choice.domains:
        chosen = matching(choice.domains, table, "--domains")
        return _unprefixed(chosen), True, {}
    for prefix in DOMAIN_PREFIXES:
        marked = [
            c for c in table if c.lower().startswith(prefix) and role_of(c) is None and c != prefix
        ]
        if marked:
            named = {c[len(prefix) :]: c for c in marked if is_numeric(table[c])}
            return named, True, _aside(table, named.values())
    candidates = [
        column
        for column, cells in table.items()
        if role_of(column) is None
        and result_of(column) is None
        and bare_result_of(column) is None
        and is_numeric(cells)
    ]
    if not candidates and _needs_no_shares(table):
        return {}, False, _aside(table, ())
    if not candidates:
        raise UserError(f"{where}: no column of shares among {list(table)}; {_WHICH_DOMAINS}")
    return {column: column for column in candidates}, False, _aside(table, candidates)


def _needs_no_shares(table: Table) -> bool:
    """Whether a table without columns of shares can still tell what its runs trained on."""
    names = {column.strip().lower() for column in table}
    roles = roles_of(table)
    return {"domain", "factor"} <= names or ("tokens" in roles and (POOL in roles or _plain(table)))


def _plain(table: Table) -> bool:
    """Whether a single result stands beside the runs' tokens: one domain, trained and tested on."""
    return any(bare_result_of(column) is not None for column in table)


_WHICH_DOMAINS = (
    "name the columns of domains w_DOMAIN, or say which they are with --domains (patterns allowed)"
)


def _unprefixed(columns: Sequence[str]) -> dict[str, str]:
    for prefix in DOMAIN_PREFIXES:
        if all(column.lower().startswith(prefix) for column in columns):
            return {column[len(prefix) :]: column for column in columns}
    return {column: column for column in columns}


def _aside(table: Table, used: Iterable[str]) -> dict[str, str]:
    """Why each column without a part in the mixture is left aside."""
    used, reasons = set(used), {}
    for column, cells in table.items():
        role = role_of(column)
        if column in used or role not in (None, "setting", "unique", "validation"):
            continue
        if role == "unique":
            reasons[column] = "unique tokens of what is no domain"
        elif role is not None:
            reasons[column] = "describes the run"
        elif result_of(column) is not None or bare_result_of(column) is not None:
            reasons[column] = "a result"
        else:
            reasons[column] = "no share" if is_numeric(cells) else "no number"
    return reasons


def _without_missing(
    values: Floats,
    domains: tuple[str, ...],
    bad: dict[int, str],
    table: Table,
    columns: dict[str, str],
    where: str,
) -> Floats:
    """Shares with rows that hold text marked as bad; negative or empty shares are refused."""
    for i, k in np.argwhere(np.isnan(values)):
        cell = table[columns[domains[k]]][i]
        if is_missing(cell):
            raise UserError(
                f"{where}: row {i + 1}: a share is missing or negative: "
                f"{columns[domains[k]]} is empty"
            )
        bad.setdefault(int(i), f"{columns[domains[k]]} is {cell!r}")
    if (values < 0).any():
        row, k = np.argwhere(values < 0)[0].tolist()
        raise UserError(
            f"{where}: row {row + 1}: a share is missing or negative: "
            f"{columns[domains[k]]} is {values[row, k]:g}"
        )
    filled = values.copy()
    filled[list(bad)] = np.nan_to_num(filled[list(bad)], nan=0.0)
    return filled


def _amounts(
    values: Floats, domains: tuple[str, ...], bad: dict[int, str], marked: bool, where: str
) -> tuple[Unit, Floats]:
    """Unit of the columns, and (rows, domains) tokens or shares."""
    sums = values.sum(1)
    good = np.array([i not in bad for i in range(len(values))])
    if not good.any():
        raise UserError(f"{where}: no row holds a mixture")
    if marked and (sums[good] >= _LEAST_TOKENS).all():
        return "tokens", values
    unit, whole = _whole(sums[good], len(domains), marked)
    wrong = good & (np.abs(sums - whole) > whole * (_SUM_TOLERANCE if marked else _EXACT_SUM))
    if wrong.any():
        row = int(np.argmax(wrong))
        text = f"{where}: row {row + 1}: shares of {list(domains)} sum to {sums[row]:.6g}"
        if marked:
            raise UserError(f"{text}, expected 1 (or tokens, at least a thousand to a run)")
        raise UserError(f"{text}, not to 1, so some of these are no domains; {_WHICH_DOMAINS}")
    return unit, values / np.where(sums > 0, sums, 1.0)[:, None]


def _whole(sums: Floats, domains: int, marked: bool) -> tuple[Unit, float]:
    """What rows sum to: 1, 100, or the number of domains where an equal share is 1."""

    def all_near(whole: float) -> bool:
        return bool((np.abs(sums - whole) <= whole * _SUM_TOLERANCE).all())

    if not all_near(1.0) and all_near(100.0):
        return "percent", 100.0
    if marked and domains > 1 and all_near(float(domains)):
        return "relative", float(domains)
    return "shares", 1.0
