"""What the columns of a table of runs are: told by their names, never guessed from their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from mixscale.contracts.config import parse_tokens
from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats

Table = Mapping[str, Sequence[Any]]

KEYS = (
    "run_id", "run_name", "run", "name", "id", "experiment", "run_index", "index", "", "unnamed: 0",
)  # fmt: skip
"""Columns that name a run, the first found first. pandas leaves its row numbers unnamed."""
TOKENS = ("token_budget", "tokens", "n_tokens", "num_tokens", "total_tokens", "train_tokens")
PARAMETERS = (
    "parameters", "params", "n_params", "num_params", "n_parameters", "num_parameters",
    "model_size", "model_params", "non_embedding_params",
)  # fmt: skip
SEEDS = ("seed", "random_seed", "data_seed", "train_seed")
STEPS = ("step", "steps", "_step", "global_step", "trainer/global_step", "iteration", "iterations")
STATES = ("state", "status")
SCALES = ("scale",)
SETTINGS = (
    "lr", "learning_rate", "max_lr", "min_lr", "batch_size", "global_batch_size", "warmup",
    "warmup_steps", "weight_decay", "dropout", "d_model", "n_layers", "num_layers", "n_heads",
    "width", "depth", "sequence_length", "seq_len", "max_seq_len", "vocab_size", "temperature",
    "runtime", "_runtime", "timestamp", "_timestamp", "created", "duration", "seconds", "wall_time",
    "gpu_hours", "flops", "grad_norm", "epoch", "epochs", "tokens_per_second", "tags", "notes",
    "user", "hostname", "git", "commit", "w_sum", "sum", "factor", "domain",
)  # fmt: skip
"""Columns that describe how a run was made, or that repeat what others say."""
ROLES = {
    "key": KEYS,
    "tokens": TOKENS,
    "parameters": PARAMETERS,
    "seed": SEEDS,
    "step": STEPS,
    "state": STATES,
    "scale": SCALES,
    "setting": SETTINGS,
}
DOMAIN_PREFIXES = ("w_", "weight_", "weights_", "ratio_", "proportion_", "share_", "tokens_")
_RESULTS = {
    "loss": ("loss", "nll", "cross_entropy", "ce_loss", "languagecrossentropy", "ce"),
    "perplexity": ("ppl", "perplexity", "languageperplexity"),
    "bits_per_byte": ("bpb", "bits_per_byte"),
    "accuracy": (
        "acc", "accuracy", "acc_norm", "exact_match", "em", "f1", "pass@1", "pass@10", "score",
        "auc", "bleu", "rouge", "win_rate",
    ),
}  # fmt: skip
"""Words before or after a name, by what they say the values are."""
UNFINISHED = (
    "crashed", "failed", "killed", "running", "pending", "preempted", "diverged", "died",
)  # fmt: skip
"""States of runs whose results do not count."""
_MISSING = ("", "nan", "null", "none", "na", "n/a", "-", "inf", "-inf")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A column of results."""

    column: str
    name: str
    """Of the validation domain or task."""
    metric: str
    """`loss`, `perplexity`, `bits_per_byte` or `accuracy`; empty where the column does not say."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which column is what, where names do not tell."""

    domains: tuple[str, ...] = ()
    """Patterns of columns with the shares or tokens of domains."""
    results: tuple[str, ...] = ()
    """Patterns of columns with losses."""
    key: str | None = None
    """The column that names the run in both tables."""


def role_of(column: str) -> str | None:
    """The role that a column's name stands for, if any."""
    name = column.strip().lower()
    spellings = {name, re.sub(r"[\s\-]+", "_", name)}
    return next((role for role, names in ROLES.items() if spellings & set(names)), None)


def result_of(column: str) -> Result | None:
    """What a column's name says of a result; None when it says nothing.

    The metric stands before or after the name: `loss_web`, `web_ppl`, `acc:hellaswag`, or as W&B
    exports it, `metrics/eval/web/LanguageCrossEntropy`.
    """
    name = re.sub(r"^(metrics/)?(eval(uation)?|val(idation)?|test)[/_](?=.)", "", column.strip())
    for metric, words in _RESULTS.items():
        for word in sorted(words, key=len, reverse=True):
            escaped = re.escape(word)
            found = re.fullmatch(rf"{escaped}[_/:](.+)", name, re.IGNORECASE) or re.fullmatch(
                rf"(.+)[_/:]{escaped}", name, re.IGNORECASE
            )
            if found:
                return Result(column=column, name=found[1].strip("/"), metric=metric)
    return None


def matching(patterns: Sequence[str], columns: Iterable[str], option: str) -> list[str]:
    """Columns that any pattern matches, in the table's order.

    Raises:
        UserError: A pattern matches nothing.
    """
    columns = list(columns)
    for pattern in patterns:
        if not any(fnmatchcase(column, pattern) for column in columns):
            raise UserError(f"{option} {pattern}: no such column; the columns are {columns}")
    return [c for c in columns if any(fnmatchcase(c, pattern) for pattern in patterns)]


def is_number(item: Any) -> bool:
    """Whether a cell holds a number, as a number or as text such as `1B` or `12 %`."""
    return read_number(item) is not None


def read_number(item: Any) -> float | None:
    """A cell's number; None for text, booleans and what is missing."""
    if item is None or isinstance(item, bool | np.bool_):
        return None
    if isinstance(item, int | float | np.integer | np.floating):
        return float(item) if np.isfinite(item) else None
    text = str(item).strip()
    if text.endswith("%"):
        return read_number(text[:-1])
    for reader in (float, parse_tokens):
        try:
            value = reader(text)
        except (ValueError, UserError):
            continue
        return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
    return None


def is_missing(item: Any) -> bool:
    """Whether a cell holds nothing."""
    if item is None or (isinstance(item, float) and not np.isfinite(item)):
        return True
    return isinstance(item, str) and item.strip().lower() in _MISSING


def numbers(column: Sequence[Any]) -> Floats:
    """(rows,) numbers of a column; nan where a cell holds none."""
    read = [read_number(item) for item in column]
    return np.array([np.nan if value is None else value for value in read], dtype=np.float64)


def is_numeric(column: Sequence[Any]) -> bool:
    """Whether most cells that hold anything hold numbers.

    One cell that says `crashed` must not make a whole column vanish.
    """
    held = [item for item in column if not is_missing(item)]
    return 2 * sum(is_number(item) for item in held) > len(held)


def is_positional(column: Sequence[Any]) -> bool:
    """Whether a column only counts its rows."""
    values = numbers(column)
    count = np.arange(len(values))
    return bool((values == count).all() or (values == count + 1).all())


def roles_of(table: Table, used: Iterable[str] = ()) -> dict[str, str]:
    """Column by role, those of domains left aside; names of runs have `keys_of`."""
    found: dict[str, str] = {}
    used = set(used)
    for column in table:
        role = role_of(column)
        if role is not None and role != "key" and column not in used:
            found.setdefault(role, column)
    return found


def unfinished_rows(table: Table, roles: Mapping[str, str]) -> dict[int, str]:
    """Rows of runs that a table itself says did not finish, with what it says."""
    if "state" not in roles:
        return {}
    states = [str(item).strip().lower() for item in table[roles["state"]]]
    return {i: f"{roles['state']} {state}" for i, state in enumerate(states) if state in UNFINISHED}


def keys_of(table: Table, choice: Choice) -> dict[str, tuple[str, ...]]:
    """Columns that name the run, those that only count rows last."""
    if choice.key is not None:
        columns = matching((choice.key,), table, "--key")
    else:
        columns = [column for column in table if role_of(column) == "key"]
        columns.sort(key=_key_rank)
        columns.sort(key=lambda column: is_positional(table[column]))
    return {column: tuple(str(item) for item in table[column]) for column in columns}


def _key_rank(column: str) -> int:
    return KEYS.index(re.sub(r"[\s\-]+", "_", column.strip().lower()))
