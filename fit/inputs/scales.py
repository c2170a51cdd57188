"""Which runs are of one scale, one mixture, one training run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.fit.arrays import Floats, Ints

SAME_SCALE = 0.05
"""Runs whose token counts differ by less than this part are one scale: whole batches, documents
that end early or a restart move the count by as much, and it tells nothing about scale."""
_DIGITS = 9
_SAME_SHARE = 5e-5
"""Shares that differ by less are one: tables give them with four digits or more."""
_SAME_NAMED = 0.02
"""The same of runs that one name, or their place in two designs, says to be of one mixture: short
runs of whole samples come only so near to their plan. A name may stand for several."""
_TWIN = 0.2
"""Of the distance to the second nearest mixture of another scale: one this much nearer is the same
but for what whole samples make of it, if most mixtures of the scale have such a twin."""
_MOST_HAVE_TWINS = 0.8
_FEWEST_TWINS = 3


def cluster_scales(tokens: Floats) -> Floats:
    """(runs,) one token count for each scale in place of the runs' own.

    From the smallest count upwards a scale takes every run within `SAME_SCALE` of its first, so
    that no chain of small differences joins scales that are far apart. The count that stands for
    a scale is the one that half of its runs have, else the median.
    """
    order = np.argsort(tokens, kind="stable")
    scales = np.empty(len(tokens))
    start = 0
    for end in range(1, len(order) + 1):
        if end < len(order) and tokens[order[end]] < tokens[order[start]] * (1 + SAME_SCALE):
            continue
        members = order[start:end]
        scales[members] = _typical(tokens[members])
        start = end
    return scales


def mixture_names(
    shares: Floats, named: Sequence[str] = (), kinds: Ints | None = None
) -> tuple[str, ...]:
    """Equal for rows of (runs, domains) shares that are one mixture but for rounding.

    Shares are compared with each other: rounded alone, 0.14865 and the 0.148649999 that it becomes
    as tokens over their sum would be two. What runs have read comes near to the shares that were
    planned, and nearer in longer runs.

    Args:
        shares: By row.
        named: What the mixture of each row is called, where that is known.
        kinds: (runs,) number of each row's scale and model size, see `kinds_of`. Where names tell
            of none, mixtures of one kind may each have a twin in another: so a design is known
            that runs its mixtures at each.
    """
    exact, of_row = np.unique(np.round(shares, _DIGITS) + 0.0, axis=0, return_inverse=True)
    of_row = of_row.ravel()
    known = _named_alike(exact, of_row, named)
    if kinds is not None and not len(known):
        known = _twins(exact, of_row, kinds)
    first = _representatives(exact, known)
    names = ["/".join(f"{share:.{_DIGITS}g}" for share in row) for row in exact[first]]
    return tuple(names[i] for i in of_row)


def kinds_of(scale: Floats, sizes: Floats | None) -> Ints:
    """(runs,) number of the scale and model size of each run.

    Args:
        scale: (runs,).
        sizes: (runs,) parameters of the models; None where unknown.
    """
    of_size = np.ones(len(scale)) if sizes is None else cluster_scales(sizes)
    _, kind = np.unique(np.column_stack([scale, of_size]), axis=0, return_inverse=True)
    return kind.ravel().astype(np.int64)


def _twins(mixtures: Floats, of_row: Ints, kinds: Ints) -> Ints:
    """(pairs, 2) of mixtures of two kinds, the one that has more of them first."""
    of_kind = [np.unique(of_row[kinds == kind]) for kind in np.unique(kinds)]
    of_kind = sorted((one for one in of_kind if len(one) >= _FEWEST_TWINS), key=len, reverse=True)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for k, others in enumerate(of_kind):
        for more in of_kind[:k]:
            found = _twins_in(mixtures, more, others)
            if found is not None:
                pairs.append(found)
                break
    return np.concatenate(pairs)


def _twins_in(mixtures: Floats, more: Ints, others: Ints) -> Ints | None:
    """(pairs, 2) of `others` with their twins among `more`; None where few have one."""
    from scipy.spatial import KDTree

    found = KDTree(mixtures[more]).query(mixtures[others], k=2, p=np.inf)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    alike = (distance[:, 0] < _SAME_NAMED) & (distance[:, 0] < _TWIN * distance[:, 1])
    if alike.mean() < _MOST_HAVE_TWINS:
        return None
    return np.column_stack([more[nearest[alike, 0]], others[alike]])


def _named_alike(mixtures: Floats, of_row: Ints, named: Sequence[str]) -> Ints:
    """(pairs, 2) of the mixtures of rows that have one name and about the same shares."""
    of_name: dict[str, list[int]] = {}
    for row, name in enumerate(named):
        of_name.setdefault(name, []).append(int(of_row[row]))
    pairs = []
    for one in of_name.values():
        alike = np.unique(one)
        near = np.abs(mixtures[alike] - mixtures[alike[0]]).max(1) < _SAME_NAMED
        pairs += [(alike[0], other) for other in alike[near][1:]]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _representatives(mixtures: Floats, known: Ints) -> Ints:
    """(mixtures,) index of the first of those that each is one with.

    Args:
        mixtures: (mixtures, domains) shares.
        known: (pairs, 2) of those that are one whatever their shares.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    count = len(mixtures)
    near = KDTree(mixtures).query_pairs(_SAME_SHARE, p=np.inf, output_type="ndarray")
    pairs = np.concatenate([near.reshape(-1, 2), known])
    if not len(pairs):
        return np.arange(count)
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    _, group = connected_components(links, directed=False)
    _, first = np.unique(group, return_index=True)
    return first[group]


def run_labels(
    mixtures: Sequence[str], scale: Floats, sizes: Floats | None, unique: Floats | None
) -> tuple[str, ...]:
    """Equal for runs of one mixture, scale, size and supply, which differ by their seed alone.

    Args:
        mixtures: (runs,) what they are called.
        scale: (runs,).
        sizes: (runs,) parameters of the models; None where unknown.
        unique: (runs, domains) tokens that each domain had to offer; None where unknown.
    """
    of_size = of_supply = [""] * len(mixtures)
    if sizes is not None and len(np.unique(sizes)) > 1:
        of_size = [f",{format_tokens(size)}" for size in sizes.tolist()]
    if unique is not None and any(np.ptp(unique[scale == at], 0).any() for at in np.unique(scale)):
        of_supply = [f",of {'/'.join(map(format_tokens, row))}" for row in unique.tolist()]
    return tuple(
        f"{name}@{at:.0f}{size}{supply}"
        for name, at, size, supply in zip(mixtures, scale.tolist(), of_size, of_supply, strict=True)
    )


def training_runs(
    names: Sequence[str] | None,
    mixtures: Sequence[str],
    scale: Floats,
    seeds: Sequence[int],
    parameters: Floats | None,
) -> tuple[str, ...]:
    """Equal for rows that are checkpoints of one training run.

    Args:
        names: What the table calls the runs; None where it does not name them. Rows of one name,
            mixture, seed and model are checkpoints of one run.
        mixtures: As `mixture_names` gives them.
        scale: (rows,). Without names the k-th row of a mixture at each scale is taken for the k-th
            run's checkpoint: whether it is cannot be told, and independent runs must not be made
            of one.
        seeds: By row; empty when unknown.
        parameters: (rows,); None when unknown.
    """
    sizes = [""] * len(mixtures) if parameters is None else [f"{size:g}" for size in parameters]
    by_seed = [""] * len(mixtures) if not seeds else [str(seed) for seed in seeds]
    same = list(zip(mixtures, by_seed, sizes, strict=True))
    if names is None:
        counted: dict[tuple[object, ...], int] = {}
        numbered = []
        for key, at in zip(same, scale.tolist(), strict=True):
            counted[key, at] = counted.get((key, at), 0) + 1
            numbered.append(str(counted[key, at]))
        names = numbered
    return tuple("|".join((name, *key)) for name, key in zip(names, same, strict=True))


def earlier_checkpoints(runs: Sequence[str], scale: Floats, totals: Floats) -> dict[int, int]:
    """Rows that a later checkpoint of the same run at the same scale stands for, with that row."""
    latest: dict[tuple[str, float], int] = {}
    for row in np.argsort(totals, kind="stable"):
        latest[runs[int(row)], float(scale[row])] = int(row)
    found = {}
    for row, (name, at) in enumerate(zip(runs, scale.tolist(), strict=True)):
        if latest[name, at] != row:
            found[row] = latest[name, at]
    return found


def _typical(tokens: Floats) -> float:
    values, counts = np.unique(tokens, return_counts=True)
    if 2 * counts.max() >= len(tokens):
        return float(values[counts.argmax()])
    return float(np.round(np.median(values)))
