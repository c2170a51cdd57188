"""What the columns of a table of runs are: told by their names, never guessed from their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.fit.inputs.cells import is_positional

Table = Mapping[str, Sequence[Any]]

KEYS = (
    "run_id", "run_name", "run", "name", "id", "experiment", "run_index", "index", "", "unnamed: 0",
)  # fmt: skip
"""Columns that name a run, the first found first. pandas leaves its row numbers unnamed."""
TOKENS = (
    "token_budget", "tokens", "n_tokens", "num_tokens", "total_tokens", "train_tokens",
    "training_tokens", "tokens_seen", "seen_tokens", "tokens_trained", "trained_tokens",
    "n_train_tokens", "num_train_tokens", "scale_tokens", "time/token",
)  # fmt: skip
PARAMETERS = (
    "parameters", "params", "n_params", "num_params", "n_parameters", "num_parameters",
    "model_size", "model_params", "model_parameters", "total_params", "total_parameters",
)  # fmt: skip
NON_EMBEDDING = (
    "non_embedding_params", "non_embedding_parameters", "params_non_embedding",
    "parameters_non_embedding", "n_params_non_embedding", "n_non_embedding_params",
    "num_non_embedding_params", "num_non_embedding_parameters", "non_embedding_size",
    "non_embedding",
)  # fmt: skip
SEEDS = ("seed", "random_seed", "data_seed", "train_seed")
STEPS = (
    "step", "steps", "_step", "global_step", "trainer/global_step", "iteration", "iterations",
    "train_step", "train_steps", "training_steps", "batches", "time/batch", "checkpoint_step",
)  # fmt: skip
STATES = ("state", "status")
SCALES = ("scale",)
VALIDATION = (
    "valid_domain", "validation_domain", "val_domain", "eval_domain", "test_domain", "valid_set",
    "validation_set", "val_set", "eval_set", "eval_dataset", "validation_dataset", "task",
    "eval_task", "metric_name",
)  # fmt: skip
"""Columns of a long table that say what a row's result is of."""
SETTINGS = (
    "lr", "learning_rate", "max_lr", "min_lr", "batch_size", "global_batch_size", "warmup",
    "warmup_steps", "weight_decay", "dropout", "d_model", "n_layers", "num_layers", "n_heads",
    "width", "depth", "sequence_length", "seq_len", "max_seq_len", "vocab_size", "temperature",
    "runtime", "_runtime", "timestamp", "_timestamp", "created", "duration", "seconds", "wall_time",
    "gpu_hours", "flops", "grad_norm", "epoch", "epochs", "tokens_per_second", "tags", "notes",
    "user", "hostname", "git", "commit", "w_sum", "sum", "factor", "domain", "group", "sweep",
    "model", "model_name", "size", "architecture", "n_checkpoint", "checkpoint",
)  # fmt: skip
"""Columns that describe how a run was made, or that repeat what others say."""
ROLES = {
    "key": KEYS,
    "tokens": TOKENS,
    "parameters": PARAMETERS,
    "non_embedding": NON_EMBEDDING,
    "seed": SEEDS,
    "step": STEPS,
    "state": STATES,
    "scale": SCALES,
    "validation": VALIDATION,
    "setting": SETTINGS,
}
POOL = "pool"
"""Role of the unique tokens of all domains together."""
UNIQUE_PREFIXES = ("unique_tokens_", "available_tokens_", "unique_", "available_", "pool_")
"""Before a domain's name: the tokens that it had to offer."""
_POOLS = ("unique_tokens", "available_tokens", "pool_tokens", "n_unique_tokens")
_MULTIPLES = {
    "thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "mn": 1e6, "billion": 1e9, "b": 1e9,
    "bn": 1e9, "trillion": 1e12, "t": 1e12, "tn": 1e12,
}  # fmt: skip
_MULTIPLE = re.compile(
    r"(.+?)[_\s]*(?:_in)?(?:[_\s](thousand|million|billion|trillion|bn|mn)s?|"
    r"[\s_]*[(\[](?:in )?(thousand|million|billion|trillion|[kmbt]n?)s?[)\]])"
)
_SHORT_MULTIPLE = re.compile(r"(.+?)_([kmb])")
"""`params_m`, but no `tokens_b`, which may be the tokens of a domain b."""
DOMAIN_PREFIXES = ("w_", "weight_", "weights_", "ratio_", "proportion_", "share_", "tokens_")
_RESULTS = {
    "loss": ("loss", "nll", "cross_entropy", "ce_loss", "languagecrossentropy", "ce"),
    "perplexity": (
        "ppl", "perplexity", "languageperplexity", "word_perplexity", "byte_perplexity",
    ),
    "bits_per_byte": ("bpb", "bits_per_byte"),
    "accuracy": (
        "acc_norm", "acc", "accuracy", "acc_bytes", "acc_mutual_info", "masked_acc",
        "masked_accuracy", "exact_match", "exact_match_strict_match",
        "exact_match_flexible_extract", "em", "f1", "pass@1", "pass@10", "pass@100", "pass_at_1",
        "pass_at_10", "pass_at_100", "auc", "bleu", "rouge", "chrf", "win_rate",
    ),
    "error": ("error_rate",),
    "score": ("mcc",),
    "cost": ("brier_score", "brier", "ter", "wer", "cer"),
    "unknown": ("score", "metric_value"),
}  # fmt: skip
"""Words before or after a name, by what they say the values are. Of several scores of one task the
word that stands first counts. `unknown`: a result, but which way is better is not said."""
BETTER_LOWER = ("loss", "perplexity", "bits_per_byte", "error", "cost")
BOUNDED = ("accuracy", "error")
"""What lies between 0 and 1, or between 0 and 100 %."""
LOSSES = ("loss", "", "bits_per_byte", "perplexity")
"""What follows from a validation loss, in the order in which one result of a domain is preferred.
The empty name: a column that does not say."""
_BARE = {
    "loss": ("loss", "nll", "cross_entropy", "ce_loss", "languagecrossentropy", "ce"),
    "perplexity": ("ppl", "perplexity", "languageperplexity"),
    "bits_per_byte": ("bpb", "bits_per_byte"),
    "accuracy": ("acc", "accuracy", "acc_norm", "exact_match"),
    "unknown": ("score",),
    "": ("value", "metric_value", "result"),
}
"""Names of a column with the results of whatever was evaluated."""
_OF_VALIDATION = r"(eval(uation)?|val(id(ation)?)?|test)"
TRAINING = ("train", "training", "train/total", "train/batch")
"""What a loss may be of that is no result: the data that was trained on."""
_SUMMARY_ROWS = ("mean", "average", "avg", "median", "std", "stdev", "min", "max", "total", "sum")
"""Names of rows that sum up the others."""
UNFINISHED = (
    "crashed", "failed", "killed", "running", "pending", "preempted", "diverged", "died", "oom",
    "out_of_memory", "interrupted", "cancelled", "canceled", "aborted", "timeout", "error",
    "stopped", "data_error", "queued",
)  # fmt: skip
"""States of runs whose results do not count."""


_SHORT = {"accuracy": ("acc",), "bits_per_byte": ("bpb",), "perplexity": ("ppl",)}


@dataclass(frozen=True, kw_only=True)
class Result:
    """A column of results."""

    column: str
    name: str
    """Of the validation domain or task."""
    metric: str
    """`loss`, `perplexity`, `bits_per_byte`, `accuracy`, `error`, `score` or `cost`; `unknown`
    where the column does not say which way is better, empty where it says nothing."""
    word: str = ""
    """What the column calls its metric, in lower case."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """What patterns may match: the column, the name alone, the metric with the name."""
        words = dict.fromkeys((self.word, self.metric, *_SHORT.get(self.metric, ())))
        return (self.column, self.name, *(f"{word}:{self.name}" for word in words if word))

    def matches(self, patterns: Iterable[str]) -> bool:
        """Whether a pattern names it."""
        return any(fnmatchcase(name, pattern) for pattern in patterns for name in self.spellings)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which column is what, where names do not tell."""

    domains: tuple[str, ...] = ()
    """Patterns of columns with the shares or tokens of domains."""
    results: tuple[str, ...] = ()
    """Patterns of columns with losses."""
    key: str | None = None
    """The column that names the run in both tables."""
    size: str | None = None
    """The column with the model's parameters, where several have them."""
    tokens_per_step: int | None = None
    """Tokens of a training step, where a table has steps alone."""
    keep_early: bool = False
    """Whether to fit to the first checkpoints of runs too, which lie off every power law."""
    higher: tuple[str, ...] = ()
    """Patterns of results of which more is better."""
    lower: tuple[str, ...] = ()
    """Patterns of results of which less is better."""
    drop: tuple[str, ...] = ()
    """Patterns of results that are not looked at."""
    named: tuple[str, ...] = ()
    """Patterns of results that the objective names."""
    metric: str | None = None
    """The metric of the objective, where one was asked for."""


def _spelt(column: str) -> str:
    return re.sub(r"[\s\-]+", "_", column.strip().lower())


def role_of(column: str) -> str | None:
    """The role that a column's name stands for, if any."""
    name, _ = without_multiple(column)
    spellings = {name.strip().lower(), _spelt(name)}
    found = next((role for role, names in ROLES.items() if spellings & set(names)), None)
    if found is None and spellings & set(_POOLS):
        return POOL
    if found is None and any(name.lower().startswith(prefix) for prefix in UNIQUE_PREFIXES):
        return "unique"
    return found


def without_multiple(column: str) -> tuple[str, float]:
    """A column's name without the multiple that its numbers are in, as in `tokens_billion`.

    Returns:
        The name, and what its numbers are to be multiplied by.
    """
    text = column.strip().lower()
    found = _MULTIPLE.fullmatch(text)
    if found:
        return found[1], _MULTIPLES[found[2] or found[3]]
    found = _SHORT_MULTIPLE.fullmatch(text)
    if found and _spelt(found[1]) in (*PARAMETERS, *NON_EMBEDDING):
        return found[1], _MULTIPLES[found[2]]
    return column, 1.0


def result_of(column: str) -> Result | None:
    """What a column's name says of a result; None when it says nothing.

    The metric stands before or after the name: `loss_web`, `web_ppl`, `acc:hellaswag`,
    `loss (web)`, or as W&B exports it, `metrics/eval/web/LanguageCrossEntropy`.
    """
    name = re.sub(rf"^(metrics?/)?{_OF_VALIDATION}[/_](?=.)", "", column.strip())
    for metric, words in _RESULTS.items():
        for word in sorted(words, key=len, reverse=True):
            escaped = re.escape(word)
            found = (
                re.fullmatch(rf"{escaped}\s*[(\[](.+)[)\]]", name, re.IGNORECASE)
                or re.fullmatch(rf"{escaped}[_/:. ](.+)", name, re.IGNORECASE)
                or re.fullmatch(rf"(.+)[_/:. ]{escaped}", name, re.IGNORECASE)
            )
            if found:
                of = re.sub(rf"[_/:. ]{_OF_VALIDATION}$", "", found[1].strip("/ "))
                of = re.sub(r"^metrics?/(?=.)", "", of)
                return Result(column=column, name=of or found[1], metric=metric, word=word)
    return None


def bare_result_of(column: str) -> Result | None:
    """The same for a column of results that names none: `loss`, `val_loss`, `eval/perplexity`."""
    name = re.sub(rf"^{_OF_VALIDATION}[/_. ](?=.)", "", column.strip().lower())
    for metric, words in _BARE.items():
        if name in words:
            return Result(
                column=column, name=words[0] if metric else name, metric=metric, word=name
            )
    return None


def rank_of(result: Result) -> int:
    """Where a result stands among several of one task, the first preferred."""
    words = _RESULTS.get(result.metric, ())
    return words.index(result.word) if result.word in words else len(words)


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


def roles_of(table: Table, used: Iterable[str] = ()) -> dict[str, str]:
    """Column by role, those of domains left aside; names of runs have `keys_of`."""
    return {role: columns[0] for role, columns in columns_by_role(table, used).items()}


def columns_by_role(table: Table, used: Iterable[str] = ()) -> dict[str, list[str]]:
    """Columns of each role, those of domains left aside."""
    found: dict[str, list[str]] = {}
    used = set(used)
    for column in table:
        role = role_of(column)
        if role not in (None, "key", "unique") and column not in used:
            found.setdefault(role, []).append(column)
    return found


def unfinished_rows(table: Table, roles: Mapping[str, str]) -> dict[int, str]:
    """Rows that a table itself says are no finished runs, with what it says."""
    found = {
        row: f"{column} {cell}: a summary, no run"
        for column in table
        if role_of(column) == "key"
        for row, cell in enumerate(table[column])
        if str(cell).strip().lower() in _SUMMARY_ROWS
    }
    if "state" not in roles:
        return found
    states = [str(item).strip().lower() for item in table[roles["state"]]]
    return found | {
        i: f"{roles['state']} {state}" for i, state in enumerate(states) if state in UNFINISHED
    }


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
